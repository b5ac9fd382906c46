"""The grammar of a spec as a JSON Schema (draft 2020-12): what an editor completes and what `load` checks
against.

The plug-ins are not known here: who assembles the schema hands them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.spec import grammar_sections as sections
from promptc.spec.grammar_models import model, models
from promptc.spec.grammar_types import (
    NAME,
    NAME_IN_WORDS,
    Schema,
    choice,
    flag,
    many,
    named,
    number,
    refer,
    text,
    type_definitions,
    whole,
)
from promptc.spec.nodes import Path

DRAFT = "https://json-schema.org/draft/2020-12/schema"
KINDS = ("metric", "optimizer", "module", "format", "retriever", "tool")
"""The kinds of plug-in that a spec names by their parameters."""

TOOL_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
TOOL_NAME_IN_WORDS = "at most 64 letters, digits and underscores, starting with a letter"


class Later(msgspec.Struct, frozen=True):
    """A key of the grammar that is not carried out yet. `unless` is the value that asks for nothing."""

    path: Path
    unless: Any = msgspec.UNSET


LATER: tuple[Later, ...] = (
    Later(("run", "record")),
    Later(("run", "runner"), "local"),
    Later(("models", "*", "batch"), False),
)


def spec_schema(plugins: Mapping[str, Mapping[str, Schema]], definitions: Mapping[str, Schema]) -> Schema:
    """The whole schema. `plugins` maps a kind to names and the schemas of their parameters, which may refer
    to `definitions`.
    """
    kinds = {kind: plugin(kind, plugins[kind]) for kind in KINDS}
    return {
        "$schema": DRAFT,
        "title": "promptc spec",
        "description": "What promptc compiles, measures and optimizes.",
        "type": "object",
        "properties": _top_level(),
        "required": ["version"],
        "additionalProperties": False,
        "$defs": {
            **type_definitions(),
            "model": model(),
            "step": sections.step(),
            "longText": _long_text(),
            **kinds,
            **definitions,
        },
    }


def plugin(kind: str, entries: Mapping[str, Schema]) -> Schema:
    """A plug-in of a kind: its name, or a mapping from its one name to its parameters."""
    known = {name: with_own_keys(kind, schema) for name, schema in entries.items()}
    article = "An" if kind[0] in "aeiou" else "A"
    return {
        "type": ["string", "object"],
        "title": kind,
        "description": f"{article} {kind}: its name, or a mapping from its name to its parameters.",
        "if": {"type": "string"},
        "then": {"enum": list(entries), "title": kind},
        "properties": known,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def with_own_keys(kind: str, schema: Schema) -> Schema:
    """The parameters of a plug-in, and with a metric, a retriever or a tool what every one of them takes."""
    own = {"metric": metric_keys, "retriever": retriever_keys, "tool": tool_keys}.get(kind)
    return schema if own is None else {**schema, "properties": {**own(), **schema["properties"], **own()}}


def metric_keys() -> dict[str, Schema]:
    """What every entry under `metrics:` takes besides the metric's own parameters."""
    return {
        "name": text(
            "What the figure is called.",
            "queue_right",
            pattern=NAME,
            **{"$comment": NAME_IN_WORDS},
        ),
        "weight": number("Its weight in the score; 0 is reported only.", 3, minimum=0),
        "negate": flag("Count 1 minus the score."),
        "field": text("The output field that is judged.", "queue", minLength=1),
        "expected": text(
            "The column that holds what is right; the field's name where it is not given.",
            "answer",
            minLength=1,
        ),
        "when": text(
            "An expression over inputs, row and outputs; where it is false the metric abstains.",
            "row.language == 'de'",
            minLength=1,
        ),
        "model": text(
            "The model that judges: a name under models:, or a litellm name.", "judge", minLength=1
        ),
    }


def retriever_keys() -> dict[str, Schema]:
    """What every entry under `retrievers:` takes besides the retriever's own parameters."""
    return {"k": whole("How many passages a search brings, unless it says so itself.", 4, minimum=1)}


def tool_keys() -> dict[str, Schema]:
    """What every entry under `tools:` takes besides the tool's own parameters."""
    arguments = {
        "type": "object",
        "description": "The stub answers calls whose arguments hold all of these; without it, every call.",
        "examples": [{"city": "Paris"}],
    }
    stub = {
        "type": "object",
        "properties": {
            "result": {"description": "What is answered.", "examples": ["sent"]},
            "arguments": arguments,
            "tool": text("The function of a server that offers several.", "send_mail", minLength=1),
        },
        "required": ["result"],
        "additionalProperties": False,
    }
    return {
        "description": text(
            "What models are told that it does, in place of what it says of itself.",
            "Finds the page of the handbook that answers a question.",
        ),
        "effects": choice(
            "What it does outside: nothing, look something up, or change something. eval and optimize call what "
            "writes only with --allow-effects, and answer from stubs otherwise.",
            "none",
            "read",
            "write",
        ),
        "timeout": number("Seconds for one call.", 10, exclusiveMinimum=0),
        "stubs": many(
            "What is answered in place of a call, in eval and optimize, by the first that fits.",
            stub,
            [{"result": "sent"}],
            minItems=1,
        ),
    }


def _long_text() -> Schema:
    return {
        "type": ["string", "object"],
        "title": "text",
        "description": "A text, or the file that holds it.",
        "properties": {"file": text("The file, beside the spec.", "prompts/rubric.md", minLength=1)},
        "required": ["file"],
        "additionalProperties": False,
    }


