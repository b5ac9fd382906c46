"""Tables of report.html: figures that a plot shows too, and those that only a table can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.facts import best_trials, spent
from promptc.cli.reports.figures import (
    MISSING,
    change,
    count,
    dollars,
    interval,
    probability,
    score,
    signed_interval,
)
from promptc.cli.reports.front import ASIDE, shown
from promptc.cli.reports.scores import ADJUSTED, Line
from promptc.cli.reports.tallies import Bin, fields, figure, scalars
from promptc.runners.failures import SCORED_AS_ZERO
from promptc.runners.summary import FRONT_FOLDER, Figure, SplitSummary, Summary

MOST_TRIALS = 60

Tone = Literal["", "good", "bad", "quiet", "strong"]


class Cell(msgspec.Struct, frozen=True):
    """A text in a table, how it is meant, and what stands small below it."""

    text: str
    tone: Tone = ""
    note: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table with a caption. Columns in `right` hold figures; the first cell of a row is its header."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: tuple[int, ...] = ()
    note: str = ""


def split_table(details: ReportDetails) -> Table:
    """Every scored split: its mean with interval, and after a search the start's and the difference."""
    splits = details.splits()
    if all(split.start is None for _, split in splits):
        rows = tuple((Cell(n), Cell(count(s.n)), _measured(s, "strong")) for n, s in splits)
        return Table(caption="Scores by split", header=("split", "rows", "score"), rows=rows, right=(1, 2))
    return Table(
        caption="Scores by split, start and winner",
        header=("split", "rows", "start", "winner", "change", "p"),
        rows=tuple(_compared(name, split) for name, split in splits),
        right=(1, 2, 3, 4, 5),
    )


def _compared(name: str, split: SplitSummary) -> tuple[Cell, ...]:
    cells = (Cell(name), Cell(count(split.n)), _measured(split.start, "quiet"), _measured(split, "strong"))
    found = split.improvement
    if found is None:
        return *cells, Cell(MISSING), Cell(MISSING)
    tone: Tone = "good" if found.ci_low > 0 else "bad" if found.ci_high < 0 else ""
    moved = Cell(change(found.difference), tone, signed_interval(found.ci_low, found.ci_high))
    return *cells, moved, Cell(_p(found.p))


def _measured(figure: Figure | SplitSummary | None, tone: Tone) -> Cell:
    if figure is None:
        return Cell(MISSING, tone)
    return Cell(score(figure.score), tone, interval(figure.ci_low, figure.ci_high))


def line_table(caption: str, first: str, lines: Sequence[Line]) -> Table:
    """Named figures with their intervals; beside them those of the start, how far each moved, and how surely."""
    if not any(line.before is not None for line in lines):
        rows = tuple((Cell(ln.name), Cell(count(ln.now.n)), _measured(ln.now, "strong")) for ln in lines)
        return Table(caption=caption, header=(first, "rows", "score"), rows=rows, right=(1, 2))
    tested = any(line.p is not None for line in lines)
    return Table(
        caption=caption,
        header=(first, "rows", "start", "winner", "change", *(("p",) if tested else ())),
        rows=tuple(_moved(line, tested) for line in lines),
        right=(1, 2, 3, 4, *((5,) if tested else ())),
        note=ADJUSTED if tested else "",
    )


def _moved(line: Line, tested: bool) -> tuple[Cell, ...]:
    tone: Tone = "bad" if line.fell else "good" if (line.change or 0) > 0 else ""
    moved = change(line.change) + (" ▼" if line.fell else "")
    figures = _measured(line.before, "quiet"), _measured(line.now, "strong")
    p = (Cell(MISSING if line.p is None else _p(line.p)),) if tested else ()
    return Cell(line.name), Cell(count(line.now.n)), *figures, Cell(moved, tone), *p


def _p(value: float) -> str:
    return probability(value).removeprefix("p ").removeprefix("= ")


def bin_table(bins: Sequence[Bin]) -> Table:
    """What was said, and how often it came true."""
    return Table(
        caption="What was said, and how often it came true",
        header=("said", "rows", "mean", "came true"),
        rows=tuple(
            (
                Cell(f"{one.low:.1f} – {one.high:.1f}"),
                Cell(count(one.rows)),
                Cell(score(one.probability), "quiet"),
                Cell(score(one.came_true), "strong"),
            )
            for one in bins
        ),
        right=(1, 2, 3),
    )


