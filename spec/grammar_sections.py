"""The grammar of a spec's sections: every key of data, steps, budget and run, with what it says."""

from __future__ import annotations

from typing import Any

from promptc.spec.grammar_types import (
    NAME,
    NAME_IN_WORDS,
    NOT_YET,
    Schema,
    choice,
    flag,
    many,
    mapping,
    named,
    number,
    refer,
    text,
    whole,
)  # fmt: skip

REDUCE = r"^(mean|median|majority|max|pass[@^][1-9][0-9]{0,2})$"
PASS_RULE = r"^(all|any|majority|rate:(0(\.[0-9]+)?|1(\.0+)?))$"

_STRINGS: Schema = {"type": "string", "minLength": 1}


def data() -> Schema:
    """Where the rows come from."""
    share = {"minimum": 0}
    split = {
        "train": number("Share of the rows to learn from.", 0.4, **share),
        "dev": number("Share of the rows to choose by.", 0.3, **share),
        "test": number("Share of the rows for the final figure.", 0.3, **share),
        "seed": whole("Another seed cuts the rows otherwise.", 1, minimum=0),
        "stratify": text("The column whose values are spread evenly.", "queue", minLength=1),
        "group": text("The column whose equal values stay together.", "customer", minLength=1),
        "folds": whole(
            "Cross-validate instead of holding rows out, for small data: each row is in test once.",
            5,
            minimum=2,
            maximum=100,
        ),
    }
    return {
        "type": ["string", "object"],
        "title": "data",
        "description": "The rows: one file that is split, a file for each part, or rows written here.",
        "examples": ["tickets.jsonl", {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}],
        "minLength": 1,
        "minProperties": 1,
        "properties": {
            "path": text("One file that is split: JSONL, CSV or Parquet.", "tickets.jsonl", minLength=1),
            "train": text("The rows to learn from.", "train.jsonl", minLength=1),
            "dev": text("The rows to choose by.", "dev.jsonl", minLength=1),
            "test": text("The rows for the final figure.", "test.jsonl", minLength=1),
            "rows": many(
                "Rows, written here.", {"type": "object"}, [{"question": "1 + 1", "answer": "2"}], minItems=1
            ),
            "id": text("The column that names a row.", "id", minLength=1),
            "cluster": text(
                "The column whose equal values are not independent.", "conversation", minLength=1
            ),
            "on_error": choice("What to do with a row that cannot be read.", "fail", "skip"),
            "split": mapping(
                "How one file is cut into train, dev and test.",
                split,
                {"train": 0.4, "dev": 0.3, "test": 0.3},
            ),
        },
        "additionalProperties": False,
    }


def step_keys() -> dict[str, Schema]:
    """What a step may say; the spec itself says the same where there is only one step."""
    return {
        "instructions": {
            "type": ["string", "object"],
            "title": "instructions",
            "description": "What the model is asked to do: a text, or the file that holds it.",
            "examples": ["Route the message to the queue that can solve it.", {"file": "prompts/answer.md"}],
            "properties": {
                "file": text("The file, beside the spec.", "prompts/answer.md", minLength=1),
                "keep": many(
                    "Sentences that stand verbatim in every proposal.", _STRINGS, ["Answer in German."]
                ),
            },
            "required": ["file"],
            "additionalProperties": False,
        },
        "demos": {
            "type": ["string", "array", "object"],
            "title": "demos",
            "description": "Worked examples for the prompt: rows, a JSONL file with rows, or none at all.",
            "examples": ["none", {"file": "demos.jsonl"}, [{"message": "Card lost!", "queue": "cards"}]],
            "if": {"type": "string"},
            "then": {"enum": ["none"]},
            "items": {"type": "object", "minProperties": 1},
            "properties": {"file": text("The JSONL file, beside the spec.", "demos.jsonl", minLength=1)},
            "required": ["file"],
            "additionalProperties": False,
        },
        "keep": many("Sentences that stand verbatim in every proposal.", _STRINGS, ["Answer in German."]),
        "freeze": {
            "type": ["boolean", "array"],
            "description": "What an optimizer leaves alone: everything, or a list.",
            "examples": [True, ["instructions"]],
            "items": {"enum": ["instructions", "descriptions", "demos"]},
        },
        "format": refer(
            "format",
            "How the prompt is written and the reply is read; chat where it is not given.",
            "chat",
            "json",
        ),
        "model": text(
            "The model: a name under models:, or a litellm name; task where it is not given.",
            "task",
            minLength=1,
        ),
        "assert": many(
            "What must hold of a reply; the model is asked again when it does not.",
            check(),
            [{"check": "size(self.answer) < 200", "message": "Be brief."}],
        ),
    }


