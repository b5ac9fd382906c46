"""Merges instructions that were proposed for one base, line by line, as version control merges files.

What any proposal adds is in. What a proposal takes out is out when enough of them agree: one that alone saw that a line
is wrong should be heard, one that forgets lines should not. A proposal that keeps less than half of the base is a text
of its own and not an edit of it: it is not merged. Where lines say different things about one topic (`X: a`, `X: b`)
the statement counts that more proposals have; of lines that state the same about the same, the shortest stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

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


class Claim(msgspec.Struct, frozen=True):
    """What a line is about, and what it says about that. Of two claims on one topic at most one is right."""

    topic: Hashable
    says: Hashable


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
    claim_of: Callable[[str], Claim | None] = lambda line: None,
) -> str:
    """The base with all edits; of `earlier` ones, made to another base, what they add, and what their proposals judged.

    `unwanted` lines are left out, whoever has them. `claim_of` reads what a line says; None where it says nothing that
    another line could contradict.
    """
    out = agreed_drops(edits) | frozenset(unwanted)
    lines = {key: line for key, line in lines_of(base).items() if key not in out}
    had = frozenset(lines)
    votes = _votes(had, edits, earlier)
    for edit in (*earlier, *edits):
        for line in edit.added:
            key = key_of(line)
            if key not in out and votes[key] > 0:
                lines.setdefault(key, line)
    losing = _losing(lines, votes, claim_of)
    kept = [
        line
        for line in base.rstrip().split("\n")
        if not (key := key_of(line)) or (key in had and key not in losing)
    ]
    new = [line for key, line in lines.items() if key not in had and key not in losing]
    return "\n".join([*kept, *new]).strip("\n")


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


def without_lines(text: str, keys: Collection[Key]) -> str:
    """The text without these lines."""
    return "\n".join(line for line in text.split("\n") if key_of(line) not in keys).strip("\n")


def key_of(line: str) -> Key:
    """The line's key; empty where it has no word."""
    return tuple(re.findall(r"\w+", _BULLET.sub("", line).casefold()))


def _votes(had: Collection[Key], edits: Sequence[Edit], earlier: Sequence[Edit]) -> Counter[Key]:
    """A vote for a line by the base, by edits that add it, and by those that could judge it and keep it.

    A vote against it by those that could judge it and drop it.
    """
    everybody = (*earlier, *edits)
    votes = Counter(key_of(line) for edit in everybody for line in edit.added)
    votes.update(key for edit in everybody for key in edit.about - edit.dropped)
    votes.subtract(key for edit in everybody for key in edit.about & edit.dropped)
    votes.update(had)
    return votes


def _losing(
    lines: Mapping[Key, str], votes: Mapping[Key, int], claim_of: Callable[[str], Claim | None]
) -> set[Key]:
    """The lines that another one on the same topic beats: by the votes for what it says, then by being shorter."""
    topics: dict[Hashable, dict[Hashable, list[Key]]] = {}
    for key, line in lines.items():
        claim = claim_of(line)
        if claim is not None:
            topics.setdefault(claim.topic, {}).setdefault(claim.says, []).append(key)
    losing: set[Key] = set()
    for said in topics.values():
        ahead = max(said.values(), key=lambda keys: sum(votes[key] for key in keys))
        shortest = min(ahead, key=lambda key: len(lines[key]))
        losing |= {key for keys in said.values() for key in keys} - {shortest}
    return losing
