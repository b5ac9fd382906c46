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
COMMON = 0.5
"""A word that a larger share of the inputs has does not tell what a line is about."""
MOST = 0.6
"""The share of a line's topic that a row has to have for the line to concern it."""
MOST_ROWS = 600
"""Rows looked at, the first ones: choosing takes time in proportion to rows times demos."""
OWN_NEED = 1e-3
"""What a row's own need counts: it decides among those that cover as much."""
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
        best = max(pool, key=lambda row: _gain(row, gains, left) + OWN_NEED * needs.get(row.example.id, 0.0))
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


class Grounding:
    """What a line of an instruction speaks about, in terms of the data: words of inputs, and words of right answers."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._given = {row.example.id: row.given for row in rows}
        counts = Counter(feature for row in rows for feature in row.given if len(feature) == 1)
        self._telling: dict[Feature, float] = {
            feature: math.log((len(rows) + 1) / n) for feature, n in counts.items() if n <= COMMON * len(rows)
        }
        self._answers = frozenset(feature for row in rows for feature in row.wanted)

    def topic(self, line: str) -> frozenset[Feature]:
        """The words of the line that only some inputs have."""
        return frozenset(phrases([line], 1) & self._telling.keys())

    def statement(self, line: str) -> frozenset[Feature]:
        """The words of the line that right answers have."""
        return frozenset(phrases([line], 1) & self._answers)

    def concerns(self, line: str, row_id: str) -> bool:
        """Whether most of what the line speaks about is in the row."""
        topic = sorted(self.topic(line))
        given = self._given.get(row_id, frozenset())
        whole = math.fsum(self._telling[feature] for feature in topic)
        return whole > 0 and math.fsum(self._telling[f] for f in topic if f in given) > MOST * whole


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
