"""Ranks the cells of a sweep: who is best, who is as good, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.comparison import adjusted
from promptc.runners.corrections import holm
from promptc.runners.finished_run import ScoredRow
from promptc.runners.leaderboard import CellResult, CostMeasure, OnTest
from promptc.runners.run_rows import difference, paired
from promptc.runners.summary import Change, Figure, SplitSummary, Summary

UNTRUSTED = frozenset({6, 7})
"""Exit codes of figures that stand in no rank: not to be trusted, or not all there."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a cell: its summary with the rows of the sweep's split, or the error that ended it."""

    number: int
    directory: str
    values: dict[str, Any]
    summary: Summary | None = None
    rows: dict[str, ScoredRow] = {}
    exit_code: int = 0
    error: str = ""


def ranked(entries: Sequence[Entry], split: str) -> list[Entry]:
    """The cells that can be trusted, by score; of equals the cheaper one, then the earlier."""

    def order(entry: Entry) -> tuple[float, float, float, int]:
        figures = _figures(entry, split)
        usd, tokens = usd_per_1000_rows(figures), tokens_per_row(figures)
        return (
            -round(figures.score or 0.0, 12) if figures is not None else 0.0,
            usd if usd is not None else float("inf"),
            tokens if tokens is not None else float("inf"),
            entry.number,
        )

    return sorted((entry for entry in entries if _trusted(entry, split)), key=order)


def results(entries: Sequence[Entry], split: str) -> tuple[CellResult, ...]:
    """Every cell with its rank, its distance from the best, and what was found on test."""
    order = ranked(entries, split)
    distances = _distances(order)
    tested = _tested(entries)
    cells = [
        _result(entry, split, rank, distances.get(entry.number), tested)
        for rank, entry in enumerate(order, 1)
    ]
    rest = [entry for entry in entries if not _trusted(entry, split)]
    cells += [_result(entry, split, None, None, tested) for entry in rest]
    front = frontier(cells, cost_measure(cells))
    return tuple(msgspec.structs.replace(cell, frontier=cell.number in front) for cell in cells)


def cost_measure(cells: Sequence[CellResult]) -> CostMeasure:
    """Dollars where every cell has a price and one of them costs anything, else tokens."""
    known = [cell.usd_per_1000_rows for cell in cells if cell.rank is not None]
    priced = bool(known) and all(usd is not None for usd in known) and any(usd for usd in known)
    return "usd_per_1000_rows" if priced else "tokens_per_row"


def cost_of(cell: CellResult, measure: CostMeasure) -> float | None:
    """What a cell's program costs, in that measure."""
    return cell.usd_per_1000_rows if measure == "usd_per_1000_rows" else cell.tokens_per_row


def frontier(cells: Sequence[CellResult], measure: CostMeasure) -> frozenset[int]:
    """The numbers of the cells that no other one beats: as good for less, or better for as little."""
    points = [
        (cell.number, cell.score, cost)
        for cell in cells
        if cell.rank is not None and cell.score is not None and (cost := cost_of(cell, measure)) is not None
    ]
    return frozenset(
        number
        for number, score, cost in points
        if not any(
            other_score >= score and other_cost <= cost and (other_score, -other_cost) != (score, -cost)
            for _, other_score, other_cost in points
        )
    )


def usd_per_1000_rows(figures: SplitSummary | None) -> float | None:
    """What a thousand rows cost at recorded prices; None where a price is unknown."""
    if figures is None or figures.cost is None or not figures.rows:
        return None
    return round(1000 * figures.cost / figures.rows, 10)


def tokens_per_row(figures: SplitSummary | None) -> float | None:
    """Tokens in and out of the program, for a row."""
    if figures is None or not figures.rows:
        return None
    return round((figures.input_tokens + figures.output_tokens) / figures.rows, 6)


def _figures(entry: Entry, split: str) -> SplitSummary | None:
    return entry.summary.split(split) if entry.summary is not None else None


def _trusted(entry: Entry, split: str) -> bool:
    """True where the sweep's split was scored, and nothing is wrong with that; what is said of test does not matter."""
    figures = _figures(entry, split)
    if entry.summary is None or figures is None or figures.score is None:
        return False
    return not any(
        line.code in UNTRUSTED and line.message.startswith(f"{split}: ") for line in entry.summary.verdicts
    )


def _distances(order: Sequence[Entry]) -> dict[int, Change]:
    """How far every cell is from the best, by its number; p is adjusted over all of them."""
    if not order:
        return {}
    best = order[0]
    pairs = {entry.number: paired(best.rows, entry.rows).rows for entry in order[1:]}
    return adjusted({number: difference(rows) for number, rows in pairs.items() if rows})


def _tested(entries: Sequence[Entry]) -> Mapping[int, float]:
    """Holm's p for every cell whose winner was compared with its start on test, by number."""
    found = {
        entry.number: entry.summary.test.improvement.p
        for entry in entries
        if entry.summary is not None
        and entry.summary.command == "optimize"
        and entry.summary.test is not None
        and entry.summary.test.improvement is not None
    }
    return dict(zip(found, holm(list(found.values())), strict=True))


def _result(
    entry: Entry, split: str, rank: int | None, distance: Change | None, tested: Mapping[int, float]
) -> CellResult:
    plain = CellResult(
        number=entry.number,
        directory=entry.directory,
        values=entry.values,
        rank=rank,
        exit_code=entry.exit_code,
        error=entry.error,
    )
    summary, figures = entry.summary, _figures(entry, split)
    if summary is None:
        return plain
    known = msgspec.structs.replace(
        plain,
        identity=summary.identity,
        calls=summary.calls,
        tokens=summary.tokens,
        usd=summary.usd,
        prompt_characters=summary.winner.prompt_characters if summary.winner is not None else None,
        test=_test(summary, tested.get(entry.number)) if summary.command == "optimize" else None,
    )
    if figures is None:
        return known
    return msgspec.structs.replace(
        known,
        score=figures.score,
        ci_low=figures.ci_low,
        ci_high=figures.ci_high,
        n=figures.n,
        start=_figure(figures.start),
        to_best=distance,
        usd_per_1000_rows=usd_per_1000_rows(figures),
        tokens_per_row=tokens_per_row(figures),
    )


def _figure(split: SplitSummary | None) -> Figure | None:
    if split is None:
        return None
    return Figure(score=split.score, ci_low=split.ci_low, ci_high=split.ci_high, n=split.n)


def _test(summary: Summary, p_adjusted: float | None) -> OnTest | None:
    test = summary.test
    if test is None:
        return None
    return OnTest(
        score=test.score,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        n=test.n,
        start=_figure(test.start),
        improvement=test.improvement,
        p_adjusted=p_adjusted,
    )
