"""From a data file and what the user wants to the spec that `promptc init` writes, as plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.wishes import (
    Wishes,
    check_columns,
    check_metric,
    check_model,
    check_module,
    check_name,
    metric_parameters,
    plain_name,
)
from promptc.runners.guess import ROWS_READ, Guess, guess_spec
from promptc.runners.guess_columns import Column, column, schema
from promptc.runners.rows import read_rows
from promptc.runners.splits import MINIMUM_LABELLED
from promptc.spec.errors import DataError, UsageError
from promptc.spec.signature import name_problem

_REASON = re.compile(r"`(.*?)`: (.*)", re.DOTALL)
_SHORT_TEXT = 60
_FEW_NUMBERS = 20


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a data file suggests.

    `reasons` maps a column to what was made of it and why; `notes` are other sentences. `inputs` and
    `outputs` are columns; an output that is no column (there was no gold) stands under its field's name.
    """

    path: Path
    tree: dict[str, Any]
    reasons: dict[str, str]
    notes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Chosen(msgspec.Struct, frozen=True):
    """An output: its field's name, its type, and the entry that judges it."""

    field: str
    type: dict[str, Any]
    metric: dict[str, Any]


def draft(path: Path, data_path: str, *, helped: bool) -> Draft:
    """The guess for a data file. `data_path` is what the spec calls it.

    Where nothing can be guessed from the columns, `helped` says that somebody will name them; else DataError,
    as for bad content. Raises NothingSelected for a file without rows.
    """
    try:
        guess = guess_spec(path, data_path=data_path)
    except DataError as error:
        columns = read_columns(path)
        if not helped:
            error.hint = "name columns with --input and --output"
            raise
        return _blank(path, data_path, columns)
    tree = {**guess.spec, "name": plain_name(str(guess.spec["name"]))}
    reasons, notes = _reasons(guess)
    outputs = {_column_of(entry): None for entry in tree["metrics"]}
    return Draft(
        path=path,
        tree=tree,
        reasons=reasons,
        notes=notes,
        inputs=tuple(tree["fields"]["inputs"]),
        outputs=tuple(outputs),
    )


def _blank(path: Path, data_path: str, columns: Mapping[str, Column]) -> Draft:
    """A draft in which nothing is decided."""
    tree = {
        "version": 1,
        "name": plain_name(path.stem),
        "models": {"task": "embedded/icl"},
        "data": {"path": data_path},
        "fields": {"inputs": {}, "outputs": {}},
        "instructions": "",
        "module": "predict",
        "metrics": [],
        "optimizer": "auto",
    }
    reasons = dict.fromkeys(columns, "not used")
    return Draft(path=path, tree=tree, reasons=reasons, notes=(), inputs=(), outputs=())


def read_columns(path: Path) -> dict[str, Column]:
    """Every column of the data. Raises DataError for bad content."""
    rows = [example.row for example in read_rows(path, limit=ROWS_READ)]
    names = dict.fromkeys(key for row in rows for key in row)
    return {name: column(name, [row.get(name) for row in rows]) for name in names}


def compose(found: Draft, wishes: Wishes) -> dict[str, Any]:
    """The spec as plain data, in the order in which it is written. UsageError for wishes that do not fit."""
    tree = dict(found.tree)
    if _changes_columns(found, wishes):
        tree = _rewired(found, wishes)
    return personalized(tree, wishes)


def personalized(tree: Mapping[str, Any], wishes: Wishes) -> dict[str, Any]:
    """The spec with name, instructions, model, module and metric as wished."""
    changed = dict(tree)
    if wishes.name is not None:
        changed["name"] = check_name(wishes.name)
    if wishes.instructions is not None:
        changed["instructions"] = wishes.instructions
    if wishes.model is not None:
        changed["models"] = {"task": check_model(wishes.model)}
    if wishes.module is not None:
        changed["module"] = check_module(wishes.module)
    if wishes.metric is not None:
        changed["metrics"] = [_measured_by(wishes.metric, entry) for entry in changed["metrics"]]
    return changed


def used_columns(tree: Mapping[str, Any]) -> set[str]:
    """The columns that a spec's fields take their values from."""
    return {*tree["fields"]["inputs"], *(_column_of(entry) for entry in tree["metrics"])}


def _changes_columns(found: Draft, wishes: Wishes) -> bool:
    return bool(wishes.inputs and wishes.inputs != found.inputs) or bool(
        wishes.outputs and wishes.outputs != found.outputs
    )


def _rewired(found: Draft, wishes: Wishes) -> dict[str, Any]:
    """The guess with other inputs and outputs, and all that follows from them."""
    columns = read_columns(found.path)
    outputs = _outputs_of(found, wishes, list(columns))
    inputs = _inputs_of(found, wishes, outputs, list(columns))
    gold = [columns[name] for name in outputs if name in columns]
    chosen = _chosen(found, outputs, columns, inputs)
    tree: dict[str, Any] = {
        **found.tree,
        "data": _data(found.tree["data"], gold),
        "fields": {
            "inputs": {name: _input_type(found, columns[name]) for name in inputs},
            "outputs": {entry.field: entry.type for entry in chosen},
        },
        "instructions": _instructions(inputs, chosen),
        "module": _module(gold),
        "metrics": [entry.metric for entry in chosen],
    }
    slices = [name for name in tree.pop("slices", []) if name not in outputs]
    return {**tree, "slices": slices} if slices else tree