def _top_level() -> dict[str, Schema]:
    """Every key, in the order in which a spec is read."""
    module = refer(
        "module",
        "The strategy that carries the signature out; predict where it is not given.",
        "chain_of_thought",
    )
    return {**_program(), **_pipeline(), **sections.step_keys(), "module": module, **_judging()}


def _program() -> dict[str, Schema]:
    return {
        "version": {
            "const": 1,
            "description": "The version of the grammar.",
            "examples": [1],
            "$comment": "this version of promptc reads version: 1",
        },
        "extends": text("Another file with defaults; maps merge, lists replace.", "shared.yaml", minLength=1),
        "name": text(
            "The name of the program, and of its run directories.",
            "support-triage",
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
            **{"$comment": "letters, digits, dots, dashes and underscores, at most 80"},
        ),
        "description": refer("longText", "What the program is for.", "Routes support tickets."),
        "models": models(),
        "data": sections.data(),
        "fields": sections.fields(),
        "signature": sections.signature(),
    }


def _pipeline() -> dict[str, Schema]:
    expression: Schema = {"type": "string", "minLength": 1}
    return {
        "pipeline": many(
            "Steps that form a graph: what a step reads says what it waits for.",
            {"$ref": "#/$defs/step"},
            [
                {
                    "step": "answer",
                    "signature": "question -> answer",
                    "inputs": {"question": "inputs.question"},
                }
            ],
            minItems=1,
        ),
        "inputs": named(
            "What goes into a pipeline.", {"$ref": "#/$defs/field"}, {"question": {"type": "string"}}
        ),
        "outputs": named(
            "What comes out of a pipeline, by expressions.",
            expression,
            {"answer": "first(shorten.short, answer.answer)"},
        ),
        "retrievers": named(
            "Where steps find passages: retrievers by a name of your own.",
            {"$ref": "#/$defs/retriever"},
            {"handbook": {"bm25": {"documents": "corpus.jsonl", "k": 4}}},
            propertyNames={"pattern": NAME, "$comment": NAME_IN_WORDS},
        ),
        "tools": named(
            "What a model may call: tools by the name under which it does.",
            {"$ref": "#/$defs/tool"},
            {"calculate": "calculator", "order": {"python": {"function": "tools.py:order_status"}}},
            propertyNames={"pattern": TOOL_NAME, "$comment": TOOL_NAME_IN_WORDS},
        ),
    }


def _choices(value: Schema) -> Schema:
    """The values that a choice is made from."""
    return {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}


def _judging() -> dict[str, Schema]:
    expression: Schema = {"type": "string", "minLength": 1}
    return {
        "metrics": many("What judges a prediction.", {"$ref": "#/$defs/metric"}, ["exact_match"], minItems=1),
        "objective": {
            "type": ["string", "array"],
            "title": "objective",
            "description": "The metric that is maximized instead of the weighted mean, which is called score. Of a "
            "list the first decides, and whatever is not beaten in all of them is kept in compiled/front: "
            "score, metrics, and per row tokens and cost, which are better when they are lower.",
            "examples": ["exact_match", ["score", "tokens"]],
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "minLength": 1,
            "uniqueItems": True,
        },
        "slices": many(
            "Columns whose values get figures of their own.", expression, ["language"], uniqueItems=True
        ),
        "optimizer": refer("optimizer", "What searches for a better prompt.", "labeled_few_shot"),
        "tune": named(
            "Choices that the optimizer makes within its budget: STEP.module, STEP.format, STEP.model, "
            "STEP.temperature, STEP.when (false leaves the step out) and, of a retriever, STEP.k; without STEP where "
            "there is only one.",
            _choices({}),
            {"search.k": [2, 4, 8], "answer.module": ["predict", "chain_of_thought"]},
            patternProperties={
                r"^(.*\.)?module$": _choices({"$ref": "#/$defs/module"}),
                r"^(.*\.)?format$": _choices({"$ref": "#/$defs/format"}),
                r"^(.*\.)?model$": _choices({"type": "string", "minLength": 1}),
                r"^(.*\.)?temperature$": _choices({"type": "number", "minimum": 0, "maximum": 2}),
                r"^.*\.when$": _choices({"type": ["boolean", "string"], "minLength": 1}),
                r"^.*\.k$": _choices({"type": "integer", "minimum": 1}),
            },
        ),
        "budget": sections.budget(),
        "gates": many(
            "Promises about figures: a path, a comparison, a number. Paths are, with test or dev: test.score, "
            "test.ci_low, test.improvement.difference, test.improvement.ci_low, test.improvement.p, "
            "test.metrics.NAME.score, test.slices.COLUMN.VALUE.score, test.failures.parse; and usd, calls.",
            expression,
            ["test.score >= 0.80"],
            uniqueItems=True,
        ),
        "sweep": named(
            "Keys with lists of values: eval and optimize run every combination, each in a directory of its own, "
            "on an equal share of the budget. --no-sweep runs the spec alone.",
            {"type": "array", "minItems": 1},
            {"models.task": ["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"], "run.seed": [0, 1]},
        ),
        "run": sections.run(),
        "promote": {
            "type": ["string", "object"],
            "description": "Where `promptc optimize` copies the compiled program to when its verdict allows: a file "
            "that ends in .json, seen from the spec's folder. No other file than a compiled program is replaced.",
            "examples": ["prompts/triage.json"],
            "minLength": 1,
            "properties": {
                "path": text("The file in the repository.", "prompts/triage.json", minLength=1),
                "when": choice(
                    "improved: the winner is significantly better on held-out rows, and the exit code is 0. "
                    "gates: the exit code is 0.",
                    "improved",
                    "gates",
                ),
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    }
