"""Words, character runs and shapes of a text: all that the learner knows about language."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])")
_DIGIT = re.compile(r"\d")
_RUN_SIZES = (2, 3, 4, 5)
_RUN_WEIGHT = 0.6
_PAIR_WEIGHT = 0.7
_FULL_LENGTH = 5
_LONGEST_WORD = 40


def words(text: str) -> list[str]:
    """The words in order, without case; letters and digits of any script, underscores part them."""
    return _WORD.findall(text.casefold())


def name_words(name: str) -> list[str]:
    """The words of an identifier: `houseCat`, `house_cat` and `house-cat` are two words each."""
    return words(_CAMEL.sub(" ", name))


def word_weight(word: str, known: Collection[str] = ()) -> float:
    """How much a word may say, 0 to 1.

    Frequent words are short in every language (Zipf, "The Psycho-Biology of Language", 1935), so length
    stands in for the frequency list that the learner does not have. Words in `known` count in full.
    """
    if word in known:
        return 1.0
    return min(1.0, len(word) / _FULL_LENGTH) ** 2


def features(text: str, known: Collection[str] = ()) -> dict[str, float]:
    """Weighted counts of a text's words (`w…`), neighbouring pairs (`p…`) and character runs (`r…`).

    Runs let `cats` meet `cat`, and an inflected or compound word its stem, in any language. Digits are alike
    in runs, so that numbers meet numbers of the same length.
    """
    counts: dict[str, float] = {}
    found = words(text)
    weights = [word_weight(word, known) for word in found]
    for word, weight in zip(found, weights, strict=True):
        counts["w" + word] = counts.get("w" + word, 0.0) + weight
        for run in _runs(word):
            counts["r" + run] = counts.get("r" + run, 0.0) + weight * _RUN_WEIGHT
    for index in range(len(found) - 1):
        pair = f"p{found[index]} {found[index + 1]}"
        counts[pair] = counts.get(pair, 0.0) + (weights[index] * weights[index + 1]) ** 0.5 * _PAIR_WEIGHT
    return counts


def _runs(word: str) -> Iterator[str]:
    """The character runs of a word with its edges marked; a word with digits is one run."""
    marked = f"<{word[:_LONGEST_WORD]}>"
    if _DIGIT.search(marked):
        yield _DIGIT.sub("0", marked)
        return
    for size in _RUN_SIZES:
        for start in range(len(marked) - size + 1):
            yield marked[start : start + size]