def trial_table(summary: Summary) -> Table:
    """The trials, the winner first, then by score."""
    shown = best_trials(summary, MOST_TRIALS)
    winner = summary.winner.number if summary.winner is not None else None
    rows = []
    for trial in shown:
        price = dollars(trial.cost) if trial.cost is not None else MISSING
        rows.append(
            (
                Cell(f"{count(trial.number)}{' ★ winner' if trial.number == winner else ''}"),
                Cell(trial.origin),
                Cell(
                    score(trial.score) if trial.score is not None else "invalid",
                    "strong",
                    interval(trial.ci_low, trial.ci_high),
                ),
                Cell(count(trial.prompt_characters) if trial.prompt_characters else MISSING),
                Cell(count(trial.input_tokens + trial.output_tokens)),
                Cell(price),
            )
        )
    left = len(summary.trials) - len(shown)
    return Table(
        caption="Trials, the winner first",
        header=("trial", "origin", "dev", "characters", "tokens", "cost"),
        rows=tuple(rows),
        right=(2, 3, 4, 5),
        note=f"and {count(left)} more in trials.jsonl" if left > 0 else "",
    )


def front_table(summary: Summary) -> Table:
    """The trials that no other beats at all objectives, with their figures on dev."""
    rows = tuple(
        (
            Cell(f"{count(member.number)}{' ★ winner' if member.won else ''}"),
            Cell(member.origin),
            *(
                Cell(shown(name, member.figures.get(name)), "strong" if member.won else "")
                for name in summary.objectives
            ),
        )
        for member in summary.front
    )
    header = ("trial", "origin", *summary.objectives)
    return Table(
        caption=f"Front: {ASIDE}",
        header=header,
        rows=rows,
        right=tuple(range(2, len(header))),
        note=f"each with its candidate in {FRONT_FOLDER}",
    )


def tally_table(caption: str, tally: Mapping[str, Any], before: Mapping[str, Any]) -> Table:
    """The single numbers of a metric over all rows, and its mean by path where it looks into objects."""
    olds, paths, old_paths = scalars(before), fields(tally), fields(before)
    rows = [
        (Cell(name), _old(olds.get(name)), Cell(figure(value), "strong"))
        for name, value in scalars(tally).items()
    ]
    for path, found in sorted(paths.items()):
        old = old_paths.get(path)
        rows.append((Cell(path), _old(old.score if old else None), Cell(score(found.score), "strong")))
    if not before:
        return Table(
            caption=caption, header=("", "figure"), rows=tuple((a, c) for a, _, c in rows), right=(1,)
        )
    return Table(caption=caption, header=("", "start", "winner"), rows=tuple(rows), right=(1, 2))


def _old(value: float | None) -> Cell:
    return Cell(figure(value) if value is not None else MISSING, "quiet")


def failure_table(details: ReportDetails) -> Table:
    """Failed rows by kind and split, and what a kind means for the score."""
    splits = details.splits()
    kinds = sorted({kind for _, split in splits for kind in split.failures})
    rows = tuple(
        (
            Cell(kind),
            *(Cell(count(split.failures.get(kind, 0))) for _, split in splits),
            Cell("counts as 0" if kind in SCORED_AS_ZERO else "unscored, left out", "quiet"),
        )
        for kind in kinds
    )
    return Table(
        caption="Failed rows by kind",
        header=("kind", *(name for name, _ in splits), "meaning"),
        rows=rows,
        right=tuple(range(1, len(splits) + 1)),
    )


def cost_table(details: ReportDetails) -> Table:
    """Calls, tokens and dollars by role, at recorded prices."""
    summary = details.summary
    rows: list[tuple[Cell, ...]] = [
        (Cell(role), Cell(count(part.calls)), Cell(count(part.tokens)), Cell(dollars(part.usd)))
        for role, part in sorted(summary.cost.items())
    ]
    if len(rows) != 1:
        whole = (count(summary.calls), count(summary.tokens), spent(details))
        rows.append((Cell("total", "strong"), *(Cell(text, "strong") for text in whole)))
    return Table(
        caption="Cost by role, at recorded prices",
        header=("role", "calls", "tokens", "cost"),
        rows=tuple(rows),
        right=(1, 2, 3),
    )