def check() -> Schema:
    """An assertion: an expression, or a mapping with one."""
    properties = {
        "check": text(
            "An expression over args, self and inputs that must be true.",
            "size(self.answer) < 200",
            minLength=1,
        ),
        "message": text(
            "What the model is told when it is not.", "The answer must be shorter than 200 characters."
        ),
        "retries": whole("How often it is asked again.", 2, minimum=0, maximum=10),
        "suggest": flag("Go on with the last reply when nothing helped, rather than fail the row.", False),
    }
    return {
        "type": ["string", "object"],
        "title": "assertion",
        "description": "An expression that must be true, or a mapping with one.",
        "minLength": 1,
        "properties": properties,
        "required": ["check"],
        "additionalProperties": False,
    }


def fields() -> Schema:
    """Inputs and outputs in their long form."""
    entries = {"$ref": "#/$defs/field"}
    sides = {
        "inputs": named(
            "What goes in, by the name of the column.",
            entries,
            {"message": {"type": "string"}},
            minProperties=1,
        ),
        "outputs": named(
            "What comes out, by name.", entries, {"queue": {"enum": ["billing", "cards"]}}, minProperties=1
        ),
    }
    return mapping(
        "Inputs and outputs with their types.",
        sides,
        {"inputs": {"message": "string"}, "outputs": {"queue": {"enum": ["billing", "cards"]}}},
        required=["inputs", "outputs"],
        title="fields",
    )


def signature() -> Schema:
    """Inputs and outputs in one line."""
    return text(
        "Inputs and outputs in one line, with types; text where none is given.",
        "question, context: list[str] -> answer: str, sure: bool",
        minLength=1,
    )


def step() -> Schema:
    """One step of a pipeline."""
    expression: dict[str, Any] = {"type": "string", "minLength": 1}
    properties = {
        "step": text("The step's name.", "answer", pattern=NAME, **{"$comment": NAME_IN_WORDS}),
        "fields": fields(),
        "signature": signature(),
        "module": refer("module", "The strategy that carries the signature out.", "chain_of_thought"),
        "retrieve": text("The retriever to ask, by its name under retrievers:.", "handbook", minLength=1),
        "k": whole("How many passages to retrieve.", 4, minimum=1),
        "filter": {
            "type": ["string", "object"],
            "description": "Which documents count: a mapping of metadata, or an expression that gives one.",
            "examples": [{"language": "de"}, "{'language': inputs.language}"],
            "minLength": 1,
        },
        "python": text("A function of yours, as file.py:name.", "steps.py:clean", minLength=1),
        "set": named(
            "Values that are computed from others.", expression, {"short": "size(answer.answer) < 80"}
        ),
        "loop": mapping(
            "Steps that are repeated; previous.STEP.x is what a step gave in the round before.",
            {
                "max": whole("The most rounds.", 3, minimum=1, maximum=100),
                "until": text(
                    "An expression; the loop ends after a round in which it is true.", "check.ok", minLength=1
                ),
                "steps": many(
                    "The steps of a round.",
                    {"$ref": "#/$defs/step"},
                    [{"step": "check", "signature": "text -> ok: bool", "inputs": {"text": "draft.text"}}],
                    minItems=1,
                ),
            },
            {"max": 3, "until": "check.ok", "steps": [{"step": "check", "signature": "text -> ok: bool"}]},
            required=["max", "steps"],
        ),
        "program": {
            "type": ["string", "object"],
            "description": "Another spec or artifact that is run as one step.",
            "examples": ["rewrite/spec.yaml", "runs/rewrite-optimize-latest"],
            "minLength": 1,
            "properties": {
                "base": text("Its folder, seen from this spec's.", "rewrite", minLength=1),
                "spec": {"type": "object", "description": "The spec itself.", "examples": [{"version": 1}]},
                "texts": {
                    "type": "object",
                    "description": "A candidate: what its predictors say.",
                    "examples": [{"predictors": {}}],
                },
            },
            "required": ["spec"],
            "additionalProperties": False,
        },
        **step_keys(),
        "when": text(
            "An expression; where it is false the step is skipped.", "size(answer.answer) > 80", minLength=1
        ),
        "foreach": {
            "type": ["string", "object"],
            "description": "An expression for a list: the step runs once for each element, which is item, and its "
            "outputs become lists.",
            "examples": ["search.passages", {"over": "outline.sections", "max": 12}],
            "minLength": 1,
            "properties": {
                "over": text("An expression for a list.", "outline.sections", minLength=1),
                "max": whole("The most elements; a longer list fails the row.", 12, minimum=1, maximum=10000),
            },
            "required": ["over"],
            "additionalProperties": False,
        },
        "on_error": choice(
            "What to do when the step fails: fail the row, go on with the outputs' defaults, or with null.",
            "fail",
            "default",
            "skip",
        ),
        "inputs": named("What goes in, by expressions.", expression, {"context": "search.passages"}),
    }
    return mapping("One step of a pipeline.", properties, {"step": "answer"}, required=["step"], title="step")


