"""The grammar of `models:`: every key of a language model, with what it says."""

from __future__ import annotations

from promptc.spec.grammar_types import (
    NAME,
    NAME_IN_WORDS,
    NOT_YET,
    Schema,
    choice,
    flag,
    mapping,
    named,
    number,
    refer,
    text,
    whole,
)
from promptc.spec.model import MODEL_ROLES


def model() -> Schema:
    """A language model: a name, or a mapping."""
    price, limits = _price(), _limits()
    properties = {
        "model": text(
            "The name, as litellm has it, or embedded/icl, embedded/script.",
            "openai/gpt-4.1-mini",
            minLength=1,
        ),
        "api_base": text("Where the model is served, when not at its provider.", "http://localhost:8000/v1"),
        "api_key": text("The key, out of the environment.", "${env:OPENAI_API_KEY}"),
        "api_key_command": text("A command that prints the key.", "pass show openai"),
        "headers": named(
            "Headers that are sent with every request.", {"type": "string"}, {"X-Team": "search"}
        ),
        "transport": choice(
            "How it is reached, when not by its name.", "litellm", "direct", "embedded", "script", "replay"
        ),
        "timeout": number("Seconds for one request.", 60, exclusiveMinimum=0),
        "price": mapping(
            "What it costs, where that is not known.",
            price,
            {"input": 0.4, "output": 1.6},
            required=["input", "output"],
        ),
        "limits": mapping("Walls for requests and tokens.", limits, {"rpm": 500}),
        "params": {
            "type": "object",
            "description": "Parameters that are sent as they are, such as temperature and max_tokens.",
            "examples": [{"temperature": 0, "max_tokens": 500}],
        },
        "on_unsupported": choice("What to do with a parameter that the model refuses.", "error", "drop"),
        "batch": flag("Use the provider's batch interface." + NOT_YET, False),
    }
    return {
        "type": ["string", "object"],
        "title": "model",
        "description": "A language model: its name, or a mapping.",
        "minLength": 1,
        "properties": properties,
        "required": ["model"],
        "additionalProperties": False,
    }


def models() -> Schema:
    """Models by role or by a name of the user's own."""
    roles = {
        "task": "Runs the program.",
        "teacher": "Makes demonstrations; task where it is not given.",
        "proposer": "Proposes instructions; task where it is not given.",
        "judge": "Judges, for llm_judge and pairwise_judge; task where it is not given.",
        "embed": "Embeds texts; without it, vectors are hashed.",
        "extract": "Extracts fields from free text; task where it is not given.",
    }
    return named(
        "Language models by role (task, teacher, proposer, judge, embed, extract) or by a name of your own.",
        {"$ref": "#/$defs/model"},
        {
            "task": "openai/gpt-4.1-mini",
            "proposer": {"model": "openai/gpt-4.1", "params": {"temperature": 1.0}},
        },
        properties={role: refer("model", roles[role], "openai/gpt-4.1-mini") for role in MODEL_ROLES},
        propertyNames={"pattern": NAME, "$comment": NAME_IN_WORDS},
        minProperties=1,
    )


def _price() -> dict[str, Schema]:
    return {
        "input": number("Dollars per million input tokens.", 0.4, minimum=0),
        "cached_input": number(
            "Dollars per million input tokens that the provider has cached.", 0.1, minimum=0
        ),
        "output": number("Dollars per million output tokens.", 1.6, minimum=0),
    }


def _limits() -> dict[str, Schema]:
    return {
        "rpm": whole("The most requests a minute.", 500, minimum=1),
        "tpm": whole("The most tokens a minute.", 200000, minimum=1),
        "concurrency": whole("The most requests at once.", 8, minimum=1),
    }
