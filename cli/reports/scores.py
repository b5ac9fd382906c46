"""The figures of a run as sections of a report: scores, metrics, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.charts import Axis, Move, Plot, Row, Span, charted, plot, taken
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import (
    change,
    count,
    counted,
    interval,
    points,
    probability,
    score,
    signed_interval,
)
from promptc.cli.reports.look import ACCENT, BAD, CAUTION, GOOD, QUIET, Look, bold, quiet, section
from promptc.cli.untrusted import one_line, plain
from promptc.runners.summary import Change, Figure, Gap, Improvement, SplitSummary

MOST_SLICES = 8
LONGEST_NAME = 28
ADJUSTED = "p by Holm's method"


class Line(msgspec.Struct, frozen=True):
    """A named figure, with what it was for the start where there is one."""

    name: str
    before: Figure | None
    now: Figure
    p: float | None = None
    """Of the paired difference, adjusted for the lines beside it; None where nothing was compared."""

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


def lines_of(
    now: Mapping[str, Figure], before: Mapping[str, Figure], changes: Mapping[str, Change] | None = None
) -> list[Line]:
    """Figures in the order of their names, beside those of the start."""
    found = changes or {}
    return [
        Line(name, before.get(name), figure, found[name].p_adjusted if name in found else None)
        for name, figure in sorted(now.items())
    ]


def metric_lines(split: SplitSummary) -> list[Line]:
    """Every metric of a split; empty where a single one is the score."""
    before = split.start.metrics if split.start is not None else {}
    changes = split.improvement.metrics if split.improvement is not None else {}
    return lines_of(split.metrics, before, changes) if len(split.metrics) > 1 else []


def slice_lines(split: SplitSummary) -> dict[str, list[Line]]:
    """Every value of each sliced column of a split."""
    before = split.start.slices if split.start is not None else {}
    changes = split.improvement.slices if split.improvement is not None else {}
    return {
        column: lines_of(figures, before.get(column, {}), changes.get(column, {}))
        for column, figures in sorted(split.slices.items())
    }


def on_split(name: str, lines: Sequence[Line], look: Look) -> str:
    """The split that lines are about, and that their p-values allow for how many they are."""
    words = f"on {name}"
    return f"{words} {look.marks.dot} {ADJUSTED}" if any(line.p is not None for line in lines) else words


def telling(lines: Sequence[Line], limit: int = MOST_SLICES) -> list[Line]:
    """The lines worth showing, in their order: those that fell most, then those that score lowest."""

    def worth(place: int) -> tuple[float, float, int]:
        line = lines[place]
        return min(line.change or 0.0, 0.0), 1.0 if line.now.score is None else line.now.score, place

    chosen = sorted(range(len(lines)), key=worth)[:limit]
    return [lines[place] for place in sorted(chosen)]


def scores(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Means with intervals per split, before and after, and the gap between dev and test."""
    splits = details.splits()
    if not splits:
        return []
    place = common_plot(details, look)
    rows = _score_rows(details, look)
    parts = [
        charted(rows, place, right=(len(rows[0].cells) - 2,)),
        *(quiet(f"{label:<6}{words}") for label, words in remarks(details)),
    ]
    aside = [f"{name} {counted(split.n, 'row')}" for name, split in splits]
    names = list(splits[0][1].metrics)
    if len(names) == 1:
        aside.insert(0, one_line(names[0], LONGEST_NAME))
    return section("Scores", parts, aside=f" {look.marks.dot} ".join(aside))


