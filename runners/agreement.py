"""How far raters agree beyond chance.

Sources: Cohen 1960, "A coefficient of agreement for nominal scales"; Cohen 1968, "Weighted kappa" (the weight here is
the square of the distance); Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any, Literal

Level = Literal["nominal", "interval"]
"""Whether two values are merely different, or so far apart."""

_ROUNDING = 1e-12


def cohens_kappa(pairs: Mapping[tuple[Any, Any], int], level: Level = "nominal") -> float | None:
    """Agreement of two raters: `pairs` counts what they said of the same things, first rater first.

    1 is always, 0 is what chance brings when each keeps to his own frequencies; None where both have only ever said one
    and the same thing, so that nothing shows whether they can tell.
    """
    distance = _DISTANCES[level]
    first: dict[Any, int] = {}
    second: dict[Any, int] = {}
    for (one, other), times in pairs.items():
        first[one] = first.get(one, 0) + times
        second[other] = second.get(other, 0) + times
    seen = sum(times * distance(one, other) for (one, other), times in sorted(pairs.items()))
    chance = sum(
        times * often * distance(one, other)
        for one, times in sorted(first.items())
        for other, often in sorted(second.items())
    )
    return None if chance <= _ROUNDING else 1.0 - seen * sum(pairs.values()) / chance


class Coincidences:
    """How often which two values were given to the same thing, by whichever raters: what alpha is made of."""

    def __init__(self) -> None:
        self._weights: dict[tuple[float, float], Fraction] = {}

    def add(self, values: Sequence[float]) -> None:
        """Take in what the raters said of one thing; one alone says nothing."""
        for pair in permutations(values, 2):
            self._weights[pair] = self._weights.get(pair, Fraction(0)) + Fraction(1, len(values) - 1)

    def alpha(self, level: Level = "nominal") -> float | None:
        """Krippendorff's alpha: 1 is always, 0 is chance; None where all values are equal."""
        distance = _DISTANCES[level]
        totals: dict[float, Fraction] = {}
        for (one, _), weight in self._weights.items():
            totals[one] = totals.get(one, Fraction(0)) + weight
        seen = sum(float(weight) * distance(*pair) for pair, weight in sorted(self._weights.items()))
        chance = sum(
            float(first * second) * distance(one, other)
            for one, first in sorted(totals.items())
            for other, second in sorted(totals.items())
        )
        return None if chance <= _ROUNDING else 1.0 - float(sum(totals.values()) - 1) * seen / chance


def krippendorffs_alpha(things: Iterable[Sequence[float]], level: Level = "nominal") -> float | None:
    """Agreement of any number of raters, of whom not all rated every thing: `things` holds the values of each."""
    found = Coincidences()
    for values in things:
        found.add(values)
    return found.alpha(level)


_DISTANCES: Mapping[Level, Callable[[Any, Any], float]] = {
    "nominal": lambda one, other: float(one != other),
    "interval": lambda one, other: (one - other) ** 2,
}
