"""p-values of several comparisons at once, adjusted for how many they are."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted by Holm's method, in input order: below alpha where it may be called significant.

    The chance that any of them is called so though nothing differs stays below alpha, whatever they have to do
    with one another. Source: Holm 1979, "A simple sequentially rejective multiple test procedure", section 3.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    ascending = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(ascending):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
