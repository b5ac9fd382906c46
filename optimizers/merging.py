"""Merges instructions that were proposed for one base, line by line, as version control merges files.

What any proposal adds is in. What a proposal takes out is out when enough of them agree: one that alone saw that a line
is wrong should be heard, one that forgets lines should not. A proposal that keeps less than half of the base is a text
of its own and not an edit of it: it is not merged. Where lines say different things about one topic (`X: a`, `X: b`)
the one counts that more proposals have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence

import msgspec

KEPT_BY_AN_EDIT = 0.5
"""The share of the base's lines that a proposal has to keep to count as an edit of it."""
AGREED = 0.4
"""The share of the edits by proposals that saw something about a line which has to drop it before the merge does."""

Key = tuple[str, ...]
"""A line as its words: bullets, case and punctuation do not count."""

_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")


class Edit(msgspec.Struct, frozen=True):
    """What a proposal changes: lines that it adds, in order, and keys of the base's lines that it drops.

    `about` are the base's lines that the examples it was made from say something about.
    """

    added: tuple[str, ...] = ()
    dropped: frozenset[Key] = frozenset()
    about: frozenset[Key] = frozenset()


def edit_of(base: str, text: str) -> Edit | None:
    """What the text changes of the base; None where it is no edit of it."""
    before, after = lines_of(base), lines_of(text)
    if len(before) > 1 and len(before.keys() & after.keys()) < KEPT_BY_AN_EDIT * len(before):
        return None
    added = tuple(line for key, line in after.items() if key not in before)
    return Edit(added, frozenset(before.keys() - after.keys()))


def merged(
    base: str,
    edits: Sequence[Edit],
    *,
    earlier: Sequence[Edit] = (),
    unwanted: Collection[Key] = (),
    topic_of: Callable[[str], Hashable | None] = lambda line: None,
) -> str:
    """The base with all edits; of `earlier` ones, made to another base, only what they add.

    `unwanted` lines are left out, whoever has them.
    """
    out = agreed_drops(edits) | frozenset(unwanted)
    had = {key: line for key, line in lines_of(base).items() if key not in out}
    votes = Counter(key_of(line) for edit in (*earlier, *edits) for line in edit.added)
    votes.update(key for edit in edits for key in edit.about - edit.dropped)
    votes.update(had.keys())
    ahead: dict[Hashable, Key] = {}
    lines = dict(had)
    for edit in (*earlier, *edits):
        lines |= {key: line for line in edit.added if (key := key_of(line)) not in out and key not in lines}
    for key, line in lines.items():
        topic = topic_of(line)
        if topic is not None and votes[key] > votes[ahead.setdefault(topic, key)]:
            ahead[topic] = key
    losing = {key for key, line in lines.items() if (topic := topic_of(line)) is not None and ahead[topic] != key}
    kept = [line for line in base.rstrip().split("\n") if (key := key_of(line)) not in out and key not in losing]
    new = [line for key, line in lines.items() if key not in had and key not in losing]
    return "\n".join([*kept, *new]).strip("\n")


def additions(base: str, text: str) -> tuple[Key, ...]:
    """The lines that a text has beyond the base, by their keys."""
    had = lines_of(base)
    return tuple(key for key in lines_of(text) if key not in had)


def agreed_drops(edits: Sequence[Edit]) -> frozenset[Key]:
    """The base's lines that enough of those edits drop which know something about them.

    A line that no edit knows anything about goes when most of all edits drop it.
    """
    votes = Counter(key for edit in edits for key in edit.dropped)
    found = set()
    for key in votes:
        knowing = [edit for edit in edits if key in edit.about]
        against = sum(key in edit.dropped for edit in knowing)
        agreed = against >= AGREED * len(knowing) if knowing else 2 * votes[key] > len(edits)
        if agreed:
            found.add(key)
    return frozenset(found)


def lines_of(text: str) -> dict[Key, str]:
    """Each line that says something, by its key."""
    found: dict[Key, str] = {}
    for line in text.split("\n"):
        if key := key_of(line):
            found.setdefault(key, line)
    return found


def key_of(line: str) -> Key:
    """The line's key; empty where it has no word."""
    return tuple(re.findall(r"\w+", _BULLET.sub("", line).casefold()))
