"""`promptc report`, and what a run leaves for people and builds to read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from typing import Any

import polars
import pytest
from jsonschema import Draft202012Validator
from workplace import Sentiment, Workplace, open_workplace, sentiment_rows

from promptc.cli.document_schemas import schema_bytes

SPEC = {
    "metrics": ["classification", {"contains": {"weight": 0, "texts": ["i"]}}],
    "slices": ["kind"],
    "gates": ["test.score >= 0.99", "dev.failures.parse <= 50", "test.slices.kind.odd.score > 0"],
    "optimizer": {"bootstrap_random_search": {"candidates": 3, "max_labeled_demos": 6}},
}


@pytest.fixture(scope="module", name="place")
def _place(shared_folder) -> Iterator[Workplace]:
    """A workplace with a search in `searched` and an evaluation of dev in `scored`."""
    with open_workplace(shared_folder("reports"), Sentiment()) as place:
        rows = [json.loads(line) for line in (place.folder / "rows.jsonl").read_text().splitlines()]
        place.write("rows.jsonl", [row | {"kind": ("even", "odd")[n % 2]} for n, row in enumerate(rows)])
        place.write_spec(**SPEC)
        assert place.run("optimize", "-o", "searched").code == 1
        assert place.run("eval", "-o", "scored").code == 0
        yield place


@pytest.mark.parametrize("run", ["searched", "scored"])
def test_a_run_leaves_a_page_and_junit(place, run):
    page = (place.folder / run / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    suites = ElementTree.parse(place.folder / run / "junit.xml").getroot()
    summary = place.summary(run)
    split = "test" if run == "searched" else "dev"
    assert len(suites.findall(f"testsuite[@name='{split}']/testcase")) == summary[split]["rows"]
    assert len(suites.findall("testsuite[@name='gates']/testcase")) == 3


def test_the_page_shows_what_the_search_did(place):
    page = (place.folder / "searched" / "report.html").read_text(encoding="utf-8")
    for part in (
        "Trajectory",
        "Score against cost",
        "kind on test",
        "Confusion matrix",
        "Demos",
        "better than the start",
    ):
        assert part in page
    assert "promptc optimize -o searched" in page


def test_workers_change_nothing_of_the_pages_rows_and_figures(place):
    assert place.run("optimize", "-o", "again", "-j", "1").code == 1
    one, other = (
        (place.folder / run / "report.html").read_text(encoding="utf-8").partition('<section id="cost"')[0]
        for run in ("searched", "again")
    )
    assert one.replace("promptc trace searched", "promptc trace again") == other


def test_a_finished_run_is_not_drawn_again(place):
    files = [place.folder / "searched" / name for name in ("report.html", "junit.xml", "report.md")]
    before = [file.stat().st_mtime_ns for file in files]
    assert place.run("optimize", "-o", "searched").code == 1
    assert [file.stat().st_mtime_ns for file in files] == before


def test_other_gates_give_other_reports(place):
    assert place.run("eval", "-o", "gated").code == 0
    assert place.run("eval", "-o", "gated", "--fail-under", "0.99").code == 1
    assert "dev.score &gt;= 0.99" in (place.folder / "gated" / "report.html").read_text()
    assert "dev.score &gt;= 0.99" in (place.folder / "gated" / "junit.xml").read_text()


def test_rows_of_dev_are_shown_where_there_is_no_test(place):
    few = [{"id": f"f{n}", "text": f"lovely day {n}", "label": "positive"} for n in range(12)]
    place.write("few.jsonl", few)
    place.write("few.yaml", place.spec(data={"path": "few.jsonl"}, optimizer="labeled_few_shot"))
    assert place.run("optimize", "few.yaml", "-o", "few").code == 0
    lines = [json.loads(line) for line in (place.folder / "few" / "rows.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"dev"}
    assert {line["id"] for line in lines} == {row["id"] for row in few}
    assert "All 12 rows" in (place.folder / "few" / "report.html").read_text()


# The command


def test_without_a_format_the_page_is_written_and_its_path_printed(place):
    (place.folder / "scored" / "report.html").unlink()
    done = place.run("report", "scored")
    assert (done.code, done.out, done.err) == (0, "scored/report.html\n", "")
    assert (place.folder / "scored" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["--format", "md"], "### "),
        (["--format", "text"], "promptc optimize mood"),
        (["--format", "junit"], '<?xml version="1.0"'),
        (["--format", "csv"], "id,split,candidate,score,"),
        (["--format", "json"], "{\n"),
        (["--json"], "{\n"),
        (["--format", "html", "-o", "-"], "<!doctype html>"),
    ],
)
def test_other_formats_go_to_stdout(place, arguments, begins):
    done = place.process("report", "searched", *arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(begins)


@pytest.mark.parametrize("name", ["a.html", "a.md", "a.xml", "a.csv", "a.json", "a.txt", "a.parquet"])
def test_the_name_of_the_file_says_the_format(place, name):
    done = place.run("report", "searched", "-o", name)
    assert (done.code, done.out) == (0, f"{name}\n")
    assert (place.folder / name).stat().st_size > 200


def test_what_is_written_again_unchanged_keeps_its_time(place):
    place.run("report", "searched", "-o", "kept.md")
    before = (place.folder / "kept.md").stat().st_mtime_ns
    place.run("report", "searched", "-o", "kept.md")
    assert (place.folder / "kept.md").stat().st_mtime_ns == before


def test_tables_hold_every_row_of_both_arms(place):
    place.run("report", "searched", "-o", "rows.parquet")
    found = polars.read_parquet(place.folder / "rows.parquet")
    lines = (place.folder / "searched" / "rows.jsonl").read_text().splitlines()
    assert found["id"].to_list() == [json.loads(line)["id"] for line in lines]
    assert found["score"].to_list() == [json.loads(line)["score"] for line in lines]


def test_as_many_rows_as_are_asked_for(place):
    done = place.run("report", "searched", "--rows", "3", "-o", "three.html")
    assert done.code == 0
    text = (place.folder / "three.html").read_text(encoding="utf-8")
    assert text.count('<tbody id="row-') == 3


def test_text_in_junit_only_when_it_is_asked_for(place):
    assert " day " not in place.run("report", "searched", "--format", "junit").out
    assert " day " in place.run("report", "searched", "--format", "junit", "--include-text").out


def test_without_a_run_the_newest_is_meant(place, tmp_path):
    other = Workplace(tmp_path, place.server)
    other.write_spec()
    other.write("rows.jsonl", sentiment_rows(30))
    none = other.run("report")
    assert (none.code, "no run: there is none in runs" in none.err) == (2, True)
    for limit in ("3", "4"):
        assert other.run("eval", "--limit", limit).code == 0
    assert other.run("report", "--json").document["dev"]["rows"] == 4
    assert other.run("report").out.startswith("runs/mood-eval-")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere"], 2, "nowhere is no run of promptc"),
        (["cache"], 2, "cache is no run of promptc"),
        (["searched", "--format", "parquet"], 2, "parquet is no text for a terminal"),
        (["searched", "--format", "md", "--open"], 2, "--open shows the page"),
        (["searched", "--include-text"], 2, "belong to --format junit"),
        (["searched", "--format", "csv", "--pass-at", "0.5"], 2, "belong to --format junit"),
        (["searched", "-o", "no/such/a.md"], 2, "there is no folder no/such"),
        (["searched", "-o", "no/such/a.parquet"], 2, "there is no folder no/such"),
        (["searched", "--format", "pdf"], 2, "'pdf' is not one of"),
        (["searched", "--rows", "0"], 2, "0 is not in the range"),
    ],
)
def test_wrong_wishes_are_told(place, arguments, code, says):
    (place.folder / "cache").mkdir(exist_ok=True)
    done = place.run("report", *arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_two_formats_at_once_are_an_error_in_both(place):
    done = place.run("report", "searched", "--format", "md", "--json")
    assert done.code == 2
    assert done.document["error"]["message"] == "--json and --format md are two formats"


def test_a_run_that_is_not_finished_has_no_report(place):
    shutil.copytree(place.folder / "searched", place.folder / "torn")
    (place.folder / "torn" / "manifest.json").unlink()
    done = place.run("report", "torn")
    assert done.code == 4
    assert "torn is not finished" in done.err
    assert "goes on where it stopped" in done.err


def test_a_run_of_another_version_is_named(place):
    shutil.copytree(place.folder / "searched", place.folder / "foreign")
    (place.folder / "foreign" / "summary.json").write_text('{"trials": 3}')
    done = place.run("report", "foreign")
    assert done.code == 4
    assert "foreign holds what this promptc cannot read" in done.err


@pytest.mark.parametrize("run", ["searched", "scored"])
def test_an_archive_that_lost_its_hidden_files_gives_the_same_page(place, run):
    """As GitHub's upload-artifact leaves files out whose names begin with a dot."""
    bare = place.folder / f"bare-{run}"
    shutil.copytree(place.folder / run, bare, ignore=shutil.ignore_patterns(".*"))
    for kind, end in (("html", "</html>"), ("md", "Worst rows")):
        whole, found = (
            place.run("report", name, "--format", kind, "-o", "-").out.replace(name, "RUN").partition(end)[0]
            for name in (run, bare.name)
        )
        assert whole.replace(run, "RUN") == found.replace(run, "RUN")


