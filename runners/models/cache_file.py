"""The SQLite file behind the cache: where it is, how it is opened, what happens when it is unusable."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SCHEMA_VERSION = 1
"""Part of the file's name: versions of promptc with other tables leave each other alone."""

BUSY_SECONDS = 5.0

_TABLES = """
CREATE TABLE IF NOT EXISTS prefixes (digest BLOB PRIMARY KEY, messages BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replies (
  key BLOB NOT NULL, model TEXT NOT NULL, created REAL NOT NULL, prefix BLOB NOT NULL, rest BLOB NOT NULL,
  completion BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS replies_by_key ON replies (key);
CREATE INDEX IF NOT EXISTS replies_by_age ON replies (created);
"""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def cache_path(environment: Mapping[str, str]) -> Path:
    """The file in $PROMPTC_CACHE_DIR, else in promptc/ of $XDG_CACHE_HOME, else in ~/.cache/promptc."""
    if folder := environment.get("PROMPTC_CACHE_DIR"):
        root = Path(folder)
    elif folder := environment.get("XDG_CACHE_HOME"):
        root = Path(folder) / "promptc"
    else:
        root = Path(environment.get("HOME") or Path.home()) / ".cache" / "promptc"
    return root / f"replies-{SCHEMA_VERSION}.sqlite"


def damaged(error: Exception) -> bool:
    """The file is no database, or not one with these tables."""
    return isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED


def held(error: sqlite3.Error) -> bool:
    """Another process is writing just now."""
    return _code(error) in _HELD


class CacheFile:
    """A connection that is opened when first needed, and given up or renewed when it fails.

    A damaged file is moved aside and a new one begun. Everything else that is wrong (a full or read-only
    disk, no permission) ends the use of the cache. `warn` hears of either.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self.usable = True
        self._warn = warn
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._replaced = 0

    def opened(self) -> sqlite3.Connection | None:
        """The connection, which never waits for other processes; None once the cache was given up."""
        if self._db is None and self.usable:
            try:
                self._db = self.connect()
            except (sqlite3.Error, OSError) as error:
                self.failed(error)
                if self.usable:
                    return self.opened()
        return self._db

    def connect(self) -> sqlite3.Connection:
        """A new connection. Raises sqlite3.Error or OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._inode = self.path.stat().st_ino
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _enter_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            # A checkpoint waits for the disk: seldom during a run, and at its end.
            db.execute("PRAGMA wal_autocheckpoint = 10000")
            db.executescript(_TABLES)
            db.execute("SELECT key, model, created, prefix, rest, completion FROM replies LIMIT 0")
            self.wait_for_others(db, wait=False)
        except sqlite3.Error:
            db.close()
            raise
        return db

    def wait_for_others(self, db: sqlite3.Connection, *, wait: bool) -> None:
        """Whether a statement waits while another process writes, or fails at once."""
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000) if wait else 0}")

    def failed(self, error: sqlite3.Error | OSError) -> None:
        """Do what the error calls for; nothing when another process only holds the file for a moment."""
        if isinstance(error, sqlite3.Error) and held(error) and self._db is not None:
            return
        self.disconnect()
        if damaged(error) and self._replaced < 2:
            self._move_aside(error)
            return
        self.usable = False
        self._warn(f"the cache {self.path} is switched off for this run: {error}")

    def disconnect(self) -> None:
        """Close the connection; the write-ahead log is brought into the file when nobody is in the way."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._db.close()
            self._db = None

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self._files() if file.exists())

    def _files(self) -> list[Path]:
        return [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]

    def _move_aside(self, error: Exception) -> None:
        self._replaced += 1
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            # Another process may have found the damage first: then the path already holds a new file.
            if self.path.stat().st_ino == self._inode:
                for file in self._files():
                    if file.exists():
                        file.replace(aside.with_name(aside.name + file.name.removeprefix(self.path.name)))
                self._warn(f"the cache was damaged ({error}): it was moved to {aside} and a new one begun")
        except OSError as problem:
            self.usable = False
            self._warn(f"the cache {self.path} is damaged and cannot be moved aside: {problem}")


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended ones keep it in the lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _enter_wal(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite does not wait for its turn here, so this does."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not held(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
