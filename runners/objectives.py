"""Objectives: the figures of a candidate that an optimizer weighs against each other.

A metric, or `score`, is better when it is higher; `tokens` and `cost` (per row, in and out, without the judge's) when
they are lower.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from promptc.runners.records import RowRecord
from promptc.spec.model import Spec

TOKENS, COST = "tokens", "cost"


class Objective(msgspec.Struct, frozen=True):
    """One figure by its name."""

    name: str
    less_is_better: bool = False

    def figure(self, records: Sequence[RowRecord]) -> float | None:
        """The mean over the rows that a candidate answered; None where nobody knows, such as without a price."""
        if not self.less_is_better:
            values = [r.score if self.name == "score" else r.metrics.get(self.name) for r in records]
            return _mean([value for value in values if value is not None])
        answered = [r for r in records if r.failure is None or r.failure.scored]
        if self.name == TOKENS:
            return _mean([r.input_tokens + r.output_tokens for r in answered])
        costs = [r.cost for r in answered if r.cost is not None]
        return _mean(costs) if len(costs) == len(answered) else None

    def merit(self, figure: float | None) -> float:
        """The figure as something to maximize; what is not known is worst."""
        if figure is None:
            return float("-inf")
        return -round(figure, 12) if self.less_is_better else round(figure, 12)


def objectives(spec: Spec) -> tuple[Objective, ...]:
    """What a spec's search weighs, the leading one first; nothing where a single figure counts.

    A metric may be called `tokens` or `cost` itself, and is meant then.
    """
    names = spec.objective if len(spec.objective) > 1 else ()
    metrics = {use.name for use in spec.metrics}
    return tuple(Objective(name, name in (TOKENS, COST) and name not in metrics) for name in names)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
