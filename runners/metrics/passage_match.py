"""Passage match: whether a right answer stands in what was found."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from promptc.runners.metrics.found import Cutoff, StepOption, found_in, shown
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import Language, LanguageOption, as_text, quote_all, words


class PassageMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when one of the acceptable answers stands in one of the first k passages, word for word, else 0.

    Case, punctuation and spacing make no difference. A row whose list of answers is empty is left out. Source:
    Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering", 2020, section 5.
    """

    k: Cutoff = None
    step: StepOption = None
    language: LanguageOption = None

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Look for each answer in each passage."""
        if case.expected is msgspec.UNSET or case.expected in (None, [], ()):
            return None
        golds = case.expected if isinstance(case.expected, list | tuple) else [case.expected]
        found = found_in(case, self.step, self.k)
        for rank, item in enumerate(found, start=1):
            if any(stands_in(as_text(gold), item.text, self.language) for gold in golds):
                return Score(1.0, f"passage {rank} holds the answer")
        return Score(0.0, f"no passage holds {quote_all(golds)}: {shown(found)}")


def stands_in(wanted: str, text: str, language: Language | None = None) -> bool:
    """True when the words of one text stand in a row in the other; never for a text without words."""
    sought, found = words(wanted, language), words(text, language)
    if not sought:
        return False
    return any(found[i : i + len(sought)] == sought for i in range(len(found) - len(sought) + 1))
