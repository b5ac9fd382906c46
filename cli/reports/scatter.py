"""Points in a plane, drawn with characters: score against cost. Loads rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from rich.text import Text

from promptc.cli.reports.look import GOOD, QUIET, Look

ROWS = 12
WIDEST = 72
LABEL = 6
"""Columns for the figures at the left."""


class Point(msgspec.Struct, frozen=True):
    """A point with the sign that is drawn for it; `stands_out` is drawn in colour."""

    x: float
    y: float
    sign: str
    stands_out: bool = False


def scatter(
    points: Sequence[Point], look: Look, *, x: Callable[[float], str], y: Callable[[float], str]
) -> list[Text]:
    """The lines of a plot; `x` and `y` write the figures at its edges. Signs that would overlap move right."""
    width = min(look.width - LABEL - 4, WIDEST)
    if width < 20 or not points:
        return []
    xs, ys = _range([point.x for point in points]), _range([point.y for point in points])
    cells: dict[tuple[int, int], Point] = {}
    for point in sorted(points, key=lambda point: (not point.stands_out, point.sign)):
        row = ROWS - 1 - _place(point.y, ys, ROWS)
        column = _place(point.x, xs, width - 2)
        while (
            any((row, column + step) in cells for step in range(-1, len(point.sign) + 1)) and column < width
        ):
            column += 1
        for step in range(len(point.sign)):
            cells[row, column + step] = msgspec.structs.replace(point, sign=point.sign[step])
    labels = {0: y(ys[1]), ROWS - 1: y(ys[0])}
    bar, corner, dash = ("|", "+", "-") if look.ascii_only else ("│", "└", "─")
    lines = [
        _line(labels.get(row, ""), bar, [cells.get((row, n)) for n in range(width + 2)])
        for row in range(ROWS)
    ]
    lines.append(Text(" " * LABEL + corner + dash * width, style=QUIET))
    low, high = x(xs[0]), x(xs[1])
    gap = max(width - len(low) - len(high), 1)
    lines.append(Text(f"{' ' * (LABEL + 1)}{low}{' ' * gap}{high}", style=QUIET))
    return lines


def _line(label: str, bar: str, cells: Sequence[Point | None]) -> Text:
    text = Text(f"{label:>{LABEL - 1}} {bar}", style=QUIET, no_wrap=True)
    for cell in cells:
        if cell is None:
            text.append(" ")
        else:
            text.append(cell.sign, style=f"bold {GOOD}" if cell.stands_out else "not dim default")
    text.rstrip()
    return text


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest value, apart by something where all are the same."""
    low, high = min(values), max(values)
    if high > low:
        return low, high
    half = abs(low) / 10 or 0.5
    return low - half, high + half


def _place(value: float, between: tuple[float, float], size: int) -> int:
    low, high = between
    return round((value - low) / (high - low) * (size - 1))
