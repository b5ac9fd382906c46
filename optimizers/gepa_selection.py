"""What `gepa` chooses from: its pool of candidates, and the parent of the next mutation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from promptc.optimizers.front import Pareto, objective_fronts, pareto, row_fronts, scores_of
from promptc.optimizers.search import Trial
from promptc.runners.objectives import Objective

SelectorName = Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"]


class Pool:
    """Candidates that were scored on all of dev, each with its parents and the component that is its turn.

    With several `objectives` whoever is best at one of them is on a front as whoever is best on a row.
    """

    def __init__(self, start: Trial, objectives: Sequence[Objective] = ()) -> None:
        self.trials = [start]
        self._objectives = objectives
        self.parents: list[tuple[int, ...]] = [()]
        self._turns = [0]

    def add(self, trial: Trial, parents: tuple[int, ...]) -> None:
        """Take a candidate in. It goes on with the components where the parent that is furthest stands."""
        self.trials.append(trial)
        self.parents.append(parents)
        self._turns.append(max(self._turns[parent] for parent in parents))

    def turn(self, place: int, components: Sequence[str]) -> str:
        """The component whose turn it is for this candidate, round and round; the next one has it then."""
        name = components[self._turns[place] % len(components)]
        self._turns[place] = (self._turns[place] + 1) % len(components)
        return name

    def known(self) -> set[str]:
        """The digests of all candidates in here."""
        return {trial.candidate.digest() for trial in self.trials}

    def score(self, place: int) -> float:
        """A candidate's mean on dev."""
        return self.trials[place].score or 0.0

    def best_first(self) -> list[int]:
        """Places by score; of equals the shorter prompt first, then the earlier candidate."""

        def order(place: int) -> tuple[float, int, int]:
            return (-round(self.score(place), 12), self.trials[place].prompt_characters, place)

        return sorted(range(len(self.trials)), key=order)

    def ancestors(self, place: int) -> set[int]:
        """Every candidate that this one descends from."""
        found: set[int] = set()
        waiting = list(self.parents[place])
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.parents[one]
        return found

    def pareto(self, among: Sequence[int] | None = None) -> Pareto:
        """The candidates that no other makes superfluous, with the number of rows on which each is among the best."""
        places = sorted(among) if among is not None else list(range(len(self.trials)))
        fronts = row_fronts([scores_of(self.trials[place].records) for place in places])
        fronts += objective_fronts([self.trials[place].figures for place in places], self._objectives)
        order = [place for place in reversed(self.best_first()) if place in places]
        found = pareto(fronts, [places.index(place) for place in order])
        return Pareto(tuple(places[place] for place in found.places), found.wins)


def select_parent(
    pool: Pool, selector: SelectorName, rng: random.Random, *, epsilon: float, top_k: int
) -> int:
    """The place of the candidate to mutate next."""
    best_first = pool.best_first()
    if selector == "current_best":
        return best_first[0]
    if selector == "epsilon_greedy":
        return rng.randrange(len(best_first)) if rng.random() < epsilon else best_first[0]
    front = pool.pareto(best_first[:top_k] if selector == "top_k_pareto" else None)
    return rng.choices(front.places, front.wins)[0] if front.places else best_first[0]
