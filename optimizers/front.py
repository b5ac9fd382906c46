"""Pareto fronts: which candidates are the best at something, over rows, and over objectives such as score and cost.

Source: Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", 2025,
arXiv 2507.19457, algorithm 2 (Pareto-based candidate selection). A row without a score (a provider's failure) counts
for nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from promptc.runners.evaluate import RowRecord
from promptc.runners.objectives import Objective

Front = frozenset[int]
"""The candidates with the highest score on one row, by their place."""


class Pareto(msgspec.Struct, frozen=True):
    """What is left of the fronts once dominated candidates are dropped.

    `places` are the survivors in order; `wins` says on how many rows' fronts each of them stands.
    """

    places: tuple[int, ...]
    wins: tuple[int, ...]


def scores_of(records: Sequence[RowRecord]) -> tuple[float | None, ...]:
    """A candidate's score on each row."""
    return tuple(record.score for record in records)


def row_fronts(scores: Sequence[Sequence[float | None]]) -> list[Front]:
    """For each row the candidates that are best on it; nobody where none has a score. `scores` is by candidate."""
    fronts = []
    for row in zip(*scores, strict=True):
        top = max((score for score in row if score is not None), default=None)
        fronts.append(
            frozenset(place for place, score in enumerate(row) if score is not None and score == top)
        )
    return fronts


def pareto(fronts: Sequence[Front], worst_first: Sequence[int]) -> Pareto:
    """Drop the dominated: whoever shares each of its fronts with another survivor, looked at from the worst on."""
    left = {place for front in fronts for place in front}
    for place in worst_first:
        mine = [front for front in fronts if place in front]
        if mine and all(len(front & left) > 1 for front in mine):
            left.discard(place)
    wins = Counter(place for front in fronts for place in front & left)
    places = tuple(sorted(left))
    return Pareto(places, tuple(wins[place] for place in places))


def objective_fronts(
    figures: Sequence[Mapping[str, float | None]], objectives: Sequence[Objective]
) -> list[Front]:
    """For each objective the candidates that are best at it. `figures` is by candidate."""
    fronts = []
    for objective in objectives:
        merits = [objective.merit(mine.get(objective.name)) for mine in figures]
        fronts.append(frozenset(place for place, merit in enumerate(merits) if merit == max(merits)))
    return fronts


def undominated(merits: Sequence[Sequence[float]]) -> list[int]:
    """The places of those whom no other beats at one thing without losing at another; of equals the first."""
    return [
        place
        for place, mine in enumerate(merits)
        if not any(
            all(other >= own for other, own in zip(others, mine, strict=True))
            and (tuple(others) != tuple(mine) or rival < place)
            for rival, others in enumerate(merits)
            if rival != place
        )
    ]