def metrics(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Every metric's mean on the split that matters most, where there is more than one metric."""
    for name, split in details.splits()[:1]:
        lines = metric_lines(split)
        if lines:
            parts = [line_table(lines, common_plot(details, look))]
            return section("Metrics", parts, aside=on_split(name, lines, look))
    return []


def slices(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The score per value of each sliced column; what fell is marked."""
    shown: list[RenderableType] = []
    for name, split in details.splits()[:1]:
        for column, lines in slice_lines(split).items():
            chosen = telling(lines)
            parts = [line_table(chosen, common_plot(details, look))] if chosen else []
            if len(chosen) < len(lines):
                rest = len(lines) - len(chosen)
                parts.append(quiet(f"and {counted(rest, 'more value')} in summary.json"))
            aside = on_split(name, lines, look)
            shown += section(f"By {one_line(column, LONGEST_NAME)}", parts, aside=aside)
    return shown


def common_plot(details: ReportDetails, look: Look) -> Plot:
    """One place for the charts of scores, metrics and slices, so that they can be compared by eye."""
    widths = [taken(_score_rows(details, look))]
    for _, split in details.splits()[:1]:
        groups = [metric_lines(split), *(telling(lines) for lines in slice_lines(split).values())]
        widths += [taken(line_rows(lines, look)) for lines in groups]
    return plot(look, max(widths))


def line_table(lines: Sequence[Line], place: Plot) -> RenderableType:
    """Lines below each other: name, rows, what it was, what it is, how far it moved, and a chart."""
    return charted(line_rows(lines, place.look), place, right=(1,))


def line_rows(lines: Sequence[Line], look: Look) -> list[Row]:
    """The cells of lines, and what is drawn beside them."""
    compared = any(line.before is not None for line in lines)
    return [_compared(line, look) if compared else _alone(line) for line in lines]


def _alone(line: Line) -> Row:
    return Row([*_name(line), *_mean(line.now)], _span(line.now, ACCENT))


def _compared(line: Line, look: Look) -> Row:
    before = line.before.score if line.before is not None else None
    cells = [*_name(line), quiet(score(before)), bold(score(line.now.score))]
    if line.change is None or before is None or line.now.score is None:
        return Row([*cells, Text()])
    cells += [quiet(probability(line.p))] if line.p is not None else []
    style = GOOD if line.change > 0 else BAD if line.change < 0 else QUIET
    moved = f"{change(line.change)} {look.marks.fell}" if line.fell else change(line.change)
    cells.insert(4, Text(moved, style=style))
    return Row(cells, Move(before, line.now.score))


def _name(line: Line) -> list[Text]:
    number = f"{count(line.now.n)} rows" if line.now.n != 1 else "1 row "
    return [plain(one_line(line.name, LONGEST_NAME)), quiet(number)]


def _score_rows(details: ReportDetails, look: Look) -> list[Row]:
    splits = details.splits()
    if all(split.start is None for _, split in splits):
        rows = [Row([Text(name), *_mean(split)], _span(split, ACCENT)) for name, split in splits]
    else:
        rows = [row for name, split in splits for row in _before_and_after(name, split, look)]
    # Without cells of its own the axis would stand in the first column.
    return [Row([Text()] * len(rows[0].cells), Axis()), *rows]


def _before_and_after(name: str, split: SplitSummary, look: Look) -> list[Row]:
    now = Row([Text(), Text("winner"), *_mean(split)], _span(split, _color(split.improvement)))
    if split.start is None:
        return [Row([Text(name), *now.cells[1:]], now.beside)]
    before = Row([Text(name), quiet("start"), *_mean(split.start)], _span(split.start, QUIET))
    return [before, now] if split.improvement is None else [before, now, _change(split.improvement, look)]


def _mean(figure: Figure | SplitSummary) -> list[Text]:
    return [bold(score(figure.score)), quiet(interval(figure.ci_low, figure.ci_high))]


def _span(figure: Figure | SplitSummary, style: str) -> Span | None:
    if figure.score is None or figure.ci_low is None or figure.ci_high is None:
        return None
    return Span(figure.ci_low, figure.score, figure.ci_high, style)


def _change(improvement: Improvement, look: Look) -> Row:
    compared = improvement.wins + improvement.ties + improvement.losses
    words = probability(improvement.p)
    if compared:
        better, same, worse = (count(n) for n in (improvement.wins, improvement.ties, improvement.losses))
        words += f" {look.marks.dot} {better} better, {same} same, {worse} worse"
    cells = [
        Text(),
        Text("change"),
        Text(change(improvement.difference), style=f"bold {_color(improvement)}"),
        quiet(signed_interval(improvement.ci_low, improvement.ci_high)),
    ]
    return Row(cells, quiet(words))


def _color(improvement: Improvement | None) -> str:
    if improvement is None:
        return CAUTION
    return GOOD if improvement.ci_low > 0 else BAD if improvement.ci_high < 0 else CAUTION


def remarks(details: ReportDetails) -> list[tuple[str, str]]:
    """What the figures of the splits mean beside each other, each sentence with its label."""
    found = []
    if details.summary.gap is not None:
        found.append(("gap", _gap(details.summary.gap)))
    for _, split in details.splits()[:1]:
        shown = split.improvement
        if shown is not None and shown.detectable is not None and shown.verdict == "no significant change":
            rows = counted(split.n, "row")
            found.append(
                ("power", f"{rows} like these show {points(shown.detectable)} four times out of five")
            )
    return found


def _gap(gap: Gap) -> str:
    """How far dev lies above test: what choosing on dev has flattered, or chance."""
    distance = score(abs(gap.difference))
    if distance == score(0.0):
        return "dev and test score the same"
    side = "above" if gap.difference > 0 else "below"
    sure = gap.ci_low > 0 or gap.ci_high < 0
    why = "more than chance: trust test" if sure else "within chance"
    return f"dev is {distance} {side} test {signed_interval(gap.ci_low, gap.ci_high)}, {why}"
