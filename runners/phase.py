"""A phase: rows that are worked on together, admitted before the first call.

Two things may hold a row's call back, and both are decided only when nothing else is moving (quiescence), so that
neither depends on the order in which replies arrive or on the number of workers:

- *replay*: an earlier session recorded effects of this phase. A call that is not among them waits until all recorded
  ones were asked for; if some never are, the replay has diverged and nothing is paid.
- *waves*: the budget does not cover the phase's worst case. Calls go out in row order, each wave only if its worst case
  fits what is settled, re-asks after all first calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from promptc.runners.ledger import Amount
from promptc.runners.models.request import Completion, Request
from promptc.spec.errors import PromptcError, RunError

if TYPE_CHECKING:
    from promptc.runners.effects import Effects

WAVE_ROWS = 256
"""Rows under way at once when calls go out in waves. A constant: the cut must not depend on the number of workers."""

_BEFORE_ALL_ROWS = -1
"""The place in line of calls for all rows."""

Result = TypeVar("Result")
Strand = TypeVar("Strand")


class BudgetDenied(Exception):
    """A call that the budget does not cover any more. The row keeps what it has."""


Job = Callable[["Lane"], Awaitable[Result]]


class _Source(Generic[Result]):
    """Where the jobs come from: a collection, or a stream that may let one wait."""

    def __init__(
        self, jobs: Iterable[Job[Result]] | AsyncIterator[Job[Result]], wake: Callable[[], None]
    ) -> None:
        self._jobs = iter(jobs) if isinstance(jobs, Iterable) else None
        self._stream = None if isinstance(jobs, Iterable) else jobs
        self._coming: asyncio.Task[Job[Result] | None] | None = None
        self._wake = wake
        self.exhausted = False

    @property
    def waiting(self) -> bool:
        """True while the stream has neither brought the next job nor ended."""
        return self._coming is not None and not self._coming.done()

    def take(self) -> Job[Result] | None:
        """The next job; None when there is none (`exhausted`), or none yet (`waiting`)."""
        if self._stream is None:
            job = next(self._jobs, None) if self._jobs is not None else None
        else:
            if self._coming is None:
                self._coming = asyncio.ensure_future(anext(self._stream, None))
                self._coming.add_done_callback(lambda _: self._wake())
            if not self._coming.done():
                return None
            job, self._coming = self._coming.result(), None
        self.exhausted = job is None
        return job

    def close(self) -> None:
        """Stop waiting for the stream."""
        if self._coming is not None:
            self._coming.cancel()


class _Held(msgspec.Struct, order=True):
    """A call that waits for its wave; sorts first calls before re-asks, then by row."""

    reask: bool
    row: int
    sequence: tuple[int, ...]
    role: str
    worst: Amount
    released: asyncio.Future[bool]


class _Common:
    """Work that several rows wait for."""

    def __init__(self, task: asyncio.Future[Any]) -> None:
        self.task = task
        self.waiting: list[asyncio.Future[None]] = []


class Lane:
    """One row's way through a phase: everything that the row asks of the outside goes through here.

    `row_id` names the row where it is one of the spec's data, so that it is shown no demo that was made of it.
    """

    __slots__ = ("_cost", "_input_tokens", "_output_tokens", "_place", "_steps", "phase", "row", "row_id")

    def __init__(self, phase: Phase[object], row: int, place: tuple[int, ...] = (), row_id: str = "") -> None:
        self.phase = phase
        self.row = row
        self.row_id = row_id
        self._place = place
        self._steps = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._cost: float | None = 0.0

    def usage(self) -> tuple[int, int, float | None]:
        """Tokens in, tokens out and dollars (None where a price is unknown) of the replies that the row got."""
        return self._input_tokens, self._output_tokens, self._cost

    async def complete(self, request: Request, *, model: str, role: str, reask: bool = False) -> Completion:
        """The model's reply. Raises CallFailed, and BudgetDenied where the wall is reached."""
        self._steps += 1
        if self.phase.in_waves:
            await self.phase.admit(self.row, (*self._place, self._steps), request, model, role, reask)
        completion = await self.phase.effects.complete(
            self.phase, request, model=model, role=role, reask=reask
        )
        self._count(completion.usage.input_tokens, completion.usage.output_tokens, completion.cost)
        return completion

    async def together(
        self,
        works: Sequence[Callable[[Lane], Awaitable[Strand]]],
        needs: Sequence[frozenset[int]] | None = None,
    ) -> list[Strand]:
        """Do several things at once, each on a lane of its own; results in order.

        `needs` holds for each the places of those that have to be done before it begins; without, all begin at once.
        All are finished, and charged, before the first error in order is raised: what a row asks must not depend on
        which of its replies comes first. What needs one that failed is not begun.
        """
        self._steps += 1
        places = [(*self._place, self._steps, n) for n in range(len(works))]
        lanes = [Lane(self.phase, self.row, place, self.row_id) for place in places]
        results = await _Strands(self.phase, works, lanes, needs or [frozenset()] * len(works)).run()
        for lane in lanes:
            self._count(*lane.usage())
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results  # type: ignore[return-value]  # no strand is left undone unless one that it needs has failed

    async def retrieve(
        self, name: str, queries: Sequence[str], k: int | None, where: Mapping[str, Any] | None
    ) -> list[list[dict[str, Any]]]:
        """Per query what the retriever of that name finds, as {id, text, score, meta}; raises RowFailed."""
        retrievers = self.phase.effects.retrievers
        assert retrievers is not None, "a program that retrieves is opened with its retrievers"
        return await retrievers.search(self, name, queries, k, where)

    def _count(self, input_tokens: int, output_tokens: int, cost: float | None) -> None:
        self._input_tokens += input_tokens
        self._output_tokens += output_tokens
        self._cost = None if self._cost is None or cost is None else self._cost + cost

    async def once(self, key: bytes, work: Callable[[Lane], Awaitable[Strand]]) -> Strand:
        """What all rows need and one of them brings, such as an index; kept for the run under its key.

        The work has a lane of its own: what it asks is charged to no row, whichever comes first. An error reaches
        every row that waits and is not kept.
        """
        return await self.phase.once(key, work)

    async def hook(self, reference: str, payload: object) -> object:
        """The result of the user's function; raises RowFailed."""
        return await self.phase.effects.hook(self.phase, reference, payload)

    async def outside(self, role: str, parts: Sequence[Any], work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of anything else outside, recorded under all that can change it; raises RowFailed."""
        return await self.phase.effects.outside(self.phase, role, parts, work)


class _Strands(Generic[Strand]):
    """Works of one row, each begun when those that it needs are done."""

    def __init__(
        self,
        phase: Phase[object],
        works: Sequence[Callable[[Lane], Awaitable[Strand]]],
        lanes: Sequence[Lane],
        needs: Sequence[frozenset[int]],
    ) -> None:
        self._phase = phase
        self._works = works
        self._lanes = lanes
        self._waiting = {place: set(need) for place, need in enumerate(needs)}
        self._results: list[Strand | BaseException | None] = [None] * len(works)
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> list[Strand | BaseException | None]:
        """What each came to: a result, an error, or None where one that it needs has failed."""
        if not self._works:
            return []
        first = self._ready()
        self._phase.moving(len(first) - 1)
        self._begin(first)
        try:
            await self._done
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._results

    def _ready(self) -> list[int]:
        return [place for place, needs in self._waiting.items() if not needs]

    def _begin(self, places: list[int]) -> None:
        for place in places:
            del self._waiting[place]
            task = asyncio.create_task(self._one(place))
            self._tasks.add(task)

    async def _one(self, place: int) -> None:
        failed = False
        try:
            self._results[place] = await self._works[place](self._lanes[place])
        except BaseException as error:  # noqa: BLE001  raised by `Lane.together`, once all works have ended
            self._results[place] = error
            failed = True
        following: list[int] = []
        if not failed:
            for needs in self._waiting.values():
                needs.discard(place)
            following = self._ready()
        self._tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        self._phase.moving(len(following))
        self._begin(following)
        if self._tasks:
            self._phase.resting()
        elif not self._done.done():
            self._done.set_result(None)


class Phase(Generic[Result]):
    """Runs jobs, one per row, and hands back each result as it comes.

    `window` rows are under way at once. `in_waves` says that the budget does not cover the worst case.
    """

    def __init__(self, effects: Effects, number: int, digest: str, *, window: int, in_waves: bool) -> None:
        self.effects = effects
        self.number = number
        self.in_waves = in_waves
        self.cut = False
        journal = effects.journal
        recorded = journal.recorded_phase(number)
        if recorded is not None and recorded.digest != digest:
            raise diverged(effects, f"phase {number} works on something else than the recorded one")
        self._ended_before = recorded is not None and recorded.done
        self._live = recorded is None or (journal.unused(number) == 0 and not recorded.done)
        self._window = WAVE_ROWS if in_waves else window
        self._replay_window = self._window if recorded is None else max(recorded.window + 1, self._window)
        journal.begin_phase(number, digest, self._replay_window)
        self._active = 0
        self._busy = 0
        self._changed = asyncio.Event()
        self._held: list[_Held] = []
        self._missing: list[asyncio.Future[None]] = []
        self._common: dict[bytes, _Common] = {}
        self._error: BaseException | None = None

    async def run(
        self,
        jobs: Iterable[Job[Result]] | AsyncIterator[Job[Result]],
        finished: Callable[[int, Result], None],
    ) -> int:
        """Work on all jobs; returns how many were started. Fewer than all means that the budget cut the phase.

        The first error that is not a row's own stops new rows, lets started calls finish, and is raised.
        """
        source = _Source(jobs, self._changed.set)
        self.effects.wake = self._changed.set
        tasks: set[asyncio.Task[None]] = set()
        started = 0
        try:
            while True:
                while (
                    not source.exhausted and self._may_start() and (job := self._next_job(source)) is not None
                ):
                    self._active += 1
                    self._busy += 1
                    task = asyncio.create_task(self._one(started, job, finished))
                    started += 1
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                if self._busy == 0 and (self._held or self._missing):
                    self._quiescent()
                    continue
                if self._busy == 0 and not (source.waiting and self._may_start()):
                    break
                await self._changed.wait()
                self._changed.clear()
        finally:
            source.close()
            under_way = [*tasks, *(common.task for common in self._common.values())]
            for unfinished in under_way:
                unfinished.cancel()
            if under_way:
                await asyncio.gather(*under_way, return_exceptions=True)
        if self._error is None and self.effects.stopping and not source.exhausted:
            self._error = self.effects.interruption()
        if self._error is not None:
            raise self._error
        if not self.effects.missing:
            self.effects.journal.end_phase(self.number)
        self.effects.save_elapsed()
        return started

    async def admit(
        self, row: int, sequence: tuple[int, ...], request: Request, model: str, role: str, reask: bool
    ) -> None:
        """Wait for the wave that this call goes out in; raises BudgetDenied when there is none."""
        worst = self.effects.worst_call(request, model)
        if self.cut:
            raise BudgetDenied
        held = _Held(reask, row, sequence, role, worst, asyncio.get_running_loop().create_future())
        self._held.append(held)
        if reask:
            self._active -= 1
        self._pause()
        released = await held.released
        if reask:
            self._active += 1
        if not released:
            raise BudgetDenied

    async def once(self, key: bytes, work: Callable[[Lane], Awaitable[Strand]]) -> Strand:
        """The result of work that the rows share: what is kept, what is under way, or what it comes to now."""
        kept = self.effects.kept
        if key in kept:
            result: Strand = kept[key]
            return result
        common = self._common.get(key)
        if common is None:
            common = self._common[key] = self._begin(key, work)
        # A row that waits does not move: calls that the work itself makes may be held back until nothing moves.
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        common.waiting.append(waiting)
        self._pause()
        await waiting
        return common.task.result()  # type: ignore[no-any-return]

    def _begin(self, key: bytes, work: Callable[[Lane], Awaitable[Strand]]) -> _Common:
        lane = Lane(self, _BEFORE_ALL_ROWS, (int.from_bytes(key[:8], "big"),))  # type: ignore[arg-type]
        self._busy += 1
        common = _Common(asyncio.ensure_future(work(lane)))

        def ended(task: asyncio.Future[Strand]) -> None:
            del self._common[key]
            if not task.cancelled() and task.exception() is None:
                self.effects.kept[key] = task.result()
            for waiting in common.waiting:
                if not waiting.done():
                    self._busy += 1
                    waiting.set_result(None)
            self._pause()

        common.task.add_done_callback(ended)
        return common

    def moving(self, strands: int) -> None:
        """So many more works of one row go on at once: while one of them moves, so does the row."""
        self._busy += strands

    def resting(self) -> None:
        """One of several works of a row has ended."""
        self._pause()

    async def until_live(self) -> None:
        """Wait until a call that was not recorded may be paid for; raises RunError when the replay has diverged."""
        if self._live:
            return
        if self._ended_before:
            raise diverged(
                self.effects, f"phase {self.number} ended, and now asks for a reply it never asked for"
            )
        if self.effects.journal.unused(self.number) == 0:
            self._live = True
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing.append(waiting)
        self._pause()
        await waiting

    def _next_job(self, source: _Source[Result]) -> Job[Result] | None:
        """The next job; an error of the source ends the phase once the rows before it are done."""
        try:
            return source.take()
        except PromptcError as error:
            self._error = error
            return None

    def _may_start(self) -> bool:
        if self._error is not None or self.cut or self.effects.stopping:
            return False
        return self._active < (self._window if self._live else self._replay_window)

    def _pause(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._changed.set()

    async def _one(self, row: int, job: Job[Result], finished: Callable[[int, Result], None]) -> None:
        try:
            result = await job(Lane(self, row))  # type: ignore[arg-type]
            finished(row, result)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  re-raised by `run`, once all calls ended
            if self._error is None or isinstance(error, PromptcError) < isinstance(self._error, PromptcError):
                self._error = error
        finally:
            self._active -= 1
            self._busy -= 1
            self._changed.set()

    def _quiescent(self) -> None:
        if self._error is not None or self.effects.stopping:
            self._abandon()
        elif self._missing:
            self._go_live()
        else:
            self._next_wave()

    def _go_live(self) -> None:
        unused = self.effects.journal.unused(self.number)
        if unused:
            self._error = diverged(
                self.effects,
                f"phase {self.number} asks for new replies while {unused} recorded ones are not asked for",
            )
            self._abandon()
            return
        self._live = True
        waiting, self._missing = self._missing, []
        for future in waiting:
            self._busy += 1
            future.set_result(None)

    def _next_wave(self) -> None:
        self._held.sort()
        allowed = self.effects.clock_allows(f"{self.number}")
        wave = list(self._fitting(self._held)) if allowed else []
        if not wave:
            self.cut = self.cut or not self._held[0].reask or not allowed
            wave = self._held
        for held in wave:
            self._busy += 1
            held.released.set_result(wave is not self._held)
        self._held = [] if wave is self._held else self._held[len(wave) :]

    def _fitting(self, waiting: list[_Held]) -> Iterator[_Held]:
        """The longest run of calls, in order and of one kind, whose worst cases fit together."""
        ledger = self.effects.ledger
        whole = Amount()
        roles: dict[str, Amount] = {}
        for held in waiting:
            if held.reask != waiting[0].reask:
                return
            whole += held.worst
            roles[held.role] = roles.get(held.role, Amount()) + held.worst
            if not whole.fits(ledger.room()) or not roles[held.role].fits(ledger.role_room(held.role)):
                return
            yield held

    def _abandon(self) -> None:
        """End every waiting call: something else already went wrong, or a signal came."""
        error = self._error or self.effects.interruption()
        self._error = error
        for held in self._held:
            self._busy += 1
            held.released.set_exception(error)
        for future in self._missing:
            self._busy += 1
            future.set_exception(error)
        self._held, self._missing = [], []


def diverged(effects: Effects, what: str) -> RunError:
    """The error of a replay that asks for something else than what was recorded."""
    return RunError(
        f"this run cannot be replayed: {what} ({effects.what_changed()})",
        "delete the run's calls.sqlite to start it anew (and pay anew); nothing was paid now",
    )