def budget() -> Schema:
    """Walls for a run."""
    walls = {
        "calls": whole("The most replies, with those that were asked for again.", 3000, minimum=1),
        "tokens": whole("The most tokens, in and out.", 5000000, minimum=1),
        "usd": number("The most US dollars.", 2.5, minimum=0),
    }
    role = mapping("Walls for one role.", walls, {"calls": 60}, minProperties=1)
    return mapping(
        "Walls for the whole run; whichever is reached first ends it.",
        {
            **walls,
            "minutes": number("The most minutes.", 30, exclusiveMinimum=0),
            "roles": named("Walls for single roles.", role, {"proposer": {"calls": 60}}),
        },
        {"calls": 3000, "usd": 2.5},
        title="budget",
        minProperties=1,
    )


def run() -> Schema:
    """How a run behaves."""
    properties = {
        "seed": whole("The seed of everything that is drawn.", 0, minimum=0),
        "concurrency": whole(
            "The most requests at once; 64 where it is not given.", 64, minimum=1, maximum=4096
        ),
        "timeout": number("Seconds for one request; 120 where it is not given.", 120, exclusiveMinimum=0),
        "retries": whole(
            "How often a failed request is repeated; 5 where it is not given.", 5, minimum=0, maximum=20
        ),
        "format_retries": whole(
            "How often a reply that cannot be read is asked for again.", 2, minimum=0, maximum=10
        ),
        "repeat": whole(
            "How often each row is run, with replies of its own each time; the runs make one score.",
            5,
            minimum=1,
            maximum=1000,
        ),
        "reduce": text(
            "What the scores of a row's runs come to: mean (where it is not given), median, majority, max, pass@k "
            "(the chance that one of k runs passes) or pass^k (that all k do).",
            "mean",
            pattern=REDUCE,
            **{"$comment": "mean, median, majority, max, or pass@3 and pass^3 with a number of runs"},
        ),
        "pass_rule": text(
            "When a row counts as passed: all, any or the majority of its runs score 1, or a share of them. "
            "The share of passed rows is a figure of its own.",
            "majority",
            pattern=PASS_RULE,
            **{"$comment": "all, any, majority, or rate: and a share, such as rate:0.8"},
        ),
        "max_unscored": number(
            "The share of unscored rows above which a figure is not trusted.", 0.02, minimum=0, maximum=1
        ),
        "cache": flag("Use replies of earlier runs."),
        "journal": choice(
            "Where effects are kept: in the run directory, or only while it runs.", "file", "memory"
        ),
        "record": named("Where to record effects." + NOT_YET, {"type": "string"}, {"calls": "calls.jsonl"}),
        "runner": text(
            "What carries the rows out. Others than local are not available yet in this version.",
            "local",
            minLength=1,
        ),
    }
    return mapping("How a run behaves.", properties, {"seed": 1, "concurrency": 16}, title="run")
