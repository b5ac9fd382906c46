"""The limiter: walls that hold, a limit that follows the provider, and places that are never lost."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import now, run_virtual

from promptc.runners.models.limiter import Limited, Limiter, Quota, expected_tokens
from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage
from promptc.runners.models.statistics import Statistics
from promptc.spec.model import Limits

REFUSED = CallFailed("slow down", status=429, retryable=True)


def limiter(at_once: int = 64, **limits: int) -> Limiter:
    return Limiter(at_once, Limits(**limits), clock=now)


async def starts(limiter: Limiter, count: int, seconds: float, tokens: int = 0) -> list[float]:
    """The times at which so many requests of that length start."""
    times: list[float] = []

    async def one() -> None:
        entry = await limiter.enter(tokens)
        times.append(now())
        await asyncio.sleep(seconds)
        limiter.settle(entry, Usage(tokens, 0))
        limiter.leave()

    await asyncio.gather(*(one() for _ in range(count)))
    return times


def busiest_minute(times: list[float]) -> int:
    return max(bisect_right(times, start + 59.999) - index for index, start in enumerate(times))


@given(st.integers(1, 40), st.integers(1, 200), st.floats(0, 5))
@settings(max_examples=40, deadline=None)
def test_no_sixty_seconds_hold_more_starts_than_rpm(rpm, count, seconds):
    times = run_virtual(starts(limiter(rpm=rpm), count, seconds))
    assert len(times) == count
    assert busiest_minute(times) <= rpm


def test_rpm_is_used_in_full():
    times = run_virtual(starts(limiter(rpm=60), 180, 0.5))
    assert times[-1] == pytest.approx(120, abs=1)


@given(st.integers(100, 2000), st.lists(st.integers(1, 900), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_sixty_seconds_hold_more_tokens_than_tpm(tpm, sizes):
    async def work() -> list[tuple[float, int]]:
        gate = limiter(tpm=tpm)
        started: list[tuple[float, int]] = []
        for size in sizes:
            await gate.enter(size)
            started.append((now(), size))
            gate.leave()
        return started

    started = run_virtual(work())
    for start, first in started:
        inside = [size for time, size in started if start <= time < start + 59.999]
        assert sum(inside) <= tpm or (inside == [first] and first > tpm)


def test_tokens_that_were_not_used_are_given_back():
    async def work() -> float:
        gate = limiter(tpm=1000)
        entry = await gate.enter(1000)
        gate.settle(entry, Usage(10, 10))
        gate.leave()
        await gate.enter(900)
        return now()

    assert run_virtual(work()) == 0


def test_more_tokens_than_the_wall_wait_for_an_empty_minute_and_then_pass():
    async def work() -> float:
        gate = limiter(tpm=100)
        await gate.enter(50)
        await gate.enter(500)
        return now()

    assert run_virtual(work()) == pytest.approx(60)


@pytest.mark.parametrize(
    ("concurrency", "limits", "most"), [(8, {}, 8), (8, {"concurrency": 3}, 3), (2, {"concurrency": 5}, 5)]
)
def test_the_users_concurrency_is_a_wall(concurrency, limits, most):
    async def work() -> int:
        gate = limiter(concurrency, **limits)
        peak = 0

        async def one() -> None:
            nonlocal peak
            await gate.enter()
            peak = max(peak, gate.in_flight)
            await asyncio.sleep(1)
            gate.settle(None, Usage())
            gate.leave()

        await asyncio.gather(*(one() for _ in range(50)))
        assert gate.in_flight == 0
        return peak

    assert run_virtual(work()) == most


def test_first_come_first_served():
    async def work() -> list[int]:
        gate = limiter(3, rpm=20)
        order: list[int] = []

        async def one(number: int) -> None:
            await gate.enter()
            order.append(number)
            await asyncio.sleep(1)
            gate.leave()

        await asyncio.gather(*(one(number) for number in range(50)))
        return order

    assert run_virtual(work()) == list(range(50))


def test_a_round_of_refusals_halves_the_limit_and_clean_rounds_bring_it_back():
    async def work() -> list[int]:
        gate = limiter(64)
        for _ in range(64):
            gate.failed(REFUSED)
        fallen = gate.limit
        for _ in range(40):
            gate.settle(None, Usage())
        after_a_round = gate.limit
        for _ in range(5000):
            gate.settle(None, Usage())
        return [fallen, after_a_round, gate.limit]

    fallen, after_a_round, recovered = run_virtual(work())
    assert fallen == 32
    assert after_a_round in (33, 34)
    assert recovered == 64


def test_the_limit_never_falls_below_one():
    async def work() -> int:
        gate = limiter(4)
        for _ in range(100):
            gate.failed(REFUSED)
        return gate.limit

    assert run_virtual(work()) == 1


@pytest.mark.parametrize(
    "failure", [CallFailed("broken", status=500, retryable=True), CallFailed("slow", kind="timeout")]
)
def test_server_errors_stop_the_growth_and_lower_nothing(failure):
    async def work() -> list[int]:
        gate = limiter(64)
        for _ in range(20):
            gate.failed(REFUSED)
        before = gate.limit
        gate.failed(failure)
        for _ in range(500):
            gate.settle(None, Usage())
        during = gate.limit
        await asyncio.sleep(6)
        for _ in range(500):
            gate.settle(None, Usage())
        return [before, during, gate.limit]

    before, during, after = run_virtual(work())
    assert before == during == 54
    assert after > during


def test_a_low_quota_lowers_the_limit_before_the_first_refusal():
    async def work() -> list[int]:
        gate = limiter(64)
        for _ in range(40):
            gate.quota(Quota(share=0.5))
        plenty = gate.limit
        for _ in range(40):
            gate.quota(Quota(share=0.02))
        return [plenty, gate.limit]

    assert run_virtual(work()) == [64, 48]


def test_an_exhausted_quota_pauses_until_it_is_refilled():
    async def work() -> float:
        gate = limiter()
        gate.quota(Quota(share=0.0, reset=7.0))
        await gate.enter()
        return now()

    assert run_virtual(work()) == pytest.approx(7)


def test_one_refusal_pauses_nobody_but_three_in_a_row_pause_all():
    async def work() -> list[float]:
        gate = limiter(2)
        refused = CallFailed("slow down", status=429, retryable=True, retry_after=12.0)
        gate.failed(refused)
        await gate.enter()
        gate.leave()
        at_once = now()
        gate.failed(refused)
        gate.failed(refused)
        await gate.enter()
        return [at_once, now()]

    assert run_virtual(work()) == [0, pytest.approx(12)]


def test_refusals_beside_successes_pause_nobody():
    async def work() -> list[float]:
        gate = limiter(64)
        for _ in range(63):
            gate.failed(REFUSED)
        await gate.enter()
        before_the_last = now()
        gate.failed(REFUSED)
        await gate.enter()
        return [before_the_last, now()]

    assert run_virtual(work()) == [0, 1]


def test_refusals_without_a_word_pause_ever_longer_until_a_success():
    async def work() -> list[float]:
        gate = limiter(1)
        waits = []
        for _ in range(4):
            for _ in range(3):
                gate.failed(REFUSED)
            before = now()
            await gate.enter()
            gate.leave()
            waits.append(now() - before)
        gate.settle(None, Usage())
        for _ in range(3):
            gate.failed(REFUSED)
        before = now()
        await gate.enter()
        return [*waits, now() - before]

    waits = run_virtual(work())
    assert waits[:4] == sorted(waits[:4])
    assert waits[3] > 2 * waits[0]
    assert waits[4] == waits[0]


def test_it_says_what_it_waits_for():
    async def work() -> list[str]:
        gate = limiter(2, rpm=2)
        phrases = [gate.waiting_for]
        entering = [asyncio.create_task(gate.enter()) for _ in range(2)]
        await asyncio.gather(*entering)
        gate.leave()
        gate.leave()
        third = asyncio.create_task(gate.enter())
        await asyncio.sleep(18)
        phrases.append(gate.waiting_for)
        await third
        for _ in range(3):
            gate.failed(CallFailed("slow down", status=429, retry_after=90.0))
        gate.leave()
        paused = asyncio.create_task(gate.enter())
        await asyncio.sleep(1)
        phrases.append(gate.waiting_for)
        await paused
        phrases.append(gate.waiting_for)
        return phrases

    assert run_virtual(work()) == ["", "rpm limit, 42 s", "rate limit, 59 s", ""]


def test_cancelled_waiters_leave_no_trace():
    async def work() -> int:
        gate = limiter(1, rpm=1000)
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(10)]
        await asyncio.sleep(1)
        for task in waiting[::2]:
            task.cancel()
        gate.leave()
        for task in waiting[1::2]:
            await task
            gate.leave()
        return gate.in_flight

    assert run_virtual(work()) == 0


def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_it_on():
    async def work() -> int:
        gate = limiter(1)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        gate.leave()
        first.cancel()
        await second
        gate.leave()
        return gate.in_flight

    assert run_virtual(work()) == 0


def test_a_waiter_cancelled_during_a_pause_gives_its_place_back():
    async def work() -> int:
        gate = limiter(1)
        gate.quota(Quota(0.0, 50.0))
        task = asyncio.create_task(gate.enter())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        return gate.in_flight

    assert run_virtual(work()) == 0


class Provider:
    """A provider that takes so many requests at once and refuses the rest."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.busy, self.served, self.refused = capacity, 0, 0, 0

    async def complete(self, request: Request) -> Completion:
        if self.busy >= self.capacity:
            self.refused += 1
            await asyncio.sleep(0.05)
            raise REFUSED
        self.busy += 1
        await asyncio.sleep(1)
        self.busy -= 1
        self.served += 1
        return Completion(text="yes")

    async def close(self) -> None:
        self.capacity = 0


