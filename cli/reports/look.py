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
HEADING, ACCENT, QUIET = "bold cyan", "cyan", "bright_black"

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
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def bold(text: str) -> Text:
    """Text that stands out."""
    return Text(text, style="bold")


def quiet(text: str) -> Text:
    """Text that stands back."""
    return Text(text, style=QUIET)


class Plot(msgspec.Struct, frozen=True):
    """A place for charts that are to stand below each other: its first column and how many it has."""

    look: Look
    start: int
    width: int

    def interval(self, taken: int, low: float, middle: float, high: float, style: str) -> Text:
        """A mean on a track from 0 to 1, with its interval as a line, beside what takes so many columns."""
        cells = self._track()
        for place in range(_place(low, self.width), _place(high, self.width) + 1):
            cells[place] = (self.look.marks.line, style)
        cells[_place(middle, self.width)] = (self.look.marks.after, f"bold {style}")
        return self._drawn(taken, cells)

    def change(self, taken: int, before: float, after: float) -> Text:
        """Two means on a track from 0 to 1, joined: green where it rose, red where it fell."""
        style = GOOD if after > before else BAD if after < before else QUIET
        cells = self._track()
        first, last = sorted((_place(before, self.width), _place(after, self.width)))
        for place in range(first, last + 1):
            cells[place] = (self.look.marks.line, style)
        cells[_place(before, self.width)] = (self.look.marks.before, style)
        cells[_place(after, self.width)] = (self.look.marks.after, f"bold {style}")
        return self._drawn(taken, cells)

    def axis(self, taken: int) -> Text:
        """The figures 0, 0.5 and 1 above the tracks."""
        cells = [(" ", QUIET)] * self.width
        for value, label in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
            first = min(max(_place(value, self.width) - len(label) // 2, 0), self.width - len(label))
            cells[first : first + len(label)] = [(mark, QUIET) for mark in label]
        return self._drawn(taken, cells)

    def _track(self) -> list[tuple[str, str]]:
        return [(self.look.marks.track, QUIET)] * self.width

    def _drawn(self, taken: int, cells: Iterable[tuple[str, str]]) -> Text:
        if not self.width:
            return Text()
        text = Text(" " * (self.start - taken), no_wrap=True)
        for style, run in groupby(cells, key=lambda cell: cell[1]):
            text.append("".join(mark for mark, _ in run), style=style)
        return text


def plot(look: Look, taken: int) -> Plot:
    """A place for charts right of so many columns; without width where too few are left."""
    left = look.width - taken
    return Plot(look, taken, 0 if left < NARROWEST_CHART else min(left, WIDEST_CHART))


def _place(value: float, width: int) -> int:
    return round(min(max(value, 0.0), 1.0) * (width - 1))
