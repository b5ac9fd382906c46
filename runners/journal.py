"""The journal of a run: every effect, committed before anything uses it.

Resume is replay: a run that is started again asks the journal first, and what it asked before it does not pay again.
Effects are found by their key (a digest of everything that can change them), so the order in which calls finish does
not matter. Each effect remembers the phase that asked for it, and phases are recorded with a digest of what they work
on; that is how a replay notices that it has diverged.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from promptc.spec.errors import RunError

JOURNAL_VERSION = 1
"""Part of a run's identity: a journal of another version belongs to another run."""

GROUP_COMMIT_SECONDS = 0.002
LARGEST_GROUP = 64
"""As many effects as this are committed at once, without waiting for more."""

EffectKind = Literal["model", "model_failure", "hook", "hook_failure", "outside", "outside_failure", "clock"]
_FAILED = "kind IN ('model_failure', 'outside_failure')"


class Effect(msgspec.Struct, frozen=True):
    """One thing that came from outside: what it was, who asked (the role), in which phase, and what came."""

    key: bytes
    phase: int
    session: int
    kind: EffectKind
    role: str
    payload: bytes


class PhaseRecord(msgspec.Struct, frozen=True):
    """A phase as the journal knows it: what it works on, how many rows were under way at most, whether it ended."""

    number: int
    digest: str
    window: int
    done: bool


