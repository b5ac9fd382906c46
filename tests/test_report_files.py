"""junit.xml, CSV and Parquet: what other programs make of a run's rows."""

from __future__ import annotations

import csv
import io
import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_cases import HARM, failing_rows, harmful_rows, row, searched_rows, written
from report_cases import OBEYED, failing_eval, hostile, triage

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.junit import junit_parts
from promptc.cli.reports.row_files import columns, csv_parts, write_parquet
from promptc.runners.summary import Summary

any_text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
EVALUATED = ReportDetails(summary=Summary(command="eval", name="mood"), spec_name="mood", run_directory="run")


def junit(details: ReportDetails, run: Path, **rest: Any) -> ElementTree.Element:
    return ElementTree.fromstring(b"".join(junit_parts(details, run, **rest)))


def cases(suites: ElementTree.Element, suite: str) -> dict[str, ElementTree.Element]:
    found = suites.find(f"testsuite[@name='{suite}']")
    assert found is not None
    return {case.get("name", ""): case for case in found.findall("testcase")}


# JUnit


@pytest.mark.parametrize(
    ("line", "rest", "element", "type_", "message"),
    [
        (row(0, 1.0), {}, None, None, None),
        (row(0, 0.25), {}, None, None, None),
        (row(0, 0.0), {}, "failure", "wrong", "score 0.000"),
        (row(0, 0.25), {"pass_at": 0.5}, "failure", "wrong", "score 0.250, below 0.5"),
        (row(0, 0.5), {"pass_at": 0.5}, None, None, None),
        (row(0, 0.0), {"pass_at": 0.0}, None, None, None),
        (row(0, 0.6, passed=True), {}, None, None, None),
        (
            row(0, 0.6, passed=False),
            {},
            "failure",
            "not passed",
            "score 0.600: too few of its runs pass",
        ),
        (row(0, 0.6, passed=False), {"pass_at": 0.5}, None, None, None),
        (row(0, None), {}, "skipped", None, "no metric could judge this row"),
        (
            row(0, 0.0, failure={"kind": "parse", "message": "secret text"}),
            {},
            "failure",
            "parse",
            "failed: parse, counts as 0",
        ),
        (
            row(0, None, failure={"kind": "provider", "message": "secret text"}),
            {},
            "error",
            "provider",
            "unscored: provider",
        ),
    ],
)
def test_a_row_is_a_case_that_says_what_became_of_it(tmp_path, line, rest, element, type_, message):
    (case,) = cases(junit(EVALUATED, written(tmp_path, [line]), **rest), "dev").values()
    assert (case.get("name"), case.get("classname")) == ("r000", "mood.dev")
    found = [(part.tag, part.get("type"), part.get("message")) for part in case]
    assert found == ([(element, type_, message)] if element else [])


def test_the_heads_count_what_follows(tmp_path):
    suites = junit(failing_eval(), written(tmp_path, failing_rows()))
    counted = {
        suite.get("name"): {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
        for suite in [suites, *suites]
    }
    assert counted == {
        "promptc eval order-extract": {"tests": 43, "failures": 14, "errors": 2, "skipped": 2},
        "dev": {"tests": 40, "failures": 13, "errors": 2, "skipped": 1},
        "gates": {"tests": 3, "failures": 1, "errors": 0, "skipped": 1},
    }
    for suite in suites:
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == counted[suite.get("name")][name]


def test_each_gate_is_a_case(tmp_path):
    found = cases(junit(failing_eval(), written(tmp_path, [])), "gates")
    assert {name: [(part.tag, part.get("message")) for part in case] for name, case in found.items()} == {
        "dev.score >= 0.80": [("failure", "it is 0.7996, missed by 0.0004")],
        "dev.metrics.polite.score >= 0.9": [],
        "test.score >= 0.80": [("skipped", "not applicable")],
    }


def test_after_a_search_the_winners_rows_are_the_cases(tmp_path):
    found = cases(junit(triage(), written(tmp_path, searched_rows(10))), "test")
    assert [name for name, case in found.items() if len(case)] == ["r000", "r005"]
    assert len(found) == 10


def test_no_text_of_a_model_unless_it_is_asked_for(tmp_path):
    run = written(tmp_path, failing_rows())
    text = b"".join(junit_parts(failing_eval(), run)).decode()
    for part in ("message number", "no section", "expected 2", "绿茶", "Köln"):
        assert part not in text
    asked = b"".join(junit_parts(failing_eval(), run, include_text=True)).decode()
    for part in ("message number 8", "no section [[ queue ]]", "绿茶"):
        assert part in asked
    out = cases(ElementTree.fromstring(asked), "dev")["r008"].find("system-out")
    assert out.text.startswith('inputs: {"message": "message number 8"}\nexpected: ')


@pytest.mark.parametrize("payload", HARM)
def test_harm_stays_inside_its_attribute(tmp_path, payload):
    suites = junit(hostile(payload), written(tmp_path, harmful_rows([payload])), include_text=True)
    assert {element.tag for element in suites.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "properties", "property", "system-out",
    }  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_text, any_text)
def test_it_is_xml_whatever_a_row_says(tmp_path, name, text):
    failure = {"kind": "parse", "message": text}
    run = written(tmp_path, [row(0, 0.0, id=name, outputs={"queue": text}, failure=failure)])
    content = b"".join(junit_parts(EVALUATED, run, include_text=True))
    ElementTree.fromstring(content)
    assert OBEYED.search(content.decode()) is None


# CSV


def table(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_parts(run)), newline="")))


