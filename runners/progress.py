"""What a run tells while it works; the command line shows it, tests count it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from promptc.runners.evaluate import RowRecord


class Progress(Protocol):
    """Told of every step of a run. Nothing here may change a result."""

    def phase(self, label: str, rows: int | None) -> None:
        """A phase begins: what it is for, and its number of rows (None where it is not known)."""
        ...

    def row(self, record: RowRecord) -> None:
        """A row is done."""
        ...

    def trial(self, number: int, origin: str, score: float | None, best: float | None) -> None:
        """A trial has its score on dev."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line: a retry storm, a reservation, a warning."""
        ...
