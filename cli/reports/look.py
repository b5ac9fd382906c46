"""How a report looks on what it is shown on: its width, its marks, its colours, its charts. Loads rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from promptc.cli.untrusted import visible

GOOD, BAD, CAUTION = "green", "red", "yellow"
HEADING, ACCENT, QUIET = "bold", "cyan", "bright_black"

NARROWEST_CHART, WIDEST_CHART = 12, 52


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """The characters that are drawn with. Each is one cell wide."""

    before: str = "○"
    after: str = "●"
    line: str = "━"
    track: str = "·"
    met: str = "✓"
    failed: str = "✗"
    fell: str = "▼"
    best: str = "★"
    bullet: str = "•"
    arrow: str = "→"
    dash: str = "–"
    dot: str = "·"
    ellipsis: str = "…"


ASCII_MARKS = Marks(
    before="o", after="*", line="=", track=".", met="+", failed="x", fell="!", best="*", bullet="-", arrow="->",
    dash="-", dot="-", ellipsis="...",
)  # fmt: skip


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a section of a report has to know: columns, marks, and whether a person looks at a terminal."""

    width: int
    marks: Marks = Marks()
    terminal: bool = True

    @property
    def ascii_only(self) -> bool:
        """True where the encoding holds no drawing characters."""
        return self.marks is ASCII_MARKS

    def words(self, text: str) -> str:
        """A sentence of the project's own in the characters at hand."""
        if not self.ascii_only:
            return text
        for mark, likeness in (("→", "->"), ("–", "-"), ("·", "-"), ("…", "..."), ("−", "-")):
            text = text.replace(mark, likeness)
        return text

    def narrowed(self, columns: int) -> Look:
        """The same with fewer columns."""
        return msgspec.structs.replace(self, width=max(columns, 20))


def look_of(console: Console, options: ConsoleOptions) -> Look:
    """The look that fits a console."""
    return Look(
        width=options.max_width,
        marks=ASCII_MARKS if options.ascii_only else Marks(),
        terminal=options.is_terminal,
    )


def section(title: str, parts: Iterable[RenderableType], aside: str = "") -> list[RenderableType]:
    """A heading and what stands below it, indented by two; nothing where there are no parts."""
    shown = list(parts)
    if not shown:
        return []
    heading = Text(title, style=HEADING)
    if aside:
        heading.append(f"  {visible(aside)}", style=QUIET)
    return [Text(""), heading, *(Padding(part, (0, 0, 0, 2)) for part in shown)]


def grid(
    rows: Sequence[Sequence[RenderableType]],
    *,
    right: Sequence[int] = (),
    last_wraps: bool = False,
    gap: int = 2,
) -> Table:
    """Cells in line without a frame. `right` lists the columns that are set to the right."""
    table = Table.grid(padding=(0, gap))
    most = max((len(row) for row in rows), default=0)
    for number in range(most):
        wraps = last_wraps and number == most - 1
        table.add_column(
            justify="right" if number in right else "left",
            no_wrap=not wraps,
            overflow="fold" if wraps else "ellipsis",
        )
    for row in rows:
        table.add_row(*row)
    return table


def quiet(text: str) -> Text:
    """Text that stands back."""
    return Text(text, style=QUIET)


def interval_chart(look: Look, width: int, low: float, middle: float, high: float, style: str) -> Text:
    """A mean on a track from 0 to 1, with its interval as a line."""
    cells = _track(look, width)
    for place in range(_place(low, width), _place(high, width) + 1):
        cells[place] = (look.marks.line, style)
    cells[_place(middle, width)] = (look.marks.after, f"bold {style}")
    return _joined(cells)


def change_chart(look: Look, width: int, before: float, after: float) -> Text:
    """Two means on a track from 0 to 1, joined: green where it rose, red where it fell."""
    style = GOOD if after > before else BAD if after < before else QUIET
    cells = _track(look, width)
    first, last = sorted((_place(before, width), _place(after, width)))
    for place in range(first, last + 1):
        cells[place] = (look.marks.line, style)
    cells[_place(before, width)] = (look.marks.before, style)
    cells[_place(after, width)] = (look.marks.after, f"bold {style}")
    return _joined(cells)


def axis(width: int) -> Text:
    """The figures 0, 0.5 and 1 above a track."""
    cells = [" "] * width
    for value, label in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        place = _place(value, width)
        start = min(max(place - len(label) // 2, 0), width - len(label))
        cells[start : start + len(label)] = label
    return quiet("".join(cells))


def chart_width(look: Look, taken: int) -> int:
    """Columns for a chart beside what takes so many; 0 where too few are left."""
    left = look.width - taken
    return 0 if left < NARROWEST_CHART else min(left, WIDEST_CHART)


def _track(look: Look, width: int) -> list[tuple[str, str]]:
    return [(look.marks.track, QUIET)] * width


def _place(value: float, width: int) -> int:
    return round(min(max(value, 0.0), 1.0) * (width - 1))


def _joined(cells: Iterable[tuple[str, str]]) -> Text:
    text = Text(no_wrap=True)
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        text.append("".join(mark for mark, _ in run), style=style)
    return text
