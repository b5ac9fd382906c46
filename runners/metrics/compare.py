"""When two JSON values are the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptc.runners.metrics.numbers import whole_number

TextRule = Callable[[str], str]
"""What is done to text before it is compared."""


def same(value: Any, gold: Any, rule: TextRule = str.strip, *, ignore_order: bool = False) -> bool:
    """True when both say the same.

    Numbers compare as numbers (1 is 1.0, but true is not 1) and texts as texts, after `rule`. A text beside a
    number, true, false or null is the same when it spells it: columns of CSV files, and golds kept as text,
    are often so. Lists compare in order unless `ignore_order`, objects key by key.
    """
    if isinstance(value, str) and isinstance(gold, str):
        return rule(value) == rule(gold)
    if isinstance(value, str) or isinstance(gold, str):
        text, other = (value, gold) if isinstance(value, str) else (gold, value)
        return _spells(text, other)
    if isinstance(value, bool) or isinstance(gold, bool):
        return value is gold
    if isinstance(value, Mapping) and isinstance(gold, Mapping):
        return value.keys() == gold.keys() and all(
            same(value[key], gold[key], rule, ignore_order=ignore_order) for key in gold
        )
    if isinstance(value, list | tuple) and isinstance(gold, list | tuple):
        if len(value) != len(gold):
            return False
        if ignore_order:
            return _same_items(list(value), gold, rule)
        return all(same(left, right, rule) for left, right in zip(value, gold, strict=True))
    return bool(value == gold)


def _same_items(rest: list[Any], golds: list[Any] | tuple[Any, ...], rule: TextRule) -> bool:
    for gold in golds:
        found = next((i for i, item in enumerate(rest) if same(item, gold, rule, ignore_order=True)), None)
        if found is None:
            return False
        del rest[found]
    return True


def _spells(text: str, value: Any) -> bool:
    stripped = text.strip()
    if isinstance(value, bool):
        return stripped.casefold() == ("true" if value else "false")
    if isinstance(value, int | float):
        return whole_number(stripped) == whole_number(value)
    return value is None and stripped.casefold() == "null"
