"""What a run shows while it works: a few live lines on a terminal, plain lines elsewhere.

A row is a few additions; everything that is shown is drawn by time, by a thread of its own. Nothing here
changes a result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from promptc.cli.console import Terminal
from promptc.cli.progress_counts import (
    LONGEST_LABEL,
    LONGEST_WAIT,
    Counts,
    figures,
    finished,
    status,
    trial_line,
)
from promptc.cli.reports.figures import count, counted, dollars, duration, score
from promptc.cli.untrusted import one_line, plain
from promptc.runners.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from promptc.runners.evaluate import RowRecord

FRAMES_PER_SECOND = 8.0
SECONDS_BETWEEN_LINES = 5.0
WIDEST_BAR = 40

Spent = Callable[[], tuple[int, float]]
"""Calls and US dollars so far."""


class Display(Protocol):
    """How what is counted gets onto the screen."""

    def phase_began(self) -> None:
        """The counts are those of a new phase."""
        ...

    def phase_ended(self) -> None:
        """The counts are final, before the next phase takes their place."""
        ...

    def trial_ended(self, line: str) -> None:
        """A trial has its score."""
        ...

    def noted(self, text: str) -> None:
        """Something worth a line."""
        ...

    def close(self) -> None:
        """Leave the screen as it should be found."""
        ...


class RunProgress(Progress, Protocol):
    """What shows one run, until it is closed."""

    def close(self) -> None:
        """The run is over. Closing twice is harmless."""
        ...


class LiveProgress:
    """Shows a run's progress on stderr; implements `promptc.runners.progress.Progress`.

    Live lines on a terminal; elsewhere, under CI, or with `streaming` (stdout fills the same screen) plain
    lines: at most one every five seconds, and one for each phase and trial that ended. Nothing with `-q`.
    `spent` gives calls and dollars, `waiting_for` says what holds the run up ("rate limit, 12 s"), "" where
    nothing does. `opened` brings another display: several runs share a screen.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        spent: Spent,
        waiting_for: Callable[[], str] = lambda: "",
        streaming: bool = False,
        opened: Callable[[Counts], Display] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = Counts(clock)
        self._display: Display
        if opened is not None:
            self._display = opened(self.counts)
        elif terminal.verbosity < 0:
            self._display = NoDisplay()
        elif terminal.animated and not streaming:
            self._display = LiveLines(terminal, self.counts, spent, waiting_for)
        else:
            self._display = PlainLines(terminal, self.counts, spent, waiting_for, clock)

    def phase(self, label: str, rows: int | None) -> None:
        """A phase begins; the one before it is over."""
        self._end_phase()
        self.counts.begin(label, rows)
        self._display.phase_began()

    def row(self, record: RowRecord) -> None:
        """A row is done. Called for every row, so it only counts."""
        counts = self.counts
        counts.done += 1
        if record.score is not None:
            counts.scored += 1
            counts.total += record.score
        if record.failure is not None:
            counts.failed += 1

    def trial(self, number: int, origin: str, score: float | None, best: float | None) -> None:
        """A trial has its score on dev."""
        known = self.counts.best
        if score is not None and (known is None or score > known[2]):
            self.counts.best = (number, one_line(origin, LONGEST_LABEL), score)
        # The next rows are another candidate's: a mean over both would be nobody's score.
        self.counts.scored, self.counts.total = 0, 0.0
        self._display.trial_ended(trial_line(number, origin, score, best, known[2] if known else None))

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._display.noted(text)

    def close(self) -> None:
        """The run is over: the live lines go, the last phase's line stays. Closing twice is harmless."""
        self._end_phase()
        self._display.close()
        self.counts.begin("", None)

    def _end_phase(self) -> None:
        if self.counts.label:
            self._display.phase_ended()


