"""report.html: what it shows and how it is chosen. What a browser makes of it stands in test_report_browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import page_cases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_cases import HARM, failing_rows, harmful_rows, page, row, searched_rows, written
from report_cases import OBEYED, failing_eval, hostile, start_won, triage, weighed

from promptc.cli.page.drawing import draw
from promptc.cli.page.matrix import OTHERS, matrix
from promptc.cli.page.pictures import (
    priced_points,
    score_pictures,
    search_pictures,
    slice_pictures,
    trial_points,
)
from promptc.cli.page.plots import Bar, Size, bars
from promptc.cli.page.prompt import diff_lines, prompt_view, word_changes
from promptc.cli.page.report import html_report
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.row_lines import row_lines
from promptc.cli.reports.row_views import LIMITS, shown_rows, values
from promptc.runners.candidate import Candidate, PredictorTexts
from promptc.runners.summary import Figure, RoleCost, SplitSummary, Summary, TrialLine
from promptc.spec.errors import RunError

CASES = {
    "triage": (triage, searched_rows),
    "failing eval": (failing_eval, failing_rows),
    "start won": (start_won, lambda: searched_rows()[:60]),
    "weighed": (weighed, searched_rows),
    "told": (page_cases.told, page_cases.repeated_rows),
    "nothing": (page_cases.nothing_scored, list),
    "harm": (lambda: hostile(HARM[0]), harmful_rows),
}
TEMPLATES = Path(__file__).parent.parent / "cli" / "page" / "templates"


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def shown(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module", name="pages")
def _pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        name: page(folder / name, details(), rows()).read_text(encoding="utf-8")
        for name, (details, rows) in CASES.items()
    }


# One file, which is the same for the same run, and lets nothing in


@pytest.mark.parametrize("name", CASES)
def test_a_page_names_no_address_and_its_policy_allows_nothing_but_itself(pages, name):
    seen = Seen(pages[name])
    addresses = [
        a[key] for _, a in seen.tags for key in ("src", "href", "action", "srcset", "data") if key in a
    ]
    assert {address for address in addresses if not address.startswith("#")} == {"data:,"}
    policy = next(m["content"] for m in seen.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy.replace("http-equiv", "")


@pytest.mark.parametrize("name", CASES)
def test_the_policy_has_the_hash_of_every_script_and_style(pages, name):
    found = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", pages[name], re.S)
    assert len(found) == 3
    for text in found:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"sha256-{digest}" in pages[name].split("\n", 8)[4].replace("&#43;", "+")


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_a_page_needs_a_style_or_a_handler_of_its_own(pages, name):
    seen = Seen(pages[name])
    assert [a for _, a in seen.tags for key in a if key == "style" or key.startswith("on")] == []
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_equal_runs_give_equal_pages(pages, tmp_path):
    again = page(tmp_path, triage(), searched_rows()).read_text(encoding="utf-8")
    assert again == pages["triage"]


# What is in it


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "triage",
            [
                "Improved test 0.454 → 0.787, +0.333 (95 % CI 0.23 to 0.43, p < 0.001), 108 rows; 2 gates met",
                "Score on test 0.787 [0.70, 0.85] · was 0.454",
                "42, 6 60 the same",
                "test.score >= 0.75 0.787 met by 0.037",
                "gap dev is 0.040 above test [-0.07, +0.14], within chance",
                "p by Holm's method",
                "Trajectory",
                "Score against cost",
                "Confusion matrix: rows were expected, columns were predicted",
                "A meter that is read or estimated wrongly goes to metering",
                "Demos 5",
                "better than the start",
                "promptc trace runs/support-triage-optimize-9b1c2d3e4f50 --row r000",
                "2 rows are the same as an earlier one",
            ],
        ),
        (
            "failing eval",
            [
                "Not to be trusted",
                "dev.score >= 0.80 0.7996 missed by 0.0004",
                "provider 9 unscored, left out",
                "phone note",
                "On the way: answer.extract",
                "when: was false",
                "The price of openai/gpt-4.1-mini is not known",
            ],
        ),
        (
            "weighed",
            ["Front: on dev, each better at something", "a row", "each with its candidate in compiled/front"],
        ),
        (
            "told",
            [
                "regression against baseline.json, 139 rows",
                "a fall of more than 2 points that is no chance",
                "passed 0.700 [0.62, 0.77]",
                "17 of 150 rows score differently from run to run",
                "Calibration calibration on dev",
                "0.1 – 0.2 9 0.150 0.071",
                "Runs not passed 1.000 billing 0.000 moving 0.000 failed: parse",
            ],
        ),
        ("start won", ["The start won", "Unchanged: the start won."]),
        ("nothing", ["Nothing was scored", "No rows stand in rows.jsonl"]),
    ],
)
def test_a_page_says_what_came_out(pages, name, parts):
    shown = Seen(pages[name]).shown()
    assert [part for part in parts if part not in shown] == []


def test_a_run_that_was_typed_can_be_typed_again(tmp_path):
    text = page(tmp_path, triage(), searched_rows()).read_text(encoding="utf-8")
    assert "promptc optimize spec.yaml" in Seen(text).shown()


def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the library that draws was never installed."""
    import sys

    monkeypatch.setitem(sys.modules, "vl_convert", None)


