"""Which lines of a candidate an experiment leaves out: random halves, and all lines of one predictor.

Every run is a test of all lines at once (a factorial experiment; Fisher, "The Design of Experiments", 1935, chapter 6):
so many runs tell about each line what they would tell about one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from promptc.optimizers.merging import Key, lines_of
from promptc.runners.candidate import Candidate

WHOLE_EVERY = 3
"""Each such pair tests all lines of one predictor against none of them: together they may matter where no one does."""

Line = tuple[str, Key]
"""A predictor and the key of a line of its instructions."""


def added_lines(start: Candidate, candidate: Candidate, names: Sequence[str]) -> list[Line]:
    """The lines that the candidate has beyond the start."""
    return [
        (name, key)
        for name in names
        for key in lines_of(candidate.predictors[name].instructions)
        if key not in lines_of(start.predictors[name].instructions)
    ]


def left_out(lines: Sequence[Line], pairs: int, rng: Random) -> Iterator[tuple[list[Line], list[Line]]]:
    """For each of so many rows the lines that its first run goes without, and those that its second one does."""
    owners = list(dict.fromkeys(owner for owner, _ in lines))
    order = list(lines)
    for place in range(pairs):
        rng.shuffle(order)
        if owners and place % WHOLE_EVERY == 0:
            owner = owners[place // WHOLE_EVERY % len(owners)]
            yield [], [line for line in order if line[0] == owner]
        else:
            yield order[: len(order) // 2], order[len(order) // 2 :]
