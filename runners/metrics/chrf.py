"""chrF: character n-grams that the prediction shares with the gold, by sacrebleu."""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import as_text, quote, word_difference, words


class Chrf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sentence chrF from 0 to 1, the best over the acceptable values; over all rows the corpus chrF.

    Works on characters and so for languages without spaces and with rich endings. `word_order: 2` makes it
    chrF++. Source: Popović 2015, 2017.
    """

    char_order: Annotated[
        int, msgspec.Meta(description="Longest character n-gram that counts.", examples=[6], ge=1, le=12)
    ] = 6
    word_order: Annotated[
        int,
        msgspec.Meta(description="Longest word n-gram that counts; 2 is chrF++.", examples=[2], ge=0, le=6),
    ] = 0
    beta: Annotated[
        int,
        msgspec.Meta(description="How much more recall counts than precision.", examples=[2], ge=1, le=10),
    ] = 2
    lowercase: Annotated[bool, msgspec.Meta(description="Do not tell case.", examples=[True])] = False

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> ChrfTally:
        """The corpus chrF."""
        return ChrfTally(self)

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with every acceptable value."""
        if case.expected is msgspec.UNSET:
            return None
        text, golds = self.texts(case)
        if text in golds:
            return Score(1.0, f"got {quote(text)} as expected")
        value = max(0.0, min(1.0, self.scorer().sentence_score(text, golds).score / 100))
        difference = word_difference(words(text), words(golds[0]))
        return Score(
            value,
            f"chrF {100 * value:.1f} against {quote(golds[0])}" + (f": {difference}" if difference else ""),
        )

    def texts(self, case: Case) -> tuple[str, list[str]]:
        """The prediction and the acceptable values as texts."""
        return as_text(case.value).strip(), [
            as_text(g).strip() for g in acceptable(case.value, case.expected)
        ]

    def scorer(self) -> Any:
        """sacrebleu's chrF with these parameters."""
        return _scorer(self.char_order, self.word_order, self.beta, self.lowercase)


class ChrfTally:
    """Sums of the n-gram counts of hypothesis, reference and match, from which chrF of the corpus follows."""

    def __init__(self, metric: Chrf) -> None:
        self._metric = metric
        self._counts = [0] * (3 * (metric.char_order + metric.word_order))
        self._rows = 0

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        text, golds = self._metric.texts(case)
        # What corpus_score itself sums; sacrebleu has no public name for it. A test compares with
        # corpus_score.
        [counts] = self._metric.scorer()._extract_corpus_statistics([text], [[gold] for gold in golds])
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        self._rows += 1

    def figures(self) -> dict[str, Any]:
        """Corpus chrF from 0 to 100, as it is published."""
        if not self._rows:
            return {}
        return {"corpus_chrf": self._metric.scorer()._compute_score_from_stats(self._counts).score}


@functools.cache
def _scorer(char_order: int, word_order: int, beta: int, lowercase: bool) -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(char_order=char_order, word_order=word_order, beta=beta, lowercase=lowercase)
