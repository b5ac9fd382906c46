"""When a search ends: the rules that every optimizer of the registry has in common."""

from __future__ import annotations

import asyncio

import pytest
from searching import Wish, World, knows

from promptc.optimizers.registry import OPTIMIZERS
from promptc.optimizers.stopping import TRIALS_AT_ONCE, Stopping
from promptc.runners.candidate import Candidate
from promptc.runners.plugins import load_class

TRAIN = [f"{letter}{number}" for letter in "abcd" for number in range(3)]
DEV = ["a9", "b9", "c9", "d9"]
ALL_AT_ONCE = {"labeled_few_shot", "bootstrap_few_shot", "knn"}
"""What they try goes out at once: there is nothing to wait for after it."""


def world(**keys: object) -> World:
    def propose(wish: Wish) -> str:
        return f"Know: a {'bcd'[wish.rollout % 3]} {wish.rollout}"

    return World(knows, propose, train=TRAIN, dev=DEV, instructions="Know: a", **keys)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_start_that_is_good_enough_ends_the_search(name):
    searched = world().optimized(load_class(OPTIMIZERS[name])(stop_at_score=0.25))
    assert (searched.search.stop_reason, len(searched.trials)) == ("score", 1)
    assert len(searched.seen) == len(DEV)
    assert (searched.wishes, searched.questions) == ([], [])


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - ALL_AT_ONCE))
def test_a_search_that_finds_nothing_better_may_end(name):
    """No instruction and no demonstration helps; the whole search would have gone on."""

    def same(wish: Wish) -> str:
        return f"Know: a {wish.rollout}"

    def searched(**keys: object) -> World:
        one = World(knows, same, train=TRAIN, dev=DEV, instructions="Know: a")
        return one.optimized(load_class(OPTIMIZERS[name])(**keys))

    short, whole = searched(no_improvement=1), searched()
    assert short.search.stop_reason == "no_improvement"
    assert len(short.wishes) + len(short.trials) < len(whole.wishes) + len(whole.trials)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stop_file_ends_the_search(name, tmp_path):
    (tmp_path / "stop").touch()
    searched = world()
    searched.effects._stop_file = tmp_path / "stop"
    searched.optimized(load_class(OPTIMIZERS[name])())
    assert searched.search.stop_reason == "stop_file"
    assert searched.seen == []


def candidates(searched: World, count: int) -> list[tuple[Candidate, str]]:
    texts = searched.search.start.predictors["main"]
    return [
        (searched.search.start.with_predictor("main", type(texts)(instructions=f"Know: {'a' * n}")), str(n))
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("stop_at_score", "no_improvement", "tried", "reason"),
    [
        (None, None, 20, "finished"),
        (0.9, None, 20, "finished"),
        (0.25, None, TRIALS_AT_ONCE, "score"),
        (None, 8, 2 * TRIALS_AT_ONCE, "no_improvement"),
        (None, 9, 20, "no_improvement"),
    ],
)
def test_candidates_are_tried_until_a_rule_is_met(stop_at_score, no_improvement, tried, reason):
    """The first of them, `Know: a`, is right on a quarter of dev, all others on nothing."""
    searched = World(knows, lambda wish: "", train=TRAIN, dev=DEV, instructions="Know nothing")

    async def work() -> int:
        await searched.search.begin()
        stopping = Stopping(searched.search, stop_at_score, no_improvement)
        return len(await stopping.try_all(candidates(searched, 20)))

    assert asyncio.run(work()) == tried
    assert searched.search.stop_reason == reason
    searched.effects.journal.close()
