"""Checks of the data against the spec: what is found, where it points, what it advises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptc.runners.data_checks import check_data, check_files
from promptc.runners.dataset import Dataset
from promptc.runners.judging import AppliedMetric
from promptc.runners.metrics.registry import build
from promptc.runners.rows import inline_rows
from promptc.spec.diagnostics import Diagnostic, Position
from promptc.spec.fields import Field
from promptc.spec.model import DataSource, MetricUse, Spec, Split
from promptc.spec.plugin import Plugin

DATA = Position("spec.yaml", 5, 1, 5)
METRIC = Position("spec.yaml", 20, 3, 9)
FIELD = Position("spec.yaml", 12, 5, 10)
MESSAGE = Field(name="message")
QUEUE = Field(
    name="queue", schema={"type": "string", "enum": ["billing", "cards"]}, labels={"billing": "", "cards": ""}
)
URGENCY = Field(name="urgency", schema={"type": "integer", "minimum": 1, "maximum": 5})


def applied(
    name: str,
    *,
    field: str | None = "queue",
    expected: str | None = None,
    params: dict[str, Any] | None = None,
) -> AppliedMetric:
    plugin = Plugin(kind="metric", name=name, params=params or {})
    use = MetricUse(plugin=plugin, name=name, field=field, expected=expected, position=METRIC)
    return AppliedMetric(use=use, metric=build({name: params or {}}), field=field, gold=expected or field)


def checked(
    rows: list[dict[str, Any]],
    *metrics: AppliedMetric,
    inputs: tuple[Field, ...] = (MESSAGE,),
    outputs: tuple[Field, ...] = (QUEUE, URGENCY),
    positions: dict[str, Position] | None = None,
    **more: Any,
) -> list[Diagnostic]:
    spec = Spec(
        version=1,
        name="x",
        inputs=inputs,
        outputs=outputs,
        **{"data": DataSource(position=DATA), **more},
    )
    return check_data(spec, Dataset(train=tuple(inline_rows(tuple(rows)))), metrics, positions)


def row(message: str | None = "hello", **columns: Any) -> dict[str, Any]:
    return {"message": message, **columns}


def test_rows_that_fit_are_not_remarked_upon() -> None:
    rows = [row(queue="billing", urgency=3), row(queue="cards", urgency=5)]
    assert checked(rows, applied("exact_match"), applied("numeric", field="urgency")) == []


# Inputs


def test_an_input_that_no_row_has_names_the_columns() -> None:
    (found,) = checked([{"mesage": "x", "other": 1}])
    assert found.message == "no row has `message`, which is an input"
    assert found.hint == 'did you mean "mesage"?'
    assert (found.path, found.position, found.severity) == ("fields.inputs.message", DATA, "error")
    (found,) = checked([{"zzz": "x", "other": 1}])
    assert found.hint == "one of: zzz, other"


@pytest.mark.parametrize(
    ("field", "count"),
    [
        (MESSAGE, 1),
        (Field(name="message", default=""), 0),
        (Field(name="message", schema={"type": ["string", "null"]}), 0),
        (Field(name="message", schema={"anyOf": [{"type": "string"}, {"type": "null"}]}), 0),
    ],
)
def test_rows_that_lack_an_input_are_counted(field: Field, count: int) -> None:
    found = checked([row(), row(None), {"x": 1}, row()], inputs=(field,))
    assert [finding.message for finding in found] == [
        "2 of 4 rows lack the input `message`, first at data.rows:2"
    ] * count


def test_the_first_row_is_the_first_of_the_file_and_not_of_a_part() -> None:
    rows = tuple(inline_rows(tuple(row(None if n in (3, 5) else "hello", n=n) for n in range(8))))
    spec = Spec(version=1, name="x", inputs=(MESSAGE,), data=DataSource(position=DATA))
    (finding,) = check_data(spec, Dataset(train=rows[4:], dev=rows[:4]), ())
    assert f"first at {rows[3].where}" in finding.message


def test_a_finding_points_at_the_field_where_its_place_is_known() -> None:
    places = {"fields.inputs.message": FIELD}
    assert checked([{"x": 1}], positions=places)[0].position == FIELD
    places = {"inputs.message": FIELD}
    assert checked([{"x": 1}], positions=places)[0].position == FIELD
    places = {"signature": FIELD}
    assert checked([{"x": 1}], positions=places)[0].path == "signature"


# Gold


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        (applied("exact_match"), "queue"),
        (applied("exact_match", expected="gold"), "gold"),
        (applied("classification", expected="gold"), "gold"),
        (applied("f1", expected="gold"), "gold"),
        (applied("contains", expected="gold"), "gold"),
        (applied("all", params={"metrics": ["exact_match"]}), "queue"),
        (applied("any", params={"metrics": [{"exact_match": {"expected": "gold"}}]}), "gold"),
        (applied("any", params={"metrics": [{"all": {"metrics": [{"f1": {"expected": "gold"}}]}}]}), "gold"),
    ],
)
def test_a_gold_column_that_no_row_has_is_an_error(metric: AppliedMetric, column: str) -> None:
    (found,) = checked([row(kyue="billing")], metric)
    assert found.message.startswith(f"no row has the column `{column}`, from which the metric")
    assert found.position == METRIC
    assert "`expected:` names the gold column" in found.hint


@pytest.mark.parametrize(
    "metric",
    [
        applied("contains", params={"texts": ["hello"]}),
        applied("llm_judge", params={"rubric": "Is it polite?"}),
        applied("python", params={"function": "a.py:f"}),
        applied("any", params={"metrics": [{"contains": {"texts": ["x"]}}]}),
    ],
)
def test_a_metric_that_needs_no_gold_asks_for_no_column(metric: AppliedMetric) -> None:
    assert checked([row()], metric) == []


def test_gold_that_is_null_everywhere_is_an_error_and_here_and_there_is_not() -> None:
    (found,) = checked([row(queue=None), row(queue=None)], applied("exact_match"))
    assert found.message.startswith("the column `queue` is null in every row")
    assert (
        checked([row(queue=None), row(queue="billing"), row(queue="cards"), row()], applied("exact_match"))
        == []
    )


def test_one_column_is_reported_once_for_all_metrics_that_read_it() -> None:
    assert len(checked([row()], applied("exact_match"), applied("f1"), applied("classification"))) == 1


# Labels


def test_labels_that_the_spec_lacks_are_listed_with_their_rows() -> None:
    rows = [row(queue=q) for q in ("billing", "Billing", "card", "card", "refund", "cards")]
    (found,) = checked(rows, applied("exact_match"), positions={"fields.outputs.queue": FIELD})
    assert found.message == (
        "the data has 3 labels in `queue` that the spec lacks: "
        '"card" (2 rows), "Billing" (1 row), "refund" (1 row), first at data.rows:2'
    )
    assert found.hint == (
        '"card" may mean "cards"; "Billing" may mean "billing"; '
        "add what is missing to the enum of `queue`, or mend the rows"
    )
    assert (found.severity, found.position, found.path) == ("error", FIELD, "fields.outputs.queue")


def test_of_many_unknown_labels_some_are_shown() -> None:
    rows = [row(queue=q) for q in ("billing", "cards", *"abcdefg")]
    assert "and 2 more, first at data.rows:3" in checked(rows, applied("exact_match"))[0].message


def test_labels_that_no_row_has_are_a_warning() -> None:
    (found,) = checked([row(queue="billing")], applied("classification"))
    assert found.message == "no row has the label cards of `queue`"
    assert found.severity == "warning"
    assert found.position == METRIC


@pytest.mark.parametrize(
    ("schema", "golds"),
    [
        (QUEUE.schema, [["billing", "cards"], "cards"]),
        ({"type": "array", "items": {"enum": ["billing", "cards"]}}, [["billing"], ["cards", "billing"], []]),
        ({"anyOf": [{"enum": ["billing", "cards"]}, {"type": "null"}]}, ["billing", "cards", None]),
        ({"enum": ["billing", "cards", None]}, ["billing", " cards "]),
        ({"enum": ["1", "2"]}, [1, "2"]),
    ],
)
def test_labels_may_be_lists_null_or_numbers(schema: dict[str, Any], golds: list[Any]) -> None:
    field = Field(name="queue", schema=schema)
    assert checked([row(queue=gold) for gold in golds], applied("exact_match"), outputs=(field,)) == []


# Types


@pytest.mark.parametrize(
    ("schema", "metric", "gold", "fits"),
    [
        ({"type": "integer"}, "exact_match", 3, True),
        ({"type": "integer"}, "exact_match", "3", True),
        ({"type": "integer"}, "exact_match", [3, "4"], True),
        ({"type": "integer"}, "exact_match", "high", False),
        ({"type": "integer"}, "exact_match", {"a": 1}, False),
        ({"type": "integer", "maximum": 5}, "exact_match", 9, False),
        ({"type": "integer"}, "numeric", "about 12 apples", True),
        ({"type": "integer"}, "numeric", "many", False),
        ({"type": "string"}, "exact_match", 72, True),
        ({"type": "string"}, "exact_match", ["a", "b"], True),
        ({"type": "string"}, "exact_match", {"a": 1}, False),
        ({"type": "boolean"}, "exact_match", "yes", True),
        ({"type": "integer"}, "regex", "[0-9]+", True),
        ({"type": "integer"}, "f1", "some text", True),
        ({"type": "array", "items": {"type": "string"}}, "exact_match", ["a"], True),
        ({"type": "array", "items": {"type": "string"}}, "exact_match", "a", False),
    ],
)
def test_gold_has_to_be_comparable_with_the_field(
    schema: dict[str, Any], metric: str, gold: Any, fits: bool
) -> None:
    field = Field(name="value", schema=schema)
    rows = [row(value=None), row(value=gold), row(value=gold)]
    found = checked(rows, applied(metric, field="value"), outputs=(field,))
    assert [(f.severity, f.position) for f in found] == ([] if fits else [("error", METRIC)])
    assert all("does not fit the field `value` in 2 rows, first at data.rows:2: " in f.message for f in found)


@pytest.mark.parametrize(
    ("gold", "severity"),
    [({"city": "Rome"}, None), ({"city": 3}, "warning"), ({}, "warning"), ("Rome", "error")],
)
def test_what_json_fields_may_be_told_to_overlook_is_a_warning(gold: Any, severity: str | None) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    found = checked(
        [row(place=gold)],
        applied("json_fields", field="place"),
        outputs=(Field(name="place", schema=schema),),
    )
    assert [f.severity for f in found] == ([severity] if severity else [])


# Columns and files


def test_columns_that_the_spec_names_and_no_row_has_are_errors() -> None:
    data = DataSource(split=Split(stratify="quee", group="grup"), cluster="user", position=DATA)
    found = checked([row(queue="billing", group=1)], data=data, slices=("queue", "lang"))
    assert [(f.path, f.message) for f in found] == [
        ("data.split.stratify", "no row has the column `quee`"),
        ("data.split.group", "no row has the column `grup`"),
        ("data.cluster", "no row has the column `user`"),
        ("slices.1", "no row has the column `lang`"),
    ]
    assert found[0].hint == 'did you mean "queue"?'


def test_files_that_are_missing_are_found_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("nonsense")
    (tmp_path / "test").mkdir()
    data = DataSource(
        train=str(tmp_path / "train.jsonl"),
        dev=str(tmp_path / "trian.jsonl"),
        test=str(tmp_path / "test"),
        position=DATA,
    )
    spec = Spec(version=1, name="x", data=data)
    missing, folder = check_files(spec, {"data.dev": FIELD})
    assert missing.message == f"{tmp_path}/trian.jsonl: cannot be read: No such file or directory"
    assert missing.hint == "did you mean train.jsonl?"
    assert (missing.path, missing.position) == ("data.dev", FIELD)
    assert folder.message.endswith("is a folder, not a file of rows")
    assert (folder.path, folder.position) == ("data.test", DATA)