_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effects (
  key BLOB PRIMARY KEY, phase INTEGER NOT NULL, session INTEGER NOT NULL, kind TEXT NOT NULL, role TEXT NOT NULL,
  payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS effects_by_phase ON effects (phase);
CREATE TABLE IF NOT EXISTS phases (
  number INTEGER PRIMARY KEY, digest TEXT NOT NULL, window INTEGER NOT NULL, done INTEGER NOT NULL
);
"""


class Journal:
    """A SQLite file of effects with one writer. `path` None keeps it in memory: such a run cannot be resumed.

    Raises RunError when the file is damaged, was written by another version, or the disk is full.
    """

    def __init__(self, path: Path | None, *, identity: str, version: str) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
        except sqlite3.Error as error:
            raise self._broken(error) from error
        try:
            self._open(identity, version)
        except sqlite3.Error as error:
            self._db.close()
            raise self._broken(error) from error
        except RunError:
            self._db.close()
            raise
        self._phases = {row[0]: PhaseRecord(*row) for row in self._db.execute("SELECT * FROM phases")}
        self._unused: dict[int, int] = dict(
            self._db.execute("SELECT phase, count(*) FROM effects GROUP BY phase").fetchall()
        )
        self._waiting = sum(self._unused.values())
        self._used: set[bytes] = set()
        self._known: set[bytes] = set(self._keys())
        self._pending: dict[bytes, Effect] = {}
        self._flushed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _open(self, identity: str, version: str) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)
        problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise self.damaged(problem)
        self.written_by = self._meta("promptc", version)
        self._check_identity(identity)
        self.session = int(self._meta("session", "0")) + 1
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'session'", (str(self.session),))

    @property
    def elapsed(self) -> float:
        """Seconds that earlier sessions worked."""
        return float(self._meta("elapsed", "0"))

    @elapsed.setter
    def elapsed(self, seconds: float) -> None:
        self._execute("INSERT OR REPLACE INTO meta VALUES ('elapsed', ?)", (str(seconds),))

    @property
    def replaying(self) -> bool:
        """True while effects of earlier sessions wait to be used."""
        return self._waiting > 0

    def unused(self, phase: int) -> int:
        """How many effects of earlier sessions this phase has not asked for yet."""
        return self._unused.get(phase, 0)

    def recorded_phase(self, number: int) -> PhaseRecord | None:
        """The phase as an earlier session recorded it."""
        return self._phases.get(number)

    def begin_phase(self, number: int, digest: str, window: int) -> None:
        """Record what a phase works on, before its first call."""
        known = self._phases.get(number)
        record = PhaseRecord(
            number, digest, max(window, known.window if known else 0), bool(known and known.done)
        )
        self._phases[number] = record
        self._execute(
            "INSERT OR REPLACE INTO phases VALUES (?, ?, ?, ?)", (number, digest, record.window, record.done)
        )

    def end_phase(self, number: int) -> None:
        """Record that nothing more will be asked in this phase."""
        self._phases[number] = msgspec.structs.replace(self._phases[number], done=True)
        self._execute("UPDATE phases SET done = 1 WHERE number = ?", (number,))

    def find(self, key: bytes) -> Effect | None:
        """The effect, if it was committed; does not count as use."""
        if key not in self._known or key in self._pending:
            return None
        try:
            row = self._db.execute("SELECT * FROM effects WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return Effect(*row) if row else None

    def use(self, effect: Effect) -> bool:
        """Note that this session uses a recorded effect. True the first time, which is when it counts in the budget."""
        if effect.session == self.session or effect.key in self._used:
            return False
        self._used.add(effect.key)
        if self._unused.get(effect.phase):
            self._unused[effect.phase] -= 1
            self._waiting -= 1
        return True

    async def record(self, key: bytes, *, phase: int, kind: EffectKind, role: str, payload: bytes) -> Effect:
        """Commit an effect; returns when it is on disk. Commits that arrive together share one transaction."""
        effect = Effect(key, phase, self.session, kind, role, payload)
        self._pending[key] = effect
        self._known.add(key)
        if self._flushed is None:
            loop = asyncio.get_running_loop()
            self._flushed = loop.create_future()
            self._timer = loop.call_later(GROUP_COMMIT_SECONDS, self._flush)
        waiting = self._flushed
        if len(self._pending) >= LARGEST_GROUP:
            self._flush()
        await asyncio.shield(waiting)
        return effect

    def record_now(self, key: bytes, *, phase: int, kind: EffectKind, role: str, payload: bytes) -> Effect:
        """Commit an effect at once; for the rare decision that is taken outside of a phase's traffic."""
        effect = Effect(key, phase, self.session, kind, role, payload)
        self._execute(
            "INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(effect)
        )
        self._known.add(key)
        return effect

    def drop_failures(self) -> int:
        """Forget recorded failures of providers and of what else is outside: they are asked again. Returns how many.

        What follows the first of them may now go another way, so from its phase on effects may be used or not.
        """
        counts: dict[int, int] = dict(
            self._db.execute(f"SELECT phase, count(*) FROM effects WHERE {_FAILED} GROUP BY phase")
        )
        if not counts:
            return 0
        first = min(counts)
        self._execute(f"DELETE FROM effects WHERE {_FAILED}")
        self._execute("DELETE FROM phases WHERE number >= ?", (first,))
        self._phases = {number: phase for number, phase in self._phases.items() if number < first}
        self._unused = {phase: count for phase, count in self._unused.items() if phase < first}
        self._waiting = sum(self._unused.values())
        self._known = set(self._keys())
        return sum(counts.values())

    def effects(self) -> Iterator[Effect]:
        """Every effect on disk, in no order that means anything."""
        for row in self._db.execute("SELECT * FROM effects"):
            yield Effect(*row)

    def close(self) -> None:
        """Commit what is pending and close the file."""
        self._flush()
        self._db.close()

    def _keys(self) -> Iterator[bytes]:
        """Every recorded key. They are kept in memory, so that a first request costs no look-up."""
        return (row[0] for row in self._db.execute("SELECT key FROM effects"))

    def _flush(self) -> None:
        waiting, self._flushed = self._flushed, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows = [msgspec.structs.astuple(effect) for effect in self._pending.values()]
        try:
            if rows:
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if waiting is None:
                raise self._broken(error) from error
            waiting.set_exception(self._broken(error))
            return
        self._pending.clear()
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _meta(self, name: str, default: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
        return str(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def _check_identity(self, identity: str) -> None:
        recorded = self._meta("identity", identity)
        if recorded != identity:
            raise RunError(
                f"{self._path}: this journal belongs to run {recorded[:12]}, not to {identity[:12]}",
                "choose another directory with -o, or --force to start anew here",
            )

    def damaged(self, what: object) -> RunError:
        """The error of a journal that cannot be read, or holds what nobody wrote."""
        return RunError(
            f"{self._path}: the journal is damaged: {what}",
            "delete it to start the run anew; what it held is asked, and paid, again",
        )

    def _broken(self, error: sqlite3.Error) -> RunError:
        if not isinstance(error, sqlite3.OperationalError):
            return self.damaged(error)
        return RunError(
            f"{self._path}: the journal cannot be used: {error}",
            "free disk space or mend the permissions and run the same command again; nothing recorded is lost",
        )
