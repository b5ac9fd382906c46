"""The JSON Schemas of what promptc reads and writes: specs, summaries, compiled programs, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Literal

import msgspec

from promptc.cli.document_meanings import COMPARISON_MEANINGS, RUNS_MEANINGS, SWEEP_MEANINGS
from promptc.cli.listing import RunList
from promptc.runners.artifact import Artifact
from promptc.runners.baselines import Baseline
from promptc.runners.comparison_document import Comparison
from promptc.runners.failures import Failure
from promptc.runners.leaderboard import Leaderboard
from promptc.runners.summary import Summary

Document = Literal["spec", "summary", "sweep", "comparison", "runs", "program", "prediction", "baseline"]
Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_MEANINGS: Mapping[str, Mapping[str, str]] = {
    **SWEEP_MEANINGS,
    **COMPARISON_MEANINGS,
    **RUNS_MEANINGS,
    "Summary": {
        "version": "The version of this document.",
        "command": "What ran: eval or optimize.",
        "name": "The spec's name.",
        "identity": "The digest that names this run: equal runs have equal digests.",
        "optimizer": "The optimizer's name.",
        "stop_reason": "Why the search ended, such as done or budget.",
        "verdict": "The outcome in one sentence.",
        "exit_code": "The exit code of the command: the first of its verdicts by rank.",
        "skipped": "Why nothing was done; empty where something was.",
        "verdicts": "Every reason for an exit code other than 0.",
        "train": "The figures on the train split, where it was scored.",
        "dev": "The figures on the dev split, where it was scored.",
        "test": "The figures on the test split, where it was scored.",
        "all": "The figures on all rows, where they were scored together.",
        "folds": "What each search of a cross-validation came to.",
        "gap": "How far the winner's score on dev lies above that on test: what choosing on dev has flattered.",
        "baseline": "The run beside the baseline that it was held against; null without one.",
        "gates": "Each gate with the figure that it was held against.",
        "cost": "What was asked for, by role, at recorded prices.",
        "calls": "Replies, re-asks included and transport retries not.",
        "tokens": "Tokens in and out.",
        "usd": "US dollars at recorded prices, whether or not a reply came from the cache.",
        "trials": "Every trial of the search, in order.",
        "winner": "The trial that won.",
        "objectives": "What the search weighed against each other, where that is more than one figure.",
        "front": "The trials that no other beats at one objective without losing at another, the winner first.",
        "served_models": "The names by which the servers called the models that answered, by role.",
        "notes": "Sentences that belong beside the figures.",
    },
    "SplitSummary": {
        "score": "The mean score in [0, 1]; null where no row has one.",
        "ci_low": "The lower end of the score's 95 % interval.",
        "ci_high": "The upper end of the score's 95 % interval.",
        "n": "How many rows have a score.",
        "metrics": "A figure for each metric.",
        "tallies": "What a metric says about all rows together, such as macro-F1.",
        "slices": "A figure for each value of each slice's column.",
        "failures": "How many rows failed, by kind.",
        "rows": "How many rows were asked for.",
        "unscored": "Rows that failed for no fault of the program.",
        "abstained": "Rows that no metric could judge.",
        "reasks": "How often the model was asked again because its reply did not fit.",
        "input_tokens": "Tokens of all prompts.",
        "output_tokens": "Tokens of all replies.",
        "cost": "US dollars; null where a model has no known price.",
        "passed": "The share of rows that the pass rule passes.",
        "repeats": "How much several runs of each row differ; null where each is run once.",
        "start": "The same figures for the start, beside those of an optimized winner.",
        "improvement": "The winner's score minus the start's, compared row by row.",
    },
    "Figure": {
        "score": "The mean; null where n is 0.",
        "ci_low": "The lower end of its 95 % interval.",
        "ci_high": "The upper end of its 95 % interval.",
        "n": "How many rows it is the mean of.",
    },
    "Improvement": {
        "difference": "The mean of the rows' differences.",
        "ci_low": "The lower end of its 95 % interval.",
        "ci_high": "The upper end of its 95 % interval.",
        "p": "How likely so large a difference is where there is none.",
        "wins": "Rows on which the winner is better.",
        "ties": "Rows on which both score the same.",
        "losses": "Rows on which the start is better.",
        "permutation_p": "The same by the permutation test.",
        "detectable": "The smallest difference that these rows show four times out of five.",
        "verdict": "Whether the difference is an improvement, a loss, or no significant change.",
        "fallen_slices": "How many slices are significantly worse than the start's, by Holm's method.",
        "metrics": "The difference of each metric, where there are several.",
        "slices": "The difference of each slice.",
    },
    "Change": {
        "difference": "The mean of the rows' differences.",
        "ci_low": "The lower end of its 95 % interval.",
        "ci_high": "The upper end of its 95 % interval.",
        "p": "How likely so large a difference is where there is none.",
        "p_adjusted": "The same by Holm's method, which allows for the other comparisons beside it.",
        "n": "How many rows were compared.",
        "wins": "Rows on which the winner is better.",
        "ties": "Rows on which both score the same.",
        "losses": "Rows on which the start is better.",
    },
    "BaselineComparison": {
        "source": "The baseline's file, or the run's directory.",
        "verdict": "What the difference says, with what is allowed.",
        "before": "The baseline's mean over the rows that both scored.",
        "after": "This run's mean over the same rows.",
        "difference": "The mean of the rows' differences.",
        "ci_low": "The lower end of its interval, at 1 - alpha.",
        "ci_high": "The upper end of its interval, at 1 - alpha.",
        "p": "How likely so large a difference is where there is none.",
        "n": "How many rows were compared.",
        "wins": "Rows on which this run is better.",
        "ties": "Rows on which both score the same.",
        "losses": "Rows on which the baseline is better.",
        "detectable": "The smallest difference that these rows show four times out of five.",
        "max_drop": "How far the score may fall.",
        "alpha": "How unlikely a difference has to be by chance, to count.",
        "missing": "Rows of the baseline that were not scored now.",
        "new": "Rows that the baseline does not have.",
        "changed": "Rows whose content is not what it was.",
    },
    "Baseline": {
        "baseline": "The version of this document.",
        "name": "The spec's name.",
        "split": "The rows that were scored.",
        "identity": "The run that scored them.",
        "scoring": "The digest of what judged them: metrics, objective, reducer, judges, code.",
        "score": "The mean score; null where no row has one.",
        "rows": "The score of each row.",
    },
    "BaselineRow": {
        "id": "The row's id.",
        "digest": "The digest of the row's content.",
        "score": "Its score; null where it had none.",
    },
    "FoldLine": {
        "fold": "Its number, from 1.",
        "rows": "Rows of the fold, which the search never saw.",
        "trials": "Candidates that the search tried.",
        "winner": "Where its winner came from.",
        "start_score": "The start's mean on the fold.",
        "score": "The winner's mean on the fold.",
        "stop_reason": "Why the search ended.",
    },
    "Gap": {
        "difference": "The score on dev minus the score on test.",
        "ci_low": "The lower end of its 95 % interval.",
        "ci_high": "The upper end of its 95 % interval.",
    },
    "RepeatFigures": {
        "count": "How often each row was run.",
        "reduce": "How the scores of a row's runs make one.",
        "scores": "The mean of each run over all rows.",
        "variance": "The variance between a row's runs, averaged over the rows.",
        "noise": "The share of the variance of the rows' scores that is chance; null for reducers other than mean.",
        "unsteady": "Rows whose runs do not all score the same.",
        "unscored": "Single runs that failed for no fault of the program.",
        "failures": "How many single runs failed, by kind.",
    },
    "RoleCost": {
        "calls": "Replies to this role.",
        "tokens": "Tokens in and out.",
        "usd": "US dollars at recorded prices.",
    },
    "GateResult": {
        "text": "The gate as the spec has it.",
        "value": "The figure; null where there is none.",
        "status": "Whether the gate was met.",
        "threshold": "The number that it was compared with.",
    },
    "VerdictLine": {
        "code": "The exit code that this calls for.",
        "message": "Why, in words.",
    },
    "TrialLine": {
        "number": "Its place in the search, from 0.",
        "candidate": "The digest of its candidate.",
        "origin": "Where the candidate came from.",
        "score": "Its score on the rows that the search chooses by; null where it is invalid.",
        "ci_low": "The lower end of the score's 95 % interval.",
        "ci_high": "The upper end of the score's 95 % interval.",
        "n": "How many rows have a score.",
        "prompt_characters": "The length of its prompts without a row's own text.",
        "input_tokens": "Tokens of the prompts of its own pass over dev.",
        "output_tokens": "Tokens of the replies of its own pass over dev.",
        "cost": "US dollars of its own pass over dev; null where a model has no known price.",
        "spent": "What the whole run had asked for when this trial was done.",
    },
    "FrontMember": {
        "number": "The trial's number; its candidate lies in compiled/front/trial-NUMBER.",
        "candidate": "The digest of its candidate.",
        "origin": "Where the candidate came from.",
        "figures": "Its value on dev for each objective; tokens and US dollars are per row.",
        "prompt_characters": "The length of its prompts without a row's own text.",
        "won": "Whether it is the winner.",
    },
    "Artifact": {
        "artifact": "The version of this document.",
        "promptc": "The version of promptc that wrote it.",
        "name": "The spec's name.",
        "base": "The way from this file's folder to the spec's, for the data and code that it names.",
        "spec": "The resolved spec; `promptc schema spec` describes it.",
        "candidate": "The texts that won.",
        "formats": "The version of each predictor's prompt format.",
        "trained_on": "Content digests of the rows that the search learned from.",
        "chosen_on": "Content digests of the rows that the search chose by.",
        "real_rows": "How many demonstrations are rows of the data.",
    },
    "Candidate": {
        "predictors": "What each predictor says, by its name.",
        "choices": "The choices among what the spec lists under tune.",
    },
    "PredictorTexts": {
        "instructions": "What the model is told to do.",
        "descriptions": "Descriptions of fields that differ from the spec's, by field.",
        "demos": "Worked examples in the prompt.",
        "model": "Another model than the step's; a name under models, or a litellm name.",
        "nearest": "Which of the worked examples a row sees, where that is not all of them.",
    },
    "Nearest": {
        "k": "How many of them: those that are most like the row, the most similar one last.",
        "by": "What makes them alike: shared words (bm25) or vectors (dense).",
        "language": "The language whose stems are compared and whose stop words are left out.",
        "fields": "The inputs that are compared; all where none is named.",
        "model": "The embedding model; embed where it is not given, else words are hashed.",
    },
    "Demo": {
        "inputs": "The values that went in, by field.",
        "outputs": "The values that came out, by field.",
        "turns": "What a module with tools did on the way, reply by reply.",
        "source": "Whether it stands in the data or was made by a program that passed.",
        "row_id": "The row that it comes from.",
    },
    "Turn": {
        "text": "What the model said.",
        "calls": "The tools that it called.",
        "ends": "Whether the answer came with this reply.",
    },
    "Called": {
        "tool": "The tool's name.",
        "arguments": "What it was called with.",
        "result": "What came back.",
        "failed": "Whether the result is what went wrong.",
    },
    "Failure": {
        "kind": "What failed: parse, constraint, truncated, refused and context are the program's own doing.",
        "message": "Why, in words.",
    },
}
"""What each field means, by the struct that it belongs to."""


def schema_bytes(document: str) -> bytes:
    """The schema of one document, indented, as it is printed. KeyError for a name that there is not."""
    if document == "spec":
        return resources.files("promptc.spec").joinpath("schema/spec.json").read_bytes()
    schema = _SCHEMAS[document]()
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def summary_schema() -> Schema:
    """summary.json, and what `eval` and `optimize` print with --json: the same with the run directory."""
    return _with_place(_struct_schema("promptc summary", Summary), "The run directory")


def _with_place(schema: Schema, what: str) -> Schema:
    place: Schema = {"type": "string", "description": f"{what}; only in what --json prints."}
    return {**schema, "properties": {**schema["properties"], "run_directory": place}}


def sweep_schema() -> Schema:
    """sweep.json, and what a sweep prints with --json: the same with its directory."""
    return _with_place(_struct_schema("promptc sweep", Leaderboard), "The sweep's directory")


def comparison_schema() -> Schema:
    """What `promptc compare --json` prints."""
    return _struct_schema("promptc comparison", Comparison)


def runs_schema() -> Schema:
    """What `promptc runs --json` prints."""
    return _struct_schema("promptc runs", RunList)


def program_schema() -> Schema:
    """compiled/program.json, the artifact."""
    return _struct_schema("promptc program", Artifact)


def prediction_schema() -> Schema:
    """One line of what `promptc run` prints: the outputs, or why there are none."""
    failure = _struct_schema("failure", Failure)
    del failure["$schema"]
    return {
        "$schema": DRAFT,
        "title": "promptc prediction",
        "description": "One line of what `promptc run` prints, in the order of the rows.",
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The row's id, or the digest of its content."},
            "outputs": {
                "type": "object",
                "description": "The values that came out, by field; each valid against its field's type.",
            },
            "failure": failure,
        },
        "required": ["id"],
        "oneOf": [{"required": ["outputs"]}, {"required": ["failure"]}],
        "additionalProperties": False,
    }


def baseline_schema() -> Schema:
    """What `eval --save-baseline` writes."""
    return _struct_schema("promptc baseline", Baseline)


_SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "summary": summary_schema,
    "sweep": sweep_schema,
    "comparison": comparison_schema,
    "runs": runs_schema,
    "program": program_schema,
    "prediction": prediction_schema,
    "baseline": baseline_schema,
}


def _struct_schema(title: str, struct: type[msgspec.Struct]) -> Schema:
    """The schema of a struct at the top level, with those of the structs within it as definitions."""
    found = msgspec.json.schema(struct)
    definitions = {name: _described(name, one) for name, one in found["$defs"].items()}
    own = definitions.pop(struct.__name__)
    return {"$schema": DRAFT, **own, "title": title, **({"$defs": definitions} if definitions else {})}


def _described(name: str, schema: Schema) -> Schema:
    """The schema of one struct with a sentence on each of its fields."""
    meanings = _MEANINGS.get(name, {})
    properties = {
        field: {**one, "description": meanings[field]} if field in meanings else one
        for field, one in schema.get("properties", {}).items()
    }
    sentence = " ".join(schema.get("description", "").split("\n\n")[0].split())
    return {**schema, "description": sentence, "properties": properties}
