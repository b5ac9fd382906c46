"""Retries: finitely many, as the provider asks, and none where the answer would be the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import now, run_virtual

from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.models.retry import Retrying, RetryPolicy
from promptc.runners.models.statistics import Statistics

REQUEST = Request(model="m", messages=())


class Scripted:
    """Raises each failure in turn, then answers."""

    def __init__(self, failures: list[CallFailed]) -> None:
        self.failures = list(failures)
        self.times: list[float] = []

    async def complete(self, request: Request) -> Completion:
        self.times.append(now())
        if self.failures:
            raise self.failures.pop(0)
        return Completion(text="yes")

    async def close(self) -> None:
        self.failures.clear()


def failure(status: int | None = 503, message: str = "broken", **fields: object) -> CallFailed:
    return CallFailed(message, status=status, **{"retryable": True, **fields})  # type: ignore[arg-type]


def attempt(
    failures: list[CallFailed],
    policy: RetryPolicy | None = None,
    before: Callable[[Statistics], None] = lambda statistics: None,
) -> tuple[Completion | CallFailed, Scripted, Statistics, float]:
    scripted, statistics = Scripted(failures), Statistics()
    before(statistics)
    policy = policy or RetryPolicy()

    async def work() -> tuple[Completion | CallFailed, float]:
        layer = Retrying(scripted, policy, statistics, random=Random(3), sleep=asyncio.sleep)
        try:
            return await layer.complete(REQUEST), now()
        except CallFailed as failed:
            return failed, now()

    outcome, seconds = run_virtual(work())
    return outcome, scripted, statistics, seconds


@pytest.mark.parametrize(
    ("failures", "attempts", "ending"),
    [
        pytest.param([failure()] * 5, 6, None, id="five failures are survived"),
        pytest.param([failure()] * 9, 6, "broken (after 5 retries)", id="six are not"),
        pytest.param([failure(retryable=False)] * 9, 1, "broken", id="what cannot help is not repeated"),
        pytest.param([failure(), failure(401, "no key", retryable=False)], 2, "no key", id="nor later on"),
        pytest.param(
            [failure(500, "same")] * 9,
            3,
            "same (3 times in a row, so asking again was given up)",
            id="the same server error three times is deterministic",
        ),
        pytest.param(
            [failure(500, f"error {n}") for n in range(9)],
            6,
            "error 5 (after 5 retries)",
            id="different ones are not",
        ),
        pytest.param([failure(503, "same")] * 9, 6, "same (after 5 retries)", id="an overload is not"),
        pytest.param(
            [failure(None, "no reply", kind="timeout")] * 9,
            3,
            "no reply (in 3 attempts)",
            id="timeouts are repeated twice",
        ),
        pytest.param(
            [failure(429, retry_after=3600.0)] * 2,
            1,
            "broken (and no patience is left after 300 s; the provider asks to wait 3600 s)",
            id="an hour is not waited for",
        ),
    ],
)
def test_when_it_ends(failures, attempts, ending):
    outcome, scripted, _, _ = attempt(failures)
    assert len(scripted.times) == attempts
    assert (outcome.message if isinstance(outcome, CallFailed) else None) == ending


def test_the_last_failure_keeps_its_meaning():
    outcome, _, _, _ = attempt([failure(503, "down", fatal=True, hint="start it")] * 9)
    assert isinstance(outcome, CallFailed)
    assert (outcome.kind, outcome.status, outcome.fatal, outcome.retryable) == ("provider", 503, True, False)
    assert outcome.hint == "start it"


def test_no_retries_when_none_are_wanted():
    outcome, scripted, _, _ = attempt([failure()], RetryPolicy(retries=0))
    assert len(scripted.times) == 1
    assert isinstance(outcome, CallFailed)
    assert outcome.message == "broken"


def test_waits_grow_and_are_drawn_from_the_whole_range():
    waits: list[list[float]] = [[] for _ in range(5)]
    for seed in range(200):
        scripted = Scripted([failure()] * 5)
        layer = Retrying(scripted, RetryPolicy(), Statistics(), random=Random(seed))
        run_virtual(layer.complete(REQUEST))
        for index, (start, end) in enumerate(zip(scripted.times, scripted.times[1:], strict=False)):
            waits[index].append(end - start)
    for index, drawn in enumerate(waits):
        bound = 0.5 * 2**index
        assert max(drawn) <= bound
        assert min(drawn) < 0.1 * bound
        assert max(drawn) > 0.9 * bound


@given(st.floats(0.01, 50))
@settings(max_examples=30, deadline=None)
def test_retry_after_is_honoured_and_a_little_more(seconds):
    _, scripted, _, _ = attempt([failure(429, retry_after=seconds)])
    waited = scripted.times[1] - scripted.times[0]
    assert seconds <= waited <= 1.1 * seconds + 1e-9


@given(st.lists(st.one_of(st.none(), st.floats(0, 400)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_one_request_never_waits_longer_than_its_patience(waits):
    _, _, _, seconds = attempt([failure(429, f"{i}", retry_after=w) for i, w in enumerate(waits)])
    assert seconds <= 300


@pytest.mark.parametrize(
    ("others", "failing", "attempts"),
    [
        pytest.param(2000, 0, 3, id="nobody else has it: this request is the cause"),
        pytest.param(2000, 100, 6, id="one in twenty has it: bad luck, go on"),
        pytest.param(0, 0, 3, id="nothing has ever succeeded: the model is broken"),
    ],
)
def test_identical_server_errors_are_judged_by_how_the_others_fare(others, failing, attempts):
    def before(statistics: Statistics) -> None:
        statistics.attempts = others + 3
        statistics.errors["500"] = failing
        statistics.calls = others - failing

    _, scripted, _, _ = attempt([failure(500, "same")] * 9, before=before)
    assert len(scripted.times) == attempts


def test_retries_and_failures_are_counted_by_kind():
    failures = [
        failure(429),
        failure(None, "reset"),
        failure(None, "slow", kind="timeout"),
        failure(400, retryable=False),
    ]
    _, _, statistics, _ = attempt(failures)
    assert dict(statistics.retries) == {"429": 1, "connection": 1, "timeout": 1}
    assert dict(statistics.failures) == {"400": 1}


def test_a_cancelled_wait_is_not_waiting_any_more():
    async def work() -> int:
        layer = Retrying(
            Scripted([failure(retry_after=100.0)]), RetryPolicy(), Statistics(), random=Random(0)
        )
        task = asyncio.create_task(layer.complete(REQUEST))
        await asyncio.sleep(1)
        assert layer.waiting == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return layer.waiting

    assert run_virtual(work()) == 0
