"""The leaderboard as a person reads it, and the figures behind it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_cases import HOSTILE, OBEYED, SGR, figure, put_on_screen, split

from promptc.cli.reports.files import text_of
from promptc.cli.reports.look import Look
from promptc.cli.reports.scatter import Point, scatter
from promptc.cli.reports.sweep import sweep_report
from promptc.cli.reports.sweep_details import Answer, Differing, DifferingRow, SweepDetails
from promptc.cli.reports.sweep_files import sweep_markdown, sweep_reports
from promptc.cli.reports.sweep_words import sweep_verdict
from promptc.runners.finished_run import ScoredRow
from promptc.runners.leaderboard import CellResult, Leaderboard, OnTest
from promptc.runners.ranking import Entry, cost_measure, frontier, ranked, results
from promptc.runners.summary import Change, Improvement, Summary, VerdictLine

GOLDEN = Path(__file__).parent / "golden" / "sweeps"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"


def change(difference: float, low: float, high: float, p: float, adjusted: float) -> Change:
    return Change(
        difference=difference,
        ci_low=low,
        ci_high=high,
        p=p,
        p_adjusted=adjusted,
        n=110,
        wins=4,
        ties=90,
        losses=16,
    )


def cell(
    number: int, rank: int | None, score: float, usd: float | None, tokens: float, **rest: Any
) -> CellResult:
    models = ("openai/gpt-4.1", "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "ollama/llama3.2")
    return CellResult(
        number=number,
        directory=f"cell-{number}",
        values={
            "models.task": models[(number - 1) % 4],
            "optimizer": {"gepa": {"minibatch": 10, "merge": True}},
        },
        rank=rank,
        score=score,
        ci_low=score - 0.08,
        ci_high=score + 0.07,
        n=110,
        usd_per_1000_rows=usd,
        tokens_per_row=tokens,
        calls=900 + number,
        tokens=90_000,
        usd=0.12 * number,
        **rest,
    )


def evaluated() -> SweepDetails:
    """Three models with prices, of which the cheap one is as good as the best."""
    cells = (
        cell(1, 1, 0.854, 1.43, 512, frontier=True),
        cell(2, 2, 0.836, 0.21, 498, frontier=True, to_best=change(-0.018, -0.08, 0.04, 0.55, 0.55)),
        cell(3, 3, 0.627, 0.84, 530, to_best=change(-0.227, -0.32, -0.14, 0.00001, 0.00002)),
    )
    row = DifferingRow(
        id="t002",
        inputs="Is it possible to get the invoice on the 20th rather than the 1st? My pension arrives mid month.",
        expected="billing",
        answers=(Answer(1, 1.0, "billing"), Answer(2, 1.0, "billing"), Answer(3, 0.0, "contract")),
    )
    graded = DifferingRow(
        id="t003",
        inputs="Zähler",
        expected="",
        answers=(Answer(1, 0.5, "a: 1, b: 2"), Answer(2, 1.0, "a: 1, b: 3"), Answer(3, 0.0, "parse: no b")),
    )
    return SweepDetails(
        board=Leaderboard(
            command="eval", name="support-triage", identity="a" * 32, split="dev", keys=("models.task",),
            complete=True, cost_measure="usd_per_1000_rows", best="cell-1", cells=cells,
        ),
        run_directory="runs/support-triage-eval-sweep-0123456789ab",
        latencies={"cell-1": 1.21, "cell-2": 0.62, "cell-3": None},
        differing=Differing(rows=(row, graded), count=31, common=110),
    )  # fmt: skip


def searched() -> SweepDetails:
    """A search in four cells: one failed, one cannot be trusted, prices are unknown."""
    improvement = Improvement(
        difference=0.2, ci_low=0.11, ci_high=0.29, p=0.0001, wins=30, ties=70, losses=8, verdict="improvement"
    )
    tested = OnTest(
        score=0.81, ci_low=0.73, ci_high=0.87, n=108, start=figure(0.61, 0.52, 0.7, 108), improvement=improvement,
        p_adjusted=0.0001,
    )  # fmt: skip
    cells = (
        cell(2, 1, 0.84, None, 1900, frontier=True, test=tested, start=figure(0.6, 0.5, 0.7, 110)),
        cell(1, 2, 0.71, None, 640, frontier=True, to_best=change(-0.13, -0.2, -0.06, 0.002, 0.002)),
        cell(3, None, 0.9, None, 700),
        msgspec.structs.replace(
            cell(4, None, 0.0, None, 0), score=None, error="Incorrect API key provided", exit_code=6
        ),
    )
    return SweepDetails(
        board=Leaderboard(
            command="optimize", name="support-triage", identity="b" * 32, split="dev",
            keys=("models.task", "optimizer"), share={"calls": 500}, complete=False,
            cost_measure="tokens_per_row", best="cell-2", cells=cells, exit_code=6,
            verdicts=(VerdictLine(code=6, message="models.task=ollama/llama3.2: Incorrect API key provided"),),
            notes=("proposer: each cell asks its own task model; models.proposer would be the same for all",),
        ),
        run_directory="runs/support-triage-optimize-sweep-0123456789ab",
        latencies={"cell-2": 0.9},
    )  # fmt: skip


CASES = {"evaluated": evaluated, "searched": searched}
FORMS = {
    "80.txt": lambda d: text_of(sweep_report(d), 80),
    "120.txt": lambda d: text_of(sweep_report(d), 120),
    "80.terminal.txt": lambda d: put_on_screen(sweep_report(d), 80, {"NO_COLOR": "1"}),
    "80.ascii.txt": lambda d: put_on_screen(sweep_report(d), 80, {"NO_COLOR": "1"}, encoding="ascii"),
    "md": sweep_markdown,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_the_report_is_as_it_was(case, form):
    path = GOLDEN / f"{case}.{form}"
    shown = FORMS[form](CASES[case]())
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8", newline="")
    assert shown == path.read_bytes().decode()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [60, 80, 100, 160, 240])
def test_no_line_is_wider_than_the_window(case, width):
    shown = put_on_screen(sweep_report(CASES[case]()), width, {})
    assert max(len(line) for line in SGR.sub("", shown).splitlines()) <= width


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_others_text_is_never_more_than_text(payload):
    row = DifferingRow(id=payload, inputs=payload, expected=payload, answers=(Answer(1, None, payload),))
    plain = evaluated()
    cells = [
        msgspec.structs.replace(c, values={"instructions": payload}, error=payload) for c in plain.board.cells
    ]
    cells.append(msgspec.structs.replace(cells[0], rank=None))
    board = msgspec.structs.replace(plain.board, cells=tuple(cells), name=payload, notes=(payload,))
    hostile = msgspec.structs.replace(
        plain, board=board, run_directory=payload, differing=Differing(rows=(row,), count=1, common=1)
    )
    shown = SGR.sub("", put_on_screen(sweep_report(hostile), 80, {}))
    assert OBEYED.search(shown) is None
    assert len(shown) < 60_000
    markdown = sweep_reports(hostile)["report.md"].decode()
    assert not {"script", "img"} & set(
        re.findall(r"<(\w+)", MarkdownIt("commonmark").enable("table").render(markdown))
    )
    assert OBEYED.search(markdown) is None


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (
            evaluated(),
            "; 1 of 2 others is not significantly worse, and models.task=openai/gpt-4.1-mini costs less",
        ),
        (searched(), "Unfinished: 1 of 4 cells failed. Best on dev: models.task=openai/gpt-4.1-mini"),
        (searched(), "; on test 0.810 [0.73, 0.87], +0.200 over its start (95 % CI 0.11 to 0.29, p < 0.001)"),
    ],
)
def test_the_verdict_says_who_is_best_and_how_sure_that_is(details, words):
    assert words in sweep_verdict(details.board).sentence


def rows_of(scores: list[float | None]) -> dict[str, ScoredRow]:
    return {f"r{n}": ScoredRow(id=f"r{n}", digest=f"d{n}", score=score) for n, score in enumerate(scores)}


def entry(
    number: int, scores: list[float | None], *, cost: float | None = 0.0, verdicts: tuple = ()
) -> Entry:
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known)
    figures = split(mean, mean, mean, len(known), input_tokens=100 * number, output_tokens=0)
    figures = msgspec.structs.replace(figures, cost=cost)
    return Entry(
        number=number, directory=str(number), values={}, rows=rows_of(scores),
        summary=Summary(command="eval", dev=figures, verdicts=verdicts),
    )  # fmt: skip


def test_cells_are_ranked_by_score_then_by_what_they_cost():
    entries = [
        entry(1, [1, 0]),
        entry(2, [1, 1], cost=0.2),
        entry(3, [1, 1], cost=0.1),
        entry(4, [1, 1], cost=None),
    ]
    assert [one.number for one in ranked(entries, "dev")] == [3, 2, 4, 1]


@pytest.mark.parametrize(
    ("verdict", "trusted"),
    [
        (VerdictLine(code=6, message="dev: 3 of 9 rows have no score"), False),
        (VerdictLine(code=7, message="dev: the budget ended with 3 of 9 rows not asked"), False),
        (VerdictLine(code=6, message="test: 3 of 9 rows have no score"), True),
        (VerdictLine(code=7, message="gate without a figure: dev.slices.a.b.score >= 1"), True),
        (VerdictLine(code=1, message="gate failed: dev.score >= 0.9"), True),
    ],
)
def test_only_what_is_wrong_with_the_ranked_split_costs_a_rank(verdict, trusted):
    cells = results([entry(1, [1, 0], verdicts=(verdict,)), entry(2, [0, 0])], "dev")
    assert [cell.rank for cell in cells] == ([1, 2] if trusted else [1, None])


def test_p_is_adjusted_over_all_cells_beside_the_best():
    """McNemar's p for 6 against 0 changed rows is 2/64, for 8 it is 2/256; Holm doubles the smaller one."""
    best = [1.0] * 10
    cells = results([entry(1, best), entry(2, [0] * 6 + [1] * 4), entry(3, [0] * 8 + [1] * 2)], "dev")
    found = {cell.number: cell.to_best for cell in cells if cell.to_best is not None}
    assert {number: (one.p, one.p_adjusted) for number, one in found.items()} == {
        2: (pytest.approx(2 / 64), pytest.approx(2 / 64)),
        3: (pytest.approx(2 / 256), pytest.approx(4 / 256)),
    }


