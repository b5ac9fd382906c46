"""Asking again: finitely often, with jitter, as the provider says, and not for the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from promptc.runners.models.request import CallFailed, Completion, Layer, Request
from promptc.runners.models.statistics import Statistics

CHANCE = 1e-7
"""Identical server errors in a row count as deterministic when chance is less likely than this."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a request is. Seconds.

    Waits grow from `first` by doubling up to `longest`, each drawn evenly between 0 and that (full jitter).
    `patience` bounds the sum of one request's waits, Retry-After included. A request that runs into its
    timeout is repeated `timeouts` times at most. After `repeats` identical server errors the failure counts
    as deterministic.
    """

    retries: int = 5
    first: float = 0.5
    longest: float = 30.0
    patience: float = 300.0
    timeouts: int = 2
    repeats: int = 3


class Retrying:
    """A layer that repeats what may succeed the next time."""

    def __init__(
        self,
        inner: Layer,
        policy: RetryPolicy,
        statistics: Statistics,
        *,
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._statistics = statistics
        self._random = random
        self._sleep = sleep
        self.waiting = 0

    async def complete(self, request: Request) -> Completion:
        """Answer the request, or raise the last failure."""
        try:
            return await self._inner.complete(request)
        except CallFailed as failure:
            first = failure
        return await self._again(request, first)

    async def close(self) -> None:
        """Close the inner layer."""
        await self._inner.close()

    async def _again(self, request: Request, failure: CallFailed) -> Completion:
        waited, alike = 0.0, 1
        kinds = [_kind(failure)]
        while True:
            self._statistics.errors[_kind(failure)] += 1
            delay = self._delay(failure, len(kinds) - 1)
            reason = self._reason_to_stop(failure, kinds, alike, waited + delay)
            if reason is not None:
                self._statistics.failures[_kind(failure)] += 1
                raise _final(failure, reason) from None
            self._statistics.retries[_kind(failure)] += 1
            waited += delay
            await self._wait(delay)
            try:
                return await self._inner.complete(request)
            except CallFailed as again:
                alike = alike + 1 if _alike(again, failure) else 1
                failure = again
            kinds.append(_kind(failure))

    async def _wait(self, delay: float) -> None:
        self.waiting += 1
        try:
            await self._sleep(delay)
        finally:
            self.waiting -= 1

    def _delay(self, failure: CallFailed, attempt: int) -> float:
        """Full jitter; or what the provider asks for, plus a little so that not all come back at once."""
        policy = self._policy
        drawn = self._random.uniform(0, min(policy.longest, policy.first * 2.0**attempt))
        if failure.retry_after is None:
            return drawn
        return failure.retry_after + min(drawn, 0.1 * failure.retry_after)

    def _reason_to_stop(self, failure: CallFailed, kinds: list[str], alike: int, waited: float) -> str | None:
        """Why asking again makes no sense: "" for a failure that says so itself, None to go on."""
        policy = self._policy
        if not failure.retryable:
            return ""
        if len(kinds) > policy.retries:
            return f"after {_times(policy.retries)}" if policy.retries else ""
        if kinds.count("timeout") > policy.timeouts:
            return f"in {kinds.count('timeout')} attempts"
        if alike >= policy.repeats and failure.status == 500 and self._deterministic(alike):
            return f"{alike} times in a row, so asking again was given up"
        if waited > policy.patience:
            asked = f"; the provider asks to wait {failure.retry_after:.0f} s" if failure.retry_after else ""
            return f"and no patience is left after {policy.patience:g} s{asked}"
        return None

    def _deterministic(self, alike: int) -> bool:
        """Whether so many identical server errors are no chance, given how the other requests fare."""
        statistics = self._statistics
        if not statistics.calls:
            return True
        others = statistics.attempts - alike
        failing = statistics.errors["500"] - alike
        return ((failing + 1) / (others + 1)) ** alike < CHANCE


def _kind(failure: CallFailed) -> str:
    """What a failure is counted as: a status, `unreadable`, `connection`, or the kind."""
    if failure.kind != "provider":
        return failure.kind
    if failure.status is None:
        return "connection"
    return "unreadable" if failure.status == 200 else str(failure.status)


def _alike(one: CallFailed, other: CallFailed) -> bool:
    return one.status == other.status and one.message == other.message


def _times(count: int) -> str:
    return "1 retry" if count == 1 else f"{count} retries"


def _final(failure: CallFailed, reason: str) -> CallFailed:
    """The failure as the caller sees it: nothing more will be tried, and why."""
    if not reason:
        return failure
    return CallFailed(
        f"{failure.message} ({reason})",
        kind=failure.kind,
        fatal=failure.fatal,
        status=failure.status,
        retry_after=failure.retry_after,
        hint=failure.hint,
    )
