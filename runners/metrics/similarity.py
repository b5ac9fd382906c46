"""Similarity: how close the prediction's text is to the gold's, character by character."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics.golds import best_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import LanguageOption, as_text, normalize, quote

Method = Literal["ratio", "partial", "token_sort", "token_set", "levenshtein", "jaro_winkler"]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Similarity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How alike two texts are, from 0 to 1, as rapidfuzz measures it; with `threshold` 1 or 0.

    `ratio` and `levenshtein` compare whole texts, `partial` the best matching part, `token_sort` and
    `token_set` the words whatever their order (and, for the set, however often), `jaro_winkler` favours a
    common beginning.
    """

    method: Annotated[
        Method, msgspec.Meta(description="How likeness is measured.", examples=["token_sort", "levenshtein"])
    ] = "ratio"
    threshold: Annotated[
        Share | None,
        msgspec.Meta(
            description="Pass at this likeness or above; without it the likeness is the score.",
            examples=[0.9],
        ),
    ] = None
    normalize: Annotated[
        bool,
        msgspec.Meta(
            description="Compare words without case and punctuation, not raw characters.", examples=[False]
        ),
    ] = True
    language: LanguageOption = None

    reads_gold: ClassVar[bool] = True

    @property
    def binary(self) -> bool:
        """True with a threshold."""
        return self.threshold is not None

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with every acceptable value."""
        return best_of(case, lambda gold: self._judged(case.value, gold))

    def _judged(self, value: Any, gold: Any) -> Score:
        likeness = _likeness(self.method, self._prepared(value), self._prepared(gold))
        percent = f"{100 * likeness:.0f}%"
        if self.threshold is None:
            return Score(likeness, f"{percent} like expected {quote(gold)}: got {quote(value)}")
        details = {"similarity": likeness}
        if likeness >= self.threshold:
            return Score(1.0, f"{percent} like expected {quote(gold)}", details)
        why = (
            f"expected {quote(gold)}, got {quote(value)}: {percent} alike, {100 * self.threshold:.0f}% needed"
        )
        return Score(0.0, why, details)

    def _prepared(self, value: Any) -> str:
        text = as_text(value)
        return normalize(text, self.language) if self.normalize else text.strip()


def _likeness(method: Method, text: str, gold: str) -> float:
    from rapidfuzz import distance, fuzz

    if text == gold:
        return 1.0
    if not text or not gold:
        return 0.0
    if method == "levenshtein":
        return distance.Levenshtein.normalized_similarity(text, gold)
    if method == "jaro_winkler":
        return distance.JaroWinkler.normalized_similarity(text, gold)
    ratios = {
        "ratio": fuzz.ratio,
        "partial": fuzz.partial_ratio,
        "token_sort": fuzz.token_sort_ratio,
        "token_set": fuzz.token_set_ratio,
    }
    return min(1.0, ratios[method](text, gold) / 100)
