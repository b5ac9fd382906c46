"""A first spec from nothing but rows: which columns go in, which come out, of what type, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from promptc.runners.guess_columns import Column, column, schema
from promptc.runners.guess_words import Role, names_choices, names_counter, names_id, role
from promptc.runners.rows import TABLE_SUFFIXES, read_rows
from promptc.runners.splits import MINIMUM_LABELLED
from promptc.spec.errors import DataError, NothingSelected
from promptc.spec.signature import name_problem

ROWS_READ = 100_000
"""A longer file is judged by its beginning."""


class Guess(msgspec.Struct, frozen=True):
    """A spec as plain data, in the order in which it is written, and the reasons for it."""

    spec: dict[str, Any]
    reasons: tuple[str, ...]


class _Use(msgspec.Struct, frozen=True):
    """What becomes of a column, and why."""

    column: Column
    role: Role | Literal["id", "unused"]
    why: str


def guess_spec(path: str | Path, *, data_path: str | None = None, name: str | None = None) -> Guess:
    """A spec for the rows of a JSONL, CSV or Parquet file.

    `data_path` is what the spec says under `data.path` (default: the file's name), `name` its name
    (default: from the file's). DataError when no column can be an input; NothingSelected for a file without
    rows.
    """
    rows = [example.row for example in read_rows(path, limit=ROWS_READ)]
    if not rows:
        raise NothingSelected(f"there are no rows in {path}")
    names = dict.fromkeys(key for row in rows for key in row)
    columns = [column(key, [row.get(key) for row in rows]) for key in names]
    uses = _uses(columns)
    inputs = [use.column for use in uses if use.role == "input"]
    outputs = [use.column for use in uses if use.role == "output"]
    if not inputs:
        listed = ", ".join(names)
        raise DataError(
            str(path), f"no column looks like an input; there are: {listed}", hint="write the spec by hand"
        )
    table = Path(path).suffix.lower() in TABLE_SUFFIXES
    fields, metrics, reasons = _outputs(outputs, table)
    spec: dict[str, Any] = {
        "version": 1,
        "name": name or _slug(Path(path).stem),
        "models": {"task": "embedded/icl"},
        "data": _data(data_path or Path(path).name, uses, outputs, len(rows)),
        "fields": {"inputs": {c.name: _input_type(c, table) for c in inputs}, "outputs": fields},
        "instructions": _instructions(inputs, outputs, list(fields)),
        "module": _module(inputs, outputs),
        "metrics": metrics,
        "optimizer": "auto",
    }
    slices = [
        use.column.name for use in uses if use.role == "about" and use.column.kind in ("labels", "boolean")
    ]
    if slices:
        spec["slices"] = slices
    return Guess(spec, (*(f"`{use.column.name}`: {use.why}" for use in uses), *reasons))


def _uses(columns: Sequence[Column]) -> list[_Use]:
    """What becomes of each column, in order: names decide, and shapes where names tell nothing."""
    settled = {c.name: use for c in columns if (use := _set_aside(c)) is not None}
    ids = [use.column.name for use in settled.values() if use.role == "id"]
    for extra in ids[1:]:
        settled[extra] = _Use(settled[extra].column, "unused", "a second id")
    by_role: dict[Role | None, list[Column]] = defaultdict(list)
    for c in columns:
        if c.name not in settled:
            by_role[role(c.name)].append(c)
    inputs, unnamed = by_role["input"], by_role[None]
    outputs = _without_codes(by_role["output"])
    if not outputs:
        outputs = _outputs_by_shape(unnamed, bool(inputs)) or by_role["working"][-1:]
    rest = [c for c in unnamed if c not in outputs]
    inputs = inputs + [c for c in rest if c.kind == "text"] or rest
    for told, members in by_role.items():
        for c in members:
            settled[c.name] = _use(c, told, c in outputs, c in inputs)
    return [settled[c.name] for c in columns]


def _set_aside(c: Column) -> _Use | None:
    """The use of a column that cannot be a field: an id, or nothing that differs from row to row."""
    if c.kind == "empty":
        return _Use(c, "unused", "not used, no row has a value")
    if names_id(c.name) and c.kind in ("text", "labels", "integer"):
        if c.unique:
            return _Use(c, "id", "the id, because every row has another value")
        return _Use(c, "about", f"not used, it refers to {c.distinct} different things")
    if c.kind == "integer" and names_counter(c.name) and _counts_up(c.values):
        return _Use(c, "unused", "not used, it numbers the rows")
    if c.distinct == 1 and len(c.values) > 1:
        return _Use(c, "unused", "not used, it is the same in every row")
    if c.kind == "mixed":
        return _Use(c, "unused", "not used, its values are of different types")
    problem = name_problem(c.name)
    if problem and role(c.name) != "output":
        return _Use(c, "unused", f"not used, {problem}; rename the column to use it")
    return None


def _use(c: Column, told: Role | None, is_output: bool, is_input: bool) -> _Use:
    if is_output:
        return _Use(c, "output", f"an output, {_looks(c)}")
    if is_input:
        return _Use(c, "input", f"an input, {_looks(c)}")
    if told == "working":
        return _Use(c, "working", "not used, it explains the answer and would give it away")
    if told == "output":
        return _Use(c, "unused", "not used, another output says the same")
    return _Use(c, "about", f"not used, it looks like a remark about the row ({_looks(c)})")


def _outputs_by_shape(unnamed: Sequence[Column], has_inputs: bool) -> list[Column]:
    """Outputs where no name tells: labels and structures, else numbers, else the last text; never all."""
    for kinds in (("labels", "boolean", "object", "list"), ("integer", "number")):
        found = [c for c in unnamed if c.kind in kinds]
        if found and (has_inputs or len(found) < len(unnamed)):
            return found
    texts = [c for c in unnamed if c.kind == "text"]
    return texts[-1:] if has_inputs or len(texts) > 1 else []


def _without_codes(outputs: Sequence[Column]) -> list[Column]:
    """The outputs without numbers that only stand for another's labels (`label`, `label_text`)."""
    labels = [c for c in outputs if c.kind == "labels"]
    return [c for c in outputs if c.kind != "integer" or not any(_code_of(c, named) for named in labels)]


def _code_of(numbers: Column, labels: Column) -> bool:
    """True when each number goes with one label, and each label with one number."""
    if numbers.distinct != labels.distinct or len(numbers.values) != len(labels.values):
        return False
    return len(set(zip(numbers.values, labels.values, strict=True))) == labels.distinct


def _outputs(outputs: Sequence[Column], table: bool) -> tuple[dict[str, Any], list[Any], list[str]]:
    """The output fields, a metric for each, and what should be said about them."""
    fields: dict[str, Any] = {}
    metrics: list[Any] = []
    reasons: list[str] = []
    for c in outputs:
        choices = c.kind == "list" and names_choices(c.name) and _all_texts(c.values)
        wanted = (
            c.name[:-1]
            if choices
            else c.name
            if not name_problem(c.name)
            else _slug(c.name).replace("-", "_")
        )
        name = next(
            n for n in (wanted, *(f"{wanted}_{i}" for i in range(2, len(outputs) + 2))) if n not in fields
        )
        fields[name] = {"type": "string"} if choices else _output_type(c)
        metric, parameters = _metric(c, choices)
        expected = {} if name == c.name else {"expected": c.name}
        metrics.append({metric: {"field": name, **expected, **parameters}})
        if choices:
            reasons.append(f"`{name}` may be any of the row's `{c.name}`")
    if not fields:
        rubric = "The answer is correct and complete, and keeps to what was asked."
        reasons.append(
            "no column looks like a right answer, so a model judges; replace the rubric by your own"
        )
        return {"answer": {"type": "string"}}, [{"llm_judge": {"field": "answer", "rubric": rubric}}], reasons
    return fields, metrics, reasons


def _output_type(c: Column) -> dict[str, Any]:
    if c.kind == "labels":
        return {"enum": list(c.labels)}
    if c.kind in ("integer", "number"):
        numbers = {"minimum": min(c.values), "maximum": max(c.values)} if c.distinct <= 20 else {}
        return {"type": c.kind, **numbers}
    return {"type": "string"} if c.kind == "text" else schema(c.values)


def _input_type(c: Column, table: bool) -> dict[str, Any]:
    if c.kind in ("text", "labels") or (c.spelled and not table):
        return {"type": "string", **({"default": ""} if c.missing else {})}
    return {**schema(c.values), **({"optional": True} if c.missing else {})}


def _metric(c: Column, choices: bool) -> tuple[str, dict[str, Any]]:
    if c.kind in ("integer", "number"):
        return "numeric", {}
    if c.kind == "object" or (c.kind == "list" and not choices and not _all_texts(c.values)):
        return "json_fields", {}
    if c.kind == "list" and not choices:
        return "exact_match", {"ignore_order": True}
    if choices or (c.kind == "text" and c.length <= 60):
        return "f1", {}
    return ("rouge" if c.kind == "text" else "exact_match"), {}


def _data(path: str, uses: Sequence[_Use], outputs: Sequence[Column], rows: int) -> dict[str, Any]:
    """Where the rows are, and how they are cut: even in the first label, whole in what they refer to."""
    own = [use.column.name for use in uses if use.role == "id" and use.column.name != "id"]
    split: dict[str, Any] = {}
    labels = next((c for c in outputs if c.kind == "labels"), None)
    if labels is not None and rows >= MINIMUM_LABELLED and min(Counter(labels.values).values()) >= 3:
        split["stratify"] = labels.name
    groups = [use.column for use in uses if use.role == "about" and names_id(use.column.name)]
    large = [c for c in groups if c.distinct >= MINIMUM_LABELLED]
    if large:
        split["group"] = large[0].name
    return {"path": path, **({"id": own[0]} if own else {}), **({"split": split} if split else {})}


def _instructions(inputs: Sequence[Column], outputs: Sequence[Column], fields: Sequence[str]) -> str:
    given = _listed([c.name for c in inputs])
    wanted = _listed(fields)
    if len(outputs) == 1 and outputs[0].kind == "labels":
        return f"Choose the {wanted} that fits the {given}."
    return f"Read the {given} and give the {wanted}."


def _module(inputs: Sequence[Column], outputs: Sequence[Column]) -> str:
    """Numbers out of text are worked out; everything else is said at once."""
    worked_out = any(c.kind in ("integer", "number") and c.distinct > 20 for c in outputs)
    return "chain_of_thought" if worked_out and any(c.kind == "text" for c in inputs) else "predict"


def _looks(c: Column) -> str:
    if c.kind == "labels":
        return f"{len(c.labels)} labels that repeat"
    if c.kind == "text":
        return f"text of {c.length:.0f} characters on average"
    if c.kind in ("integer", "number"):
        return f"numbers from {min(c.values)} to {max(c.values)}"
    return {"boolean": "true or false", "object": "objects", "list": "lists"}.get(c.kind, c.kind)


def _all_texts(lists: Sequence[list[Any]]) -> bool:
    return all(isinstance(item, str) for items in lists for item in items)


def _counts_up(values: Sequence[int]) -> bool:
    return all(after == before + 1 for before, after in pairwise(values))


def _listed(names: Sequence[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _slug(text: str) -> str:
    words = re.findall(r"\w+", text.lower().replace("_", " "))
    slug = "-".join(words)[:60]
    return slug if slug[:1].isalpha() else f"field-{slug}".rstrip("-")
