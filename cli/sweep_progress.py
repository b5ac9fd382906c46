"""What a sweep shows while it works: a line for each cell under way, and one for each that ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from promptc.cli.console import Terminal
from promptc.cli.progress import (
    FRAMES_PER_SECOND,
    Display,
    LiveProgress,
    NoDisplay,
    PlainLines,
    RunProgress,
    Spent,
)
from promptc.cli.progress_counts import LONGEST_WAIT, Counts, figures
from promptc.cli.reports.figures import counted, dollars, score
from promptc.cli.untrusted import one_line, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Opener = Callable[[Spent, Callable[[], str]], RunProgress]


class SweepProgress:
    """The cells of a sweep on one screen: live lines on a terminal, plain lines with the cell's number elsewhere."""

    def __init__(self, terminal: Terminal, cells: int) -> None:
        self._terminal = terminal
        self._cells = cells
        self._ended: set[int] = set()
        self._lines: list[CellLine] = []
        self._live: Live | None = None

    def opener(self, number: int, label: str) -> Opener:
        """What opens the progress of a cell."""

        def opened(spent: Spent, waiting_for: Callable[[], str]) -> RunProgress:
            def display(counts: Counts) -> Display:
                if self._terminal.verbosity < 0:
                    return NoDisplay()
                if self._terminal.animated:
                    return self._line(CellLine(self, number, label, counts, spent, waiting_for))
                name = f"cell {number}"
                return PlainLines(self._terminal, counts, spent, waiting_for, time.monotonic, name)

            return LiveProgress(self._terminal, spent=spent, waiting_for=waiting_for, opened=display)

        return opened

    def ended(self, number: int, label: str, outcome: str) -> None:
        """A cell is done, or failed: a line that stays."""
        self._ended.add(number)
        of = f"cell {number} of {self._cells}"
        if self._terminal.verbosity >= 0:
            self._terminal.err.print(plain(f"{of}: {label}: {outcome}"), soft_wrap=True)

    def close(self) -> None:
        """Give the screen back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def detail(self, text: str) -> None:
        """A line that stays for those who want to know."""
        self._terminal.detail(plain(text, "bright_black"))

    def note(self, text: str) -> None:
        """A line that stays."""
        self._terminal.err.print(plain(f"note: {text}", "yellow"), soft_wrap=True)

    def remove(self, line: CellLine) -> None:
        """A cell's line goes."""
        if line in self._lines:
            self._lines.remove(line)

    def _line(self, line: CellLine) -> CellLine:
        self._lines.append(line)
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                console=self._terminal.err,
                get_renderable=self._drawn,
                refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
        return line

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        head = Text(f"sweep: {len(self._ended)} of {counted(self._cells, 'cell')} done", style="bold cyan")
        lines = [head]
        for line in list(self._lines):
            text = plain(f"  {line.text()}")
            text.no_wrap, text.overflow = True, "ellipsis"
            lines.append(text)
        return Group(*lines)


class CellLine:
    """One cell under way, in a line."""

    def __init__(
        self,
        board: SweepProgress,
        number: int,
        label: str,
        counts: Counts,
        spent: Spent,
        waiting_for: Callable[[], str],
    ) -> None:
        self._board = board
        self._number = number
        self._label = label
        self._counts = counts
        self._spent = spent
        self._waiting_for = waiting_for

    def text(self) -> str:
        """How far the cell is."""
        counts = self._counts
        counts.sample()
        calls, usd = self._spent()
        parts = [counts.label, *figures(counts), counted(calls, "call"), dollars(usd)]
        if counts.failed:
            parts.append(f"{counts.failed} failed")
        if counts.best is not None:
            parts.append(f"best {score(counts.best[2])}")
        waiting = self._waiting_for()
        if waiting:
            parts.append(f"waiting: {one_line(waiting, LONGEST_WAIT)}")
        return f"{self._number} {self._label}: {', '.join(part for part in parts if part)}"

    def phase_began(self) -> None:
        """The next picture shows it."""

    def phase_ended(self) -> None:
        """Nothing: the cell's own line says what came out."""

    def trial_ended(self, line: str) -> None:
        """A line stays for those who want to know."""
        self._board.detail(f"cell {self._number}: {line}")

    def noted(self, text: str) -> None:
        """A line that stays above those that are drawn."""
        self._board.note(f"cell {self._number}: {text}")

    def close(self) -> None:
        """The line goes."""
        self._board.remove(self)
