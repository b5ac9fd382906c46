"""In a GitHub workflow: annotations at lines, the step's summary, and output that commands nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workplace import Sentiment, Workplace, open_workplace, sentiment_rows

from promptc.cli.github import Actions, Place, actions_of, annotation, harmless

COMMAND = re.compile(r"^\s*::|##\[", re.MULTILINE)
"""What a runner obeys."""


@pytest.fixture(scope="module", name="place")
def _place(shared_folder):
    with open_workplace(shared_folder("github"), Sentiment()) as place:
        place.write("rows.jsonl", sentiment_rows(30))
        yield place


def in_step(place: Workplace, **more: str) -> dict[str, str]:
    """The environment of a workflow's step that was checked out to the place's folder."""
    return {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(place.folder), **more}


def annotations(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("::")]


# The line


@pytest.mark.parametrize(
    ("place", "message", "line"),
    [
        (Place(), "no place", "::error title=promptc::no place"),
        (Place(file="spec.yaml"), "whole file", "::error file=spec.yaml,title=promptc::whole file"),
        (Place(file="rows.jsonl", line=7), "a line", "::error file=rows.jsonl,line=7,title=promptc::a line"),
        (
            Place(file="spec.yaml", line=4, column=3, end_column=9),
            "a word",
            "::error file=spec.yaml,line=4,endLine=4,col=3,endColumn=8,title=promptc::a word",
        ),
        (
            Place(file="spec.yaml", line=4, column=3, end_column=3),
            "a point",
            "::error file=spec.yaml,line=4,endLine=4,col=3,endColumn=3,title=promptc::a point",
        ),
        (Place(), "100 %: a, b\nsecond", "::error title=promptc::100 %25: a, b%0Asecond"),
        (Place(file="a,b:c%.yaml"), "x", "::error file=a%2Cb%3Ac%25.yaml,title=promptc::x"),
        (Place(), "bell \x07 and \u202e", "::error title=promptc::bell \\x07 and \\u202e"),
    ],
)
def test_an_annotation_is_one_line_that_says_where(place, message, line):
    assert annotation(Actions(), "error", message, place, "promptc") == line


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=20))
def test_an_annotation_is_one_line_whatever_it_says(message, file, title):
    text = annotation(Actions(), "warning", message, Place(file=file.replace("\0", "") or "x"), title)
    assert len(text.splitlines()) == 1
    assert text.startswith("::warning file=")
    assert text.count("::") >= 2


def test_files_are_named_from_the_checkouts_folder(tmp_path, monkeypatch):
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    actions = Actions(workspace=str(tmp_path / "work"))
    assert "file=deep/spec.yaml," in annotation(actions, "error", "x", Place(file="spec.yaml"), "t")
    assert "file=spec.yaml," in annotation(actions, "error", "x", Place(file="../spec.yaml"), "t")
    assert "file=../../spec.yaml," in annotation(actions, "error", "x", Place(file="../../spec.yaml"), "t")


@pytest.mark.parametrize("value", ["", "false", "1", None])
def test_outside_of_a_workflow_there_are_none(value):
    assert actions_of({"GITHUB_ACTIONS": value} if value is not None else {}) is None


# Findings


def test_findings_of_validate_stand_at_their_lines(place):
    place.write("wrong.yaml", "version: 1\nname: mood\nnmae: x\nmetrics: [exact_mach]\n")
    done = place.run("validate", "wrong.yaml", **in_step(place))
    assert done.code == 2
    found = annotations(done.err)
    assert any(
        line.startswith("::error file=wrong.yaml,line=3,endLine=3,col=1,endColumn=4,") for line in found
    )
    assert any("did you mean" in line for line in found)
    assert annotations(done.out) == []
    assert annotations(place.run("validate", "wrong.yaml").err) == []


def test_findings_are_annotated_beside_a_json_document_too(place):
    done = place.run("validate", "wrong.yaml", "--json", **in_step(place))
    assert len(annotations(done.err)) == len(done.document["diagnostics"])


def test_a_wrong_row_is_annotated_at_its_line(place):
    place.write("broken.jsonl", '{"id": "a", "text": "x", "label": "positive"}\n{"id": \n')
    place.write("broken.yaml", place.spec(data={"path": "broken.jsonl"}))
    done = place.run("eval", "broken.yaml", **in_step(place))
    assert done.code == 4
    assert any(
        line.startswith("::error file=broken.jsonl,line=2,title=promptc%3A the data::")
        for line in annotations(done.err)
    )


def test_wrong_usage_is_annotated_without_a_place(place):
    done = place.run("report", "nowhere", **in_step(place))
    (only,) = annotations(done.err)
    assert only.startswith("::error title=promptc::nowhere is no run of promptc%0A")


# Gates and verdicts


def test_a_failed_gate_is_annotated_where_the_spec_says_it(place):
    text = place.write_spec(gates=["dev.score >= 0", "dev.score >= 0.999"]).read_text()
    number = next(n for n, line in enumerate(text.splitlines(), start=1) if "0.999" in line)
    done = place.run("eval", "-o", "gated", **in_step(place))
    assert done.code == 1
    (only,) = annotations(done.err)
    assert only.startswith(f"::error file=spec.yaml,line={number},endLine={number},col=")
    assert ",title=promptc%3A a gate::dev.score >= 0.999: it is " in only
    again = place.run("eval", "-o", "gated", **in_step(place))
    assert annotations(again.err) == [only]


def test_a_gate_of_the_command_line_has_no_place(place):
    place.write_spec()
    done = place.run("eval", "--fail-under", "0.999", **in_step(place))
    (only,) = annotations(done.err)
    assert only.startswith("::error title=promptc%3A a gate::dev.score >= 0.999: it is ")


# The step's summary


def test_the_report_is_appended_to_the_steps_summary(place, tmp_path):
    place.write_spec()
    summary = tmp_path / "summary.md"
    summary.write_text("what was there\n")
    done = place.run("eval", **in_step(place, GITHUB_STEP_SUMMARY=str(summary)))
    assert done.code == 0
    assert summary.read_text().startswith("what was there\n### ")
    assert "promptc eval mood" in summary.read_text()


def test_a_summary_that_cannot_be_written_is_a_warning(place, tmp_path):
    done = place.run("eval", **in_step(place, GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "summary.md")))
    assert done.code == 0
    assert "the step's summary cannot be written" in done.err


def test_nothing_is_appended_outside_of_a_workflow(place, tmp_path):
    place.run("eval", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
    assert not (tmp_path / "summary.md").exists()


# Output that commands nothing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ": :error::x"),
        ("  ::add-mask::x", "  : :add-mask::x"),
        ("a ::error::b", "a ::error::b"),
        ("first\n::stop-commands::y", "first\n: :stop-commands::y"),
        ("##[error]x", "# #[error]x"),
        ("a ##[group]x", "a # #[group]x"),
        (":: :::", ": : :::"),
        ("plain: text # here", "plain: text # here"),
    ],
)
def test_what_a_runner_would_obey_is_parted(text, shown):
    assert harmless(text) == shown


@given(st.text(st.sampled_from(":#[ \n\ta"), max_size=30))
def test_nothing_that_a_runner_obeys_is_left(text):
    assert COMMAND.search(harmless(text)) is None
    assert harmless(text).replace(" ", "") == text.replace(" ", "")


def test_a_row_cannot_command_the_runner(place, tmp_path: Path):
    harm = "::add-mask::positive"
    place.write(
        "harm.jsonl", [{"id": f"{harm}{n}", "text": f"dull {n}", "label": "positive"} for n in range(4)]
    )
    place.write("harm.yaml", place.spec(name="harm", data={"path": "harm.jsonl"}))
    plain = place.run("eval", "harm.yaml", "--split", "all", "-o", "plain")
    assert COMMAND.search(plain.out)
    guarded = place.run("eval", "harm.yaml", "--split", "all", "-o", "guarded", **in_step(place))
    assert COMMAND.search(guarded.out) is None
    assert ": :add-mask::positive" in guarded.out
