"""LLM judge: a language model judges, by a rubric or as a program of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.judge_prompt import Scale, judge_inputs, judge_signature, verdict_names
from promptc.runners.metrics.judge_tally import JudgeTally
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import shorten
from promptc.runners.metrics.verdicts import (
    REASONS,
    Vote,
    agreement,
    clear_votes,
    found,
    labels,
    said,
    verdict_name,
)

_ROUNDING = 1e-9
_OF_A_RUBRIC = ("criteria", "reference", "columns")

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class LlmJudge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a language model says of the answer, by a rubric or as a `program` of its own.

    A judge passes or fails, or grades on a `scale`; `criteria` are judged one by one in the same reply and
    averaged. With several `votes` each is another sample of the judge: the majority decides between pass and
    fail (a tie fails), grades are averaged. A vote without a clear verdict is never a pass; when most votes
    are so, the row stays unscored.

    With `labels` the judge is judged: what it says of an answer that people have labelled is held against them.
    """

    rubric: Annotated[
        str,
        msgspec.Meta(
            description="What makes an answer good, in words.",
            examples=["The reply answers the question and promises nothing that the handbook does not."],
        ),
    ] = ""
    program: Annotated[
        str | dict[str, Any] | None,
        msgspec.Meta(
            description="A spec or an artifact that judges in the place of a rubric. It is given what its inputs name: "
            "`answer`, `expected`, the outputs and the row's columns; its output `verdict` counts.",
            examples=["judge/program.json"],
        ),
    ] = None
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
    labels: Annotated[
        str | None,
        msgspec.Meta(
            description="The column with what people said of a known answer (pass or fail, or a grade; a list for "
            "several people). The judge judges that answer too, and its agreement with them is a figure.",
            examples=["verdict"],
        ),
    ] = None
    labelled: Annotated[
        str | None,
        msgspec.Meta(
            description="The column with the answer that people judged; the expected one where it is not given.",
            examples=["reply"],
        ),
    ] = None
    model: Annotated[
        str, msgspec.Meta(description="Who judges: a name under `models:`.", examples=["judge"])
    ] = "judge"

    def __post_init__(self) -> None:
        if self.program is None and not self.rubric.strip():
            raise ValueError("a judge needs a `rubric`, or a `program` that judges")
        if self.program is not None:
            given = [name for name in ("rubric", *_OF_A_RUBRIC) if getattr(self, name)]
            if given:
                raise ValueError(
                    f"`{given[0]}` means nothing beside `program`, which says itself how it judges"
                )
        if self.scale is not None and self.scale[0] >= self.scale[1]:
            raise ValueError(f"`scale` goes from the worst to the best grade; {list(self.scale)} does not")
        if self.labelled is not None and self.labels is None:
            raise ValueError("`labelled` names the answer that `labels` are about, and there are none")
        if self.labels is not None and self.reference and self.labelled is None:
            raise ValueError("with `reference`, `labelled` has to name another answer than the expected one")

    @property
    def binary(self) -> bool:
        """True when the score can only be 0 or 1. What a program can say, `AppliedMetric` finds out."""
        if self.threshold is not None:
            return True
        return self.program is None and self.scale is None and len(self.criteria) <= 1

    @property
    def reads_gold(self) -> bool:
        """As `reference` says."""
        return self.reference

    def calls(self) -> int:
        """One per vote; with labels as many again, for the answer that people judged."""
        return self.votes * (2 if self.labels is not None else 1)

    def tally(self) -> JudgeTally:
        """How far votes agree with each other, and verdicts with labels."""
        graded = self.threshold is None and (self.scale is not None or len(self.criteria) > 1)
        return JudgeTally(level="interval" if graded else "nominal")

    async def score(self, case: Case, services: Services) -> Score | None:
        """Ask for all votes, one after the other. Raises RowFailed where most of them have no verdict."""
        if self.reference and case.expected is msgspec.UNSET:
            return None
        people = self._people(case)
        score = await self._judged(case, services)
        if people is None:
            return score
        details = {**score.details, "labelled": await self._labelled(case, people, services)}
        return Score(score.value, score.feedback, details)

    def _people(self, case: Case) -> tuple[float, ...] | None:
        """What people said of an answer that the row holds; None where it holds none. Raises ValueError."""
        if self.labels is None or case.row.get(self.labels) is None or self._known(case) is None:
            return None
        given = labels(case.row[self.labels], self.scale, self.labels)
        if self.threshold is None:
            return given
        return tuple(float(one >= self.threshold - _ROUNDING) for one in given)

    def _known(self, case: Case) -> Any:
        """The answer that people judged."""
        if self.labelled is not None:
            return case.row.get(self.labelled)
        return None if case.expected is msgspec.UNSET else case.expected

    async def _labelled(self, case: Case, people: tuple[float, ...], services: Services) -> dict[str, Any]:
        """What the judge says of the labelled answer, beside what people said. That it fails fails no row."""
        try:
            judged = await self._judged(msgspec.structs.replace(case, value=self._known(case)), services)
        except RowFailed as error:
            if error.failure.kind == "budget":
                raise
            return {"people": list(people), "failure": error.failure.message}
        return {"people": list(people), "judge": judged.value}

    async def _judged(self, case: Case, services: Services) -> Score:
        votes = []
        for rollout in range(self.votes):
            try:
                vote = self._vote(await self._asked(case, services, rollout))
            except RowFailed as error:
                if error.failure.kind == "budget":
                    raise
                vote = Vote(failure=error.failure.message, kind=error.failure.kind)
            votes.append(vote)
        return self._counted(votes)

    async def _asked(self, case: Case, services: Services, rollout: int) -> dict[str, Any]:
        if self.program is not None:
            return await services.judge(_given(case), rollout=rollout)
        signature = judge_signature(self.rubric, self.criteria, self.scale, with_gold=self.reference)
        inputs = judge_inputs(self._row(case), case.value, self._expected(case), with_gold=self.reference)
        return await services.predict(signature, inputs, model=self.model, rollout=rollout)

    def _row(self, case: Case) -> dict[str, Any]:
        columns = case.row if self.columns is None else self.columns
        hidden = (self.labels, self.labelled)
        return {column: case.row.get(column) for column in columns if column not in hidden}

    def _expected(self, case: Case) -> Any:
        if not self.reference:
            return None
        golds = acceptable(case.value, case.expected)
        return golds[0] if len(golds) == 1 else {"any of": list(golds)}

    def _vote(self, outputs: Mapping[str, Any]) -> Vote:
        verdicts: dict[str, float] = {}
        for name in self._verdict_names(outputs):
            value = outputs.get(name)
            verdict = said(value, self.scale) if self.program is None else found(value, self.scale)
            if verdict is None:
                return Vote(failure=f"`{name}` is {value!r}, which is no verdict", kind="metric")
            verdicts[name] = verdict
        reason = next((outputs[name] for name in REASONS if outputs.get(name)), "")
        return Vote(verdicts=verdicts, reason=reason if isinstance(reason, str) else "")

    def _verdict_names(self, outputs: Mapping[str, Any]) -> list[str]:
        if self.program is None:
            return list(verdict_names(self.criteria))
        return [verdict_name(outputs) or "verdict"]

    def _counted(self, votes: list[Vote]) -> Score:
        valid = clear_votes(votes)
        verdicts = {
            name: self._together([vote.verdicts[name] for vote in valid]) for name in valid[0].verdicts
        }
        value = sum(verdicts.values()) / len(verdicts)
        details = {"votes": [msgspec.to_builtins(vote) for vote in votes], "agreement": agreement(valid)}
        if self.threshold is not None:
            details["score"] = value
            value = float(value >= self.threshold - _ROUNDING)
        return Score(value, self._feedback(verdicts, valid), details)

    def _together(self, verdicts: list[float]) -> float:
        mean = sum(verdicts) / len(verdicts)
        graded = self.scale is not None or any(verdict not in (0.0, 1.0) for verdict in verdicts)
        return mean if graded else float(mean > 0.5)

    def _feedback(self, verdicts: Mapping[str, float], votes: list[Vote]) -> str:
        """What failed or fell short, and the reason of the vote that is nearest to the outcome."""
        about = verdict_names(self.criteria)
        nearest = min(
            votes, key=lambda vote: sum(abs(vote.verdicts[name] - verdicts[name]) for name in verdicts)
        )
        told = [
            f"{self._said(verdict)}{f' on “{about[name]}”' if self.criteria else ''}"
            for name, verdict in verdicts.items()
        ]
        reason = shorten(" ".join(nearest.reason.split()), 600) or "no reason given"
        return f"the judge said {', '.join(told)}: {reason}"

    def _said(self, verdict: float) -> str:
        if self.scale is not None:
            low, high = self.scale
            return f"{low + verdict * (high - low):.3g} of {high}"
        return {1.0: "pass", 0.0: "fail"}.get(verdict, f"{verdict:.3g}")


def _given(case: Case) -> dict[str, Any]:
    """All that a judging program may ask for by the names of its inputs: what is judged goes before the row."""
    known = {**case.row, **case.outputs}
    if case.field is not None:
        known[case.field] = case.value
    expected = {} if case.expected is msgspec.UNSET else {"expected": case.expected}
    return {**known, "answer": case.value, **expected}