def test_rows_with_other_content_are_no_pairs():
    one, other = entry(1, [1, 1, 1]), entry(2, [0, 0, 0])
    changed = {name: msgspec.structs.replace(row, digest="other") for name, row in other.rows.items()}
    cells = results([one, msgspec.structs.replace(other, rows=changed)], "dev")
    assert [cell.to_best for cell in cells] == [None, None]


def test_costs_are_dollars_only_where_all_prices_are_known():
    priced = [cell(1, 1, 0.9, 1.0, 10), cell(2, 2, 0.8, 0.0, 5)]
    assert cost_measure(priced) == "usd_per_1000_rows"
    assert cost_measure([*priced, cell(3, 3, 0.7, None, 5)]) == "tokens_per_row"
    assert cost_measure([cell(1, 1, 0.9, 0.0, 10)]) == "tokens_per_row"


POINTS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=12)


@given(POINTS)
def test_on_the_frontier_is_what_no_other_cell_beats(points):
    cells = [cell(n, n, score / 10, None, cost) for n, (score, cost) in enumerate(points, 1)]
    found = frontier(cells, "tokens_per_row")
    assert found
    for number, (score, cost) in enumerate(points, 1):
        beaten = any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in points)
        assert (number in found) == (not beaten)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6)), min_size=1, max_size=40), st.integers(30, 200))
def test_every_point_is_drawn_within_the_window(points, width):
    drawn = scatter(
        [Point(x, y, "*") for y, x in points],
        Look(width=width),
        x=lambda v: f"{v:.0f}",
        y=lambda v: f"{v:.3f}",
    )
    assert all(line.cell_len <= width for line in drawn)
    assert 1 <= "".join(line.plain for line in drawn).count("*") <= len(points)
