"""`tune:`: the structure of a program is learned too, inside the same budget, before its texts are.

Coordinate ascent: one choice after the other, the values of each racing on growing samples of training rows with what
was chosen so far in front. What a choice gains is confirmed on dev, where the start as the spec has it is a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptc.optimizers.practice import Practice
from promptc.optimizers.protocol import Sizes
from promptc.optimizers.race import entry_of, look
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.rows import Example

ROWS = (8, 16, 32, 64)
"""Training rows at the looks of a race."""
SHARE = 4
"""All races take at most one such part of the program runs that the budget holds."""
FEWEST_ROWS = 4
"""With fewer rows for each value there is no race: it would choose by chance."""


def race_rows(values: int, train: int, affordable: int) -> int:
    """Rows on which the last of so many values are compared; 0 where the budget leaves too few."""
    rows = min(ROWS[-1], train, affordable // (SHARE * max(1, values)))
    return rows if rows >= min(FEWEST_ROWS, train) else 0


def structure_runs(tune: Mapping[str, Sequence[Any]], sizes: Sizes) -> int:
    """The most program runs that the choices take: their races on train, and one pass of the best over dev."""
    values = sum(len(options) + 1 for options in tune.values())
    return values * min(ROWS[-1], sizes.train) + sizes.dev if values else 0


async def choose_structure(search: Search) -> Candidate | None:
    """The start with the best choices found; None where there is nothing to choose, or nothing was better."""
    tune = search.program.spec.tune
    values = sum(len(options) + 1 for options in tune.values())
    if not values:
        return None
    rows = race_rows(values, len(search.train), search.affordable_rows(SHARE * values * ROWS[-1]))
    if not rows:
        search.notes.append("the budget leaves no room to choose under tune: the structure stays as it is")
        return None
    sample = search.rng("structure").sample(search.train, rows)
    practice = Practice(search)
    best, planned = search.start, 0
    for key, options in tune.items():
        others = [chosen(best, key, value) for value in options if best.choices.get(key) != value]
        planned += sum(practice.missing(candidate, sample) for candidate in (best, *others))
        best = await _raced(search, practice, [best, *others], sample)
    search.notes.append(_said(best, practice.runs, planned - practice.runs))
    return best if best.choices != search.start.choices else None


async def _raced(
    search: Search, practice: Practice, candidates: Sequence[Candidate], rows: Sequence[Example]
) -> Candidate:
    """The one that is best on the rows, or on as many of them as it took to rule the others out."""
    running = tuple(entry_of(search, candidate, "tune") for candidate in candidates)
    for most in ROWS:
        running = (await look(practice, running, rows[:most], len(running))).order
        if len(running) == 1 or most >= len(rows):
            break
    return running[0].candidate


def chosen(candidate: Candidate, key: str, value: object) -> Candidate:
    """The candidate with one choice made otherwise. Texts of predictors that it then has not are not read."""
    return Candidate(predictors=candidate.predictors, choices={**candidate.choices, key: value})


def described(candidate: Candidate) -> str:
    """The choices in words."""
    return ", ".join(f"{key} {value}" for key, value in candidate.choices.items())


def _said(best: Candidate, runs: int, saved: int) -> str:
    chose = f"chose {described(best)}" if best.choices else "left the structure as it is"
    return f"tune: {runs} program runs {chose}; {saved} more were saved by races"
