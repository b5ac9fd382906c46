"""System-aware merge: one candidate from two that changed different components of a common ancestor.

Source: Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", 2025,
arXiv 2507.19457, appendix on Merge. The peer draws pairs at random ten times and gives up; here
every pair that qualifies is listed, and one is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import msgspec

from promptc.optimizers.front import scores_of
from promptc.optimizers.gepa_selection import Pool
from promptc.runners.candidate import Candidate


class Merge(msgspec.Struct, frozen=True):
    """A crossover: the two parents' places, their common ancestor's, and the child."""

    first: int
    second: int
    ancestor: int
    child: Candidate


def propose_merge(pool: Pool, components: Sequence[str], rng: random.Random, seen: set[str]) -> Merge | None:
    """A merge of two survivors of the front whose child is not among the `seen` digests; None when there is none."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for first, second in combinations(pool.pareto().places, 2):
        shared = _common_ancestors(pool, first, second)
        ancestors = [one for one in shared if _complementary(pool, components, first, second, one)]
        if ancestors:
            pairs[first, second] = ancestors
    waiting = list(pairs)
    rng.shuffle(waiting)
    for first, second in waiting:
        ancestors = pairs[first, second]
        weights = [pool.score(ancestor) for ancestor in ancestors]
        ancestor = rng.choices(ancestors, weights if any(weights) else None)[0]
        child = crossover(pool, components, first, second, ancestor, rng)
        if child.digest() not in seen:
            return Merge(first, second, ancestor, child)
    return None


def crossover(
    pool: Pool, components: Sequence[str], first: int, second: int, ancestor: int, rng: random.Random
) -> Candidate:
    """Per component what one parent changed; where both did, the better parent's (drawn when they are equal)."""
    old, one, two = (pool.trials[place].candidate for place in (ancestor, first, second))
    child = old
    for name in components:
        texts = old.predictors[name], one.predictors[name], two.predictors[name]
        if texts[1] == texts[2] or texts[2] == texts[0]:
            chosen = texts[1]
        elif texts[1] == texts[0]:
            chosen = texts[2]
        elif pool.score(first) == pool.score(second):
            chosen = texts[1 + rng.randrange(2)]
        else:
            chosen = texts[1] if pool.score(first) > pool.score(second) else texts[2]
        child = child.with_predictor(name, chosen)
    return child


def telling_rows(pool: Pool, first: int, second: int, count: int, rng: random.Random) -> list[int]:
    """Dev rows to check a merge on: where the one parent is better, where the other is, and where they are equal."""
    both = zip(scores_of(pool.trials[first].records), scores_of(pool.trials[second].records), strict=True)
    groups: tuple[list[int], list[int], list[int]] = ([], [], [])
    for row, (one, two) in enumerate(both):
        if one is not None and two is not None:
            groups[0 if one > two else 1 if two > one else 2].append(row)
    each = -(-count // len(groups))
    chosen: list[int] = []
    for group in groups:
        chosen += rng.sample(group, min(len(group), each, count - len(chosen)))
    rest = [row for group in groups for row in group if row not in chosen]
    chosen += rng.sample(rest, min(len(rest), count - len(chosen)))
    return sorted(chosen)


def _common_ancestors(pool: Pool, first: int, second: int) -> list[int]:
    """Those of two candidates of which neither descends from the other, no better than either."""
    mine, other = pool.ancestors(first), pool.ancestors(second)
    if first in other or second in mine:
        return []
    least = min(pool.score(first), pool.score(second))
    return sorted(place for place in mine & other if pool.score(place) <= least)


def _complementary(pool: Pool, components: Sequence[str], first: int, second: int, ancestor: int) -> bool:
    """Some component was changed by one of the two alone."""
    old, one, two = (pool.trials[place].candidate.predictors for place in (ancestor, first, second))
    return any((old[n] == one[n]) != (old[n] == two[n]) for n in components)