def test_open_shows_the_page_in_the_browser(place):
    script = place.write("browser.sh", '#!/bin/sh\necho "$1" > shown\n')
    script.chmod(0o755)
    done = place.process("report", "searched", "--open", BROWSER=f"{script} %s")
    assert done.code == 0
    shown = (place.folder / "shown").read_text().strip()
    assert shown == (place.folder / "searched" / "report.html").resolve().as_uri()


def test_where_there_is_no_browser_the_path_is_told(place):
    done = place.process("report", "searched", "--open", BROWSER="false %s", PATH="/nonexistent")
    assert done.code == 0
    assert "no browser was found; open searched/report.html yourself" in done.err


BARE = "import sys; sys.modules['vl_convert'] = None; from promptc.cli.main import main; main()"
"""promptc on a machine where the library that draws is not installed."""


def test_without_the_library_that_draws_the_page_is_written_and_the_hint_is_given(place):
    done = subprocess.run(
        [sys.executable, "-c", BARE, "report", "searched", "-o", "bare.html"],
        cwd=place.folder, env=place.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "bare.html\n")
    assert "pip install 'promptc[report]'" in done.stderr
    assert "<svg" not in (place.folder / "bare.html").read_text(encoding="utf-8")


def test_help_and_text_load_neither_jinja_nor_the_plots(place):
    code = (
        "import sys; from promptc.cli.main import exit_code_of; exit_code_of(sys.argv[1:]); "
        "print([m for m in ('jinja2', 'vl_convert', 'polars') if m in sys.modules], file=sys.stderr)"
    )
    for arguments in (["report", "--help"], ["report", "searched", "--format", "csv"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=place.folder, env={**os.environ, **place.environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stderr == "[]\n"


# The schema of summary.json


def strict(schema: Any) -> Any:
    """The schema with nothing allowed that it does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    parts = {name: strict(part) for name, part in schema.items()}
    return parts | {"additionalProperties": False} if "properties" in parts else parts


@pytest.mark.parametrize("run", ["searched", "scored"])
def test_the_published_schema_names_everything_in_a_runs_summary(place, run):
    schema = strict(json.loads(schema_bytes("summary")))
    Draft202012Validator(schema).validate(place.summary(run))
    Draft202012Validator(schema).validate(place.run("report", run, "--json").document)


def test_the_published_schema_refuses_what_is_no_summary(place):
    validator = Draft202012Validator(strict(json.loads(schema_bytes("summary"))))
    summary = place.summary("searched")
    assert not validator.is_valid(summary | {"surprise": 1})
    assert not validator.is_valid(summary | {"exit_code": "1"})
    assert not validator.is_valid(summary | {"test": summary["test"] | {"score": "high"}})
