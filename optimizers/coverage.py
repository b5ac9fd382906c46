"""Chooses demonstrations by what they cover: together they should show what the rows in need are made of.

A row is made of the words and short phrases of its inputs, and of the words of its right answer; half of it each. What
only one row has cannot help another one and does not count; what many rows have tells little and counts little
(inverse document frequency). Choosing goes greedily, with falling returns: the first demo that shows a thing is worth
half of what there is to gain by showing it, the second half of the rest.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.rows import Example

LONGEST_PHRASE = 3
"""Words of the longest phrase that counts as one thing."""
MOST_ROWS = 600
"""Rows looked at, the first ones: choosing takes time in proportion to rows times demos."""
_SEEN_AGAIN = 0.5
"""What is left to gain by showing a thing once more."""

Feature = tuple[str, ...]


class Row(msgspec.Struct, frozen=True):
    """A row as things that can be covered: features of its inputs and of its right answer."""

    example: Example
    given: frozenset[Feature]
    wanted: frozenset[Feature]


def covering(
    rows: Sequence[Row], needs: Mapping[str, float], count: int, chosen: Sequence[Row] = ()
) -> list[Row]:
    """So many of the rows, those first that cover most of what the rows in need are made of.

    `needs` maps row ids to how much a row needs help (0: not at all); `chosen` are demos that are there already.
    """
    gains = _worth(rows, needs)
    left: dict[Feature, float] = {}
    for row in chosen:
        _show(row, left)
    pool = list(rows)
    found: list[Row] = []
    while pool and len(found) < count:
        best = max(pool, key=lambda row: _gain(row, gains, left))
        if _gain(best, gains, left) <= 0:
            break
        pool.remove(best)
        found.append(best)
        _show(best, left)
    return found


def described(examples: Sequence[Example], inputs: Sequence[str], outputs: Sequence[str]) -> list[Row]:
    """Rows with their features; `outputs` are the columns of the right answers."""
    return [
        Row(
            example,
            frozenset(phrases([example.row.get(name) for name in inputs], LONGEST_PHRASE)),
            frozenset(phrases([example.row.get(name) for name in outputs], 1)),
        )
        for example in examples[:MOST_ROWS]
    ]


def phrases(values: Sequence[Any], longest: int) -> set[Feature]:
    """The words of the values, and phrases of up to so many words."""
    found: set[Feature] = set()
    for value in values:
        words = re.findall(r"\w+", _text(value).casefold())
        for length in range(1, longest + 1):
            found.update(tuple(words[i : i + length]) for i in range(len(words) - length + 1))
    return found


class Relevance:
    """Says which texts speak of the same as a row, by the words and phrases that they share, rare ones first."""

    def __init__(self, rows: Sequence[Row]) -> None:
        sets = {row.example.id: row.given | row.wanted for row in rows}
        counts = Counter(feature for features in sets.values() for feature in features)
        self._sets = sets
        self._rarity = {f: math.log((len(rows) + 1) / n) for f, n in counts.items()}

    def shared(self, text: str, row_id: str) -> float:
        """The share of what the text has in common with any row that it has in common with this one; 0 to 1."""
        known = sorted(phrases([text], LONGEST_PHRASE) & self._rarity.keys())
        whole = math.fsum(self._rarity[feature] for feature in known)
        row = self._sets.get(row_id, frozenset())
        return math.fsum(self._rarity[f] for f in known if f in row) / whole if whole else 0.0


def _worth(rows: Sequence[Row], needs: Mapping[str, float]) -> dict[tuple[bool, Feature], float]:
    """What covering each feature is worth: its share of every row in need that has it."""
    worth: dict[tuple[bool, Feature], float] = {}
    for side in (False, True):
        sets = [row.wanted if side else row.given for row in rows]
        counts = Counter(feature for features in sets for feature in features)
        rarity = {f: math.log((len(rows) + 1) / n) for f, n in counts.items() if n > 1}
        for row, features in zip(rows, sets, strict=True):
            need = needs.get(row.example.id, 0.0)
            whole = math.fsum(rarity.get(f, 0.0) for f in features)
            if need <= 0 or whole <= 0:
                continue
            for feature in sorted(features & rarity.keys()):
                key = (side, feature)
                worth[key] = worth.get(key, 0.0) + need * rarity[feature] / whole
    return worth


def _gain(row: Row, worth: Mapping[tuple[bool, Feature], float], left: Mapping[Any, float]) -> float:
    keys = [*((False, f) for f in row.given), *((True, f) for f in row.wanted)]
    return math.fsum(worth[key] * left.get(key, 1.0) for key in keys if key in worth) * _SEEN_AGAIN


def _show(row: Row, left: dict[Any, float]) -> None:
    for key in (*((False, f) for f in row.given), *((True, f) for f in row.wanted)):
        left[key] = left.get(key, 1.0) * _SEEN_AGAIN


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
