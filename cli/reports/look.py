"""How a report looks where it is shown: its width, its marks, its colours, its charts. Loads rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from promptc.cli.untrusted import visible

GOOD, BAD, CAUTION = "green", "red", "yellow"
INDENT, GAP = 2, 2
"""Columns before what stands below a heading, and between two cells."""
HEADING, ACCENT, QUIET = "bold cyan", "cyan", "bright_black"


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
    before="o", after="*", line="=", track=".", met="+", failed="x", fell="!", best="*", bullet="-",
    arrow="->", dash="-", dot="-", ellipsis="...",
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
        heading.append(f"  {visible(aside)}", style=f"not bold {QUIET}")
    return [Text(""), heading, *(Padding(part, (0, 0, 0, INDENT)) for part in shown)]


def grid(rows: Sequence[Sequence[RenderableType]], *, right: Sequence[int] = (), gap: int = GAP) -> Table:
    """Cells in line without a frame. `right` lists the columns that are set to the right.

    Where the console is too narrow the last column wraps, so that no figure is ever cut.
    """
    table = Table.grid(padding=(0, gap))
    most = max((len(row) for row in rows), default=0)
    for number in range(most):
        last = number == most - 1
        table.add_column(
            justify="right" if number in right else "left",
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
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