def test_it_settles_near_what_the_provider_takes():
    async def work() -> tuple[int, int, float]:
        provider = Provider(10)
        layer = Limited(provider, limiter(64), Statistics(), clock=now)

        async def one() -> None:
            while True:
                try:
                    await layer.complete(Request(model="m", messages=()))
                    return
                except CallFailed:
                    await asyncio.sleep(1)

        await asyncio.gather(*(one() for _ in range(1000)))
        return provider.served, provider.refused, now()

    served, refused, seconds = run_virtual(work())
    assert served == 1000
    assert refused < 400
    assert seconds < 200


def test_failures_and_cancellation_give_the_place_back():
    async def work() -> tuple[int, int]:
        gate = limiter(4)
        statistics = Statistics()
        layer = Limited(Provider(2), gate, statistics, clock=now)
        request = Request(model="m", messages=())
        tasks = [asyncio.create_task(layer.complete(request)) for _ in range(4)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result).__name__ for result in results] == [
            "CancelledError", "Completion", "CallFailed", "CallFailed",
        ]  # fmt: skip
        return gate.in_flight, statistics.attempts

    assert run_virtual(work()) == (0, 4)


def test_expected_tokens_count_the_prompt_and_the_longest_reply():
    request = Request(model="m", messages=(Message("user", "x" * 400),), params={"max_tokens": 50})
    assert expected_tokens(request) == 151
