"""How many requests may be under way at once: what the user allows, and what the provider can take."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from promptc.runners.models.request import CallAbandoned, CallFailed, Completion, Layer, Request, Usage
from promptc.runners.models.statistics import Statistics
from promptc.spec.model import Limits

MINUTE = 60.0
LOW_QUOTA = 0.1
"""Below this share of a provider's quota, concurrency falls before the first refusal."""

QUIET_AFTER_TROUBLE = 5.0
"""Seconds without growth after a server error."""

FEWEST_REFUSALS = 3
"""All wait after a whole round of refusals without a success in it, and never after fewer than these."""

LONGEST_PAUSE = 60.0


class Quota(msgspec.Struct, frozen=True):
    """What a provider's headers say: the share of the quota that is left, and seconds until it is full."""

    share: float
    reset: float | None = None


class _TokenWindow:
    """Tokens of the last minute against a wall; entries are (time, tokens) and may be corrected later."""

    def __init__(self, wall: int) -> None:
        self._wall = wall
        self._entries: deque[list[float]] = deque()
        self._sum = 0.0

    def delay(self, tokens: int, now: float) -> float:
        """Seconds until so many more fit; a request larger than the wall waits for an empty window."""
        while self._entries and self._entries[0][0] <= now - MINUTE:
            self._sum -= self._entries.popleft()[1]
        if not self._entries or self._sum + tokens <= self._wall:
            return 0.0
        return self._entries[0][0] + MINUTE - now

    def add(self, tokens: int, now: float) -> list[float]:
        entry = [now, float(tokens)]
        self._entries.append(entry)
        self._sum += tokens
        return entry

    def correct(self, entry: list[float], tokens: int, now: float) -> None:
        """Replace an estimate by what was really used, unless the entry has left the window."""
        if entry[0] > now - MINUTE:
            self._sum += tokens - entry[1]
            entry[1] = float(tokens)


