"""Which parts of the candidates that were run made them better or worse: credit for each line of an instruction.

Candidates that share some parts and differ in others, run on the same rows, are an experiment on all parts at once: a
row's scores are compared with the row's own mean, and a part is worth what candidates that have it gain over those that
do not. This is a linear model with an effect for each row (two-way layout; Scheffé, "The Analysis of Variance", 1959,
chapter 4) and a normal prior on each part's worth, so that what few runs say counts little.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import msgspec

LEAST_NOISE = 0.02
_DIGITS = 6
"""Worths are rounded, so that a choice does not hang on the last bits of a matrix product."""

Part = TypeVar("Part", bound=Hashable)


class Worth(msgspec.Struct, frozen=True):
    """What a part is expected to be worth, in points of score, and how sure that is (one standard deviation)."""

    mean: float
    spread: float


def worths(
    table: Mapping[str, Mapping[str, float]],
    parts: Mapping[str, Mapping[Part, float]],
    prior: Callable[[Part], Worth],
    concerns: Callable[[Part, str], bool] = lambda part, row: True,
) -> dict[Part, Worth]:
    """What each part is worth.

    `table` maps rows to candidates' scores; `parts` maps a candidate to how much of each part it has (1: all of it).
    """
    import numpy as np

    names = list(dict.fromkeys(part for held in parts.values() for part in held))
    places = {part: place for place, part in enumerate(names)}
    lines, scored, freedom = [], [], 0
    for row, scores in table.items():
        known = [digest for digest in scores if digest in parts]
        if len(known) < 2:
            continue
        held = np.zeros((len(known), len(names)))
        for line, digest in enumerate(known):
            for part, amount in parts[digest].items():
                if concerns(part, row):
                    held[line, places[part]] = amount
        values = np.array([scores[digest] for digest in known])
        lines.append(held - held.mean(axis=0))
        scored.append(values - values.mean())
        freedom += len(known) - 1
    if not lines:
        return {part: prior(part) for part in names}
    design, outcome = np.concatenate(lines), np.concatenate(scored)
    matrix, vector = design.T @ design, design.T @ outcome
    noise = max(LEAST_NOISE, float(outcome @ outcome) / freedom)
    before = [prior(part) for part in names]
    precision = np.array([1 / worth.spread**2 for worth in before])
    spread = np.linalg.inv(matrix / noise + np.diag(precision))
    found = spread @ (vector / noise + precision * np.array([worth.mean for worth in before]))
    return {
        part: Worth(round(float(mean), _DIGITS), round(float(variance) ** 0.5, _DIGITS))
        for part, mean, variance in zip(names, found, np.diag(spread), strict=True)
    }
