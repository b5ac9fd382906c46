"""Which values count as right: one gold, or any of several acceptable ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from promptc.runners.metrics.protocol import Case, Score
from promptc.runners.metrics.text import quote, quote_all

NO_ANSWER: tuple[Any, ...] = (None, "")
"""What is right where the list of acceptable values is empty: no answer."""


def acceptable(value: Any, expected: Any) -> tuple[Any, ...]:
    """The acceptable values for a prediction.

    A gold that is more lists deep than the prediction lists acceptable values. Of equal depth it is the value
    itself: the gold of a list-typed field is a list, and only a list of lists gives a choice. An empty list
    of acceptable values says that no answer is right (SQuAD 2.0's unanswerable questions).
    """
    if _depth(expected) <= _depth(value):
        return (expected,)
    return tuple(expected) or NO_ANSWER


def best_of(case: Case, judge: Callable[[Any], Score]) -> Score | None:
    """The best score over the acceptable values, the earliest of equals; None where the row has no gold."""
    if case.expected is msgspec.UNSET:
        return None
    return max((judge(gold) for gold in acceptable(case.value, case.expected)), key=_value)


def any_of(values: Sequence[Any]) -> str:
    """The acceptable values in a sentence: `a`, or `a` or `b`, or `a`, `b`, `c` and 2 more."""
    if len(values) <= 2:
        return " or ".join(quote(value) for value in values)
    return f"one of {quote_all(values)}"


def _value(score: Score) -> float:
    return score.value


def _depth(value: Any) -> int:
    """How many lists deep a value certainly is: 0 for what is no list."""
    if not isinstance(value, list | tuple):
        return 0
    return 1 + min((_depth(item) for item in value), default=0)