class Limiter:
    """Admission for one model at one provider, first come first served, O(1) per request.

    It starts at `concurrency` (or the user's own limit). A refusal (429) takes half a place away and a
    success gives back the reciprocal of the limit: a round in which all are refused halves the limit, a
    clean round adds one. The fall is so in proportion to the share of refusals. Server errors only stop the
    growth. `rpm` and `tpm` are walls over any sixty seconds.
    """

    def __init__(
        self,
        concurrency: int,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        limits = limits or Limits()
        self.ceiling = max(1, limits.concurrency or concurrency)
        self.in_flight = 0
        self.closed = False
        self._limit = float(self.ceiling)
        self._clock = clock
        self._sleep = sleep
        self._queue: deque[asyncio.Future[None]] = deque()
        self._starts: deque[float] | None = deque(maxlen=limits.rpm) if limits.rpm else None
        self._tokens = _TokenWindow(limits.tpm) if limits.tpm else None
        self._line = asyncio.Lock()
        self._in_line = 0
        self._reason = ""
        self._ready_at = self._paused_until = self._quiet_until = -math.inf
        self._refusals = self._pauses = 0

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self._limit))

    @property
    def counts_tokens(self) -> bool:
        """True when `enter` wants to know how many tokens a request will take."""
        return self._tokens is not None

    @property
    def waiting_for(self) -> str:
        """What the next request waits for, for a progress line; "" when it does not wait."""
        now = self._clock()
        if self._in_line and now < self._ready_at:
            return f"{self._reason}, {math.ceil(self._ready_at - now)} s"
        if self._queue and self.limit < self.ceiling:
            return f"rate limit, {self.limit} of {self.ceiling} at once"
        return ""

    async def enter(self, tokens: int = 0) -> list[float] | None:
        """Wait for a turn. What it returns goes to `settle`; every `enter` is followed by a `leave`."""
        if self._queue or self.in_flight >= self.limit:
            await self._place()
        else:
            self.in_flight += 1
        if not self._in_line and self._delay(tokens) <= 0:
            return self._start(tokens)
        try:
            return await self._pace(tokens)
        except asyncio.CancelledError:
            self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next."""
        self.in_flight -= 1
        while self._queue and self.in_flight < self.limit:
            waiter = self._queue.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)

    def settle(self, entry: list[float] | None, usage: Usage) -> None:
        """A request succeeded and took so many tokens."""
        self._refusals = self._pauses = 0
        if self._limit < self.ceiling and self._clock() >= self._quiet_until:
            self._limit = min(self.ceiling, self._limit + 1 / self._limit)
        if self._tokens is not None and entry is not None:
            self._tokens.correct(entry, usage.input_tokens + usage.output_tokens, self._clock())

    def failed(self, failure: CallFailed) -> None:
        """A request failed; only a refusal for its rate lowers the limit."""
        if failure.status != 429:
            self._quiet_until = self._clock() + QUIET_AFTER_TROUBLE
            return
        self._limit = max(1.0, self._limit - 0.5)
        self._refusals += 1
        # Each refusal has taken half a place away: as many as there were places make this true.
        if self._refusals >= max(FEWEST_REFUSALS, 2 * self._limit):
            self._pause(failure.retry_after)

    def quota(self, quota: Quota) -> None:
        """A reply's headers said how much is left."""
        if quota.share < LOW_QUOTA:
            self._limit = max(1.0, self._limit - 0.5 * (1 - quota.share / LOW_QUOTA))
            self._quiet_until = self._clock() + QUIET_AFTER_TROUBLE
        if quota.share <= 0 and quota.reset:
            self._paused_until = max(self._paused_until, self._clock() + min(quota.reset, LONGEST_PAUSE))

    def _pause(self, retry_after: float | None) -> None:
        """Let nobody through for as long as the provider says; without a word from it, ever longer."""
        now = self._clock()
        if retry_after is None:
            if now < self._paused_until:
                return
            retry_after = 2.0**self._pauses
            self._pauses += 1
        self._paused_until = max(self._paused_until, now + min(retry_after, LONGEST_PAUSE))

    async def _place(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.leave()
            raise

    async def _pace(self, tokens: int) -> list[float] | None:
        self._in_line += 1
        try:
            async with self._line:
                while (delay := self._delay(tokens)) > 0:
                    await self._sleep(delay)
                return self._start(tokens)
        finally:
            self._in_line -= 1

    def _delay(self, tokens: int) -> float:
        """Seconds until the next request may start."""
        if self._starts is None and self._tokens is None and self._paused_until == -math.inf:
            return 0.0
        now = self._clock()
        delay, reason = self._paused_until - now, "rate limit"
        if self._starts is not None and len(self._starts) == self._starts.maxlen:
            delay, reason = max((delay, reason), (self._starts[0] + MINUTE - now, "rpm limit"))
        if self._tokens is not None:
            delay, reason = max((delay, reason), (self._tokens.delay(tokens, now), "tpm limit"))
        self._reason, self._ready_at = reason, now + delay
        return delay

    def _start(self, tokens: int) -> list[float] | None:
        if self._starts is None and self._tokens is None:
            return None
        now = self._clock()
        if self._starts is not None:
            self._starts.append(now)
        return self._tokens.add(tokens, now) if self._tokens is not None else None


def expected_tokens(request: Request) -> int:
    """A guess before the call: a token per four characters of prompt, a thousand for an attachment, and as long a reply
    as is allowed."""
    longest = request.params.get("max_completion_tokens") or request.params.get("max_tokens") or 0
    characters = sum(len(message.content) + 4000 * len(message.attachments) for message in request.messages)
    return characters // 4 + 1 + int(longest)


class Limited:
    """A layer in which every attempt waits for its turn; it also measures what the provider takes."""

    def __init__(
        self,
        inner: Layer,
        limiter: Limiter,
        statistics: Statistics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._limiter = limiter
        self._statistics = statistics
        self._clock = clock

    async def complete(self, request: Request) -> Completion:
        """Answer the request in its turn. Raises CallAbandoned when the turn comes after the end of the run."""
        limiter = self._limiter
        entry = await limiter.enter(expected_tokens(request) if limiter.counts_tokens else 0)
        if limiter.closed:
            limiter.leave()
            raise CallAbandoned
        self._statistics.attempts += 1
        started = self._clock()
        try:
            completion = await self._inner.complete(request)
            self._statistics.reply(completion, self._clock() - started)
            limiter.settle(entry, completion.usage)
        except CallFailed as failure:
            limiter.failed(failure)
            raise
        finally:
            limiter.leave()
        return completion

    async def close(self) -> None:
        """Close the inner layer."""
        await self._inner.close()
