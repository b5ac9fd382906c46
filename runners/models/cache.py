"""The cache of replies: one SQLite file for all runs and processes of a user.

A reply is found by the digest of its request. The request is stored by its parts, so that `promptc cache
explain` can show it. A read is a point look-up of some ten microseconds; writes are grouped, and committed
on the caller's thread only when no other process holds the write lock, else a little later: nothing ever
waits for another process while requests are under way. A cache that cannot be used never stops a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from promptc.runners.models.cache_entries import (
    CacheStats,
    Entry,
    Explanation,
    Prefixes,
    Rest,
    differences,
    entry_of,
)
from promptc.runners.models.cache_file import CacheFile, damaged, held
from promptc.runners.models.request import Completion, Request
from promptc.runners.models.secrets import Redactor
from promptc.spec.errors import RunError, UsageError

GROUP_SECONDS = 0.02
LONGEST_GROUP_SECONDS = 1.0
LARGEST_GROUP = 256
COMPARED = 300

_COLUMNS = "r.key, r.model, r.created, p.messages, r.rest, r.completion"
_JOINED = "replies r LEFT JOIN prefixes p ON p.digest = r.prefix"

_Row = tuple[bytes, str, float, bytes, bytes, bytes]


class Cache:
    """Replies by request. Safe to share between processes; used from one thread in each.

    `warn` hears once that the file was damaged (it is moved aside) or cannot be used (the run goes on
    without). `redactor` keeps known secrets out of stored requests. `now` gives seconds since the epoch.
    Nothing is opened before the first look-up.
    """

    def __init__(
        self,
        path: Path,
        *,
        warn: Callable[[str], None],
        redactor: Redactor | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._file = CacheFile(path, warn)
        self._warn = warn
        self._redactor = redactor or Redactor()
        self._now = now
        self._prefixes = Prefixes()
        self._decoder = msgspec.json.Decoder(Completion)
        self._pending: dict[bytes, tuple[_Row, Completion]] = {}
        self._new_prefixes: dict[bytes, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._group = GROUP_SECONDS

    def get(self, key: bytes, max_age: float | None = None) -> Completion | None:
        """The reply to the request with this key, unless it is older than `max_age` seconds."""
        pending = self._pending.get(key)
        if pending is not None:
            return pending[1]
        db = self._file.opened()
        if db is None:
            return None
        oldest = -1.0 if max_age is None else self._now() - max_age
        try:
            row = db.execute(
                "SELECT completion FROM replies WHERE key = ? AND created >= ?", (key, oldest)
            ).fetchone()
            return self._decoder.decode(row[0]) if row is not None else None
        except sqlite3.Error as error:
            self._failed(error)
            return None
        except msgspec.DecodeError:
            # Not as this version writes it: it is asked for and stored anew.
            return None

    def put(self, request: Request, completion: Completion, key: bytes | None = None) -> None:
        """Store a reply. It is found at once, and on disk a moment later."""
        if not self._file.usable:
            return
        key = key or request.key()
        length, digest, content = self._prefixes.split(request.messages)
        if content is not None:
            self._new_prefixes[digest] = self._clean(content)
        rest = Rest(request.messages[length:], request.params, request.rollout, request.endpoint)
        encoded = msgspec.json.encode(completion)
        row = (key, request.model, self._now(), digest, self._clean(msgspec.json.encode(rest)), encoded)
        self._pending[key] = (row, completion)
        if self._timer is None:
            self._flush_soon()

    def close(self) -> None:
        """Write what is pending, waiting for other processes if need be, and close the file."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        db = self._file.opened() if self._pending else None
        if db is not None:
            try:
                self._file.wait_for_others(db, wait=True)
                self._write(db)
            except sqlite3.Error as error:
                self._warn(f"the cache {self.path}: {len(self._pending)} replies were not stored: {error}")
        self._file.disconnect()

    def stats(self) -> CacheStats:
        """Size and content."""
        if self._empty():
            return CacheStats(path=str(self.path), bytes=0, replies=0, models={}, oldest=None, newest=None)
        with self._at_rest() as db:
            models = dict(db.execute("SELECT model, count(*) FROM replies GROUP BY model ORDER BY model"))
            oldest, newest = db.execute("SELECT min(created), max(created) FROM replies").fetchone()
        return CacheStats(
            path=str(self.path),
            bytes=self._file.size(),
            replies=sum(models.values()),
            models=models,
            oldest=oldest,
            newest=newest,
        )

    def entries(self, key_prefix: str, limit: int = 20) -> list[Entry]:
        """The entries whose key begins with these hex digits. Raises UsageError for anything else."""
        try:
            low, high = (bytes.fromhex(key_prefix.ljust(32, digit)) for digit in "0f")
        except ValueError:
            raise UsageError(f"{key_prefix!r} is not the beginning of a cache key: hex digits only") from None
        return self._select("WHERE r.key BETWEEN ? AND ? ORDER BY r.key LIMIT ?", (low, high, limit))

    def explain(self, request: Request) -> Explanation:
        """Whether the reply to a request is here; if not, what the most similar request has otherwise."""
        found = self.entries(request.key().hex(), 1)
        if found:
            return Explanation(found=found[0])
        stored = self._select("WHERE r.model = ? ORDER BY r.created DESC LIMIT ?", (request.model, COMPARED))
        stored = stored or self._select("ORDER BY r.created DESC LIMIT ?", (COMPARED,))
        if not stored:
            return Explanation()
        nearest = min(stored, key=lambda entry: len(differences(request, entry.request)))
        return Explanation(nearest=nearest, differs=differences(request, nearest.request))

    def prune(self, *, max_age: float | None = None, max_bytes: int | None = None) -> int:
        """Remove replies older than `max_age` seconds, then the oldest until the file is small enough."""
        with self._at_rest() as db:
            removed = 0
            if max_age is not None:
                removed += db.execute(
                    "DELETE FROM replies WHERE created < ?", (self._now() - max_age,)
                ).rowcount
                self._compact(db)
            while max_bytes is not None and (size := self._file.size()) > max_bytes:
                count = db.execute("SELECT count(*) FROM replies").fetchone()[0]
                if not count:
                    break
                surplus = max(1, int(count * (1 - 0.95 * max_bytes / size)))
                removed += db.execute(
                    "DELETE FROM replies WHERE rowid IN (SELECT rowid FROM replies ORDER BY created LIMIT ?)",
                    (surplus,),
                ).rowcount
                self._compact(db)
        return removed

    def clear(self) -> int:
        """Remove everything; returns how many replies there were."""
        with self._at_rest() as db:
            removed = db.execute("DELETE FROM replies").rowcount
            self._compact(db)
        return removed

    def export(self, path: Path) -> int:
        """Write every entry as a line of JSON, oldest first; returns how many."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        written = 0
        with self._at_rest() as db, temporary.open("wb") as file:
            for row in db.execute(f"SELECT {_COLUMNS} FROM {_JOINED} ORDER BY r.created, r.key"):
                file.write(msgspec.json.encode(self._entry(row)) + b"\n")
                written += 1
        temporary.replace(path)
        return written

    def _select(self, clause: str, values: tuple[object, ...]) -> list[Entry]:
        if self._empty():
            return []
        with self._at_rest() as db:
            return [
                self._entry(row) for row in db.execute(f"SELECT {_COLUMNS} FROM {_JOINED} {clause}", values)
            ]

    def _entry(self, row: tuple[bytes, str, float, bytes | None, bytes, bytes]) -> Entry:
        return entry_of(*row[:5], self._decoder.decode(row[5]))

    @contextlib.contextmanager
    def _at_rest(self) -> Iterator[sqlite3.Connection]:
        """The file with everything written, for a command about the cache. Raises RunError."""
        db: sqlite3.Connection | None = None
        try:
            if self._pending:
                self.close()
            db = self._file.connect()
            self._file.wait_for_others(db, wait=True)
            yield db
        except (sqlite3.Error, OSError) as error:
            hint = "check its permissions and the disk, or set PROMPTC_CACHE_DIR to another folder"
            if damaged(error):
                hint = f"delete {self.path}; what it holds can only be asked for again"
            raise RunError(f"the cache {self.path} cannot be used: {error}", hint) from error
        finally:
            if db is not None:
                db.close()

    def _empty(self) -> bool:
        """No file yet: a question about the cache does not make one."""
        return not self._pending and not self.path.exists()

    def _compact(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM prefixes WHERE digest NOT IN (SELECT prefix FROM replies)")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._prefixes.forget()

    def _clean(self, content: bytes) -> bytes:
        return self._redactor.clean(content.decode()).encode()

    def _flush_soon(self) -> None:
        """Commit after a moment what comes until then; without an event loop, once there is a group."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if len(self._pending) % LARGEST_GROUP == 0:
                self._flush()
            return
        self._timer = loop.call_later(self._group, self._flush_and_go_on)

    def _flush_and_go_on(self) -> None:
        self._timer = None
        self._flush()
        if self._pending and self._file.usable:
            self._group = min(2 * self._group, LONGEST_GROUP_SECONDS)
            self._flush_soon()
        else:
            self._group = GROUP_SECONDS

    def _flush(self) -> None:
        db = self._file.opened()
        if db is not None:
            try:
                self._write(db)
            except sqlite3.Error as error:
                self._failed(error)
        if not self._file.usable:
            self._pending.clear()

    def _write(self, db: sqlite3.Connection) -> None:
        """Commit what is pending in one transaction."""
        if not self._pending:
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT OR IGNORE INTO prefixes VALUES (?, ?)", list(self._new_prefixes.items()))
            rows = [row for row, _ in self._pending.values()]
            db.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)", rows)
            db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._pending.clear()
        self._new_prefixes.clear()

    def _failed(self, error: sqlite3.Error) -> None:
        self._file.failed(error)
        if not held(error):
            self._prefixes.forget()
