"""The figures of a run as sections of a report: scores, metrics, slices, tallies, failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.details import ReportDetails, is_search
from promptc.cli.reports.figures import (
    change,
    count,
    counted,
    interval,
    probability,
    score,
    signed_interval,
)
from promptc.cli.reports.look import (
    ACCENT,
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    Look,
    Plot,
    bold,
    grid,
    plot,
    quiet,
    section,
)
from promptc.cli.reports.tallies import confusions, fields, figure, scalars
from promptc.cli.untrusted import one_line, plain
from promptc.runners.failures import SCORED_AS_ZERO
from promptc.runners.summary import Figure, Improvement, SplitSummary

MOST_SLICES = 8
LONGEST_NAME = 28
INDENT, GAP = 2, 2
INTERVAL = 16
"""Columns of an interval: two signed numbers with three decimals would be `[-0.004, +0.123]`."""


class Line(msgspec.Struct, frozen=True):
    """A named figure, with what it was for the start where there is one."""

    name: str
    before: Figure | None
    now: Figure

    @property
    def change(self) -> float | None:
        """How far the score moved; None where it is not on both sides."""
        if self.before is None or self.before.score is None or self.now.score is None:
            return None
        return self.now.score - self.before.score

    @property
    def fell(self) -> bool:
        """True where the score is lower than the start's."""
        return self.change is not None and self.change < 0


