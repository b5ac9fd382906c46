"""From scores to places: the best first, the earlier of equals, and only those that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 5
"""Scores are compared and told with so many digits: the last ones of a float32 depend on the machine."""


def best(
    scores: NDArray[np.float32], count: int, *, among: NDArray[np.bool_] | None = None, above: float = 0.0
) -> list[tuple[int, float]]:
    """At most `count` places with their scores, the best first; of equal scores the earlier place.

    Left out is what scores `above` or less, and where `among` says False.
    """
    import numpy as np

    rounded = np.round(scores.astype(np.float64), DIGITS)
    fitting = rounded > above
    if among is not None:
        fitting &= among
    places = np.flatnonzero(fitting)
    if len(places) > count:
        # Everything that ties with the last one that fits stays in, so that the order decides and not the partition.
        least = np.partition(rounded[places], len(places) - count)[len(places) - count]
        places = places[rounded[places] >= least]
    order = places[np.argsort(-rounded[places], kind="stable")][:count]
    return [(int(place), float(rounded[place])) for place in order]
