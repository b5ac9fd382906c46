"""The demos as weighted vectors: what is alike, and how alike."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from promptc.runners.icl.text import features

Vector = dict[str, float]
"""Feature weights of a text; of length 1 unless the text is empty."""

_REPEAT_POWER = 0.5
_RARITY_POWER = 0.8
_RARITY_SMOOTHING = 0.5


class Space(msgspec.Struct, frozen=True):
    """How rare each feature is in the prompt, so that what stands everywhere weighs little.

    Nothing outside of the prompt goes into the weights. `known` are the words of the labels' own names.
    """

    rarity: Mapping[str, float]
    unseen: float
    known: frozenset[str]

    def vector(self, text: str) -> Vector:
        """The text's features, repeated and common ones damped, scaled to length 1."""
        return self.weighted(features(text, self.known))

    def weighted(self, counts: Mapping[str, float]) -> Vector:
        """The same for features that are already counted."""
        rarity, unseen = self.rarity, self.unseen
        raw = {key: count**_REPEAT_POWER * rarity.get(key, unseen) for key, count in counts.items()}
        return scaled(raw)


def scaled(vector: Mapping[str, float]) -> Vector:
    """The vector at length 1; empty when it is."""
    length = math.sqrt(sum(weight * weight for weight in vector.values()))
    return {key: weight / length for key, weight in vector.items()} if length else {}


def space_of(counted: Sequence[Mapping[str, float]], known: Collection[str]) -> Space:
    """Rarity of each feature: the logarithm of the share of the prompt's texts that have it, reversed."""
    appearances: dict[str, int] = {}
    for counts in counted:
        for key in counts:
            appearances[key] = appearances.get(key, 0) + 1
    total = len(counted) + 1
    rarity = {
        key: math.log(total / (count + _RARITY_SMOOTHING)) ** _RARITY_POWER
        for key, count in appearances.items()
    }
    return Space(rarity, math.log(total / _RARITY_SMOOTHING) ** _RARITY_POWER, frozenset(known))


class Memory(msgspec.Struct, frozen=True):
    """Vectors that can be searched: for each feature, who has it and how much."""

    vectors: tuple[Vector, ...]
    holders: Mapping[str, Sequence[tuple[int, float]]]

    def similarities(self, vector: Vector) -> list[float]:
        """The cosine of the vector with each remembered one, in their order."""
        found = [0.0] * len(self.vectors)
        for key, weight in vector.items():
            for index, other in self.holders.get(key, ()):
                found[index] += weight * other
        return found


def remember(vectors: Iterable[Vector]) -> Memory:
    """An index over the vectors."""
    kept = tuple(vectors)
    holders: dict[str, list[tuple[int, float]]] = {}
    for index, vector in enumerate(kept):
        for key, weight in vector.items():
            holders.setdefault(key, []).append((index, weight))
    return Memory(kept, holders)
