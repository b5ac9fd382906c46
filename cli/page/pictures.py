"""From a run's figures to the plots of report.html, each with the table that says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from promptc.cli.page.drawing import Draw
from promptc.cli.page.plots import (
    Bar,
    Interval,
    Plot,
    Said,
    Size,
    TrialPoint,
    bars,
    intervals,
    reliability,
    score_against,
    trajectory,
)
from promptc.cli.page.tables import Table, bin_table, line_table, split_table
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.scores import Line, metric_lines, slice_lines, telling
from promptc.cli.reports.tallies import bins
from promptc.cli.untrusted import one_line
from promptc.runners.summary import Figure, SplitSummary, Summary, TrialLine

WIDE, NARROW = Size(345, 140), Size(200, 100)
"""The two drawings of a plot with names; the page shows the one that fits."""
WIDE_SEARCH, NARROW_SEARCH = Size(430, 0), Size(265, 0)
"""The two of a plot of trials."""
LONGEST_NAME = 60
MOST_BARS = 24


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A plot in two widths, what it shows in a sentence, and its figures. Without drawings the table stands alone."""

    title: str
    says: str
    table: Table | None = None
    wide: str = ""
    narrow: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


def score_pictures(details: ReportDetails, draw: Draw | None) -> list[Picture]:
    """Means per split, and per metric where there are several."""
    splits = details.splits()
    found = []
    if splits:
        lines = [line for name, split in splits for line in _intervals(name, split)]
        compared = any(split.start is not None for _, split in splits)
        found.append(
            _drawn(
                draw,
                lambda size: intervals(lines, size),
                title="Scores by split",
                says="Mean scores with their 95 % intervals, from 0 to 1",
                table=split_table(details),
                legend=_ARMS if compared else (),
                # One interval is no picture, and the headline has its figures.
                empty=len(lines) < 2,
            )
        )
    for name, split in splits[:1]:
        lines_ = metric_lines(split)
        if lines_:
            found.append(_bars(draw, f"Metrics on {name}", "metric", lines_))
    return found


def slice_pictures(details: ReportDetails, draw: Draw | None) -> list[Picture]:
    """The score per value of each sliced column, those that fell or score lowest where there are many."""
    return [
        _bars(draw, f"{one_line(column, 60)} on {name}", one_line(column, 60), lines)
        for name, split in details.splits()[:1]
        for column, lines in slice_lines(split).items()
    ]


def search_pictures(summary: Summary, draw: Draw | None) -> list[Picture]:
    """The trajectory of a search, and its trials by score and price; nothing where it cannot be drawn."""
    points, across, unit = trial_points(summary)
    if draw is None or not points:
        return []
    found = [
        Picture(
            title="Trajectory",
            says=f"Score on dev of every trial over {across}; the line is the best so far",
            wide=draw(trajectory(points, WIDE_SEARCH, across=across, spent=unit)),
            narrow=draw(trajectory(points, NARROW_SEARCH, across=across, spent=unit)),
            legend=_TRIALS,
        )
    ]
    priced, price = priced_points(summary, points)
    if len(priced) > 1:
        found.append(
            Picture(
                title="Score against cost",
                says=f"Score on dev over {price}; the dashed line joins trials that none beats on both",
                wide=draw(score_against(priced, WIDE_SEARCH, across=price)),
                narrow=draw(score_against(priced, NARROW_SEARCH, across=price)),
                legend=_TRIALS,
            )
        )
    return found


def calibration_picture(tally: Mapping[str, Any], draw: Draw | None) -> Picture | None:
    """What a metric of probabilities says of all rows together; None where it says nothing of the kind."""
    found = bins(tally)
    if not found:
        return None
    said = [
        Said(name=f"{one.low:.1f} to {one.high:.1f}", rows=one.rows, said=one.probability, came=one.came_true)
        for one in found
    ]
    return _drawn(
        draw,
        lambda size: reliability(said, Size(size.width - 60, 0)),
        title="Reliability",
        says="What was said against how often it came true; on the dashed line both are the same",
        table=bin_table(found),
    )


def trial_points(summary: Summary) -> tuple[list[TrialPoint], str, str]:
    """The valid trials as points, with the names of the horizontal axis and of what was spent.

    Trials that were tried together know one figure for what was spent by then; they are set apart evenly.
    """
    known = all(trial.spent is not None for trial in summary.trials)
    priced = known and any(trial.spent is not None and trial.spent.usd for trial in summary.trials)
    points: list[TrialPoint] = []
    best = 0.0
    for trial, calls, spent in _spread(summary.trials, priced) if known else _numbered(summary.trials):
        if trial.score is None:
            continue
        best = max(best, trial.score)
        points.append(_point(trial, summary, calls=calls, spent=spent, best=best))
    return points, "calls so far" if known else "trial", "US dollars" if priced else "tokens"


