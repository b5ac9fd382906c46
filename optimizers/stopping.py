"""When a search has found enough, or finds nothing more: rules that several optimizers share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.search import Search

StopAtScore = Annotated[
    Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
    msgspec.Meta(description="End the search when a candidate reaches this score on dev.", examples=[0.95]),
]
NoImprovement = Annotated[
    Annotated[int, msgspec.Meta(ge=1)] | None,
    msgspec.Meta(
        description="End the search when so many rounds in a row brought no better score on dev.",
        examples=[10],
    ),
]


class Stopping:
    """Watches a search from round to round."""

    def __init__(self, search: Search, stop_at_score: float | None, no_improvement: int | None) -> None:
        self._search = search
        self._stop_at_score = stop_at_score
        self._no_improvement = no_improvement
        self._fruitless = 0
        self._best = search.best().score

    def met(self, rounds: int = 0) -> bool:
        """True when the search should end; `rounds` were made since the last look. Sets the stop reason."""
        best = self._search.best().score
        if best is not None and (self._best is None or best > self._best):
            self._best, self._fruitless = best, 0
        else:
            self._fruitless += rounds
        if self._stop_at_score is not None and best is not None and best >= self._stop_at_score:
            self._search.stop_reason = "score"
            return True
        if self._no_improvement is not None and self._fruitless >= self._no_improvement:
            self._search.stop_reason = "no_improvement"
            return True
        return self._search.stop_reason != "finished"