def test_without_the_library_that_draws_the_figures_stand_in_tables(pages, tmp_path, monkeypatch):
    without_plots(monkeypatch)
    text = page(tmp_path, triage(), searched_rows()).read_text(encoding="utf-8")
    drawn, bare = Seen(pages["triage"]), Seen(text)
    assert len(drawn.of("svg")) >= 8
    assert bare.of("svg") == []
    assert "pip install 'promptc[report]'" in bare.shown()
    assert "pip install" not in drawn.shown()
    figures = re.findall(r"\d\.\d{3}", drawn.shown())
    assert set(figures) <= set(re.findall(r"\d\.\d{3}", bare.shown()))


# Others' text


@pytest.mark.parametrize("payload", HARM)
def test_harm_is_text_and_nothing_else(tmp_path, payload):
    seen = Seen(page(tmp_path, hostile(payload), harmful_rows([payload])).read_text(encoding="utf-8"))
    assert len(seen.of("script")) == 1
    assert len(seen.of("style")) == 2
    assert {tag for tag, _ in seen.tags} & {"img", "iframe", "base", "object", "embed", "form"} == set()
    assert [a for a in seen.of("a") if not a["href"].startswith("#")] == []
    assert len(seen.of("meta")) == 5


def test_what_is_no_character_is_written_out(tmp_path):
    text = page(tmp_path, hostile("lone \ud800 half"), searched_rows(4)).read_text(encoding="utf-8")
    assert "lone \\ud800 half" in text


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_whatever_a_row_says_stays_text(tmp_path, text):
    said = {"outputs": {"queue": text}, "feedback": {"exact_match": text}, "inputs": {text: text}}
    content = page(tmp_path, failing_eval(), [row(0, 0.0, **said)], draw=lambda _: "<svg></svg>").read_text(
        "utf-8"
    )
    seen = Seen(content)
    assert len(seen.of("script")) == 1
    assert OBEYED.search(content.replace("\n", "")) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_whatever_a_slice_is_called_its_plot_is_a_picture(names):
    figures = {name: Figure(score=0.5, ci_low=0.4, ci_high=0.6, n=3) for name in names}
    split = SplitSummary(score=0.5, ci_low=0.4, ci_high=0.6, n=3, slices={"column": figures})
    details = ReportDetails(summary=Summary(command="eval", dev=split), spec_name="", run_directory="")
    for picture in slice_pictures(details, draw):
        tags = {tag for tag, _ in Seen(picture.wide).tags}
        assert tags <= {"svg", "g", "path", "line", "rect", "text"}


