"""The programs that a `simba` search knows, how each of them stands, and which one is taken next."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from promptc.runners.candidate import Candidate


class Pool:
    """Programs with their standing: how much better than others on the same rows they did on average.

    The start stands in the first place; as long as nothing is known of it, it is as good as the average. `top` of the
    best, and the start, are drawn from.
    """

    def __init__(self, start: Candidate, *, top: int) -> None:
        self._programs = [start]
        self._gains: list[list[float]] = [[]]
        self._top = top

    def add(self, candidate: Candidate) -> int:
        """Take a program in; its place."""
        self._programs.append(candidate)
        self._gains.append([])
        return len(self._programs) - 1

    def judge(self, place: int, gains: Sequence[float]) -> None:
        """How much better or worse than expected a program did on rows."""
        self._gains[place].extend(gains)

    def candidate(self, place: int) -> Candidate:
        """The program in a place."""
        return self._programs[place]

    def known(self) -> set[str]:
        """The digests of all programs in here."""
        return {candidate.digest() for candidate in self._programs}

    def standing(self, place: int) -> float:
        """The mean gain of a program; 0 where nothing is known."""
        gains = self._gains[place]
        return sum(gains) / len(gains) if gains else 0.0

    def best(self) -> list[int]:
        """The places of the best programs and of the start."""
        ranked = sorted(range(len(self._programs)), key=lambda place: (-self.standing(place), place))
        chosen = ranked[: self._top]
        return chosen if 0 in chosen else [*chosen, 0]

    def draw(self, rng: random.Random, temperature: float) -> int:
        """The place of one of the best programs, drawn with probabilities that grow with their standing (softmax)."""
        places = self.best()
        if temperature == 0:
            return places[0]
        highest = self.standing(places[0])
        weights = [math.exp((self.standing(place) - highest) / temperature) for place in places]
        return rng.choices(places, weights)[0]
