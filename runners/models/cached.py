"""The layer above all others: what is known is not asked again, and equal requests are asked once."""

from __future__ import annotations

import asyncio

from promptc.runners.models.cache import Cache
from promptc.runners.models.request import CallFailed, Completion, Layer, Request
from promptc.runners.models.statistics import Statistics

Outcome = Completion | CallFailed | None
"""How a shared call ended; None when its caller was cancelled: then one of those who wait asks anew."""

InFlight = dict[bytes, "asyncio.Future[Outcome]"]


class Cached:
    """A layer that answers from the cache, and asks once for equal requests that are under way together.

    `fresh` stores replies and reads none; `max_age` is in seconds. `in_flight` may be shared by layers over
    the same provider. Without a cache only the second half remains.
    """

    def __init__(
        self,
        inner: Layer,
        cache: Cache | None,
        statistics: Statistics,
        *,
        in_flight: InFlight | None = None,
        fresh: bool = False,
        max_age: float | None = None,
    ) -> None:
        self._inner = inner
        self._cache = cache
        self._statistics = statistics
        self._in_flight: InFlight = {} if in_flight is None else in_flight
        self._fresh = fresh
        self._max_age = max_age

    async def complete(self, request: Request) -> Completion:
        """The reply that is stored, or under way, or that the inner layer gives. Errors are not stored."""
        key = request.key()
        while (shared := self._in_flight.get(key)) is not None:
            outcome = await asyncio.shield(shared)
            if isinstance(outcome, Completion):
                self._statistics.shared += 1
                return outcome
            if outcome is not None:
                raise outcome
        if self._cache is not None and not self._fresh:
            found = self._cache.get(key, self._max_age)
            if found is not None:
                self._statistics.cache_hits += 1
                return found
        return await self._ask(key, request)

    async def close(self) -> None:
        """Close the inner layer; the cache belongs to whoever opened it."""
        await self._inner.close()

    async def _ask(self, key: bytes, request: Request) -> Completion:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        outcome: Outcome = None
        try:
            completion = outcome = await self._inner.complete(request)
            if self._cache is not None:
                self._cache.put(request, completion, key)
            return completion
        except CallFailed as failure:
            outcome = failure
            raise
        finally:
            del self._in_flight[key]
            future.set_result(outcome)
