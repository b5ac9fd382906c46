"""F1: how many words the prediction and the gold share."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import msgspec

from promptc.runners.metrics.golds import best_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import (
    Language,
    LanguageOption,
    as_text,
    normalize,
    quote,
    word_difference,
    words,
)


class F1(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The harmonic mean of precision and recall over words, each counted as often as it occurs.

    Of several acceptable values the best counts. Two empty texts agree. Of a list-typed field the items take
    the place of the words. Source: SQuAD (Rajpurkar et al. 2016), section 6.1, on Unicode words.
    """

    language: LanguageOption = None

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare the words with those of every acceptable value."""
        return best_of(case, lambda gold: _judged(case.value, gold, self.language))


def _judged(value: Any, gold: Any, language: Language | None) -> Score:
    got, expected = _tokens(value, language), _tokens(gold, language)
    shared = (Counter(got) & Counter(expected)).total()
    if not got and not expected:
        return Score(1.0, "empty, as expected")
    f1 = 2 * shared / (len(got) + len(expected))
    if f1 == 1.0:
        return Score(1.0, f"has the words of {quote(gold)}")
    return Score(f1, f"f1 {f1:.2f} against {quote(gold)}: {word_difference(got, expected)}")


def _tokens(value: Any, language: Language | None) -> list[str]:
    if isinstance(value, list | tuple):
        return [normalize(as_text(item), language) for item in value]
    return words(as_text(value), language)