class NoDisplay:
    """Shows nothing."""

    def phase_began(self) -> None:
        """Nothing."""

    def phase_ended(self) -> None:
        """Nothing."""

    def trial_ended(self, line: str) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainLines:
    """Lines for logs. A thread looks twice a second whether one is due: a run that waits says so too.

    `name` stands before each, where several runs write.
    """

    def __init__(
        self,
        terminal: Terminal,
        counts: Counts,
        spent: Spent,
        waiting_for: Callable[[], str],
        clock: Callable[[], float],
        name: str = "",
    ) -> None:
        self._terminal = terminal
        self._name = f"{name}: " if name else ""
        self._counts = counts
        self._spent = spent
        self._waiting_for = waiting_for
        self._clock = clock
        self._last = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._thread.start()

    def phase_began(self) -> None:
        """The next line is due five seconds from now."""
        self._last = self._clock()

    def tick(self) -> None:
        """Say how far it is, if the last line is old enough."""
        now = self._clock()
        if self._counts.label and now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._counts.sample()
            self._print(status(self._counts, self._spent(), self._waiting_for()))

    def phase_ended(self) -> None:
        """One line with the phase's figures."""
        self._last = self._clock()
        self._print(finished(self._counts, self._spent()))

    def trial_ended(self, line: str) -> None:
        """One line."""
        self._last = self._clock()
        self._print(line)

    def noted(self, text: str) -> None:
        """One line."""
        self._print(f"note: {text}")

    def close(self) -> None:
        """Stop watching."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.tick()

    def _print(self, line: str) -> None:
        self._terminal.err.print(plain(self._name + line), soft_wrap=True)


class LiveLines:
    """A few lines that are drawn again and again at the foot of the screen, and go when the run is over."""

    def __init__(
        self, terminal: Terminal, counts: Counts, spent: Spent, waiting_for: Callable[[], str]
    ) -> None:
        from rich.live import Live

        self._terminal = terminal
        self._counts = counts
        self._spent = spent
        self._waiting_for = waiting_for
        self._live = Live(
            console=terminal.err,
            get_renderable=self._lines,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def phase_began(self) -> None:
        """Start drawing."""
        self._live.start(refresh=True)

    def phase_ended(self) -> None:
        """A line stays for those who want to know."""
        self._terminal.detail(plain(finished(self._counts, self._spent()), "bright_black"))

    def trial_ended(self, line: str) -> None:
        """A line stays for those who want to know."""
        self._terminal.detail(plain(line, "bright_black"))

    def noted(self, text: str) -> None:
        """A line that stays above those that are drawn."""
        self._terminal.err.print(plain(f"note: {text}", "yellow"))

    def close(self) -> None:
        """Take the lines away and give the cursor back."""
        self._live.stop()

    def _lines(self) -> RenderableType:
        from rich.console import Group

        self._counts.sample()
        return Group(*live_lines(self._counts, self._spent(), self._waiting_for(), self._terminal.err.width))


def live_lines(counts: Counts, spent: tuple[int, float], waiting: str, width: int) -> list[RenderableType]:
    """The lines of a live display: bar and figures; cost, and what is waited for; the best trial."""
    lines: list[RenderableType] = [*_bar(counts, width), _line(figures(counts), "bold")]
    facts = [counted(spent[0], "call"), dollars(spent[1])]
    left = counts.left()
    if left is not None:
        facts.append(f"{duration(left)} left")
    if counts.failed:
        facts.append(f"{count(counts.failed)} failed")
    lines.append(_line(facts, "bright_black"))
    if waiting:
        lines.append(_line([f"waiting: {one_line(waiting, LONGEST_WAIT)}"], "yellow"))
    if counts.best is not None:
        number, origin, best = counts.best
        lines.append(_line([f"best {score(best)}, trial {number} ({origin})"], "green"))
    return lines


def _bar(counts: Counts, width: int) -> list[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    label = Text(counts.label, style="bold cyan", no_wrap=True)
    whole = counts.whole
    if whole is None:
        return [label]
    done = min(counts.done, whole)
    row = Table.grid(padding=(0, 2))
    room = max(min(width - label.cell_len - 10, WIDEST_BAR), 8)
    bar = ProgressBar(total=whole, completed=done, width=room, complete_style="cyan")
    row.add_row(label, bar, Text(f"{100 * done // whole} %"))
    return [row]


def _line(parts: list[str], style: str) -> Text:
    text = plain("  " + "  ".join(parts), style)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
