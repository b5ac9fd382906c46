"""ROUGE: n-grams, or the longest common subsequence of words, that prediction and gold share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics.golds import best_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import as_text, quote, word_difference, words

Variant = Literal["rouge1", "rouge2", "rougeL"]


class Rouge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ROUGE (Lin 2004) by the rouge-score package, on Unicode words; the best over the acceptable values."""

    variant: Annotated[
        Variant,
        msgspec.Meta(
            description="Single words, pairs of words, or the longest common subsequence.",
            examples=["rouge2"],
        ),
    ] = "rougeL"
    measure: Annotated[
        Literal["f1", "precision", "recall"],
        msgspec.Meta(
            description="Which side counts: both, the prediction's words, or the gold's.", examples=["recall"]
        ),
    ] = "f1"
    stem: Annotated[
        bool,
        msgspec.Meta(
            description="Compare English words by their Porter stems, as the original ROUGE does with -m.",
            examples=[True],
        ),
    ] = False

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with every acceptable value."""
        return best_of(case, lambda gold: self._judged(as_text(case.value), gold))

    def _judged(self, text: str, gold: Any) -> Score:
        tokenizer = _tokenizer(self.stem)
        got, expected = tokenizer.tokenize(text), tokenizer.tokenize(as_text(gold))
        if not got and not expected:
            return Score(1.0, "empty, as expected")
        figures = _scorer(self.variant, self.stem).score(as_text(gold), text)[self.variant]
        measured = {"f1": figures.fmeasure, "precision": figures.precision, "recall": figures.recall}
        value = float(measured[self.measure])
        if got == expected:
            # Texts shorter than the n-gram have none in common with themselves.
            return Score(1.0, f"has the words of {quote(gold)}")
        difference = word_difference(got, expected) or "the same words in another order"
        return Score(value, f"{self.variant} {self.measure} {value:.2f} against {quote(gold)}: {difference}")


class _Words:
    """Tokenizer for rouge-score, whose own drops every letter outside a-z."""

    def __init__(self, stem: Callable[[str], str] | None) -> None:
        self._stem = stem

    def tokenize(self, text: str) -> list[str]:
        """Unicode words; those of more than three letters by their stem, as in the original."""
        stem = self._stem
        if stem is None:
            return words(text)
        return [stem(word) if len(word) > 3 else word for word in words(text)]


@functools.cache
def _tokenizer(stem: bool) -> _Words:
    if not stem:
        return _Words(None)
    from nltk.stem.porter import PorterStemmer

    return _Words(PorterStemmer().stem)


@functools.cache
def _scorer(variant: Variant, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([variant], tokenizer=_tokenizer(stem))
