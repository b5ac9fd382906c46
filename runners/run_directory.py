"""The run directory: one invocation with its identity, and everything that it wrote.

A directory belongs to promptc when it holds `.promptc.json`, which names the run's identity. It is finished when
`manifest.json` is there, which is written last. The same identity resumes, or returns its verdict again; a finished
other run is replaced once the new one is complete (until then the new one lives in a hidden folder beside it); an
unfinished other run is refused without `force`; a folder that promptc did not make is always refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO

import msgspec

from promptc.runners.disk import LineLog, disk_errors, write_file
from promptc.spec.errors import RunError

MARKER = ".promptc.json"
MANIFEST = "manifest.json"
JOURNAL = "calls.sqlite"
LOCK = ".lock"
SESSIONS = "sessions.jsonl"


SWEEP_SUFFIX = "-sweep"
"""What the command of a sweep ends with: `eval-sweep`."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory says about the run that it belongs to. `fresh` runs were begun without reading the cache."""

    identity: str
    command: str
    name: str
    fresh: bool = False
    format: int = 1


class SessionNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a session of a run really paid: replies, and US dollars. `ended` is in seconds since the epoch."""

    ended: float
    paid_calls: int
    paid_usd: float


class RunDirectory:
    """A directory that this process may write to. `path` is where the run will stand, `work` where it is written."""

    def __init__(self, path: Path, work: Path, marker: Marker) -> None:
        self.path = path
        self.work = work
        self.marker = marker
        self._lock: IO[str] | None = None
        self._logs: list[LineLog] = []

    @classmethod
    def open(cls, path: Path, marker: Marker, *, force: bool = False, fresh: bool = False) -> RunDirectory:
        """Find out what stands at `path` and take the writer's lock. Raises RunError.

        A `fresh` run starts anew unless what stands there, unfinished, was begun fresh as well.
        """
        marker = msgspec.structs.replace(marker, fresh=fresh)
        directory = cls(path, cls._place(path, marker, force), marker)
        directory._create()
        directory._take_lock()
        directory._finish_replacing()
        directory._begin()
        return directory

    @staticmethod
    def _place(path: Path, marker: Marker, force: bool) -> Path:
        """Where the run is to be written: at `path`, or beside what stands there until it is complete."""
        found = read_marker(path)
        beside = path.with_name(f".{path.name}.{marker.identity[:12]}.partial")
        if found is None:
            if _occupied(path):
                raise RunError(
                    f"{path} is not empty and promptc did not make it",
                    "choose another directory with -o; promptc never writes into a folder that is not its own",
                )
            return beside if is_finished(beside) else path
        same = found.identity == marker.identity
        if is_finished(path):
            return path if same and not marker.fresh else beside
        if same or force:
            return path
        raise RunError(
            f"{path} holds an unfinished run of something else ({found.command} of {found.name})",
            "finish it with its own command, choose another directory with -o, or give it up with --force",
        )

    @property
    def finished(self) -> bool:
        """True when this very run was completed before."""
        return self.work == self.path and is_finished(self.path)

    @property
    def journal_path(self) -> Path:
        """Where the journal lies."""
        return self.work / JOURNAL

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: under a temporary name, then renamed. Equal bytes keep their time."""
        target = self.work / name
        with disk_errors(target):
            if target.is_file() and target.read_bytes() == content:
                return
        write_file(target, (content,))

    def write_parts(self, name: str, parts: Iterable[bytes]) -> None:
        """The same for a file that is too large to be held whole."""
        write_file(self.work / name, parts)

    def clear(self, folder: str, keep: Collection[str]) -> None:
        """Remove what an earlier session left below a folder, but for these paths."""
        place = self.work / folder
        with disk_errors(place):
            for entry in sorted(place.iterdir()) if place.is_dir() else []:
                if f"{folder}/{entry.name}" not in keep:
                    shutil.rmtree(entry)

    def appending(self, name: str) -> LineLog:
        """A file of lines that grows while the run works, begun anew."""
        log = LineLog(self.work / name)
        self._logs.append(log)
        return log

    def note_session(self, note: SessionNote) -> None:
        """Keep what a session paid. Whatever becomes of the run, the note stays: the money is spent."""
        with disk_errors(self.work), open(self.work / SESSIONS, "ab") as file:
            file.write(msgspec.json.encode(note) + b"\n")

    def reopen(self) -> None:
        """Let a finished run go on: until it is complete again, it is unfinished."""
        with disk_errors(self.work):
            (self.work / MANIFEST).unlink(missing_ok=True)

    def complete(self, manifest: bytes) -> None:
        """Write the manifest; where another finished run stood, take its place."""
        self.write(MANIFEST, manifest)
        if self.work != self.path:
            old = self.path.with_name(f".{self.path.name}.old")
            with disk_errors(self.path):
                _join_sessions(self.path, self.work)
                shutil.rmtree(old, ignore_errors=True)
                os.replace(self.path, old)
                os.replace(self.work, self.path)
                shutil.rmtree(old, ignore_errors=True)
            self.work = self.path

    def close(self) -> None:
        """Close what a run that failed left open, and give the lock back."""
        for log in self._logs:
            log.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _finish_replacing(self) -> None:
        """Where a kill fell between the two renames of `complete`, do the second one."""
        if self.work != self.path and is_finished(self.work) and not self.path.exists():
            with disk_errors(self.path):
                os.replace(self.work, self.path)
            self.work = self.path

    def _begin(self) -> None:
        """Keep what an earlier session of this run left, or clear what stands here and sign the directory."""
        standing = read_marker(self.work)
        same = standing is not None and standing.identity == self.marker.identity
        if standing is not None and same and (standing.fresh or not self.marker.fresh):
            self.marker = standing
            return
        self._clear()
        self.write(MARKER, msgspec.json.format(msgspec.json.encode(self.marker)) + b"\n")

    def _create(self) -> None:
        with disk_errors(self.work):
            self.work.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _clear(self) -> None:
        """Remove an earlier run: first what makes it finished, its marker never, so that a kill loses no claim."""
        with disk_errors(self.work):
            for entry in sorted(self.work.iterdir(), key=lambda entry: (entry.name != MANIFEST, entry.name)):
                if entry.name in (LOCK, MARKER, SESSIONS):
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def _take_lock(self) -> None:
        with disk_errors(self.work):
            self._lock = open(self.work / LOCK, "w", encoding="utf-8")  # noqa: SIM115  held while the run works
        try:
            import fcntl
        except ImportError:  # Windows: the journal's own locking remains
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise RunError(
                f"{self.work} is being written by another promptc process",
                "wait for it, or choose another -o",
            ) from error


