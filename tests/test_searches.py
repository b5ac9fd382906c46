"""Every search, however it is run: the same bytes with any number of workers, and after a kill at any point.

Each optimizer's own tests say what it searches on (`VARIANTS`); here all of them are run alike.
"""

from __future__ import annotations

import functools

import pytest
import test_auto
import test_copro
import test_gepa
import test_infer_rules
import test_mipro
import test_simba
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import WORKERS, killed_and_resumed

MODULES = (test_auto, test_copro, test_gepa, test_infer_rules, test_mipro, test_simba)
SEARCHES = {
    f"{module.__name__.removeprefix('test_')}, {name}": variant
    for module in MODULES
    for name, variant in module.VARIANTS.items()
}


@pytest.mark.parametrize("name", SEARCHES)
def test_workers_change_no_byte(name):
    make, optimizer = SEARCHES[name]
    results = {make(workers=workers, shuffle=workers).optimized(optimizer).result() for workers in WORKERS}
    assert len(results) == 1


@pytest.mark.parametrize("name", SEARCHES)
def test_seeds_are_honoured_and_0_is_one_of_them(name):
    make, optimizer = SEARCHES[name]
    asked = {
        tuple(sorted((seen.row, seen.rollout, seen.demos, seen.instruction) for seen in world.seen))
        + tuple(sorted((wish.rollout, wish.examples) for wish in world.wishes))
        for world in (make(seed=seed).optimized(optimizer) for seed in (0, 1, 2))
    }
    assert len(asked) == 3


@functools.cache
def undisturbed(name: str) -> bytes:
    """The result of a search that nothing disturbed."""
    make, optimizer = SEARCHES[name]
    return make().optimized(optimizer).result()


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(SEARCHES)), die_after=st.integers(0, 200), workers=st.sampled_from(WORKERS)
)
def test_a_killed_search_ends_with_the_same_bytes(tmp_path_factory, name, die_after, workers):
    make, optimizer = SEARCHES[name]
    path = tmp_path_factory.mktemp("killed") / "calls.sqlite"
    assert killed_and_resumed(make, optimizer, path, die_after, workers) == undisturbed(name)
