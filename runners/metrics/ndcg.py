"""NDCG: whether the right passages come first, the better ones before the others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from promptc.runners.metrics.found import Cutoff, StepOption, found_in, relevant, shown
from promptc.runners.metrics.protocol import Case, Score, Services


class Ndcg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The discounted gain of what was found, as a share of what the best order would gain.

    The gold maps ids to grades, or lists ids, each of grade 1. A passage gains its grade divided by log2(rank + 1). A
    row without any right passage is left out. Source: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR
    Techniques", 2002, section 2, with the discount that has become usual.
    """

    k: Cutoff = None
    step: StepOption = None

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with the best order. Raises ValueError for grades that are no numbers."""
        right = relevant(case.expected) if case.expected is not msgspec.UNSET else {}
        if not right:
            return None
        found = found_in(case, self.step, self.k)
        best = gain(sorted(right.values(), reverse=True)[: self.k])
        value = min(1.0, gain(right.get(item.id, 0.0) for item in found) / best)
        ranks = [rank for rank, item in enumerate(found, start=1) if item.id in right]
        said = f"right ones at rank {', '.join(map(str, ranks))}" if ranks else "no right one"
        return Score(value, f"ndcg {value:.2f}: {said}; {shown(found)}")


def gain(grades: Iterable[float]) -> float:
    """The discounted cumulated gain of grades in order."""
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
