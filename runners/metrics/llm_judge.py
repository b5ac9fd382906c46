"""LLM judge: a language model judges by a rubric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.failures import FailureKind, RowFailed
from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.judge_prompt import Scale, judge_inputs, judge_signature, verdict_names
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import shorten

_ROUNDING = 1e-9
_NOBODYS_FAULT: frozenset[str] = frozenset({"provider", "timeout"})


Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Vote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply of the judge: the verdict of each criterion from 0 to 1, or why there is none."""

    verdicts: dict[str, float] = {}
    reason: str = ""
    failure: str = ""
    kind: str = ""


class LlmJudge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a language model says of the answer, by a rubric.

    A judge passes or fails, or grades on a `scale`; `criteria` are judged one by one in the same reply and
    averaged. With several `votes` each is another sample of the judge: the majority decides between pass and
    fail (a tie fails), grades are averaged. A vote without a clear verdict is never a pass; when most votes
    are so, the row stays unscored.
    """

    rubric: Annotated[
        str,
        msgspec.Meta(
            description="What makes an answer good, in words.",
            examples=["The reply answers the question and promises nothing that the handbook does not."],
            min_length=1,
        ),
    ]
    criteria: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Points that are judged one by one; the score is their mean.",
            examples=[["names the amount", "is polite"]],
        ),
    ] = ()
    scale: Annotated[
        Scale | None,
        msgspec.Meta(
            description="Worst and best grade. Without it the judge says pass or fail.", examples=[[1, 5]]
        ),
    ] = None
    threshold: Annotated[
        Share | None,
        msgspec.Meta(
            description="Pass when the score, from 0 to 1, is at least this: 0.75 is grade 4 of 1 to 5. "
            "Without it the score counts as it is.",
            examples=[0.75],
        ),
    ] = None
    votes: Annotated[
        int, msgspec.Meta(description="How many times the judge is asked.", examples=[3], ge=1, le=25)
    ] = 1
    reference: Annotated[
        bool, msgspec.Meta(description="Show the judge the expected value, too.", examples=[True])
    ] = False
    columns: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(
            description="Columns of the row that the judge sees beside the answer; all unless said.",
            examples=[["question"]],
        ),
    ] = None
    model: Annotated[
        str, msgspec.Meta(description="Who judges: a name under `models:`.", examples=["judge"])
    ] = "judge"

    def __post_init__(self) -> None:
        if not self.rubric.strip():
            raise ValueError("`rubric` is empty")
        if self.scale is not None and self.scale[0] >= self.scale[1]:
            raise ValueError(f"`scale` goes from the worst to the best grade; {list(self.scale)} does not")

    @property
    def binary(self) -> bool:
        """True when the score can only be 0 or 1."""
        return self.threshold is not None or (self.scale is None and len(self.criteria) <= 1)

    @property
    def reads_gold(self) -> bool:
        """As `reference` says."""
        return self.reference

    def calls(self) -> int:
        """One per vote."""
        return self.votes

    async def score(self, case: Case, services: Services) -> Score | None:
        """Ask for all votes, one after the other. Raises RowFailed where most of them have no verdict."""
        if self.reference and case.expected is msgspec.UNSET:
            return None
        signature = judge_signature(self.rubric, self.criteria, self.scale, with_gold=self.reference)
        inputs = judge_inputs(self._row(case), case.value, self._expected(case), with_gold=self.reference)
        votes = []
        for rollout in range(self.votes):
            try:
                outputs = await services.predict(signature, inputs, model=self.model, rollout=rollout)
            except RowFailed as error:
                if error.failure.kind == "budget":
                    raise
                votes.append(Vote(failure=error.failure.message, kind=error.failure.kind))
            else:
                votes.append(self._vote(outputs))
        return self._counted(votes)

    def _row(self, case: Case) -> dict[str, Any]:
        columns = case.row if self.columns is None else self.columns
        return {column: case.row.get(column) for column in columns}

    def _expected(self, case: Case) -> Any:
        if not self.reference:
            return None
        golds = acceptable(case.value, case.expected)
        return golds[0] if len(golds) == 1 else {"any of": list(golds)}

    def _vote(self, outputs: Mapping[str, Any]) -> Vote:
        verdicts: dict[str, float] = {}
        for name in verdict_names(self.criteria):
            verdict = self._verdict(outputs.get(name))
            if verdict is None:
                return Vote(failure=f"`{name}` is {outputs.get(name)!r}, which is no verdict", kind="metric")
            verdicts[name] = verdict
        reason = outputs.get("reason")
        return Vote(verdicts=verdicts, reason=reason if isinstance(reason, str) else "")

    def _verdict(self, value: Any) -> float | None:
        """The verdict from 0 to 1; None for anything but a clear one."""
        if self.scale is None:
            return {"pass": 1.0, "fail": 0.0}.get(value) if isinstance(value, str) else None
        low, high = self.scale
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return None
        return (value - low) / (high - low) if value == int(value) else None

    def _counted(self, votes: list[Vote]) -> Score:
        valid = [vote for vote in votes if not vote.failure]
        if 2 * len(valid) < len(votes) or not valid:
            raise _no_verdict(votes)
        verdicts = {
            name: self._together([vote.verdicts[name] for vote in valid]) for name in valid[0].verdicts
        }
        value = sum(verdicts.values()) / len(verdicts)
        details = {"votes": [msgspec.to_builtins(vote) for vote in votes], "agreement": _agreement(valid)}
        if self.threshold is not None:
            details["score"] = value
            value = float(value >= self.threshold - _ROUNDING)
        return Score(value, self._feedback(verdicts, valid), details)

    def _together(self, verdicts: list[float]) -> float:
        mean = sum(verdicts) / len(verdicts)
        return mean if self.scale is not None else float(mean > 0.5)

    def _feedback(self, verdicts: Mapping[str, float], votes: list[Vote]) -> str:
        """What failed or fell short, and the reason of the vote that is nearest to the outcome."""
        about = verdict_names(self.criteria)
        nearest = min(
            votes, key=lambda vote: sum(abs(vote.verdicts[name] - verdicts[name]) for name in verdicts)
        )
        said = [
            f"{self._said(verdict)}{f' on “{about[name]}”' if self.criteria else ''}"
            for name, verdict in verdicts.items()
        ]
        reason = shorten(" ".join(nearest.reason.split()), 600) or "no reason given"
        return f"the judge said {', '.join(said)}: {reason}"

    def _said(self, verdict: float) -> str:
        if self.scale is None:
            return "pass" if verdict else "fail"
        low, high = self.scale
        return f"{low + verdict * (high - low):.3g} of {high}"


def _agreement(votes: list[Vote]) -> float:
    """The share of votes that say the same as the most frequent one."""
    counts = Counter(tuple(vote.verdicts.values()) for vote in votes)
    return counts.most_common(1)[0][1] / len(votes)


def _no_verdict(votes: list[Vote]) -> RowFailed:
    """Why there is no score. It is the provider's failure only where each failing vote failed so."""
    failed = [vote for vote in votes if vote.failure]
    kinds = {vote.kind for vote in failed}
    kind: FailureKind = "metric"
    if len(kinds) == 1 and kinds <= _NOBODYS_FAULT:
        kind = "timeout" if "timeout" in kinds else "provider"
    return RowFailed(
        kind, f"{len(failed)} of {len(votes)} votes of the judge have no verdict: {failed[0].failure}"
    )
