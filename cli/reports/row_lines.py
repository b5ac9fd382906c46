"""The lines of rows.jsonl, read one by one: a run may have a million of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from promptc.cli.reports.details import is_search, start_won
from promptc.runners.failures import Failure
from promptc.runners.summary import Summary
from promptc.spec.errors import RunError

ROWS = "rows.jsonl"
NOTHING = msgspec.Raw(b"null")


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of several runs of a row."""

    score: float | None = None
    outputs: msgspec.Raw = NOTHING
    failure: Failure | None = None


class RowLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of rows.jsonl. What can be long is left as JSON until somebody wants to see it."""

    id: str
    split: str = ""
    candidate: str = ""
    score: float | None = None
    metrics: dict[str, float | None] = {}
    inputs: msgspec.Raw = NOTHING
    outputs: msgspec.Raw = NOTHING
    expected: msgspec.Raw = NOTHING
    feedback: dict[str, str] = {}
    failure: Failure | None = None
    passed: bool | None = None
    repeats: tuple[RunLine, ...] = ()
    reasks: int = 0
    steps: msgspec.Raw = NOTHING
    tokens: dict[str, int] = {}
    cost: float | None = None


def row_lines(run: Path) -> Iterator[RowLine]:
    """The lines in their order; of a run that was killed while it wrote, all but the torn last one.

    A run without the file has none. Raises RunError for a line that promptc did not write.
    """
    path = run / ROWS
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(RowLine)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise RunError(f"{path}:{number}: not a row of a run: {error}") from error


def reported(run: Path, summary: Summary) -> Iterator[tuple[int, RowLine]]:
    """The lines that a run's result rests on, with their places from 0: after a search those of the winner alone."""
    wanted = ("start" if start_won(summary) else "winner") if is_search(summary) else None
    for place, line in enumerate(row_lines(run)):
        if wanted is None or line.candidate == wanted:
            yield place, line
