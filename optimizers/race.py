"""Races: candidates on growing samples of the same rows, where those that cannot win any more drop out.

After each look a candidate leaves that a paired test rules out against the one in front. The test is Fisher's
randomization test for pairs ("The Design of Experiments", 1935, section 21): were the two equally good, each row's
difference could as well have had the other sign. It is exact for up to twelve differing rows of any scores, and for
pass/fail it is McNemar's. The level is divided among all looks and candidates, so that the best one is lost to the test
in at most the share `ERROR` of races, however many run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from promptc.optimizers.practice import Practice
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.rows import Example

EXACT_PAIRS = 12
"""Up to so many differing rows all signs are tried; above, the sum is close enough to normal."""

ERROR = 0.2
"""How often the best candidate may be lost to the test, over a whole race."""
LOOKS = 2
"""Looks at one race."""

Scores = Sequence[float | None]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in a race, where it comes from, and how long its prompts are."""

    candidate: Candidate
    origin: str
    characters: int

    @property
    def digest(self) -> str:
        """The candidate's."""
        return self.candidate.digest()


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """Who goes on after a look, the best first, with the mean of each on the rows so far."""

    order: tuple[Entry, ...]
    means: tuple[float, ...]

    @property
    def winner(self) -> Entry:
        """The best one."""
        return self.order[0]


async def look(
    practice: Practice, entries: Sequence[Entry], rows: Sequence[Example], places: int, error: float = ERROR
) -> Ranked:
    """Run the entries on the rows, as far as they were not, and keep those that can still win, at most so many."""
    entries = distinct(entries)
    await practice.run([(entry.candidate, rows) for entry in entries])
    scores = {entry.digest: practice.scores(entry.candidate, rows) for entry in entries}
    order = ranked(entries, lambda entry: scores[entry.digest])
    level = error / (LOOKS * max(1, len(entries) - 1))
    ahead = scores[order[0].digest]
    staying = tuple(
        entry
        for place, entry in enumerate(order)
        if place == 0 or (place < places and better(ahead, scores[entry.digest]) >= level)
    )
    return Ranked(order=staying, means=tuple(mean(scores[entry.digest]) for entry in staying))


def entry_of(search: Search, candidate: Candidate, origin: str) -> Entry:
    """A candidate that enters a race."""
    return Entry(
        candidate=candidate, origin=origin, characters=search.program.compile(candidate).prompt_characters()
    )


def distinct(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without those that say the same as an earlier one."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.digest, entry)
    return list(found.values())


def ranked(entries: Sequence[Entry], scores: Callable[[Entry], Scores]) -> list[Entry]:
    """The best mean over the rows that all of them have first; of equals the shorter prompt, then the earlier entry."""
    columns = [scores(entry) for entry in entries]
    common = [
        i for i, row in enumerate(zip(*columns, strict=True)) if all(score is not None for score in row)
    ]
    means = [mean([column[i] for i in common]) for column in columns]
    places = sorted(range(len(entries)), key=lambda i: (-round(means[i], 9), entries[i].characters, i))
    return [entries[i] for i in places]


def better(first: Scores, second: Scores) -> float:
    """p of "the first is not better than the second": one-sided, over the rows that both have."""
    pairs = zip(first, second, strict=True)
    changes = [a - b for a, b in pairs if a is not None and b is not None and abs(a - b) > 1e-12]
    total = math.fsum(changes)
    if not changes:
        return 1.0
    if len(changes) > EXACT_PAIRS:
        return 0.5 * math.erfc(total / math.sqrt(2 * math.fsum(change * change for change in changes)))
    sums = [0.0]
    for change in changes:
        sums = [s + signed for s in sums for signed in (abs(change), -abs(change))]
    return sum(s >= total - 1e-9 for s in sums) / len(sums)


def mean(scores: Scores) -> float:
    """The mean of the scores that there are; 0 where there are none."""
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known else 0.0