def scores(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Means with intervals per split, before and after, and the gap between dev and test."""
    splits = details.splits()
    if not splits:
        return []
    place, taken = common_plot(details, look), _taken_by_scores(details)
    rows: list[list[RenderableType]] = [["", "", "", "", place.axis(taken)]] if place.width else []
    for name, split in splits:
        rows += _split_rows(name, split, place, taken)
    metrics = list(splits[0][1].metrics)
    aside = [f"{name} {counted(split.n, 'row')}" for name, split in splits]
    if len(metrics) == 1:
        aside.insert(0, one_line(metrics[0], LONGEST_NAME))
    parts: list[RenderableType] = [grid(rows, right=(2,))]
    parts += _gap(dict(splits))
    return section("Scores", parts, aside=f" {look.marks.dot} ".join(aside))


def common_plot(details: ReportDetails, look: Look) -> Plot:
    """One place for the charts of scores, metrics and slices, so that they can be compared by eye."""
    taken = [_taken_by_scores(details)]
    for _, split in details.splits()[:1]:
        groups = [*split.slices.values(), *([split.metrics] if len(split.metrics) > 1 else [])]
        taken += [_taken_by_lines([Line(n, None, f) for n, f in g.items()], split.start is not None) for g in groups]
    return plot(look, max(taken))


def _taken_by_scores(details: ReportDetails) -> int:
    names = max(len(name) for name, _ in details.splits())
    return INDENT + names + GAP + (6 + GAP + 6 if is_search(details.summary) else GAP + 5) + GAP + INTERVAL + GAP


def _split_rows(name: str, split: SplitSummary, place: Plot, taken: int) -> list[list[RenderableType]]:
    if split.start is None:
        return [[name, "", *_mean(split, place, taken, ACCENT)]]
    rows: list[list[RenderableType]] = [
        [name, quiet("start"), *_mean(split.start, place, taken, QUIET)],
        ["", "winner", *_mean(split, place, taken, _color(split.improvement))],
    ]
    if split.improvement is not None:
        rows.append(["", "change", *_improvement(split.improvement, place.look)])
    return rows


def _mean(figure: Figure | SplitSummary, place: Plot, taken: int, style: str) -> list[RenderableType]:
    low, middle, high = figure.ci_low, figure.score, figure.ci_high
    if low is None or middle is None or high is None:
        return [score(middle), "", ""]
    brackets = Text(interval(low, high).ljust(INTERVAL), style=QUIET)
    return [bold(score(middle)), brackets, place.interval(taken, low, middle, high, style)]


def _improvement(improvement: Improvement, look: Look) -> list[RenderableType]:
    compared = improvement.wins + improvement.ties + improvement.losses
    words = probability(improvement.p)
    if compared:
        tally = f"{count(improvement.wins)} better, {count(improvement.ties)} same, {count(improvement.losses)} worse"
        words += f" {look.marks.dot} {tally}"
    return [
        Text(change(improvement.difference), style=f"bold {_color(improvement)}"),
        quiet(signed_interval(improvement.ci_low, improvement.ci_high)),
        quiet(words),
    ]


def _color(improvement: Improvement | None) -> str:
    if improvement is None:
        return CAUTION
    return GOOD if improvement.ci_low > 0 else BAD if improvement.ci_high < 0 else CAUTION


def _gap(splits: Mapping[str, SplitSummary]) -> list[RenderableType]:
    dev, test = splits.get("dev"), splits.get("test")
    if dev is None or test is None or dev.score is None or test.score is None:
        return []
    gap = dev.score - test.score
    if score(dev.score) == score(test.score):
        return [quiet("gap   dev and test score the same")]
    words = f"gap   dev is {score(abs(gap))} {'above' if gap > 0 else 'below'} test"
    if test.ci_low is not None and test.ci_high is not None:
        inside = test.ci_low <= dev.score <= test.ci_high
        words += ", within test's interval" if inside else ", outside test's interval"
    return [quiet(words)]


def metrics(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Every metric's mean on the split that matters most, where there is more than one metric."""
    for name, split in details.splits()[:1]:
        if len(split.metrics) > 1:
            before = split.start.metrics if split.start is not None else {}
            lines = [Line(metric, before.get(metric), figure) for metric, figure in split.metrics.items()]
            return section("Metrics", [_lines(lines, common_plot(details, look))], aside=f"on {name}")
    return []


def slices(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The score per value of each sliced column; what fell is marked."""
    shown: list[RenderableType] = []
    for name, split in details.splits()[:1]:
        before = split.start.slices if split.start is not None else {}
        for column, figures in split.slices.items():
            olds = before.get(column, {})
            lines = [Line(value, olds.get(value), figure) for value, figure in figures.items()]
            chosen = telling(lines)
            parts: list[RenderableType] = [_lines(chosen, common_plot(details, look))] if chosen else []
            if len(chosen) < len(lines):
                rest = len(lines) - len(chosen)
                parts.append(quiet(f"and {counted(rest, 'more value')} in summary.json"))
            shown += section(f"By {one_line(column, LONGEST_NAME)}", parts, aside=f"on {name}")
    return shown


def telling(lines: Sequence[Line], limit: int = MOST_SLICES) -> list[Line]:
    """The lines worth showing, in their order: those that fell most, then those that score lowest."""
    ranked = sorted(
        range(len(lines)),
        key=lambda i: (min(lines[i].change or 0.0, 0.0), 1.0 if (s := lines[i].now.score) is None else s, i),
    )
    return [lines[i] for i in sorted(ranked[:limit])]


def _lines(lines: Sequence[Line], place: Plot) -> RenderableType:
    compared = any(line.before is not None for line in lines)
    taken = _taken_by_lines(lines, compared)
    rows = [
        [
            plain(one_line(line.name, LONGEST_NAME)),
            quiet(_rows(line.now.n)),
            *(_compared(line, place, taken) if compared else _mean(line.now, place, taken, ACCENT)),
        ]
        for line in lines
    ]
    return grid(rows, right=(1,))


def _taken_by_lines(lines: Sequence[Line], compared: bool) -> int:
    # Measured in cells, since a name may hold characters that are two cells wide.
    names = max((plain(one_line(line.name, LONGEST_NAME)).cell_len for line in lines), default=0)
    counts = max((len(_rows(line.now.n)) for line in lines), default=0)
    figures = 5 + GAP + 5 + GAP + 8 if compared else 5 + GAP + INTERVAL
    return INDENT + names + GAP + counts + GAP + figures + GAP


def _rows(number: int) -> str:
    return f"{count(number)} rows" if number != 1 else "1 row "


def _compared(line: Line, place: Plot, taken: int) -> list[RenderableType]:
    before = line.before.score if line.before is not None else None
    moved = line.change
    if moved is None or before is None or line.now.score is None:
        return [quiet(score(before)), bold(score(line.now.score)), "", ""]
    style = GOOD if moved > 0 else BAD if moved < 0 else QUIET
    mark = place.look.marks.fell if line.fell else " "
    return [
        quiet(score(before)),
        bold(score(line.now.score)),
        Text(f"{change(moved)} {mark}".rjust(8), style=style),
        place.change(taken, before, line.now.score),
    ]


def tallies(details: ReportDetails, look: Look) -> list[RenderableType]:
    """What metrics say of all rows together: means over labels, and the largest confusions."""
    shown: list[RenderableType] = []
    for name, split in details.splits()[:1]:
        olds = split.start.tallies if split.start is not None else {}
        for metric, tally in split.tallies.items():
            parts = _tally(tally, olds.get(metric, {}), look)
            title = "Labels" if "confusion" in tally else "Fields" if "fields" in tally else "All rows together"
            shown += section(title, parts, aside=f"{one_line(metric, LONGEST_NAME)} on {name}")
    return shown


def _tally(tally: Mapping[str, Any], before: Mapping[str, Any], look: Look) -> list[RenderableType]:
    numbers = scalars(before)
    rows: list[list[RenderableType]] = []
    for name, value in scalars(tally).items():
        old = numbers.get(name)
        was = quiet(f"{figure(old)} {look.marks.arrow}") if old is not None else ""
        rows.append([name, was, Text(figure(value), style="bold")])
    parts: list[RenderableType] = [grid(rows, right=(1, 2))] if rows else []
    paths = fields(tally)
    if paths:
        olds = fields(before)
        lines = [Line(path, olds.get(path), value) for path, value in paths.items()]
        chosen = telling(lines)
        compared = any(line.before is not None for line in chosen)
        parts.append(_lines(chosen, plot(look, _taken_by_lines(chosen, compared))))
    found = confusions(tally)
    if found:
        parts.append(quiet("most often taken for another:"))
        parts.append(
            grid(
                [
                    [
                        plain(one_line(f.expected, LONGEST_NAME)),
                        quiet(look.marks.arrow),
                        plain(one_line(f.predicted, LONGEST_NAME)),
                        quiet(f"{count(f.rows)} of {count(f.support)}"),
                    ]
                    for f in found
                ],
                right=(3,),
            )
        )
    return parts


def failures(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Failed rows by kind and split, and whether a kind counts as 0 or is left out."""
    splits = details.splits()
    kinds = sorted({k for _, s in splits for k in (*s.failures, *(s.start.failures if s.start else ()))})
    header: list[RenderableType] = ["", *(quiet(name) for name, _ in splits), ""]
    rows = []
    for kind in kinds:
        meaning = "counts as 0" if kind in SCORED_AS_ZERO else "unscored, left out"
        cells = [_failed(split, kind) for _, split in splits]
        rows.append(
            [Text(kind, style=BAD if kind not in SCORED_AS_ZERO else CAUTION), *cells, quiet(meaning)]
        )
    facts = [
        f"{counted(value, one, many)} on {name}"
        for name, split in splits
        for value, one, many in (
            (split.reasks, "re-ask", "re-asks"),
            (split.abstained, "row without gold", "rows without gold"),
        )
        if value
    ]
    parts: list[RenderableType] = [grid([header, *rows])] if rows else []
    if facts:
        parts.append(quiet(f" {look.marks.dot} ".join(facts)))
    return section("Failed rows" if rows else "Rows", parts)


def _failed(split: SplitSummary, kind: str) -> RenderableType:
    text = Text(count(split.failures.get(kind, 0)))
    if split.start is not None:
        text.append(f" (start {count(split.start.failures.get(kind, 0))})", style=QUIET)
    return text
