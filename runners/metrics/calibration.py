"""Calibration: whether a probability that the program gives is as often right as it says."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.compare import same
from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.tally import RunningMean
from promptc.runners.metrics.text import quote
from promptc.runners.metrics.verdicts import found

BINS = 10


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 minus the squared distance between the probability and what came true.

    The field holds a probability from 0 to 1. With `of` it is the probability that this other output is right,
    as its gold says; without, what it is the probability of stands in the gold column: true or false, pass or
    fail, 0 or 1. Whoever says what he believes scores best. Figures over all rows: the Brier score, the
    expected calibration error, and the reliability bins.

    Sources: Brier 1950, "Verification of forecasts expressed in terms of probability"; Naeini, Cooper and
    Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning" (expected calibration error).
    """

    of: Annotated[
        str | None,
        msgspec.Meta(
            description="The output whose being right it is the probability of.",
            examples=["queue"],
        ),
    ] = None

    binary: ClassVar[bool] = False

    @property
    def reads_gold(self) -> bool:
        """True where the gold column itself holds what came true."""
        return self.of is None

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> CalibrationTally:
        """Brier score, calibration error and bins over all rows."""
        return CalibrationTally(self)

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare the probability with what came true."""
        truth = self.truth(case)
        if truth is None:
            return None
        value = probability(case.value)
        if value is None:
            return Score(0.0, f"{quote(case.value)} is no probability from 0 to 1")
        told = (
            f"it came true ({truth:g})"
            if self.of is None
            else f"`{self.of}` is {'right' if truth else 'wrong'}"
        )
        return Score(1.0 - (value - truth) ** 2, f"said {value:g}, and {told}")

    def truth(self, case: Case) -> float | None:
        """What came true, from 0 to 1; None where the row does not say. Raises ValueError for what is no answer."""
        if self.of is not None:
            gold = case.row.get(self.of) if case.expected is msgspec.UNSET else case.expected
            if gold is None:
                return None
            answer = case.outputs.get(self.of)
            return float(any(same(answer, one) for one in acceptable(answer, gold)))
        if case.expected is msgspec.UNSET or case.expected is None:
            return None
        truth = _WORDS.get(case.expected.casefold()) if isinstance(case.expected, str) else None
        truth = found(case.expected, None) if truth is None else truth
        if truth is None:
            raise ValueError(f"{quote(case.expected)} is neither true nor false, nor a number from 0 to 1")
        return truth


_WORDS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}


def probability(value: Any) -> float | None:
    """A number from 0 to 1; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


class CalibrationTally:
    """Ten bins of equal width, each with its rows' mean probability and how often it came true."""

    def __init__(self, metric: Calibration) -> None:
        self._metric = metric
        self._brier = RunningMean()
        self._bins = [(RunningMean(), RunningMean()) for _ in range(BINS)]
        self._without = 0

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        value, truth = probability(case.value), self._metric.truth(case)
        if value is None or truth is None:
            self._without += 1
            return
        self._brier.add((value - truth) ** 2)
        said, came = self._bins[min(int(value * BINS), BINS - 1)]
        said.add(value)
        came.add(truth)

    def figures(self) -> dict[str, Any]:
        """`brier`, `ece`, `overconfidence` (mean probability minus the share that came true), and the filled bins."""
        count = self._brier.count
        if not count:
            return {"without_probability": self._without} if self._without else {}
        filled = [
            (place, said.count, said.mean or 0.0, came.mean or 0.0)
            for place, (said, came) in enumerate(self._bins)
            if said.count
        ]
        figures: dict[str, Any] = {
            "brier": self._brier.mean,
            "ece": sum(rows * abs(said - came) for _, rows, said, came in filled) / count,
            "overconfidence": sum(rows * (said - came) for _, rows, said, came in filled) / count,
            "bins": [
                {
                    "low": place / BINS,
                    "high": (place + 1) / BINS,
                    "rows": rows,
                    "probability": said,
                    "came_true": came,
                }
                for place, rows, said, came in filled
            ],
        }
        return figures | ({"without_probability": self._without} if self._without else {})