def test_equal_plots_are_drawn_alike():
    plot = bars([Bar(name="de", rows=9, score=0.5, low=0.4, high=0.6, start=0.3)], Size(300, 100))
    assert draw(plot) == draw(plot)
    assert "var(--accent)" in draw(plot)


# Which rows are shown


def test_failed_rows_come_first_then_the_lowest_scores_then_the_order_of_the_run(tmp_path):
    failure = {"kind": "parse", "message": "no"}
    rows = [row(0), row(1, 0.5), row(2, 0.0), row(3, None), row(4, 0.0, failure=failure), row(5, 0.0)]
    rows.append(row(6, None, failure=failure | {"kind": "provider"}))
    found = shown_rows(written(tmp_path, rows), Summary(command="eval"))
    assert [one.id for one in found.rows] == ["r004", "r006", "r002", "r005", "r001", "r000", "r003"]
    assert [one.outcome for one in found.rows] == [
        "failed", "failed", "wrong", "wrong", "partly", "right", "unjudged",
    ]  # fmt: skip


def test_the_rest_is_named(tmp_path):
    run = written(tmp_path, [row(n, n / 30) for n in range(30)])
    found = shown_rows(run, Summary(command="eval"), 4)
    assert ([one.id for one in found.rows], found.total) == (["r000", "r001", "r002", "r003"], 30)
    text = html_report(failing_eval(), run, {}, most_rows=4).decode()
    assert "The 4 rows that went worst, of 30 rows" in Seen(text).shown()
    assert "promptc report --rows 30" in Seen(text).shown()


def test_after_a_search_the_winners_rows_stand_beside_the_starts(tmp_path):
    found = shown_rows(written(tmp_path, searched_rows(15)), triage().summary)
    by_id = {one.id: one for one in found.rows}
    assert found.total == 15
    assert (by_id["r000"].move, by_id["r001"].move, by_id["r003"].move) == ("worse", "better", "same")
    assert [value.text for value in by_id["r001"].before] == ["billing"]


def test_where_the_start_won_its_own_rows_are_shown(tmp_path):
    found = shown_rows(written(tmp_path, searched_rows(15)[:15]), start_won().summary)
    assert (found.total, {one.move for one in found.rows}) == (15, {""})


def test_long_values_are_cut_and_say_by_how_much(tmp_path):
    long = "x" * 1_000_000
    found = shown_rows(written(tmp_path, [row(0, 0.0, outputs={"queue": long})]), Summary(command="eval"))
    (value,) = found.rows[0].outputs
    assert (len(value.text), value.left) == (LIMITS[0], 1_000_000 - LIMITS[0])
    assert len(found.rows[0].got) < 300


def test_many_long_rows_share_the_room_of_the_page(tmp_path):
    rows = [row(n, 0.0, outputs={"queue": "y" * 20_000}, inputs={"text": "z" * 20_000}) for n in range(1200)]
    found = shown_rows(written(tmp_path, rows), Summary(command="eval"))
    assert {len(one.outputs[0].text) for one in found.rows} == {2_000}
    assert {one.outputs[0].left for one in found.rows} == {18_000}


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        ("null", []),
        ('{"a": "b", "c": 1}', ["b", "1"]),
        ('["x"]', ['["x"]']),
        ('{"a": {"b": "ü"}}', ['{"b": "ü"}']),
        (json.dumps({f"k{n}": n for n in range(50)}), [*(str(n) for n in range(40)), "and 10 more fields"]),
    ],
)
def test_values_are_told_apart(raw, texts):
    assert [value.text for value in values(msgspec.Raw(raw.encode()))] == texts