def default_path(folder: Path, name: str, command: str, identity: str) -> Path:
    """`runs/<name>-<command>-<12 hex>` below the working folder."""
    return folder / f"{_slug(name)}-{command}-{identity[:12]}"


def latest_path(folder: Path, name: str, command: str) -> Path:
    """The link to the newest run of a command."""
    return folder / f"{_slug(name)}-{command}-latest"


def point_latest(folder: Path, name: str, command: str, target: Path) -> None:
    """Let `runs/<name>-<command>-latest` name the newest run; left alone where links cannot be made."""
    link = latest_path(folder, name, command)
    temporary = folder / f".{link.name}.tmp"
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name, target_is_directory=True)
        os.replace(temporary, link)


def keep_out_of_git(folder: Path) -> None:
    """Put a .gitignore into the folder of runs: they hold data."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        with disk_errors(ignore):
            folder.mkdir(parents=True, exist_ok=True)
            ignore.write_text("*\n", encoding="utf-8")


def is_locked(path: Path) -> bool:
    """True while a process writes here."""
    try:
        import fcntl

        with open(path / LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _join_sessions(old: Path, new: Path) -> None:
    """Keep what the run that is replaced has paid."""
    if not (old / SESSIONS).exists():
        return
    own = (new / SESSIONS).read_bytes() if (new / SESSIONS).exists() else b""
    (new / SESSIONS).write_bytes((old / SESSIONS).read_bytes() + own)


def read_marker(path: Path) -> Marker | None:
    """What the directory says about itself; None where promptc did not make it."""
    try:
        return msgspec.json.decode((path / MARKER).read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError):
        return None


def is_sweep(marker: Marker) -> bool:
    """True for the directory of a sweep, which holds runs and is none."""
    return marker.command.endswith(SWEEP_SUFFIX)


def is_finished(path: Path) -> bool:
    """True when the run that stands here was completed."""
    return (path / MANIFEST).exists()


def _occupied(path: Path) -> bool:
    """True where something stands that promptc did not make; a kill may have left the lock and no marker yet."""
    with disk_errors(path):
        if not path.exists():
            return False
        return not path.is_dir() or any(
            entry.name not in (LOCK, f".{MARKER}.tmp") for entry in path.iterdir()
        )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") or "run"
