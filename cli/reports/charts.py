"""Rows of figures with a small chart at their end. Loads rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec
from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.look import BAD, GAP, GOOD, INDENT, QUIET, Look, grid

NARROWEST_CHART, WIDEST_CHART = 12, 52


class Span(msgspec.Struct, frozen=True):
    """A mean with its interval, drawn on a track from 0 to 1."""

    low: float
    middle: float
    high: float
    style: str


class Move(msgspec.Struct, frozen=True):
    """Two means joined on a track from 0 to 1: green where it rose, red where it fell."""

    before: float
    after: float


class Axis(msgspec.Struct, frozen=True):
    """The figures 0, 0.5 and 1 above the tracks."""


class Row(msgspec.Struct, frozen=True):
    """Cells with what is drawn, or said, beside them."""

    cells: Sequence[Text]
    beside: Span | Move | Axis | Text | None = None


class Plot(msgspec.Struct, frozen=True):
    """Where charts stand below each other: their first column, and how many columns they have."""

    look: Look
    start: int
    width: int


def taken(rows: Iterable[Row]) -> int:
    """Columns that the cells take, measured in cells, since a character may be two cells wide."""
    widths: list[int] = []
    for row in rows:
        lengths = [cell.cell_len for cell in row.cells]
        widths += [0] * (len(lengths) - len(widths))
        widths[: len(lengths)] = map(max, zip(widths, lengths, strict=False))
    return INDENT + sum(width + GAP for width in widths)


def plot(look: Look, columns: int) -> Plot:
    """The place for charts right of so many columns; without width where too few are left."""
    left = look.width - columns
    return Plot(look, columns, 0 if left < NARROWEST_CHART else min(left, WIDEST_CHART))


def charted(rows: Sequence[Row], place: Plot, *, right: Sequence[int] = ()) -> RenderableType:
    """The rows in line, with charts that start where the plot does."""
    pad = " " * (place.start - taken(rows))
    shown: list[list[RenderableType]] = []
    for row in rows:
        cells: list[RenderableType] = list(row.cells)
        if isinstance(row.beside, Text):
            cells.append(row.beside)
        elif row.beside is not None and place.width:
            cells.append(Text(pad, no_wrap=True) + drawn(row.beside, place))
        elif isinstance(row.beside, Axis):
            continue
        shown.append(cells)
    return grid(shown, right=right)


def drawn(item: Span | Move | Axis, place: Plot) -> Text:
    """One chart as text."""
    marks, width = place.look.marks, place.width
    if isinstance(item, Axis):
        return _axis(width)
    cells = [(marks.track, QUIET)] * width
    if isinstance(item, Span):
        _line(cells, item.low, item.high, (marks.line, item.style))
        cells[_place(item.middle, width)] = (marks.after, f"bold {item.style}")
        return _joined(cells)
    style = GOOD if item.after > item.before else BAD if item.after < item.before else QUIET
    _line(cells, item.before, item.after, (marks.line, style))
    cells[_place(item.before, width)] = (marks.before, style)
    cells[_place(item.after, width)] = (marks.after, f"bold {style}")
    return _joined(cells)


def _axis(width: int) -> Text:
    cells = [" "] * width
    for value, label in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        first = min(max(_place(value, width) - len(label) // 2, 0), width - len(label))
        cells[first : first + len(label)] = label
    return Text("".join(cells), style=QUIET)


def _line(cells: list[tuple[str, str]], one: float, other: float, mark: tuple[str, str]) -> None:
    first, last = sorted((_place(one, len(cells)), _place(other, len(cells))))
    cells[first : last + 1] = [mark] * (last + 1 - first)


def _place(value: float, width: int) -> int:
    return round(min(max(value, 0.0), 1.0) * (width - 1))


def _joined(cells: Iterable[tuple[str, str]]) -> Text:
    text = Text(no_wrap=True)
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        text.append("".join(mark for mark, _ in run), style=style)
    return text
