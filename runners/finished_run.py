"""What a finished run left, read back: its rows with their scores, and the effects in its journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from promptc.runners.journal import EffectKind
from promptc.runners.run_directory import JOURNAL, MANIFEST, Marker, is_finished, read_marker
from promptc.spec.errors import DataError, UsageError

Row = TypeVar("Row")

ROWS = "rows.jsonl"
DEV_ROWS = "dev_rows.jsonl"
"""The rows that a search chose by, where rows.jsonl holds those of test."""


class ScoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of rows.jsonl, as far as a later run looks at it."""

    id: str
    digest: str = ""
    split: str = ""
    candidate: str = ""
    score: float | None = None
    metrics: dict[str, float | None] = {}
    slices: dict[str, str] = {}
    cluster: str | None = None
    passed: bool | None = None
    failure: dict[str, Any] | None = None

    @property
    def went_wrong(self) -> bool:
        """True for a row that is worth another look: failed, not passed, or not of full score."""
        if self.passed is not None:
            return not self.passed
        return self.failure is not None or (self.score is not None and self.score < 1.0)


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True):
    """The directory of a run that is complete. `acted` says that its tools were called and not stubbed."""

    path: Path
    marker: Marker
    digests: dict[str, str]
    acted: bool = False

    def rows(self, split: str | None = None) -> Iterator[ScoredRow]:
        """The rows of an `eval`; of an `optimize` those of its winner, which is the start where that has won.

        Without a `split`, all that rows.jsonl holds: of an `optimize` test, and dev where test was not scored.
        """
        found = list(row_lines(self.path / rows_file(self.path, split), ScoredRow))
        kept = [row for row in found if split is None or row.split == split]
        won = "winner" if any(row.candidate == "winner" for row in kept) else "start"
        return (row for row in kept if row.candidate == won or self.marker.command == "eval")

    def recorded(self) -> Recorded:
        """The effects in its journal. Raises UsageError where it kept none."""
        path = self.path / JOURNAL
        if not path.is_file():
            raise UsageError(
                f"{self.path} kept no journal", "a run with journal: memory cannot be answered from"
            )
        return Recorded(path)


def rows_file(folder: Path, split: str | None) -> str:
    """The file of a run that holds the rows of a split."""
    return DEV_ROWS if split == "dev" and (folder / DEV_ROWS).exists() else ROWS


def scored_rows(folder: Path) -> Iterator[ScoredRow]:
    """The rows in a run's rows.jsonl, whoever's they are. Raises DataError, UsageError."""
    return row_lines(folder / ROWS, ScoredRow)


def row_lines(path: Path, kind: type[Row]) -> Iterator[Row]:
    """The lines of a file of rows, as far as `kind` looks at them. Raises DataError, UsageError."""
    decoder = msgspec.json.Decoder(kind)
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise DataError(path, f"not a row of a run: {error}", line=number) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def open_run(path: Path) -> FinishedRun:
    """The run in a directory. Raises UsageError for a folder that holds none, or one that is not complete."""
    marker = read_marker(path)
    if marker is None:
        raise UsageError(f"{path} is not a run's directory", "name a folder below runs/, or the -o of a run")
    if not is_finished(path):
        raise UsageError(f"the run in {path} is not complete", "run its command again: it goes on")
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path / MANIFEST} cannot be read: {error}") from error
    return FinishedRun(
        path=path,
        marker=marker,
        digests=manifest.get("digests", {}),
        acted="--allow-effects" in manifest.get("arguments", ()),
    )


class Recorded:
    """The effects of a run's journal, by key. Nothing is written to it."""

    def __init__(self, path: Path) -> None:
        # Without a log beside it nobody writes to the file, and a folder that is read-only is no hindrance.
        still = not path.with_name(f"{path.name}-wal").exists()
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}", uri=True
        )
        self.path = path

    def find(self, key: bytes) -> tuple[EffectKind, bytes] | None:
        """The kind and content of an effect; None where that run had no such effect."""
        try:
            found = self._db.execute("SELECT kind, payload FROM effects WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: the journal cannot be read: {error}") from error
        return (found[0], found[1]) if found is not None else None

    def close(self) -> None:
        """Close the file."""
        self._db.close()
