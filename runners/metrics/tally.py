"""Figures over all rows, beside the mean of the scores."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from promptc.runners.metrics.protocol import Case, Metric, Score


class Tally(Protocol):
    """Collects scored rows into figures, in memory that does not grow with the rows.

    Rows without a prediction (a failure that counts as 0) are added with `value=None`. The figures do not
    depend on the order of the rows.
    """

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        ...

    def figures(self) -> dict[str, Any]:
        """The figures so far as JSON, in a fixed order; empty where no row was added."""
        ...


@runtime_checkable
class Tallied(Protocol):
    """A metric with figures over all rows."""

    def tally(self) -> Tally:
        """A new, empty tally."""
        ...


def tally_of(metric: Metric) -> Tally | None:
    """A new tally of the metric; None where it has no figures over all rows."""
    return metric.tally() if isinstance(metric, Tallied) else None


class RunningMean:
    """A mean that is the same whatever the order of its values: the sum is kept exactly."""

    __slots__ = ("_sum", "count")

    def __init__(self) -> None:
        self._sum = Fraction(0)
        self.count = 0

    def add(self, value: float) -> None:
        """Take one finite value in."""
        self._sum += Fraction(value)
        self.count += 1

    @property
    def mean(self) -> float | None:
        """The mean; None of nothing."""
        return float(self._sum / self.count) if self.count else None
