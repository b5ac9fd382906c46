"""Reports: what a person reads after a run, in every form; others' text is never more than text."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
import report_cases
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_cases import HOSTILE, OBEYED, SGR, hostile, on_screen, triage

from promptc.cli.reports.details import ReportDetails, worst_rows
from promptc.cli.reports.diff import prompt_diff, shortened
from promptc.cli.reports.facts import best_trials, continued, gate_figures, next_commands
from promptc.cli.reports.figures import (
    bounds,
    change,
    dollars,
    duration,
    interval,
    probability,
    score,
    signed_interval,
    told_apart,
)
from promptc.cli.reports.files import picture, text_report, write_reports
from promptc.cli.reports.machine import as_document, error_document
from promptc.cli.reports.markdown import cell, code, escaped, markdown_report
from promptc.cli.reports.reading import noted, restated
from promptc.cli.reports.scores import Line, telling
from promptc.cli.reports.tallies import confusions, fields, scalars
from promptc.cli.reports.tallies import figure as tally_figure
from promptc.cli.reports.verdict import verdict
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.evaluate import RowRecord
from promptc.runners.failures import Failure
from promptc.runners.judging import Judge
from promptc.runners.rows import Example
from promptc.runners.summary import (
    Figure,
    GateResult,
    Improvement,
    SplitSummary,
    Summary,
    TrialLine,
    VerdictLine,
)
from promptc.spec.diagnostics import Diagnostic, Position
from promptc.spec.errors import DataError, Interrupted, SpecError
from promptc.spec.fields import Field

GOLDEN = Path(__file__).parent / "golden" / "reports"

# Golden files


@pytest.mark.parametrize("name", sorted(report_cases.golden_files()))
def test_reports_are_as_they_were(name: str) -> None:
    """After a wanted change: python tests/report_cases.py, then read the difference."""
    expected = (GOLDEN / name).read_bytes().decode()
    assert report_cases.golden_files()[name]() == expected


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(report_cases.golden_files())


# The verdict


def compared(difference: float, low: float, high: float, p: float, verdict: str = "") -> SplitSummary:
    start = SplitSummary(score=0.5, ci_low=0.4, ci_high=0.6, n=100, rows=100, cost=0.0)
    found = Improvement(difference=difference, ci_low=low, ci_high=high, p=p, verdict=verdict)
    return SplitSummary(
        score=0.5 + difference,
        ci_low=0.4,
        ci_high=0.9,
        n=100,
        rows=100,
        cost=0.0,
        start=start,
        improvement=found,
    )


def optimized(**rest: object) -> Summary:
    trials = (
        TrialLine(number=0, candidate="a", origin="start", score=0.5),
        TrialLine(number=1, candidate="b", origin="x", score=0.8),
    )
    return Summary(command="optimize", trials=trials, **{"winner": trials[1], **rest})


def gate(status: str) -> GateResult:
    return msgspec.convert({"text": "test.score >= 0.8", "value": 0.9, "status": status}, GateResult)


@pytest.mark.parametrize(
    ("summary", "sentence", "mood"),
    [
        (
            optimized(test=compared(0.3, 0.21, 0.39, 0.00001)),
            "Improved: test 0.500 → 0.800, +0.300 (95 % CI 0.21 to 0.39, p < 0.001), 100 rows",
            "good",
        ),
        (
            optimized(test=compared(0.01, -0.02, 0.04, 0.41)),
            "No significant change: test 0.500 → 0.510, +0.010 (95 % CI -0.02 to 0.04, p = 0.410), 100 rows",
            "neutral",
        ),
        (
            optimized(test=compared(0.05, 0.003, 0.097, 0.06)),
            "No significant change: test 0.500 → 0.550, +0.050 (95 % CI 0.003 to 0.097, p = 0.060), 100 rows",
            "neutral",
        ),
        (
            optimized(test=compared(0.3, 0.21, 0.39, 0.04, verdict="no significant change")),
            "No significant change: test 0.500 → 0.800, +0.300 (95 % CI 0.21 to 0.39, p = 0.040), 100 rows",
            "neutral",
        ),
        (
            optimized(test=compared(-0.2, -0.3, -0.1, 0.001)),
            "Worse: test 0.500 → 0.300, -0.200 (95 % CI -0.30 to -0.10, p = 0.001), 100 rows",
            "bad",
        ),
        (
            optimized(dev=compared(0.3, 0.21, 0.39, 0.00001)),
            "Improved on dev, where the winner was chosen: dev 0.500 → 0.800, +0.300 (95 % CI 0.21 to 0.39, "
            "p < 0.001), 100 rows; no held-out figure",
            "neutral",
        ),
        (
            optimized(
                winner=TrialLine(number=0, candidate="a", origin="start", score=0.5),
                test=compared(0, 0, 0, 1),
            ),
            "The start won: no candidate was better on dev (test 0.500 [0.40, 0.90])",
            "neutral",
        ),
        (
            Summary(
                command="optimize",
                trials=(TrialLine(number=0, candidate="a", origin="start", score=0.5),),
                winner=TrialLine(number=0, candidate="a", origin="start", score=0.5),
            ),
            "The start won: no candidate was tried",
            "neutral",
        ),
        (
            optimized(),
            "A winner was chosen on dev, and there is no figure to compare it by",
            "neutral",
        ),
        (
            optimized(test=compared(0.3, 0.21, 0.39, 0.00001), gates=(gate("met"), gate("not applicable"))),
            "Improved: test 0.500 → 0.800, +0.300 (95 % CI 0.21 to 0.39, p < 0.001), 100 rows; 1 gate met",
            "good",
        ),
        (
            optimized(
                test=compared(0.3, 0.21, 0.39, 0.00001), gates=(gate("met"), gate("failed"), gate("missing"))
            ),
            "Improved: test 0.500 → 0.800, +0.300 (95 % CI 0.21 to 0.39, p < 0.001), 100 rows; "
            "2 of 3 gates failed",
            "bad",
        ),
        (
            optimized(verdicts=(VerdictLine(code=7, message="the budget did not cover a single trial"),)),
            "Unfinished: the budget did not cover a single trial. A winner was chosen on dev, and there is "
            "no figure to compare it by",
            "bad",
        ),
        (
            Summary(
                command="eval",
                dev=SplitSummary(score=0.5, ci_low=0.4, ci_high=0.6, n=1, failures={"parse": 1}),
            ),
            "Scored dev 0.500 [0.40, 0.60] (1 row), 1 row failed",
            "neutral",
        ),
        (
            Summary(
                command="eval",
                dev=SplitSummary(score=0.5, ci_low=0.4, ci_high=0.6, n=9),
                verdicts=(
                    VerdictLine(code=6, message="too many unscored"),
                    VerdictLine(code=7, message="cut"),
                ),
            ),
            "Not to be trusted: too many unscored. Scored dev 0.500 [0.40, 0.60] (9 rows)",
            "bad",
        ),
        (
            Summary(
                command="eval",
                dev=SplitSummary(score=0.5, ci_low=0.4, ci_high=0.6, n=9),
                gates=(gate("met"),),
            ),
            "Scored dev 0.500 [0.40, 0.60] (9 rows); 1 gate met",
            "good",
        ),
        (
            Summary(command="eval", test=SplitSummary(score=None, ci_low=None, ci_high=None, n=0)),
            "Scored test – (0 rows)",
            "neutral",
        ),
        (Summary(command="eval"), "Nothing was scored", "neutral"),
    ],
)
def test_the_verdict_says_in_words_what_came_out(summary: Summary, sentence: str, mood: str) -> None:
    found = verdict(summary)
    assert (found.sentence, found.mood) == (sentence, mood)


# Figures


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (score(0.7826), "0.783"),
        (score(None), "–"),
        (interval(0.706, 0.8449), "[0.71, 0.84]"),
        (interval(None, None), ""),
        (interval(0.9957, 1.0), "[0.996, 1.000]"),
        (interval(0.0, 0.04), "[0.00, 0.04]"),
        (bounds(-0.0001, 0.2), ("0.000", "0.200")),
        (signed_interval(-0.021, 0.08), "[-0.02, +0.08]"),
        (signed_interval(0.0, 0.0), "[0.00, 0.00]"),
        (change(0.3333), "+0.333"),
        (change(-0.0004), "0.000"),
        (change(None), "–"),
        (probability(0.00099), "p < 0.001"),
        (probability(0.0412), "p = 0.041"),
        (dollars(0), "$0.00"),
        (dollars(1234.5), "$1,234.50"),
        (dollars(0.00042), "$0.00042"),
        (dollars(0.0004), "$0.0004"),
        (duration(0.42), "0.4 s"),
        (duration(185), "3 min 05 s"),
        (duration(7800), "2 h 10 min"),
        (told_apart(0.7996, 0.8), ("0.7996", "0.8000", "0.0004")),
        (told_apart(0.8, 0.8), ("0.800", "0.800", "0.000")),
        (told_apart(0.85, 0.8), ("0.850", "0.800", "0.050")),
        (tally_figure(1234), "1,234"),
        (tally_figure(0.7714), "0.771"),
        (tally_figure(31.2345), "31.23"),
    ],
)
def test_figures_are_written_one_way(shown: object, expected: object) -> None:
    assert shown == expected


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_a_gate_shows_never_contradicts_its_verdict(value: float, threshold: float) -> None:
    shown, wall, _ = told_apart(value, threshold)
    if abs(value - threshold) > 1e-8:
        assert (float(shown) < float(wall)) == (value < threshold)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("test.score >= 0.80", 0.85, ("0.850", "0.050")),
        ("test.improvement.ci_low > 0", -0.01, ("-0.010", "0.010")),
        ("calls <= 3e3", 2900.0, ("2900.000", "100.000")),
        ("something else", 0.5, ("0.500", "")),
        ("test.score >= 0.80", None, ("", "")),
    ],
)
def test_a_gate_says_by_how_much(text: str, value: float | None, expected: tuple[str, str]) -> None:
    status = "met" if value is not None else "not applicable"
    assert (
        gate_figures(msgspec.convert({"text": text, "value": value, "status": status}, GateResult))
        == expected
    )


# What is chosen to be shown


def line(name: str, before: float | None, now: float | None) -> Line:
    def shown(value: float | None) -> Figure:
        return Figure(score=value, ci_low=value, ci_high=value, n=3)

    return Line(name, shown(before) if before is not None else None, shown(now))


def test_slices_that_fell_come_first_then_the_lowest_in_their_own_order() -> None:
    lines = [line("rose", 0.1, 0.9), line("fell", 0.9, 0.8), line("low", 0.1, 0.2), line("none", 0.5, None)]
    assert [chosen.name for chosen in telling(lines, 2)] == ["fell", "low"]
    assert telling(lines, 9) == lines


def test_the_start_is_always_among_the_trials_shown() -> None:
    summary = triage().summary
    assert [trial.number for trial in best_trials(summary)] == [5, 7, 6, 2, 0]
    assert [trial.number for trial in best_trials(summary, 9)] == [5, 7, 6, 2, 3, 1, 0, 4]


def test_confusions_are_the_largest_wrong_cells() -> None:
    tally = {"confusion": {"a": {"a": 9, "b": 2, "c": 3}, "b": {"a": 3, "b": 1}}}
    found = [(c.expected, c.predicted, c.rows, c.support) for c in confusions(tally, 2)]
    assert found == [("a", "c", 3, 14), ("b", "a", 3, 4)]
    assert confusions({"confusion": None}) == []
    assert fields({"fields": 3}) == {}


def test_the_accuracy_is_not_shown_twice() -> None:
    assert scalars({"accuracy": 0.5, "macro_f1": 0.4, "corpus_bleu": 31.0, "flag": True, "labels": {}}) == {
        "macro-F1": 0.4,
        "corpus BLEU": 31.0,
    }


def record(index: int, score: float | None, feedback: str = "", failure: Failure | None = None) -> RowRecord:
    return RowRecord(
        id=f"r{index}",
        index=index,
        outputs=None if failure else {"queue": "billing"},
        score=score,
        metrics={},
        feedback={"exact_match": feedback} if feedback else {},
        failure=failure,
    )


def test_worst_rows_show_each_reason_before_any_twice(judge_of_queue: Judge) -> None:
    records = [
        record(0, 1.0, "right"),
        record(1, 0.0, "expected cards"),
        record(2, 0.0, "expected cards"),
        record(3, 0.5, "expected other"),
        record(4, None, failure=Failure("provider", "503")),
        record(5, 0.0, failure=Failure("parse", "no section")),
        record(6, None, failure=Failure("provider", "504")),
        record(7, None),
    ]
    shown = [
        (r, Example(id=r.id, index=r.index, digest="", row={"message": f"m{r.index}", "queue": "cards"}))
        for r in records
    ]
    found = worst_rows(shown, judge_of_queue, [Field(name="message")])
    assert [row.id for row in found] == ["r4", "r5", "r1", "r3", "r6"]
    assert (found[1].inputs, found[1].expected, found[1].got) == ("m5", "cards", "")
    assert found[1].reason == "parse: no section"
    assert (found[2].got, found[2].score) == ("billing", 0.0)


@pytest.fixture(name="judge_of_queue")
def _judge_of_queue() -> Judge:
    from promptc.runners.judging import AppliedMetric
    from promptc.runners.metrics.exact_match import ExactMatch
    from promptc.spec.model import MetricUse
    from promptc.spec.plugin import Plugin

    use = MetricUse(plugin=Plugin(kind="metric", name="exact_match"), name="exact_match")
    applied = AppliedMetric(use=use, metric=ExactMatch(), field="queue", gold="queue")
    return Judge(metrics=(applied,), objective=None, judge_format=None, format_retries=0)  # type: ignore[arg-type]


def test_a_reason_that_only_repeats_the_row_is_left_out() -> None:
    row = triage().worst[1]
    assert restated(row)
    assert not restated(
        msgspec.structs.replace(row, reason='expected "metering", got "billing": the unit is missing')
    )


def test_an_exchanged_model_is_noted() -> None:
    summary = Summary(notes=("a", "a"), served_models={"m": ("m-1", "m-2"), "n": ("n-1",)})
    assert noted(summary) == ["a", "m answered as m-1, m-2: it was exchanged during the run"]


# The prompt's diff


def candidate(instructions: str = "", *demos: Demo, **rest: object) -> Candidate:
    return Candidate(predictors={"answer": PredictorTexts(instructions=instructions, demos=demos, **rest)})


def demo(number: int, text: str = "in") -> Demo:
    return Demo(inputs={"text": text}, outputs={"label": number}, row_id=f"r{number}")


def test_equal_candidates_have_no_diff() -> None:
    assert prompt_diff(triage().winner, triage().winner) == ""


def test_the_diff_names_every_change() -> None:
    before = Candidate(
        predictors={"answer": PredictorTexts(instructions="One.\nTwo.", demos=(demo(1),), model="a")}
    )
    after = Candidate(
        predictors={
            "answer": PredictorTexts(
                instructions="One.\nThree.", descriptions={"label": "a number"}, model="b"
            ),
            "check": PredictorTexts(instructions="Check it."),
        },
        choices={"search.k": 4},
    )
    assert prompt_diff(before, after).splitlines() == [
        "--- start/answer",
        "+++ winner/answer",
        "@@ -1,7 +1,6 @@",
        " instructions:",
        "   One.",
        "-  Two.",
        "-model: a",
        "-demo, labeled from row r1:",
        "-  text: in",
        "-  => label: 1",
        "+  Three.",
        "+description of label:",
        "+  a number",
        "+model: b",
        "--- start/check",
        "+++ winner/check",
        "@@ -0,0 +1,2 @@",
        "+instructions:",
        "+  Check it.",
        "--- start/choices",
        "+++ winner/choices",
        "@@ -0,0 +1 @@",
        "+search.k: 4",
    ]


def test_a_shortened_diff_counts_what_it_leaves_out() -> None:
    same = demo(0)
    short = shortened(
        candidate("a", same, demo(1)), candidate("b", same, *(demo(n, "x" * 999) for n in range(2, 9)))
    )
    assert short.hidden == 4
    assert [d.row_id for d in short.winner.predictors["answer"].demos] == ["r2", "r3", "r4"]
    assert [d.row_id for d in short.start.predictors["answer"].demos] == ["r1"]
    assert len(short.winner.predictors["answer"].demos[0].inputs["text"]) == 160


@given(st.text(), st.text())
def test_a_diff_is_lines_that_can_be_shown(before: str, after: str) -> None:
    diff = prompt_diff(candidate(before, demo(1, after)), candidate(after, demo(1, before)))
    assert not OBEYED.search(diff)
    assert (diff == "") == (candidate(before, demo(1, after)) == candidate(after, demo(1, before)))
    assert all(line[0] in " +-@" for line in diff.split("\n")[:-1])


# Commands


def test_a_long_command_goes_on_after_a_backslash() -> None:
    assert continued("promptc run a/b rows.jsonl", 80) == "promptc run a/b rows.jsonl"
    assert continued("promptc run " + "a" * 60 + " rows.jsonl", 60).splitlines() == [
        "promptc run \\",
        f"    {'a' * 60} \\",
        "    rows.jsonl",
    ]


def test_commands_quote_a_folder_with_spaces() -> None:
    details = msgspec.structs.replace(triage(), run_directory="my runs/x/")
    assert next_commands(details)[1] == "promptc run 'my runs/x/compiled/program.json' rows.jsonl"
    assert next_commands(msgspec.structs.replace(details, next_commands=("make",))) == ("make",)


# Layout


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 159, 160, 200, 300])
@pytest.mark.parametrize("make", [triage, report_cases.start_won, report_cases.failing_eval])
def test_no_line_is_wider_than_the_screen_and_no_figure_is_cut(make: object, width: int) -> None:
    from rich.cells import cell_len

    lines = on_screen(make(), width, {"NO_COLOR": "1"}).split("\n")  # type: ignore[operator]
    assert max(map(cell_len, lines)) <= width
    assert not [line for line in lines if re.search(r"\d…", line)]
    assert not [line for line in lines if line != line.rstrip(" ")]


def test_a_pipe_gets_what_report_txt_holds() -> None:
    piped = on_screen(triage(), 100, {}, terminal=False)
    assert piped.strip("\n") + "\n" == write_reports(triage())["report.txt"].decode()
    assert "\x1b" not in piped
    assert "╭" not in piped


def test_a_report_survives_being_stored() -> None:
    details = triage()
    stored = msgspec.json.decode(msgspec.json.encode(details), type=ReportDetails)
    assert write_reports(stored) == write_reports(details)


def test_the_order_in_which_figures_are_stored_changes_nothing() -> None:
    details = report_cases.failing_eval()
    arranged = msgspec.json.encode(details, order="deterministic")
    assert write_reports(msgspec.json.decode(arranged, type=ReportDetails)) == write_reports(details)


def test_an_empty_run_has_a_report() -> None:
    details = ReportDetails(summary=Summary(command="eval"), spec_name="x", run_directory="runs/x")
    assert "Nothing was scored" in text_report(details)
    assert "Nothing was scored" in markdown_report(details)
    assert picture(details).startswith("<svg")


def test_a_missing_price_is_said_and_never_shown_as_nothing() -> None:
    details = report_cases.failing_eval()
    for text in (text_report(details), markdown_report(details)):
        assert "price unknown for" in text
        assert "openai/gpt-4.1-mini" in text
    paid = msgspec.structs.replace(details, summary=msgspec.structs.replace(details.summary, usd=0.25))
    assert "at least $0.25" in text_report(paid)
    assert "$0.00" in text_report(
        msgspec.structs.replace(triage(), summary=msgspec.structs.replace(triage().summary, usd=0.0))
    )


def test_a_non_utf8_screen_gets_ascii_drawings() -> None:
    shown = on_screen(triage(), 80, {"NO_COLOR": "1"}, encoding="ascii")
    assert shown.isascii()
    assert "0.454 -> 0.787" in shown
    assert "o===" in shown
    latin = on_screen(report_cases.failing_eval(), 80, {"NO_COLOR": "1"}, encoding="latin-1")
    assert "Köln" in latin
    assert "━" not in latin


# The picture


def test_the_picture_is_well_formed_fetches_nothing_and_is_always_the_same() -> None:
    svg = picture(triage())
    assert svg == picture(triage())
    root = ElementTree.fromstring(svg)
    tags = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert tags <= {"svg", "style", "defs", "clipPath", "rect", "g", "circle", "text"}
    assert svg.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert "@import" not in svg
    assert "@font-face" not in svg
    assert "promptc optimize support-triage" in svg.replace("&#160;", " ")


def test_wide_characters_have_the_length_of_two() -> None:
    svg = picture(report_cases.failing_eval())
    found = re.search(r'textLength="([^"]*)"[^>]*>请给我寄两箱绿茶', svg)
    assert found is not None
    assert math.isclose(float(found[1]), 12.2 * 23, rel_tol=1e-4)


def test_a_brief_picture_quotes_no_rows() -> None:
    svg = picture(triage(), brief=True).replace("&#160;", " ")
    assert "landlord" not in svg
    assert "Improved" in svg
    assert len(svg) < len(picture(triage()))


# Hostile text


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_nothing_on_a_terminal_is_obeyed(payload: str) -> None:
    for width in (80, 200):
        shown = on_screen(hostile(payload), width, {"FORCE_COLOR": "1"})
        assert not OBEYED.search(SGR.sub("", shown))
        assert len(shown) < 150_000
    assert not OBEYED.search(on_screen(hostile(payload), 80, {"NO_COLOR": "1"}, encoding="ascii"))


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_a_file_is_more_than_text(payload: str) -> None:
    files = write_reports(hostile(payload))
    for content in files.values():
        assert not OBEYED.search(content.decode())
        assert len(content) < 500_000
    root = ElementTree.fromstring(files["report.svg"])
    assert not [
        e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "image", "a", "foreignObject", "use")
    ]
    assert not [
        name for element in root.iter() for name in element.attrib if name.startswith("on") or "href" in name
    ]


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_markdown_is_more_than_text(payload: str) -> None:
    text = markdown_report(hostile(payload))
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert not [t for t in inline if t.type in ("link_open", "image", "s_open", "em_open", "softbreak")]
    html = [t.content.strip() for t in (*tokens, *inline) if t.type in ("html_block", "html_inline")]
    assert [
        h for h in html if not re.fullmatch(r"<!-- -->|</details>|<details><summary>[^<>]*</summary>", h)
    ] == []
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h3"]
    runs = "".join(t.content if t.type in ("text", "text_special") else "\n" for t in inline)
    assert not re.search(r"@\w|#\d|GH-\d|https?://|www\.", runs)


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(payload: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown_report(hostile(payload)))
    width, cells, tables = 0, 0, 0
    for token in tokens:
        tables += token.type == "table_open"
        cells = 0 if token.type == "tr_open" else cells + (token.type in ("th_open", "td_open"))
        if token.type == "tr_close":
            width = (
                cells if token.level == 2 and tokens[tokens.index(token) + 1].type == "thead_close" else width
            )
            assert cells == width
    assert tables == 7


@given(st.text())
def test_markdown_shows_exactly_the_text(text: str) -> None:
    """Code spans and escaped text give back what one line of the text is, whatever it holds."""
    from promptc.cli.untrusted import one_line

    flat = one_line(text, 160)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for marked in (escaped(text), code(text)):
        inline = parser.parseInline(marked)[0].children or []
        shown = "".join(t.content for t in inline if t.type in ("text", "text_special", "code_inline"))
        assert shown == flat
    table = parser.parse(f"| a | b |\n| --- | --- |\n| {cell(text)} | end |")
    bodies = [t.children or [] for t in table if t.type == "inline"]
    assert "".join(t.content for t in bodies[2] if t.type in ("text", "text_special", "code_inline")) == flat
    assert bodies[3][0].content == "end"


# JSON


def test_json_is_one_ascii_document_with_the_run_directory() -> None:
    details = hostile(HOSTILE["8-bit csi"])
    text = as_document(details.summary, "runs/x")
    document = json.loads(text)
    assert text.isascii()
    assert text.endswith("}\n")
    assert not OBEYED.search(text)
    assert document["run_directory"] == "runs/x"
    assert document["test"]["improvement"]["difference"] == 0.333
    assert document["notes"] == [HOSTILE["8-bit csi"]]


def test_an_error_is_a_document_too() -> None:
    found = Diagnostic(
        message="unknown key `modle`",
        position=Position("spec.yaml", 3, 1, 6),
        path="modle",
        hint="did you mean `model`?",
    )
    document = json.loads(error_document(SpecError((found,))))
    assert document["exit_code"] == 2
    assert document["error"]["kind"] == "SpecError"
    assert document["error"]["diagnostics"] == [
        {
            "severity": "error",
            "message": "unknown key `modle`",
            "file": "spec.yaml",
            "line": 3,
            "column": 1,
            "end_column": 6,
            "path": "modle",
            "hint": "did you mean `model`?",
        }
    ]
    assert json.loads(error_document(Interrupted(2, "stopped")))["exit_code"] == 130
    bad = json.loads(error_document(DataError("rows.jsonl", "no JSON", line=4, hint="mend it")))
    assert bad == {
        "exit_code": 4,
        "error": {"kind": "DataError", "message": "rows.jsonl:4: no JSON", "hint": "mend it"},
    }