def _outputs_of(found: Draft, wishes: Wishes, known: Sequence[str]) -> tuple[str, ...]:
    """The outputs as wished, else as guessed without what became an input."""
    if wishes.outputs:
        return check_columns(wishes.outputs, known)
    outputs = tuple(name for name in found.outputs if name not in wishes.inputs)
    if not outputs:
        raise UsageError("no column is left for an output", "name one with --output")
    return outputs


def _inputs_of(found: Draft, wishes: Wishes, outputs: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    inputs = check_columns(wishes.inputs, known) if wishes.inputs else found.inputs
    both = [name for name in inputs if name in outputs]
    if both and wishes.inputs:
        raise UsageError(f"the column {both[0]!r} cannot be an input and an output")
    inputs = tuple(name for name in inputs if name not in outputs)
    if not inputs:
        raise UsageError("no column is left for an input", "name one with --input")
    for name in inputs:
        if problem := name_problem(name):
            raise UsageError(f"the column cannot be an input: {problem}", "rename it in the data")
    return inputs


def _chosen(
    found: Draft, outputs: Sequence[str], columns: Mapping[str, Column], inputs: Sequence[str]
) -> list[Chosen]:
    """The outputs, as guessed where they were, else by what the column holds."""
    guessed = {_column_of(entry): entry for entry in found.tree["metrics"]}
    fields = found.tree["fields"]["outputs"]
    chosen: list[Chosen] = []
    for name in outputs:
        if name in guessed:
            field = next(iter(guessed[name].values()))["field"]
            chosen.append(Chosen(field, fields[field], guessed[name]))
            continue
        field = _field_name(name, [*inputs, *(entry.field for entry in chosen)])
        expected = {} if field == name else {"expected": name}
        metric = {_metric(columns[name]): {"field": field, **expected}}
        chosen.append(Chosen(field, _output_type(columns[name]), metric))
    return chosen


def _field_name(name: str, taken: Sequence[str]) -> str:
    if name_problem(name):
        words = "_".join(re.findall(r"\w+", name.lower()))[:60]
        name = words if words[:1].isalpha() else f"field_{words}".rstrip("_")
        name = f"{name}_value" if name_problem(name) else name
    return next(
        wanted for wanted in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if wanted not in taken
    )


def _output_type(one: Column) -> dict[str, Any]:
    if one.kind == "labels":
        return {"enum": list(one.labels)}
    if one.kind in ("text", "empty"):
        return {"type": "string"}
    return {"type": one.kind} if one.kind in ("integer", "number") else schema(one.values)


def _input_type(found: Draft, one: Column) -> dict[str, Any]:
    guessed: dict[str, Any] | None = found.tree["fields"]["inputs"].get(one.name)
    if guessed is not None:
        return guessed
    if one.kind in ("text", "labels", "empty") or one.spelled:
        return {"type": "string", **({"default": ""} if one.missing else {})}
    return {**schema(one.values), **({"optional": True} if one.missing else {})}


def _metric(one: Column) -> str:
    if one.kind in ("integer", "number"):
        return "numeric"
    if one.kind == "object":
        return "json_fields"
    if one.kind == "text":
        return "f1" if one.length <= _SHORT_TEXT else "rouge"
    return "exact_match"


def _measured_by(metric: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with another metric on the same field."""
    [parameters] = entry.values()
    kept = {key: parameters[key] for key in ("field", "expected") if key in parameters}
    return {check_metric(metric): {**kept, **metric_parameters(metric)}}


def _data(data: Mapping[str, Any], outputs: Sequence[Column]) -> dict[str, Any]:
    """The data section, its split even in the first label among the outputs."""
    split = {key: value for key, value in data.get("split", {}).items() if key != "stratify"}
    labels = next((one for one in outputs if one.kind == "labels"), None)
    if (
        labels is not None
        and len(labels.values) >= MINIMUM_LABELLED
        and min(Counter(labels.values).values()) >= 3
    ):
        split = {"stratify": labels.name, **split}
    rest = {key: value for key, value in data.items() if key != "split"}
    return {**rest, **({"split": split} if split else {})}


def _module(outputs: Sequence[Column]) -> str:
    """Numbers are worked out; everything else is said at once."""
    worked_out = any(one.kind in ("integer", "number") and one.distinct > _FEW_NUMBERS for one in outputs)
    return "chain_of_thought" if worked_out else "predict"


def _instructions(inputs: Sequence[str], outputs: Sequence[Chosen]) -> str:
    given, wanted = _listed(inputs), _listed([entry.field for entry in outputs])
    if len(outputs) == 1 and "enum" in outputs[0].type:
        return f"Choose the {wanted} that fits the {given}."
    return f"Read the {given} and give the {wanted}."


def _listed(names: Sequence[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _column_of(entry: Mapping[str, Any]) -> str:
    """The gold column of an entry under `metrics:`."""
    [parameters] = entry.values()
    return str(parameters.get("expected", parameters["field"]))


def _reasons(guess: Guess) -> tuple[dict[str, str], tuple[str, ...]]:
    """The reasons by column, and the sentences that are about none."""
    by_column: dict[str, str] = {}
    notes = []
    for reason in guess.reasons:
        found = _REASON.fullmatch(reason)
        if found is not None and found[1] not in by_column:
            by_column[found[1]] = found[2]
        else:
            notes.append(reason)
    return by_column, tuple(notes)
