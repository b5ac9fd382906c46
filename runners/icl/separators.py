"""Words and short phrases that tell the labels of some examples apart."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

from promptc.runners.icl.examples import Seen
from promptc.runners.icl.text import word_weight, words

Phrase = tuple[str, ...]

_LONGEST = 3
_WRONG_WEIGHT = 2.0
_SMOOTHING = 0.5
_ENOUGH = 4
_LEAST_SCORE = 0.5
_LEAST_WEIGHT = 0.6
_LONE_LENGTH = 5
_KEPT = 30
_CAPITALIZED = re.compile(r"(?<![.!?:\n])[ \t]([^\W\d_a-zß-öø-ÿ]\w+)")


class _Count(msgspec.Struct):
    """The weight of a label's examples with a phrase, that of the others, and the number of the former."""

    own: float = 0.0
    others: float = 0.0
    support: int = 0


def separators(
    examples: Sequence[Seen], field: str, common: Collection[str] = ()
) -> dict[str, list[tuple[float, Phrase]]]:
    """For each expected label of the field, phrases that speak for it, best first.

    The score is the log-odds of standing in an example of the label rather than of another one, times how
    much the words may say. Phrases have at most three words, none with digits, and stand in two examples at
    least; where a label has few examples one will do for a plain long word, but not for a name. Words in
    `common` do not count.
    """
    judged = [each for each in examples if field in each.expected]
    weights = [_WRONG_WEIGHT if each.wrong(field) else 1.0 for each in judged]
    phrases = [_phrases(each.text) for each in judged]
    names = frozenset(name for each in judged for name in _names(each.text))
    ignored = frozenset(common)
    found: dict[str, list[tuple[float, Phrase]]] = {}
    for label in dict.fromkeys(each.expected[field] for each in judged):
        is_own = [each.expected[field] == label for each in judged]
        own_weight = sum(weight for weight, own in zip(weights, is_own, strict=True) if own)
        totals = (own_weight, sum(weights) - own_weight)
        needed = 2 if sum(is_own) >= _ENOUGH else 1
        scored = [
            (_score(phrase, count, totals), phrase)
            for phrase, count in _counts(phrases, weights, is_own).items()
            if count.support >= needed
            and 2 * count.others <= count.own
            and _is_plain(phrase, count.support, names, ignored)
        ]
        good = [each for each in scored if each[0] >= _LEAST_SCORE]
        found[label] = sorted(good, key=lambda each: (-each[0], each[1]))[:_KEPT]
    return found


def _counts(
    phrases: Sequence[Iterable[Phrase]], weights: Sequence[float], is_own: Sequence[bool]
) -> dict[Phrase, _Count]:
    """Every phrase with the examples that it stands in."""
    counts: dict[Phrase, _Count] = {}
    for shown, weight, own in zip(phrases, weights, is_own, strict=True):
        for phrase in shown:
            count = counts.setdefault(phrase, _Count())
            count.own += weight * own
            count.others += weight * (not own)
            count.support += own
    return counts


def _score(phrase: Phrase, count: _Count, totals: tuple[float, float]) -> float:
    own = (count.own + _SMOOTHING) / (totals[0] - count.own + _SMOOTHING)
    others = (count.others + _SMOOTHING) / (totals[1] - count.others + _SMOOTHING)
    weight = sum(map(word_weight, phrase)) / len(phrase)
    return (math.log(own) - math.log(others)) * weight * math.log(1 + count.support)


def _is_plain(phrase: Phrase, support: int, names: Collection[str], ignored: Collection[str]) -> bool:
    """Whether a phrase may go into an instruction: it says something, and is no name, number or accident."""
    content = [word for word in phrase if word_weight(word) >= _LEAST_WEIGHT and word not in ignored]
    if not content or any(any(map(str.isdigit, word)) for word in phrase):
        return False
    if support > 1:
        return True
    return len(phrase) == 1 and len(phrase[0]) >= _LONE_LENGTH and phrase[0] not in names


def _phrases(text: str) -> dict[Phrase, None]:
    """All runs of one to three words, each once, in order."""
    found = words(text)
    return {
        tuple(found[start : start + size]): None
        for size in range(1, _LONGEST + 1)
        for start in range(len(found) - size + 1)
    }


def _names(text: str) -> frozenset[str]:
    """Words that are capitalized inside a sentence."""
    return frozenset(word.casefold() for word in _CAPITALIZED.findall(text))