def test_a_torn_last_line_is_left_out_and_a_broken_one_is_named(tmp_path):
    run = written(tmp_path, [row(0), row(1)])
    with (run / "rows.jsonl").open("a") as file:
        file.write('{"id": "torn')
    assert [line.id for line in row_lines(run)] == ["r000", "r001"]
    with (run / "rows.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(RunError, match=r"rows.jsonl:3: not a row of a run"):
        list(row_lines(run))


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(count: int) -> int:
        run = written(tmp_path / str(count), (row(n, float(n % 2)) for n in range(count)))
        tracemalloc.start()
        shown_rows(run, Summary(command="eval"), 50)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(20_000) < peak(1_000) * 1.5


# The search as points


def trial(number: int, score: float | None, spent: int | None, **rest: Any) -> TrialLine:
    cost = RoleCost(calls=spent, tokens=spent, usd=0.0) if spent is not None else None
    return TrialLine(number=number, candidate="x", origin="x", n=10, score=score, spent=cost, **rest)


def search(*trials: TrialLine) -> Summary:
    return Summary(command="optimize", trials=trials, winner=trials[-1])


def test_trials_that_were_tried_together_are_set_apart_evenly():
    summary = search(trial(0, 0.4, 10), trial(1, 0.5, 40), trial(2, None, 40), trial(3, 0.3, 40))
    points, across, unit = trial_points(summary)
    assert [(p.calls, p.best) for p in points] == [(10, 0.4), (20, 0.5), (40, 0.5)]
    assert (across, unit) == ("calls so far", "tokens")
    assert [p.mark for p in points] == ["start", "", "winner"]


def test_a_search_that_does_not_say_what_it_spent_is_shown_trial_by_trial():
    summary = search(trial(0, 0.4, None), trial(1, 0.5, None))
    points, across, _ = trial_points(summary)
    assert ([p.calls for p in points], [p.spent for p in points], across) == (
        [0.0, 1.0],
        [None, None],
        "trial",
    )


@pytest.mark.parametrize(
    ("rest", "unit", "prices"),
    [
        ({"cost": 0.02, "input_tokens": 90}, "US dollars per 1,000 rows", [2.0, 2.0]),
        ({"cost": 0.0, "input_tokens": 90, "output_tokens": 10}, "tokens per row", [10.0, 10.0]),
        ({"cost": None, "input_tokens": 90, "output_tokens": 10}, "tokens per row", [10.0, 10.0]),
        ({"prompt_characters": 500}, "characters of the prompt", [500.0, 500.0]),
        ({}, "", []),
    ],
)
def test_what_a_candidate_costs_is_said_in_the_best_unit_there_is(rest, unit, prices):
    summary = search(trial(0, 0.4, 10, **rest), trial(1, 0.5, 20, **rest))
    found, said = priced_points(summary, trial_points(summary)[0])
    assert (said, [p.price for p in found]) == (unit, prices)


def test_the_front_holds_what_none_beats_on_both():
    prices = ((0.4, 100), (0.7, 300), (0.6, 200), (0.5, 250), (0.7, 400))
    summary = search(*(trial(n, s, 10 * n + 10, prompt_characters=c) for n, (s, c) in enumerate(prices)))
    found, _ = priced_points(summary, trial_points(summary)[0])
    assert [p.front for p in found] == [True, True, True, False, False]


def test_a_single_interval_is_no_picture():
    (found, *_) = score_pictures(failing_eval(), draw)
    assert (found.wide, found.table.rows[0][2].text) == ("", "0.800")


def test_a_search_without_trials_has_no_plot():
    assert search_pictures(Summary(command="optimize"), draw) == []


# The confusion matrix


def test_cells_are_shaded_by_their_share_of_the_row():
    found = matrix({"confusion": {"a": {"a": 9, "b": 1}, "b": {"a": 3}}})
    assert found.columns == ("a", "b")
    assert [[(c.rows, c.level, c.right) for c in r.cells] for r in found.rows] == [
        [(9, 6, True), (1, 1, False)],
        [(3, 6, False), (0, 0, True)],
    ]
    assert [(r.label, r.support, r.recall) for r in found.rows] == [("a", 10, 0.9), ("b", 3, 0.0)]


def test_of_many_labels_those_with_the_most_mistakes_keep_their_own_line():
    confusion = {f"l{n}": {f"l{n}": 5, f"l{(n + 1) % 9}": int(n < 2)} for n in range(9)}
    found = matrix({"confusion": confusion}, most=4)
    assert (found.columns, found.merged) == (("l0", "l1", "l2", OTHERS), 6)
    assert sum(cell.rows for r in found.rows for cell in r.cells) == 9 * 5 + 2


@pytest.mark.parametrize("tally", [{}, {"confusion": None}, {"confusion": {}}, {"accuracy": 1.0}])
def test_a_tally_without_confusions_has_no_matrix(tally):
    assert matrix(tally) is None


# The prompt


def test_a_changed_line_is_marked_word_by_word():
    gone, come = word_changes("Route the message to the queue.", "Route each message to its queue.")
    assert gone == (
        ("Route ", False),
        ("the", True),
        (" message to ", False),
        ("the", True),
        (" queue.", False),
    )
    assert [text for text, changed in come if changed] == ["each", "its"]


def test_lines_with_little_in_common_are_not_marked():
    assert word_changes("abc def", "something else entirely") == (
        (("abc def", False),),
        (("something else entirely", False),),
    )


@given(st.text(max_size=40), st.text(max_size=40))
def test_marking_loses_nothing(before, after):
    gone, come = word_changes(before, after)
    assert ("".join(t for t, _ in gone), "".join(t for t, _ in come)) == (before, after)


@given(st.lists(st.sampled_from(["-a b c", "+a b d", " kept", "@@ -1 +1 @@", "+new"]), max_size=12))
def test_every_line_of_a_diff_is_shown_once(lines):
    shown = list(diff_lines(lines))
    assert [(line.sign, "".join(t for t, _ in line.words)) for line in shown] == [
        ("…", "") if line.startswith("@") else (line[0], line[1:]) for line in lines
    ]


def test_the_prompt_of_an_evaluation_is_shown_as_it_stands(tmp_path):
    texts = PredictorTexts(instructions="Say it.\nBriefly.", descriptions={"label": "a word"})
    details = msgspec.structs.replace(failing_eval(), start=Candidate(predictors={"answer": texts}))
    found = prompt_view(details, tmp_path)
    assert not found.compared
    assert found.texts == (
        ("answer", "instructions:\n  Say it.\n  Briefly.\ndescription of label:\n  a word"),
    )


def test_the_prompts_that_were_compiled_can_be_read_whole(tmp_path):
    (tmp_path / "compiled" / "prompts").mkdir(parents=True)
    (tmp_path / "compiled" / "prompts" / "answer.md").write_text("# Prompt <b>\n", encoding="utf-8")
    text = page(tmp_path, triage(), searched_rows()).read_text(encoding="utf-8")
    assert "# Prompt &lt;b&gt;" in text


# Colours


COLOR = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")


def themes() -> dict[str, dict[str, str]]:
    """The colours of light and dark, by name."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\n *\}", style, re.S)[:2]
    read = {
        name: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", text))
        for name, text in (("light", light), ("dark", dark))
    }
    assert read["light"].keys() == read["dark"].keys()
    return read


def contrast(one: str, other: str) -> float:
    """WCAG 2.1: (L1 + 0.05) / (L2 + 0.05)."""

    def luminance(color: str) -> float:
        parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_the_standard_says():
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "below", "least"),
    [
        *(
            (text, below, 4.5)
            for text in ("ink", "quiet", "good", "bad", "accent")
            for below in ("paper", "card")
        ),
        *((text, f"{text}-soft", 4.5) for text in ("good", "bad", "caution")),
        ("ink", "good-soft", 4.5),
        ("ink", "bad-soft", 4.5),
        ("paper", "ink", 4.5),
        ("start", "card", 3.0),
        ("start", "accent-soft", 3.0),
        ("accent", "accent-soft", 3.0),
        ("focus", "paper", 3.0),
    ],
)
def test_text_and_marks_stand_out(theme, text, below, least):
    colors = themes()[theme]
    assert contrast(colors[text], colors[below]) >= least
