"""Whether the data and the spec fit: findings with the spec's positions, before anything is paid for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from promptc.runners.attachments import Attachments, attached, store_of
from promptc.runners.dataset import Dataset
from promptc.runners.failures import RowFailed
from promptc.runners.rows import Example, open_rows
from promptc.runners.tables import typed
from promptc.spec.diagnostics import Diagnostic, Position
from promptc.spec.errors import DataError
from promptc.spec.fields import Field, enum_labels
from promptc.spec.model import Spec
from promptc.spec.suggest import closest, did_you_mean, listed

if TYPE_CHECKING:
    from promptc.runners.judging import AppliedMetric

COMPARING = frozenset({"exact_match", "classification", "numeric", "json_fields"})
"""Metrics that compare a field's value with gold of the same type. What others expect (a pattern, a
reference, a list of phrases) need not be a value of the field."""

_SHOWN = 5


class _Gold(msgspec.Struct, frozen=True):
    """A gold column, the output field that it is the truth for, and the metric that reads it."""

    column: str
    field: Field | None
    metric: str
    plugin: str
    position: Position | None


def check_files(spec: Spec, positions: Mapping[str, Position] | None = None) -> list[Diagnostic]:
    """Data files that are missing or cannot be read. `positions` maps dotted paths to places."""
    source = spec.data
    paths = {"path": source.path, "train": source.train, "dev": source.dev, "test": source.test}
    checks = _Checks(spec, positions or {}, (), ())
    findings = []
    for key, path in paths.items():
        if path is None:
            continue
        try:
            open_rows(path).close()
        except DataError as error:
            findings.append(checks.finding(f"data.{key}", error.message, error.hint))
    return findings


def check_data(
    spec: Spec,
    dataset: Dataset,
    metrics: Sequence[AppliedMetric],
    positions: Mapping[str, Position] | None = None,
) -> list[Diagnostic]:
    """Inputs, gold, labels and columns that the rows do not have, or have otherwise than the spec says."""
    examples = tuple(sorted(dataset.part("all"), key=lambda example: (example.file, example.line)))
    columns = tuple(dict.fromkeys(column for example in examples for column in example.row))
    checks = _Checks(spec, positions or {}, examples, columns)
    findings = [*checks.inputs(), *checks.attachments(), *checks.named_columns()]
    golds = reversed(list(_golds(spec, metrics)))
    for gold in {(gold.column, gold.field and gold.field.name): gold for gold in golds}.values():
        findings += checks.gold(gold)
    return findings


class _Checks(msgspec.Struct, frozen=True):
    """The rows beside the spec that describes them."""

    spec: Spec
    positions: Mapping[str, Position]
    examples: tuple[Example, ...]
    columns: tuple[str, ...]

    def inputs(self) -> Iterator[Diagnostic]:
        """Input fields that all rows lack, or some."""
        for field in self.spec.inputs:
            path = self._field_path("inputs", field.name)
            lacking = [example for example in self.examples if example.row.get(field.name) is None]
            if not field.required or not lacking:
                continue
            if field.name not in self.columns:
                message = f"no row has `{field.name}`, which is an input"
                yield self.finding(path, message, did_you_mean(field.name, self.columns))
            elif not _allows_null(field):
                count = f"{len(lacking)} of {len(self.examples)} rows lack"
                message = f"{count} the input `{field.name}`, first at {lacking[0].where}"
                yield self.finding(path, message, "give the field a default, or leave these rows out")

    def attachments(self) -> Iterator[Diagnostic]:
        """Images, recordings and files that rows name and that are not there, or are something else."""
        store = store_of(self.spec)
        for field in self.spec.inputs:
            if field.attachment is None:
                continue
            wrong = [(e, problem) for e in self.examples if (problem := _not_attachable(store, field, e))]
            if wrong:
                count = f"{_rows(len(wrong))} cannot be sent with `{field.name}`: "
                message = f"{count}{wrong[0][1]}, first at {wrong[0][0].where}"
                yield self.finding(self._field_path("inputs", field.name), message)

    def named_columns(self) -> Iterator[Diagnostic]:
        """Columns that `split`, `cluster` and `slices` name and no row has."""
        data = self.spec.data
        named = [
            ("data.split.stratify", data.split.stratify),
            ("data.split.group", data.split.group),
            ("data.cluster", data.cluster),
            *((f"slices.{index}", column) for index, column in enumerate(self.spec.slices)),
        ]
        for path, column in named:
            if column is not None and column not in self.columns:
                hint = did_you_mean(column, self.columns)
                yield self.finding(path, f"no row has the column `{column}`", hint)

    def gold(self, gold: _Gold) -> Iterator[Diagnostic]:
        """A gold column that is not there, or holds what the field cannot be."""
        labelled = [example for example in self.examples if example.row.get(gold.column) is not None]
        reader = f"from which the metric `{gold.metric}` takes what is right"
        if gold.column not in self.columns:
            message = f"no row has the column `{gold.column}`, {reader}"
            hint = f"{did_you_mean(gold.column, self.columns)} `expected:` names the gold column"
            yield Diagnostic(message=message, position=gold.position, path="metrics", hint=hint)
        elif not labelled:
            message = f"the column `{gold.column}` is null in every row, {reader}"
            yield Diagnostic(message=message, position=gold.position, path="metrics")
        elif gold.field is not None and gold.plugin in COMPARING:
            labels = enum_labels(gold.field)
            if labels:
                yield from self._labels(gold, gold.field, labels, labelled)
            else:
                yield from self._type(gold, gold.field, labelled)

    def _labels(
        self, gold: _Gold, field: Field, labels: Sequence[str], labelled: Sequence[Example]
    ) -> Iterator[Diagnostic]:
        path = self._field_path("outputs", field.name)
        seen = [(example, set(_values(example.row[gold.column]))) for example in labelled]
        counts = Counter(label for _, values in seen for label in sorted(values))
        unknown = {label: count for label, count in counts.most_common() if label not in labels}
        if unknown:
            first = next(example for example, values in seen if values & unknown.keys())
            which = "a label" if len(unknown) == 1 else f"{len(unknown)} labels"
            message = f"the data has {which} in `{gold.column}` that the spec lacks: {_counted(unknown)}"
            near = {label: closest(label, labels) for label in list(unknown)[:_SHOWN]}
            meant = [f'"{label}" may mean "{other}"' for label, other in near.items() if other]
            hint = "; ".join([*meant, f"add what is missing to the enum of `{field.name}`, or mend the rows"])
            yield self.finding(path, f"{message}, first at {first.where}", hint, fallback=gold.position)
        unused = [label for label in labels if label not in counts]
        if unused:
            which = "label" if len(unused) == 1 else "labels"
            message = f"no row has the {which} {listed(unused)} of `{field.name}`"
            yield self.finding(path, message, severity="warning", fallback=gold.position)

    def _type(self, gold: _Gold, field: Field, labelled: Sequence[Example]) -> Iterator[Diagnostic]:
        from jsonschema import Draft202012Validator

        validator = Draft202012Validator(field.schema)
        wrong = [e for e in labelled if not _fits(validator, field, e.row[gold.column], gold.plugin)]
        if not wrong:
            return
        value = wrong[0].row[gold.column]
        error = min(validator.iter_errors(value), key=lambda error: len(error.absolute_path))
        message = (
            f"the gold in `{gold.column}` does not fit the field `{field.name}` in {_rows(len(wrong))}, "
            f"first at {wrong[0].where}: {error.message[:150]}"
        )
        # The gold of json_fields may leave out, or hold otherwise, what the metric is told not to look at.
        within = gold.plugin == "json_fields" and isinstance(value, dict | list)
        path = self._field_path("outputs", field.name)
        yield self.finding(path, message, severity="warning" if within else "error", fallback=gold.position)

    def _field_path(self, side: str, name: str) -> str:
        """Where a field stands: under `fields:`, at the top with a pipeline, or in a signature."""
        paths = (f"fields.{side}.{name}", f"{side}.{name}", "signature", "fields")
        return next((path for path in paths if path in self.positions), paths[0])

    def finding(
        self,
        path: str,
        message: str,
        hint: str = "",
        *,
        severity: Literal["error", "warning"] = "error",
        fallback: Position | None = None,
    ) -> Diagnostic:
        """A diagnostic at the place of a key, else at the fallback's, else at `data:`."""
        position = self.positions.get(path) or fallback or self.spec.data.position
        return Diagnostic(message=message, position=position, path=path, hint=hint, severity=severity)


