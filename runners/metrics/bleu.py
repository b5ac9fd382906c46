"""BLEU: n-grams that the prediction shares with the gold, by sacrebleu."""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import as_text, quote, word_difference, words

Tokenizer = Literal["13a", "intl", "zh", "char", "none"]


class Bleu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sentence BLEU from 0 to 1, against all acceptable values together; over all rows the corpus BLEU.

    A sentence has effective order and exponential smoothing (sacrebleu's `sentence_bleu`), the corpus figure
    neither needs nor has the first. Source: Papineni et al. 2002; Post 2018.
    """

    tokenize: Annotated[
        Tokenizer,
        msgspec.Meta(
            description="sacrebleu's words: `13a` for most languages, `zh` for Chinese, `char` for others "
            "without spaces.",
            examples=["intl"],
        ),
    ] = "13a"
    lowercase: Annotated[bool, msgspec.Meta(description="Do not tell case.", examples=[True])] = False
    max_order: Annotated[
        int, msgspec.Meta(description="Longest n-gram that counts.", examples=[4], ge=1, le=10)
    ] = 4

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> BleuTally:
        """The corpus BLEU."""
        return BleuTally(self)

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with the acceptable values together, as BLEU does with several references."""
        if case.expected is msgspec.UNSET:
            return None
        text, golds = self.texts(case)
        if not text and "" in golds:
            return Score(1.0, "empty, as expected")
        value = max(0.0, min(1.0, self.sentence(text, golds).score / 100))
        difference = word_difference(words(text), words(golds[0]))
        return Score(
            value,
            f"BLEU {100 * value:.1f} against {quote(golds[0])}" + (f": {difference}" if difference else ""),
        )

    def texts(self, case: Case) -> tuple[str, list[str]]:
        """The prediction and the acceptable values as texts."""
        return as_text(case.value).strip(), [
            as_text(g).strip() for g in acceptable(case.value, case.expected)
        ]

    def sentence(self, text: str, golds: list[str]) -> Any:
        """sacrebleu's score of one sentence, with its counts."""
        return _scorer(self.tokenize, self.lowercase, self.max_order).sentence_score(text, golds)


class BleuTally:
    """Sums of the n-gram counts, from which BLEU of the corpus follows."""

    def __init__(self, metric: Bleu) -> None:
        self._metric = metric
        self._correct = [0] * metric.max_order
        self._total = [0] * metric.max_order
        self._lengths = [0, 0]
        self._rows = 0

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        one = self._metric.sentence(*self._metric.texts(case))
        self._correct = [a + b for a, b in zip(self._correct, one.counts, strict=True)]
        self._total = [a + b for a, b in zip(self._total, one.totals, strict=True)]
        self._lengths = [self._lengths[0] + one.sys_len, self._lengths[1] + one.ref_len]
        self._rows += 1

    def figures(self) -> dict[str, Any]:
        """Corpus BLEU from 0 to 100, as it is published, with its parts."""
        if not self._rows:
            return {}
        from sacrebleu.metrics.bleu import BLEU

        corpus = BLEU.compute_bleu(
            correct=list(self._correct),
            total=list(self._total),
            sys_len=self._lengths[0],
            ref_len=self._lengths[1],
            smooth_method="exp",
            max_ngram_order=self._metric.max_order,
        )
        return {
            "corpus_bleu": corpus.score,
            "precisions": list(corpus.precisions),
            "brevity_penalty": corpus.bp,
            "length_ratio": corpus.ratio,
        }


@functools.cache
def _scorer(tokenize: Tokenizer, lowercase: bool, max_order: int) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, lowercase=lowercase, max_ngram_order=max_order, effective_order=True)