def priced_points(summary: Summary, points: Sequence[TrialPoint]) -> tuple[list[TrialPoint], str]:
    """The points with what each candidate costs to run: in dollars, else in tokens, else in characters."""
    by_name = {_trial_name(trial): trial for trial in summary.trials}
    trials = [by_name[point.name] for point in points]
    for unit, price in _PRICES:
        found = [price(trial) for trial in trials]
        if found and all(value is not None for value in found) and any(found):
            priced = [
                msgspec.structs.replace(point, price=value)
                for point, value in zip(points, found, strict=True)
            ]
            return [msgspec.structs.replace(p, front=_unbeaten(p, priced)) for p in priced], unit
    return [], ""


def _unbeaten(point: TrialPoint, others: Sequence[TrialPoint]) -> bool:
    price = point.price or 0.0
    return not any(
        (o.price or 0.0) <= price
        and o.score >= point.score
        and ((o.price or 0.0), o.score) != (price, point.score)
        for o in others
    )


def _dollars(trial: TrialLine) -> float | None:
    return trial.cost * 1000 / trial.n if trial.cost is not None and trial.n else None


def _tokens(trial: TrialLine) -> float | None:
    tokens = trial.input_tokens + trial.output_tokens
    return tokens / trial.n if tokens and trial.n else None


_PRICES: Sequence[tuple[str, Callable[[TrialLine], float | None]]] = (
    ("US dollars per 1,000 rows", _dollars),
    ("tokens per row", _tokens),
    ("characters of the prompt", lambda trial: float(trial.prompt_characters)),
)
_ARMS = (("won", "winner"), ("start", "start"))
_TRIALS = (("won", "winner, and the best so far"), ("start", "start"), ("tried", "other trials"))


def _spread(trials: Sequence[TrialLine], priced: bool) -> Iterator[tuple[TrialLine, float, float | None]]:
    calls = spent = 0.0
    wave: list[TrialLine] = []
    for number, trial in enumerate(trials):
        wave.append(trial)
        if trial.spent is None or (number + 1 < len(trials) and trials[number + 1].spent == trial.spent):
            continue
        amount = trial.spent.usd if priced else float(trial.spent.tokens)
        for place, member in enumerate(wave, start=1):
            share = place / len(wave)
            yield member, calls + (trial.spent.calls - calls) * share, spent + (amount - spent) * share
        calls, spent, wave = trial.spent.calls, amount, []


def _numbered(trials: Sequence[TrialLine]) -> Iterator[tuple[TrialLine, float, float | None]]:
    return ((trial, float(trial.number), None) for trial in trials)


def _point(
    trial: TrialLine, summary: Summary, *, calls: float, spent: float | None, best: float
) -> TrialPoint:
    score = trial.score or 0.0
    won = summary.winner is not None and trial.number == summary.winner.number
    return TrialPoint(
        name=_trial_name(trial),
        calls=calls,
        spent=spent,
        score=score,
        low=score if trial.ci_low is None else trial.ci_low,
        high=score if trial.ci_high is None else trial.ci_high,
        best=best,
        mark="winner" if won else "start" if trial.number == 0 else "",
    )


def _trial_name(trial: TrialLine) -> str:
    return f"trial {trial.number}, {one_line(trial.origin or 'candidate', 60)}"


def _intervals(name: str, split: SplitSummary) -> Iterator[Interval]:
    arms: list[tuple[str, Figure | SplitSummary, bool]] = [(name, split, True)]
    if split.start is not None:
        arms = [(f"{name}, start", split.start, False), (f"{name}, winner", split, True)]
    for label, figure, won in arms:
        if figure.score is not None and figure.ci_low is not None and figure.ci_high is not None:
            yield Interval(name=label, score=figure.score, low=figure.ci_low, high=figure.ci_high, won=won)


def _bars(draw: Draw | None, title: str, first: str, lines: Sequence[Line]) -> Picture:
    shown = telling(lines, MOST_BARS)
    drawable = [bar for line in shown if (bar := _bar(line)) is not None]
    compared = any(bar.start is not None for bar in drawable)
    left = len(lines) - len(shown)
    return _drawn(
        draw,
        lambda size: bars(drawable, size),
        title=title,
        says="Mean scores with their 95 % intervals" + (", and where the start was" if compared else ""),
        table=line_table(title, first, shown),
        legend=_ARMS if compared else (),
        note=f"and {left} more in summary.json" if left else "",
        empty=not drawable,
    )


def _bar(line: Line) -> Bar | None:
    now = line.now
    if now.score is None or now.ci_low is None or now.ci_high is None:
        return None
    start = line.before.score if line.before is not None else None
    return Bar(
        name=one_line(line.name, LONGEST_NAME),
        rows=now.n,
        score=now.score,
        low=now.ci_low,
        high=now.ci_high,
        start=start,
    )


def _drawn(
    draw: Draw | None,
    plot: Callable[[Size], Plot],
    *,
    title: str,
    says: str,
    table: Table,
    legend: tuple[tuple[str, str], ...] = (),
    note: str = "",
    empty: bool = False,
) -> Picture:
    picture = Picture(title=title, says=says, table=table, legend=legend, note=note)
    if draw is None or empty:
        return picture
    return msgspec.structs.replace(picture, wide=draw(plot(WIDE)), narrow=draw(plot(NARROW)))
