"""When a search has found enough, or finds nothing more: the rules that all optimizers share.

The clock, the stop file and the budget are the search's own (`Search.may_go_on`); these are what a spec may wish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from promptc.optimizers.search import Search, Trial
from promptc.runners.candidate import Candidate
from promptc.spec.model import Budget

TRIALS_AT_ONCE = 8
"""Candidates evaluated as one phase where a rule may end the search between phases."""

StopAtScore = Annotated[
    Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
    msgspec.Meta(
        description="End the search when a candidate, the start included, reaches this score on dev.",
        examples=[0.95],
    ),
]
NoImprovement = Annotated[
    Annotated[int, msgspec.Meta(ge=1)] | None,
    msgspec.Meta(
        description="End the search when so many rounds in a row brought no better score on dev.",
        examples=[10],
    ),
]


def is_limited(budget: Budget) -> bool:
    """True when a budget bounds anything."""
    return bool(budget.roles) or (budget.calls, budget.tokens, budget.usd, budget.minutes) != (None,) * 4


class Stopping:
    """Watches a search from round to round."""

    def __init__(
        self, search: Search, stop_at_score: float | None, no_improvement: int | None = None
    ) -> None:
        self._search = search
        self._stop_at_score = stop_at_score
        self._no_improvement = no_improvement
        self._fruitless = 0
        self._best = search.best().score

    @property
    def has_rules(self) -> bool:
        """True when some score, or the lack of a better one, may end the search."""
        return (self._stop_at_score, self._no_improvement) != (None, None)

    def met(self, rounds: int = 0) -> bool:
        """True when the search should end; `rounds` were made since the last look. Sets the stop reason."""
        best = self._search.best().score
        if best is not None and (self._best is None or best > self._best):
            self._best, self._fruitless = best, 0
        else:
            self._fruitless += rounds
        if self._search.stop_reason != "finished":
            return True
        if self._stop_at_score is not None and best is not None and best >= self._stop_at_score:
            self._search.stop_reason = "score"
        elif self._no_improvement is not None and self._fruitless >= self._no_improvement:
            self._search.stop_reason = "no_improvement"
        return self._search.stop_reason != "finished"

    async def try_all(self, proposals: Sequence[tuple[Candidate, str]]) -> list[Trial]:
        """Evaluate candidates on all of dev until a rule is met, each of them a round; all at once without rules."""
        at_once = TRIALS_AT_ONCE if self.has_rules else max(1, len(proposals))
        trials: list[Trial] = []
        for first in range(0, len(proposals), at_once):
            if self.met():
                break
            found = await self._search.try_all(proposals[first : first + at_once])
            self.met(rounds=len(found))
            trials += found
        return trials
