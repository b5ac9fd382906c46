"""Merges instructions that were proposed for one base, line by line, as a version control system merges files.

What any proposal adds is in; what one takes out is out, unless it was hardly an edit at all. A proposal that keeps less
than half of the base is a text of its own and no edit of the base: it is not merged. Where two proposals end the same
line differently (`X: a`, `X: b`) the ending that more of them have counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

KEPT_BY_AN_EDIT = 0.5
"""The share of the base's lines that a proposal has to keep to count as an edit of it."""
LONGEST_TOPIC = 8
"""Words before a colon or an arrow that can name what a line is about."""

Key = tuple[str, ...]


class Edit(msgspec.Struct, frozen=True):
    """What a proposal changes: lines that it adds, in order, and keys of the base's lines that it drops."""

    added: tuple[str, ...]
    dropped: frozenset[Key]


def merged(base: str, proposals: Sequence[str]) -> list[str]:
    """The merged texts, at most two and none that is a proposal itself.

    The first drops what any edit drops, the second only what most of them drop: a proposer that forgets lines does
    harm in the first, one that alone saw that a line is wrong is not heard in the second.
    """
    edits = [edit for text in proposals if (edit := edit_of(base, text)) is not None]
    if len(edits) < 2:
        return []
    votes = Counter(key for edit in edits for key in edit.dropped)
    by_any = frozenset(votes)
    by_most = frozenset(key for key, count in votes.items() if 2 * count > len(edits))
    texts = [_applied(base, edits, dropped) for dropped in (by_any, by_most)]
    known = {_keys(text) for text in (base, *proposals)}
    return [text for text in dict.fromkeys(texts) if _keys(text) not in known]


def edit_of(base: str, text: str) -> Edit | None:
    """What the text changes of the base; None where it is no edit of it."""
    before, after = _lines(base), _lines(text)
    had, has = {_key(line) for line in before}, {_key(line) for line in after}
    if len(had) > 1 and len(had & has) < KEPT_BY_AN_EDIT * len(had):
        return None
    added = {_key(line): line for line in after if _key(line) not in had}
    return Edit(tuple(added.values()), frozenset(had - has))


def _applied(base: str, edits: Sequence[Edit], dropped: frozenset[Key]) -> str:
    added = [line for edit in edits for line in edit.added]
    chosen = _agreed(added)
    replaced = {_topic(line) for line in chosen} - {None}
    kept = [
        line
        for line in base.rstrip().split("\n")
        if _key(line) not in dropped and not (_topic(line) in replaced and _topic(line) is not None)
    ]
    return "\n".join([*kept, *chosen])


def _agreed(lines: Sequence[str]) -> list[str]:
    """Each line once; of lines on one topic the one that most edits have, of equals the first."""
    votes = Counter(_key(line) for line in lines)
    first = {_key(line): line for line in reversed(lines)}
    ahead: dict[Key, Key] = {}
    for line in lines:
        key, topic = _key(line), _topic(line)
        if topic is not None and votes[key] > votes[ahead.setdefault(topic, key)]:
            ahead[topic] = key
    chosen = {_key(line) if _topic(line) is None else ahead[_topic(line) or ()]: None for line in lines}
    return [first[key] for key in chosen]


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if _key(line)]


def _keys(text: str) -> Key:
    return tuple(" ".join(_key(line)) for line in _lines(text))


def _key(line: str) -> Key:
    """A line as its words: bullets, case and punctuation do not count."""
    return tuple(re.findall(r"\w+", re.sub(r"^\s*\d{1,3}[.)]\s", "", line).casefold()))


def _topic(line: str) -> Key | None:
    """What the line is about, where it says so before a colon or an arrow; None where it does not."""
    head, found, tail = re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)])\s", "", line).partition(_delimiter(line))
    words = tuple(re.findall(r"\w+", head.casefold()))
    return words if found and tail.strip() and 0 < len(words) <= LONGEST_TOPIC else None


def _delimiter(line: str) -> str:
    match = re.search(r":\s|->|=>|→| = ", line)
    return match[0] if match else "\0"