def _fits(validator: Any, field: Field, value: Any, plugin: str) -> bool:
    """True when gold can be compared with the field's values; text beside a number can."""
    if value is None or validator.is_valid(value):
        return True
    if isinstance(value, list):
        return all(_fits(validator, field, item, plugin) for item in value)
    if isinstance(value, str):
        spelled = plugin == "numeric" and re.search(r"\d", value) is not None
        return spelled or validator.is_valid(typed(value, field.schema))
    return isinstance(value, int | float) and validator.is_valid(str(value))


def _golds(spec: Spec, metrics: Sequence[AppliedMetric]) -> Iterator[_Gold]:
    """What each metric reads as gold; of a composite, what each of its parts does."""
    fields = {field.name: field for field in spec.outputs}
    for applied in metrics:
        use = applied.use
        if not applied.metric.reads_gold:
            continue
        for plugin, column, field in _reading(
            use.plugin.name, use.plugin.params, applied.gold, applied.field
        ):
            if column is not None:
                yield _Gold(column, fields.get(field or ""), use.name, plugin, use.position)


def _reading(
    name: str, params: Mapping[str, Any], column: str | None, field: str | None
) -> Iterator[tuple[str, str | None, str | None]]:
    from promptc.runners.metrics.registry import build, split

    if name not in ("all", "any"):
        yield name, column, field
        return
    for entry in params.get("metrics", ()):
        inner, own = split(entry)
        placed = {key: own.pop(key, None) for key in ("field", "expected", "negate")}
        if build({inner: own}).reads_gold:
            where = placed["expected"] or placed["field"] or column
            yield from _reading(inner, own, where, placed["field"] or field)


def _not_attachable(store: Attachments, field: Field, example: Example) -> str:
    try:
        problems = (store.problem(a) for a in attached([field], example.row))
        return next((problem for problem in problems if problem), "")
    except RowFailed as error:
        return str(error)


def _values(gold: Any) -> list[str]:
    """The labels in a gold value, which may be one or a list of them, as text."""
    values = gold if isinstance(gold, list) else [gold]
    return [
        v.strip() if isinstance(v, str) else msgspec.json.encode(v).decode() for v in values if v is not None
    ]


def _allows_null(field: Field) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(field.schema).is_valid(None))


def _counted(labels: Mapping[str, int]) -> str:
    shown = ", ".join(f'"{label}" ({_rows(count)})' for label, count in list(labels.items())[:_SHOWN])
    return f"{shown} and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else shown


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
