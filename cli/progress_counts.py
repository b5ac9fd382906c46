"""What a run has told so far, and how that is said in a line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from promptc.cli.reports.figures import change, count, counted, dollars, duration, score
from promptc.cli.untrusted import one_line

SECONDS_OF_RATE = 10.0
"""Over how long the speed is taken."""
LONGEST_LABEL = 40
LONGEST_WAIT = 120


class Counts:
    """What a run has told so far in its phase. A thread that draws reads it, so fields are plain values."""

    __slots__ = ("_clock", "_samples", "best", "done", "failed", "label", "rows", "scored", "start", "total")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=256)
        self.best: tuple[int, str, float] | None = None
        self.begin("", None)

    def begin(self, label: str, rows: int | None) -> None:
        """Start counting a phase."""
        self.label = one_line(label, LONGEST_LABEL)
        self.rows = rows
        self.done = 0
        self.scored = 0
        self.total = 0.0
        self.failed = 0
        self.start = self._clock()
        self._samples.clear()
        self._samples.append((self.start, 0))

    @property
    def mean(self) -> float | None:
        """The score so far."""
        return self.total / self.scored if self.scored else None

    @property
    def whole(self) -> int | None:
        """Rows of the phase; None where nobody knows, or where more came than were announced."""
        return self.rows if self.rows and self.done <= self.rows else None

    def seconds(self) -> float:
        """Since the phase began."""
        return self._clock() - self.start

    def sample(self) -> None:
        """Remember how far it is; called when something is drawn."""
        now = self._clock()
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and now - self._samples[1][0] > SECONDS_OF_RATE:
            self._samples.popleft()

    def rate(self) -> float:
        """Rows a second over the last seconds."""
        then, before = self._samples[0]
        passed = self._clock() - then
        return (self.done - before) / passed if passed > 0 else 0.0

    def left(self) -> float | None:
        """Seconds that the phase will still take at this speed; None where nobody can say."""
        whole, speed = self.whole, self.rate()
        return max(whole - self.done, 0) / speed if whole is not None and speed > 0 and self.done else None


def figures(counts: Counts) -> list[str]:
    """Rows done, score so far and speed."""
    whole = counts.whole
    of = f"/{count(whole)}" if whole is not None else ""
    parts = [f"{count(counts.done)}{of} rows"]
    if counts.mean is not None:
        parts.append(f"score {score(counts.mean)}")
    if counts.done:
        parts.append(f"{counts.rate():,.1f} rows/s")
    return parts


def status(counts: Counts, spent: tuple[int, float], waiting: str) -> str:
    """How far a phase is, as a line for a log."""
    parts = [*figures(counts), counted(spent[0], "call"), dollars(spent[1])]
    if counts.failed:
        parts.append(f"{count(counts.failed)} failed")
    if counts.best is not None:
        parts.append(f"best {score(counts.best[2])}")
    if waiting:
        parts.append(f"waiting: {one_line(waiting, LONGEST_WAIT)}")
    return f"{counts.label}: {', '.join(parts)}"


def finished(counts: Counts, spent: tuple[int, float]) -> str:
    """A phase's figures when it is over, as a line for a log."""
    seconds = counts.seconds()
    parts = [counted(counts.done, "row")]
    if counts.mean is not None:
        parts.append(f"score {score(counts.mean)}")
    if counts.failed:
        parts.append(f"{count(counts.failed)} failed")
    parts += [duration(seconds), f"{counted(spent[0], 'call')} so far", dollars(spent[1])]
    return f"{counts.label}: done, {', '.join(parts)}"


def trial_line(
    number: int, origin: str, reached: float | None, best: float | None, before: float | None
) -> str:
    """A trial's outcome as a line: its score, and the best so far or by how much it is the new best."""
    name = f"trial {number} ({one_line(origin, LONGEST_LABEL)})"
    if reached is None:
        return f"{name}: no valid score, too many rows are unscored"
    if before is not None and reached > before:
        return f"{name}: {score(reached)}, the new best by {change(reached - before)}"
    return (
        f"{name}: {score(reached)}, best {score(best)}" if before is not None else f"{name}: {score(reached)}"
    )
