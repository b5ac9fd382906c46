"""Searches in simulated worlds, each with a trap of its own: `auto` gets far in all of them on 400 calls."""

from __future__ import annotations

import asyncio

import pytest
from worlds import WORLDS
from worlds.reading import generator, stated
from worlds.running import found_in, optimizer_of

from promptc.optimizers.registry import OPTIMIZERS

SEED = 1
CALLS = 400
REACHED = {
    "glossary": 0.75,
    "crowded": 0.6,
    "misleading": 0.8,
    "noisy": 0.4,
    "divided": 0.85,
    "relay": 0.5,
}
"""What `auto` reaches on test at the least; a start knows 0 to a half."""


def search(world: str, optimizer: str, calls: int, seed: int = SEED):
    return asyncio.run(found_in(WORLDS[world](seed), optimizer_of(optimizer, {}), calls=calls, seed=seed))


@pytest.mark.parametrize("world", WORLDS)
def test_auto_gets_far(world):
    found = search(world, "auto", CALLS)
    assert found.score >= REACHED[world]
    assert found.score >= found.start
    assert found.winner.score >= found.trials[0].score
    assert found.task_calls + found.proposals <= CALLS


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_works_in_a_world_and_keeps_its_budget(optimizer):
    found = search("divided", optimizer, 300)
    assert found.task_calls + found.proposals <= 300
    assert found.winner.score >= found.trials[0].score


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_is_a_function_of_its_seed(world):
    one, again, other = WORLDS[world](1), WORLDS[world](1), WORLDS[world](2)
    assert one.rows("dev", 20) == again.rows("dev", 20) != other.rows("dev", 20)
    parts = [{str(sorted(row.items())) for row in one.rows(part, 40)} for part in ("train", "dev", "test")]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_a_statement_names_one_cue_and_one_answer():
    lines = [
        "- kel is red",
        "- mip goes to red or blue",
        "kel and mip: blue",
        "- mip: blue because kelp",
        "- kel: blue",
    ]
    assert stated(lines, ["kel", "mip"], ["red", "blue"]) == {"kel": "blue", "mip": "blue"}
    assert generator("a", 1).random() == generator("a", 1).random() != generator("a", 2).random()
