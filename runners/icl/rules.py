"""Lines of the instructions that tie words to a label: how they are read, weighed and written.

Read are, in any line of the instructions, with or without a bullet:

    - `cats` when the text mentions: purring, litter box, meow
    cats: purring, litter box, meow
    `animal` = `cats` if it is about a purring pet
    purring, litter box -> `cats`
    not `cats` when the text mentions: cat food
    Use `cats` for what purrs, `dogs` for what barks.

What stands in a list is a rule; what a sentence says of a label is read like a description of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from promptc.runners.icl.text import words

_LONGEST_PHRASE = 4
_SHORTEST_STEM = 4
_STEM_SHARE = 0.75
_SATURATION = 0.5
_QUOTES = "`\"'*_“”‘’"
_BULLET = re.compile(r"^\s*(?:[-*•+]|\d{1,3}[.)])\s+")
_SEPARATORS = re.compile(r"[\s_-]+")
_NOT = re.compile(r"\b(?:not|never)\W*$", re.IGNORECASE)
_ARROW_BEFORE = re.compile(r"(?:->|→|=>|⇒)\W*$")
_ARROW_AFTER = re.compile(r"^\W*(?:->|→|=>|⇒)")
_OWN_LINE = re.compile(r"- (?:`([^`]+)` is )?`([^`]+)` when the text mentions: (.+)")
_PARTS = re.compile(r"[,;|]|\.(?:\s|$)| / ")


class Rule(msgspec.Struct, frozen=True):
    """A phrase that speaks for a label, or against it."""

    label: str
    phrase: tuple[str, ...]
    against: bool = False


class Hints(msgspec.Struct, frozen=True):
    """What the instructions say about the labels of a field: rules, and sentences by label."""

    rules: dict[str, tuple[Rule, ...]]
    sentences: dict[str, str]


def read_hints(text: str, field: str, labels: Sequence[str], others: Sequence[str] = ()) -> Hints:
    """The hints for one field's labels in a text, without the lines that name only `others` of the fields."""
    rules: dict[str, dict[Rule, None]] = {label: {} for label in labels}
    sentences: dict[str, list[str]] = {label: [] for label in labels}
    mention = _mention_pattern(labels)
    names = {_folded(label): label for label in labels}
    for line in text.splitlines() if labels else ():
        body = _BULLET.sub("", line).strip()
        if not body or _names_other(body, field, others):
            continue
        for label, evidence, against in _evidence(body, mention, names):
            phrases = _phrases(evidence)
            rules[label].update((Rule(label, phrase, against), None) for phrase in phrases)
            if not phrases and not against:
                sentences[label].append(evidence)
    return Hints(
        {label: tuple(found) for label, found in rules.items()},
        {label: " ".join(found) for label, found in sentences.items()},
    )


def rule_strength(rules: Sequence[Rule], row: Sequence[str]) -> float:
    """How strongly a label's rules speak for it in a row's words, -1 to 1; each further match adds less."""
    for_it = against = 0.0
    for rule in rules:
        if phrase_matches(rule.phrase, row):
            for_it += not rule.against
            against += rule.against
    return math.pow(_SATURATION, against) - math.pow(_SATURATION, for_it)


def write_rule(label: str, phrases: Iterable[str], field: str = "") -> str:
    """The line that `read_rules` reads back; `field` where a prompt has several fields of labels."""
    head = f"`{field}` is `{label}`" if field else f"`{label}`"
    return f"- {head} when the text mentions: {', '.join(phrases)}"


def read_rule_line(line: str) -> tuple[str, str, list[str]] | None:
    """Field ("" for none), label and phrases of a line that `write_rule` wrote; None for any other line."""
    match = _OWN_LINE.fullmatch(line.strip())
    return (match[1] or "", match[2], [part.strip() for part in match[3].split(",")]) if match else None


def _evidence(
    body: str, mention: re.Pattern[str], names: Mapping[str, str]
) -> Iterator[tuple[str, str, bool]]:
    """Each label that the line mentions, the words that go with it, and whether they speak against it."""
    mentions = [match for match in mention.finditer(body) if _counts(match, body)]
    for index, match in enumerate(mentions):
        label = names.get(_folded(match["marked"] or match["bare"]))
        if label is None:
            continue
        before = body[mentions[index - 1].end() if index else 0 : match.start()]
        after = body[match.end() : mentions[index + 1].start() if index + 1 < len(mentions) else len(body)]
        arrow = _ARROW_BEFORE.search(before)
        if arrow and not _ARROW_AFTER.match(after):
            yield label, ":" + before[: arrow.start()], False
        elif words(after) or len(mentions) > 1:
            yield label, after, _NOT.search(before) is not None
        else:
            yield label, before, False


def _counts(match: re.Match[str], body: str) -> bool:
    """A label counts where it is marked, where it begins the line before a separator, or behind an arrow."""
    if match["marked"]:
        return True
    if match.start() == 0:
        return re.match(r"\s*(?:[:=–—]|->|→|=>|⇒|- |(?:when|if|for)\b)", body[match.end() :]) is not None
    return _ARROW_BEFORE.search(body[: match.start()]) is not None


def _phrases(text: str) -> list[tuple[str, ...]]:
    """The short phrases behind a colon or an arrow; none where there is neither."""
    _, listed, parts = _ARROW_AFTER.sub(":", text).partition(":")
    if not listed:
        return []
    split = [tuple(words(part)) for part in _PARTS.split(parts)]
    return [phrase for phrase in split if 0 < len(phrase) <= _LONGEST_PHRASE]


def phrase_matches(phrase: Sequence[str], row: Sequence[str]) -> bool:
    """Whether the phrase's words follow each other in the row, inflections aside."""
    size = len(phrase)
    return any(
        all(_same_stem(word, row[start + offset]) for offset, word in enumerate(phrase))
        for start in range(len(row) - size + 1)
    )


def _same_stem(one: str, other: str) -> bool:
    if one == other:
        return True
    if one[0] != other[0]:
        return False
    needed = max(_SHORTEST_STEM, _STEM_SHARE * max(len(one), len(other)))
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return shared >= needed


def _mention_pattern(labels: Sequence[str]) -> re.Pattern[str]:
    ordered = sorted(filter(None, labels), key=len, reverse=True)
    spelled = "|".join(r"[\s_-]+".join(map(re.escape, _SEPARATORS.split(label))) for label in ordered)
    quotes = re.escape(_QUOTES)
    return re.compile(
        rf"[{quotes}]+(?P<marked>{spelled})[{quotes}]+|(?<!\w)(?P<bare>{spelled})(?!\w)", re.IGNORECASE
    )


def _names_other(body: str, field: str, others: Sequence[str]) -> bool:
    return f"`{field}`" not in body and any(f"`{other}`" in body for other in others)


def _folded(label: str) -> str:
    return _SEPARATORS.sub(" ", label).casefold()
