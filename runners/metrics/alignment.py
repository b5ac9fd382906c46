"""Which item of one list belongs to which of another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from promptc.runners.metrics.compare import same
from promptc.runners.metrics.numbers import whole_number
from promptc.runners.metrics.text import as_json, as_text, normalize

Pair = tuple[int | None, int | None]
"""Indices of the gold's item and of the prediction's; None where one has no counterpart."""

MOST_PAIRS = 40_000
"""Pairs of unlike items that are compared; in longer lists what is left is paired in order."""


def in_order(golds: Sequence[Any], values: Sequence[Any]) -> list[Pair]:
    """First with first, second with second."""
    length = max(len(golds), len(values))
    return [(i if i < len(golds) else None, i if i < len(values) else None) for i in range(length)]


def by_key(golds: Sequence[Any], values: Sequence[Any], key: str) -> list[Pair]:
    """Objects with the same value under `key`, repeats in order; items without it have no counterpart."""
    places: dict[Hashable, list[int]] = {}
    for index in reversed(range(len(values))):
        if (name := _name(values[index], key)) is not None:
            places.setdefault(name, []).append(index)
    paired: list[Pair] = []
    for index, gold in enumerate(golds):
        found = places.get(_name(gold, key))
        paired.append((index, found.pop() if found else None))
    taken = {value for _, value in paired}
    return paired + [(None, i) for i in range(len(values)) if i not in taken]


def by_likeness(golds: Sequence[Any], values: Sequence[Any]) -> list[Pair]:
    """The pairing in which the items are most alike together; items with nothing in common stay alone.

    Equal items are paired first. The rest is an assignment problem (scipy's linear_sum_assignment).
    """
    chosen = _equal(golds, values)
    rest_golds = [i for i in range(len(golds)) if i not in chosen]
    taken = set(chosen.values())
    rest_values = [i for i in range(len(values)) if i not in taken]
    if len(rest_golds) * len(rest_values) > MOST_PAIRS:
        chosen.update(zip(rest_golds, rest_values, strict=False))
    elif rest_golds and rest_values:
        likenesses = [[likeness(golds[g], values[v]) for v in rest_values] for g in rest_golds]
        chosen.update(
            (rest_golds[g], rest_values[v]) for g, v in _assigned(likenesses) if likenesses[g][v] > 0
        )
    taken = set(chosen.values())
    alone: list[Pair] = [(None, i) for i in range(len(values)) if i not in taken]
    return [*((i, chosen.get(i)) for i in range(len(golds))), *alone]


def likeness(gold: Any, value: Any) -> float:
    """How alike two values are, from 0 to 1: of objects the mean over keys, of texts the character ratio."""
    if isinstance(gold, Mapping) and isinstance(value, Mapping):
        keys = gold.keys() | value.keys()
        alike = sum(likeness(gold[key], value[key]) for key in keys if key in gold and key in value)
        return alike / len(keys) if keys else 1.0
    if isinstance(gold, list) and isinstance(value, list):
        alike = sum(likeness(a, b) for a, b in zip(gold, value, strict=False))
        return alike / max(len(gold), len(value)) if gold or value else 1.0
    if isinstance(gold, str) and isinstance(value, str):
        from rapidfuzz import fuzz

        return fuzz.ratio(gold.casefold(), value.casefold()) / 100
    return float(same(value, gold))


def _equal(golds: Sequence[Any], values: Sequence[Any]) -> dict[int, int]:
    places: dict[str, list[int]] = {}
    for index in reversed(range(len(values))):
        places.setdefault(as_json(values[index]), []).append(index)
    pairs = ((index, places.get(as_json(gold))) for index, gold in enumerate(golds))
    return {index: found.pop() for index, found in pairs if found}


def _assigned(likenesses: list[list[float]]) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(likenesses, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _name(item: Any, key: str) -> Hashable | None:
    """What two items have in common when their key says the same: the number it spells, else its words."""
    if not isinstance(item, Mapping) or item.get(key) is None:
        return None
    number = whole_number(item[key])
    return number if number is not None else normalize(as_text(item[key]))
