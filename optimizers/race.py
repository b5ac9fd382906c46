"""Races: candidates on growing samples of the same rows, where those that cannot win any more drop out.

After each look a candidate leaves that a paired test rules out against the one in front. The test is Fisher's
randomization test for pairs ("The Design of Experiments", 1935, section 21): were the two equally good, each row's
difference could as well have had the other sign. It is exact for any scores and any number of rows, and for pass/fail
it is McNemar's. The level is divided among all looks and candidates, so that the best one is lost in a race at most as
often as `error` says, however many run.
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

Scores = Sequence[float | None]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in a race, where it comes from, and how long its prompts are."""

    candidate: Candidate
    origin: str
    characters: int


class Look(msgspec.Struct, frozen=True):
    """One look at the race: after so many rows in all at most so many candidates go on."""

    rows: int
    places: int


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """How a race ended. `order` has the best first; `saved` are the row runs that dropping out saved."""

    order: tuple[Entry, ...]
    means: tuple[float, ...]
    saved: int
    complete: bool

    @property
    def winner(self) -> Entry:
        """The best one."""
        return self.order[0]


class Race(msgspec.Struct, frozen=True, kw_only=True):
    """Looks in ascending order, and how often the best candidate may be lost to the test, over the whole race."""

    looks: tuple[Look, ...]
    error: float = 0.2

    async def run(self, practice: Practice, entries: Sequence[Entry], rows: Sequence[Example]) -> Ranked:
        """Run the race; with too few rows or calls it ends early, on what is known."""
        entries = distinct(entries)
        last = min(len(rows), self.looks[-1].rows)
        before = sum(practice.missing(e.candidate, rows[:last]) for e in entries)
        began = practice.runs
        running, complete = list(entries), True
        for look in self.looks:
            sample = rows[: look.rows]
            complete = await practice.run([(entry.candidate, sample) for entry in running])
            running = self._staying(running, practice, sample, len(entries), look.places)
            if not complete or len(running) == 1:
                break
        scores = {entry.candidate.digest(): practice.scores(entry.candidate, rows[:last]) for entry in running}
        order = ranked(running, lambda entry: scores[entry.candidate.digest()])
        return Ranked(
            order=tuple(order),
            means=tuple(mean(scores[entry.candidate.digest()]) for entry in order),
            saved=max(0, before - (practice.runs - began)) if complete else 0,
            complete=complete,
        )

    def _staying(
        self, running: Sequence[Entry], practice: Practice, rows: Sequence[Example], started: int, places: int
    ) -> list[Entry]:
        scores = {e.candidate.digest(): practice.scores(e.candidate, rows) for e in running}
        order = ranked(running, lambda entry: scores[entry.candidate.digest()])
        import os
        if os.environ.get("AUTO_DEBUG"):
            print("     look", len(rows), [(e.origin, round(mean(scores[e.candidate.digest()]), 2), e.characters) for e in order])
        level = self.error / (len(self.looks) * max(1, started - 1))
        ahead = scores[order[0].candidate.digest()]
        return [
            entry
            for place, entry in enumerate(order)
            if place == 0 or (place < places and better(ahead, scores[entry.candidate.digest()]) >= level)
        ]


def entry_of(search: Search, candidate: Candidate, origin: str) -> Entry:
    """A candidate that enters a race."""
    return Entry(
        candidate=candidate, origin=origin, characters=search.program.compile(candidate).prompt_characters()
    )


def distinct(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without those that say the same as an earlier one."""
    return list({entry.candidate.digest(): entry for entry in reversed(entries)}.values())[::-1]


def ranked(entries: Sequence[Entry], scores: Callable[[Entry], Scores]) -> list[Entry]:
    """The best mean over the rows that all of them have first; of equals the shorter prompt, then the earlier entry."""
    columns = [scores(entry) for entry in entries]
    common = [i for i, row in enumerate(zip(*columns, strict=True)) if all(score is not None for score in row)]
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
