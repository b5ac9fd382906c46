"""Numeric: the number in the prediction is the gold number, within a tolerance."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics.golds import best_of
from promptc.runners.metrics.numbers import Decimals, exact, find_numbers, plain
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.tally import RunningMean
from promptc.runners.metrics.text import quote


class Numeric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the number is right, else 0.

    A number is found in text, too: the last one where there are several, since a worked answer ends with its
    result. Right is what differs from the gold by no more than `tolerance`, or by no more than `relative`
    times the gold. In a list every number has to be right. Figures over all rows: the mean absolute error.
    """

    tolerance: Annotated[
        float, msgspec.Meta(description="How far from the gold is still right.", examples=[0.01, 1], ge=0)
    ] = 0.0
    relative: Annotated[
        float,
        msgspec.Meta(description="How far is still right, as a share of the gold.", examples=[0.05], ge=0),
    ] = 0.0
    pick: Annotated[
        Literal["last", "first"],
        msgspec.Meta(description="Which number counts where a text has several.", examples=["first"]),
    ] = "last"
    percent: Annotated[
        Literal["points", "fraction"],
        msgspec.Meta(description="Whether 12% reads as 12 or as 0.12.", examples=["fraction"]),
    ] = "points"
    decimal: Annotated[
        Decimals,
        msgspec.Meta(
            description="The decimal mark in texts: `.` reads 1,234.5 and `,` reads 1.234,5.", examples=[","]
        ),
    ] = "."

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> NumericTally:
        """Errors over all rows."""
        return NumericTally()

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare with every acceptable number. Raises ValueError where a gold has no number."""
        return best_of(case, lambda gold: self._judged(case.value, gold))

    def _judged(self, value: Any, gold: Any) -> Score:
        if isinstance(gold, list):
            return self._judged_list(value, gold)
        if gold is None or gold == "":
            empty = value is None or value == ""
            return Score(
                float(empty), "no number, as expected" if empty else f"expected none, got {quote(value)}"
            )
        expected = self._read(gold)
        if expected is None:
            raise ValueError(f"the gold {quote(gold)} has no number")
        got = self._read(value)
        if got is None:
            return Score(0.0, f"expected {_shown(expected)}, but there is no number in {quote(value)}")
        error = got - expected
        details = {"number": plain(got), "error": plain(error)}
        if abs(error) <= max(_fraction(self.tolerance), _fraction(self.relative) * abs(expected)):
            return Score(1.0, f"got {_shown(got)}, expected {_shown(expected)}: right", details)
        side = "too high" if error > 0 else "too low"
        found = "" if exact(value) is not None else f" (the {self.pick} number in {quote(value)})"
        why = f"expected {_shown(expected)}, got {_shown(got)}{found}: {_shown(abs(error))} {side}"
        return Score(0.0, why, details)

    def _judged_list(self, value: Any, golds: list[Any]) -> Score:
        if not isinstance(value, list) or len(value) != len(golds):
            return Score(0.0, f"expected {len(golds)} numbers, {quote(golds)}, got {quote(value)}")
        scores = [self._judged(item, gold) for item, gold in zip(value, golds, strict=True)]
        wrong = [f"number {i}: {score.feedback}" for i, score in enumerate(scores, 1) if score.value == 0]
        return Score(float(not wrong), "; ".join(wrong[:3]) or f"all {len(golds)} numbers are right")

    def _read(self, value: Any) -> Fraction | None:
        if not isinstance(value, str):
            return exact(value)
        numbers = find_numbers(value, self.decimal)
        if not numbers:
            return None
        number = numbers[-1 if self.pick == "last" else 0]
        return number.value / 100 if number.percent and self.percent == "fraction" else number.value


class NumericTally:
    """Mean absolute and mean signed error over the rows that have a number, and how many have none."""

    def __init__(self) -> None:
        self._absolute = RunningMean()
        self._signed = RunningMean()
        self._without = 0

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        error = score.details.get("error")
        if error is None:
            self._without += 1
            return
        self._absolute.add(abs(error))
        self._signed.add(error)

    def figures(self) -> dict[str, Any]:
        """The errors, in the unit of the gold."""
        if not self._absolute.count and not self._without:
            return {}
        return {
            "mean_absolute_error": self._absolute.mean,
            "mean_error": self._signed.mean,
            "compared": self._absolute.count,
            "not_compared": self._without,
        }


def _fraction(value: float) -> Fraction:
    return Fraction(Decimal(repr(value)))


def _shown(value: Fraction) -> str:
    number = plain(value)
    return str(number) if isinstance(number, int) else f"{number:.10g}"
