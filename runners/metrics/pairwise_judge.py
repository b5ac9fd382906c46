"""Pairwise judge: a language model says which of two answers is better, each standing first once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.judge_prompt import pair_inputs, pair_signature
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.tally import RunningMean
from promptc.runners.metrics.text import shorten

Order = Literal["first", "second"]
_FIRST: Mapping[str, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply of the judge: where the program's answer stood, and its share of the win, or why there is none."""

    stood: Order
    won: float | None = None
    reason: str = ""
    failure: str = ""
    kind: str = ""


class PairwiseJudge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the answer is better than another one, the expected column's: 1 when it wins, 0.5 for a tie.

    The judge is asked twice, with the answers in both orders, and the two are averaged: a judge that prefers
    whichever stands first, or second, finds a tie. With `votes` each order is asked as often. An answer that is
    the other one, word for word, is a tie without a call.

    Source: Zheng et al. 2023, "Judging LLM-as-a-judge with MT-bench and Chatbot Arena", section 3.4.
    """

    rubric: Annotated[
        str,
        msgspec.Meta(
            description="What makes one answer better than another, in words.",
            examples=["The better reply solves the customer's problem in fewer words."],
            min_length=1,
        ),
    ]
    votes: Annotated[
        int,
        msgspec.Meta(description="How many times each order is asked.", examples=[3], ge=1, le=25),
    ] = 1
    columns: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(
            description="Columns of the row that the judge sees beside the answers; all but the other answer's "
            "unless said.",
            examples=[["question"]],
        ),
    ] = None
    model: Annotated[
        str, msgspec.Meta(description="Who judges: a name under `models:`.", examples=["judge"])
    ] = "judge"

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.rubric.strip():
            raise ValueError("`rubric` is empty")

    def calls(self) -> int:
        """Both orders of each vote."""
        return 2 * self.votes

    def tally(self) -> PairwiseTally:
        """Wins, and how much the order decided."""
        return PairwiseTally()

    async def score(self, case: Case, services: Services) -> Score | None:
        """Ask in both orders. Raises RowFailed where one of them brings no verdict at all."""
        if case.expected is msgspec.UNSET:
            return None
        other = acceptable(case.value, case.expected)[0]
        if case.value == other:
            return Score(0.5, "the answer is the one that it is compared with")
        found = [
            await self._asked(case, other, stood, services, rollout)
            for rollout in range(self.votes)
            for stood in ("first", "second")
        ]
        shares = [_share(found, stood) for stood in ("first", "second")]
        value = sum(shares) / 2
        details = {
            "comparisons": [msgspec.to_builtins(one) for one in found],
            "consistent": abs(shares[0] - shares[1]) < 0.5,
            "first_preferred": (shares[0] + 1.0 - shares[1]) / 2,
        }
        return Score(value, _feedback(value, shares, found), details)

    async def _asked(
        self, case: Case, other: Any, stood: Order, services: Services, rollout: int
    ) -> Comparison:
        pair = (case.value, other) if stood == "first" else (other, case.value)
        inputs = pair_inputs(self._row(case, other), *pair)
        try:
            outputs = await services.predict(
                pair_signature(self.rubric), inputs, model=self.model, rollout=rollout
            )
        except RowFailed as error:
            if error.failure.kind == "budget":
                raise
            return Comparison(stood=stood, failure=error.failure.message, kind=error.failure.kind)
        verdict = outputs.get("better")
        if not isinstance(verdict, str) or verdict not in _FIRST:
            return Comparison(
                stood=stood, failure=f"`better` is {verdict!r}, which is no verdict", kind="metric"
            )
        first = _FIRST[verdict]
        reason = outputs.get("reason")
        return Comparison(
            stood=stood,
            won=first if stood == "first" else 1.0 - first,
            reason=reason if isinstance(reason, str) else "",
        )

    def _row(self, case: Case, other: Any) -> dict[str, Any]:
        if self.columns is not None:
            return {column: case.row.get(column) for column in self.columns}
        return {
            column: value for column, value in case.row.items() if value != other and value != case.expected
        }


def _share(found: list[Comparison], stood: Order) -> float:
    """What the program's answer won where it stood there. Raises RowFailed where nobody could say."""
    asked = [one for one in found if one.stood == stood]
    won = [one.won for one in asked if one.won is not None]
    if won:
        return sum(won) / len(won)
    kinds = {one.kind for one in asked}
    kind = kinds.pop() if len(kinds) == 1 else "metric"
    raise RowFailed(
        "provider" if kind == "provider" else "timeout" if kind == "timeout" else "metric",
        f"the judge gave no verdict with the answer standing {stood}: {asked[0].failure}",
    )


def _feedback(value: float, shares: list[float], found: list[Comparison]) -> str:
    word = "better than" if value > 0.5 else "worse than" if value < 0.5 else "as good as"
    if value == 0.5 and shares[0] != shares[1]:
        preferred = "first" if shares[0] > shares[1] else "second"
        return f"the judge preferred whichever answer stood {preferred}: that is a tie"
    nearest = min(
        (one for one in found if one.won is not None), key=lambda one: abs((one.won or 0.0) - value)
    )
    reason = shorten(" ".join(nearest.reason.split()), 600) or "no reason given"
    return f"the judge found the answer {word} the other one: {reason}"


class PairwiseTally:
    """Wins, ties and losses, and whether the judge keeps to its verdict when the answers change places."""

    def __init__(self) -> None:
        self._counts = {"wins": 0, "ties": 0, "losses": 0}
        self._consistent = RunningMean()
        self._first = RunningMean()

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        outcome = "wins" if score.value > 0.5 else "losses" if score.value < 0.5 else "ties"
        self._counts[outcome] += 1
        if "consistent" in score.details:
            self._consistent.add(float(score.details["consistent"]))
            self._first.add(float(score.details["first_preferred"]))

    def figures(self) -> dict[str, Any]:
        """Counts; the share of rows whose verdict holds in both orders; how often the first place won (fair: 0.5)."""
        if not sum(self._counts.values()):
            return {}
        figures: dict[str, Any] = dict(self._counts)
        if self._consistent.count:
            figures |= {"consistent": self._consistent.mean, "first_preferred": self._first.mean}
        return figures
