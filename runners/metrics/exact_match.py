"""Exact match: the prediction is the gold."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.compare import TextRule, same
from promptc.runners.metrics.golds import acceptable, any_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import (
    IgnoreCase,
    LanguageOption,
    Normalize,
    quote,
    text_rule,
)

_LONG = 80


class ExactMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the prediction equals an acceptable value, else 0.

    Texts are compared without the space around them, and otherwise to the letter unless the options say less.
    Numbers compare as numbers, lists item by item, objects key by key.
    """

    ignore_case: IgnoreCase = False
    normalize: Normalize = False
    language: LanguageOption = None
    ignore_order: Annotated[
        bool, msgspec.Meta(description="Compare lists whatever the order of their items.", examples=[True])
    ] = False

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with every acceptable value."""
        if case.expected is msgspec.UNSET:
            return None
        rule = text_rule(self.ignore_case, self.normalize, self.language)
        golds = acceptable(case.value, case.expected)
        if any(same(case.value, gold, rule, ignore_order=self.ignore_order) for gold in golds):
            return Score(1.0, f"got {quote(case.value)} as expected")
        return Score(0.0, _difference(case.value, golds, rule))


def _difference(value: Any, golds: tuple[Any, ...], rule: TextRule) -> str:
    """What was expected and what came; in long texts the place where they part."""
    gold = golds[0]
    if (
        isinstance(value, str)
        and isinstance(gold, str)
        and len(golds) == 1
        and max(len(value), len(gold)) > _LONG
    ):
        got, wanted = rule(value), rule(gold)
        place = next(
            (i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b),
            min(len(got), len(wanted)),
        )
        start = max(0, place - 20)
        return (
            f"differs from the expected text at character {place + 1}: "
            f"expected {quote(wanted[start : start + _LONG])}, got {quote(got[start : start + _LONG])}"
        )
    return f"expected {any_of(golds)}, got {quote(value)}"
