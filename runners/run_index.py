"""The runs below a folder: what each is, how it ended, what it cost; and how one is deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from promptc.runners.leaderboard import Leaderboard
from promptc.runners.run_directory import (
    LOCK,
    MANIFEST,
    MARKER,
    SESSIONS,
    Marker,
    SessionNote,
    is_locked,
    is_sweep,
    read_marker,
)
from promptc.runners.summary import Summary
from promptc.spec.errors import RunError

Document = TypeVar("Document")
State = Literal["finished", "failed", "unfinished", "running"]
STATES: tuple[State, ...] = ("finished", "failed", "unfinished", "running")
SPLITS = ("test", "all", "dev", "train")


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A run, or a sweep, as a list shows it. Times are seconds since the epoch.

    `failed` runs came to an end with an exit code other than 0. `usd` is at recorded prices, whether or not a reply
    came from the cache; `paid_usd` is what its sessions really paid. `cells` counts those of a sweep.
    """

    path: str
    name: str
    command: str
    identity: str
    state: State
    began: float
    ended: float | None = None
    split: str = ""
    score: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    exit_code: int | None = None
    verdicts: tuple[str, ...] = ()
    calls: int = 0
    usd: float = 0.0
    paid_calls: int = 0
    paid_usd: float = 0.0
    cells: int = 0
    sessions: tuple[SessionNote, ...] = ()

    @property
    def when(self) -> float:
        """When it ended, or began where it has not."""
        return self.ended if self.ended is not None else self.began


def find_runs(folder: Path, *, cells: bool = False) -> list[RunEntry]:
    """The runs in a folder, or the one that it is itself; newest first. Links are not followed.

    A sweep is one entry; with `cells` those below it follow.
    """
    found = [entry for path in run_folders(folder, cells=cells) if (entry := read_entry(path)) is not None]
    return sorted(found, key=lambda entry: (-entry.when, entry.path))


def run_folders(folder: Path, *, cells: bool) -> Iterator[Path]:
    """The directories that promptc made: this one, or those right below it."""
    marker = read_marker(folder)
    paths = [folder] if marker is not None else sorted(_below(folder))
    for path in paths:
        own = read_marker(path)
        if own is None:
            continue
        yield path
        if cells and is_sweep(own):
            yield from (cell for cell in sorted(_below(path)) if read_marker(cell) is not None)


def _below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def read_entry(path: Path) -> RunEntry | None:
    """What a directory says of its run; None where it is none. A document that cannot be read counts as missing."""
    marker = read_marker(path)
    if marker is None:
        return None
    ended = _time(path / MANIFEST)
    plain = RunEntry(
        path=str(path),
        name=marker.name,
        command=marker.command,
        identity=marker.identity,
        state="running" if is_locked(path) else "unfinished",
        began=_time(path / MARKER) or 0.0,
        sessions=_sessions(path, marker),
    )
    plain = msgspec.structs.replace(
        plain,
        paid_calls=sum(session.paid_calls for session in plain.sessions),
        paid_usd=sum(session.paid_usd for session in plain.sessions),
    )
    known = _with_board(plain, path) if is_sweep(marker) else _with_summary(plain, path)
    if ended is None or known.state == "running":
        return known
    state: State = "failed" if known.exit_code else "finished"
    return msgspec.structs.replace(known, ended=ended, state=state)


def _with_summary(entry: RunEntry, path: Path) -> RunEntry:
    summary = _decoded(path / "summary.json", Summary)
    if summary is None:
        return entry
    split = next((name for name in SPLITS if summary.split(name) is not None), "")
    figures = summary.split(split)
    known = msgspec.structs.replace(
        entry,
        exit_code=summary.exit_code,
        verdicts=tuple(verdict.message for verdict in summary.verdicts),
        calls=summary.calls,
        usd=summary.usd,
    )
    if figures is None:
        return known
    return msgspec.structs.replace(
        known, split=split, score=figures.score, ci_low=figures.ci_low, ci_high=figures.ci_high
    )


def _with_board(entry: RunEntry, path: Path) -> RunEntry:
    """A sweep's score is that of its best cell, on test where that was scored."""
    board = _decoded(path / "sweep.json", Leaderboard)
    if board is None:
        return entry
    known = msgspec.structs.replace(
        entry,
        exit_code=board.exit_code,
        verdicts=tuple(verdict.message for verdict in board.verdicts),
        calls=sum(cell.calls for cell in board.cells),
        usd=sum(cell.usd for cell in board.cells),
        cells=len(board.cells),
    )
    best = next((cell for cell in board.cells if cell.rank == 1), None)
    if best is None:
        return known
    split, figures = ("test", best.test) if best.test is not None else (board.split, best)
    return msgspec.structs.replace(
        known, split=split, score=figures.score, ci_low=figures.ci_low, ci_high=figures.ci_high
    )


def _sessions(path: Path, marker: Marker) -> tuple[SessionNote, ...]:
    """What its sessions paid; of a sweep, those of its cells."""
    folders = [path, *(_below(path) if is_sweep(marker) else ())]
    notes = [note for folder in folders for note in _notes(folder / SESSIONS)]
    return tuple(sorted(notes, key=lambda note: note.ended))


def _notes(path: Path) -> Iterator[SessionNote]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=SessionNote)
        except msgspec.DecodeError:  # torn by a kill: what it paid is not known
            continue


def _decoded(path: Path, kind: type[Document]) -> Document | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def size_of(path: Path) -> int:
    """Bytes of all files below a directory."""
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)


def delete_run(path: Path) -> None:
    """Remove a run's directory: the marker last, so that a kill leaves a run to delete and no foreign folder.

    Raises RunError for a folder that promptc did not make, for a link, and for a run that is under way.
    """
    if path.is_symlink() or read_marker(path) is None:
        raise RunError(f"{path} is not a run's directory: promptc deletes what it made, and nothing else")
    if is_locked(path):
        raise RunError(f"{path} is being written by a promptc process", "wait for it, or stop it")
    try:
        for entry in sorted(path.iterdir(), key=lambda entry: (entry.name != MANIFEST, entry.name)):
            if entry.name in (MARKER, LOCK):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        for name in (LOCK, MARKER):
            (path / name).unlink(missing_ok=True)
        path.rmdir()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}", "mend the permissions") from error
    _drop_links(path.parent)


def _drop_links(folder: Path) -> None:
    """Remove `…-latest` links that lead nowhere any more."""
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name.endswith("-latest") and not entry.exists():
            entry.unlink()