def test_csv_has_a_column_for_each_field_metric_and_gold(tmp_path):
    run = written(tmp_path, [row(0), row(1, 0.0, feedback={"exact_match": "no"}, reasks=2)])
    first, second = table(run)
    assert list(first) == [
        "id", "split", "candidate", "score", "metric.exact_match", "input.message", "expected.queue",
        "output.queue", "feedback.exact_match", "failure", "failure_message", "reasks", "input_tokens",
        "output_tokens", "cost",
    ]  # fmt: skip
    assert (first["id"], first["score"], first["feedback.exact_match"]) == ("r000", "1.0", "")
    assert (second["reasks"], second["feedback.exact_match"], second["input_tokens"]) == ("2", "no", "201")


def test_csv_of_failed_rows_says_why(tmp_path):
    rows = table(written(tmp_path, failing_rows(20)))
    failed = {r["id"]: (r["failure"], r["failure_message"], r["score"]) for r in rows if r["failure"]}
    assert failed == {
        "r000": ("parse", "no section [[ queue ]]", "0.0"),
        "r010": ("provider", "no section [[ queue ]]", ""),
    }


def test_csv_has_both_arms_of_a_search(tmp_path):
    rows = table(written(tmp_path, searched_rows(3)))
    assert [r["candidate"] for r in rows] == ["start"] * 3 + ["winner"] * 3


@pytest.mark.parametrize(
    ("said", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  =1+1", "'  =1+1"),
        ("+49 221", "'+49 221"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("＝1", "'＝1"),
        ("plain = text", "plain = text"),
        ('a,b\nc "d"', 'a,b\nc "d"'),
        ("", ""),
        (-1.5, "-1.5"),
        ({"a": "=1"}, '{"a": "=1"}'),
        (True, "true"),
        ("nul\0nul", "nulnul"),
    ],
)
def test_a_spreadsheet_calculates_nothing(tmp_path, said, cell):
    (only,) = table(written(tmp_path, [row(0, outputs={"queue": said})]))
    assert only["output.queue"] == cell


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(any_text, any_text), max_size=4))
def test_csv_keeps_every_text_and_starts_none_as_a_formula(tmp_path, pairs):
    run = written(
        tmp_path, [row(n, id=one, outputs={"queue": other}) for n, (one, other) in enumerate(pairs)]
    )
    rows = table(run)
    assert len(rows) == len(pairs)
    for found, (one, other) in zip(rows, pairs, strict=True):
        for cell, text in ((found["id"], one), (found["output.queue"], other)):
            assert cell.removeprefix("'") == text.replace("\0", "").removeprefix("'")
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@"))


def test_csv_says_which_rows_pass_where_there_is_a_rule(tmp_path):
    rows = table(written(tmp_path, [row(0, passed=True), row(1, passed=False), row(2)]))
    assert [r["passed"] for r in rows] == ["true", "false", ""]


def test_csv_of_no_rows_is_its_head(tmp_path):
    assert "".join(csv_parts(written(tmp_path, []))).startswith("id,split,candidate,score,failure,")


# Parquet


def test_parquet_keeps_types(tmp_path):
    rows = [
        row(
            0, 1.0, outputs={"n": 1, "x": 1.5, "b": True, "s": "a", "o": {"k": [1]}, "mixed": 1, "none": None}
        ),
        row(
            1,
            None,
            outputs={"n": None, "x": 2, "b": None, "s": None, "o": None, "mixed": "two", "none": None},
        ),
    ]
    target = tmp_path / "rows.parquet"
    write_parquet(written(tmp_path / "run", rows), target)
    found = polars.read_parquet(target)
    kinds = {name: str(found.schema[f"output.{name}"]) for name in rows[0]["outputs"]}
    texts = dict.fromkeys(("s", "o", "mixed", "none"), "String")
    assert kinds == {"n": "Int64", "x": "Float64", "b": "Boolean", **texts}
    assert found["output.x"].to_list() == [1.5, 2.0]
    assert found["output.o"].to_list() == ['{"k": [1]}', None]
    assert found["output.mixed"].to_list() == ["1", "two"]
    assert found["score"].to_list() == [1.0, None]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "rows.parquet"}


def test_parquet_holds_every_row_however_many_batches_they_fill(tmp_path, monkeypatch):
    monkeypatch.setattr("promptc.cli.reports.row_files.BATCH", 7)
    write_parquet(written(tmp_path / "run", (row(n) for n in range(30))), tmp_path / "rows.parquet")
    assert polars.read_parquet(tmp_path / "rows.parquet")["id"].to_list() == [f"r{n:03d}" for n in range(30)]


def test_parquet_of_no_rows_has_columns(tmp_path):
    write_parquet(written(tmp_path / "run", []), tmp_path / "rows.parquet")
    assert polars.read_parquet(tmp_path / "rows.parquet").shape == (0, 10)


def test_numbers_too_large_for_a_column_are_text(tmp_path):
    rows = [row(0, outputs={"n": 2**70}), row(1, outputs={"n": 1})]
    write_parquet(written(tmp_path / "run", rows), tmp_path / "rows.parquet")
    assert polars.read_parquet(tmp_path / "rows.parquet")["output.n"].to_list() == [str(2**70), "1"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "integer"),
        ([1, 2.5], "number"),
        ([1, None], "integer"),
        ([True, 1], "text"),
        ([[1], "a"], "text"),
    ],
)
def test_a_column_holds_what_all_its_values_are(tmp_path, values, kind):
    for number, order in enumerate(itertools.permutations(values)):
        run = written(tmp_path / str(number), [row(n, outputs={"v": value}) for n, value in enumerate(order)])
        assert columns(run)["output.v"] == kind


def test_fields_that_promptc_does_not_know_yet_change_nothing(tmp_path):
    assert [r["id"] for r in table(written(tmp_path, [row(0, later={"a": 1})]))] == ["r000"]
