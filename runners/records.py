"""What became of a row: its prediction, its scores, and of several runs what they come to together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.runners.failures import Failure
from promptc.runners.judging import Judged
from promptc.runners.phase import Lane
from promptc.runners.program import Prediction
from promptc.runners.repeats import Repeats
from promptc.runners.rows import Example
from promptc.runners.step_call import TraceStep


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """One of several runs of a row."""

    score: float | None
    metrics: dict[str, float | None]
    outputs: dict[str, Any] | None
    failure: Failure | None = None


class RowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row's prediction with its scores: a line of rows.jsonl, and what optimizers learn from.

    `score` is None for an unscored row (see `failure`) and for one that no metric could judge. Where the row was run
    several times, `repeats` has each run, `passed` says what the pass rule makes of them, and outputs, feedback and
    trace are those of the run whose score is nearest to the row's.
    """

    id: str
    index: int
    outputs: dict[str, Any] | None
    score: float | None
    metrics: dict[str, float | None]
    feedback: dict[str, str] = {}
    details: dict[str, dict[str, Any]] = {}
    failure: Failure | None = None
    reasks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    trace: tuple[TraceStep, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    passed: bool | None = None

    def asked(self) -> list[TraceStep]:
        """The predictor calls on the way, without steps that asked no model."""
        return [step for step in self.trace if step.kind == "predict"]

    def reason(self) -> str:
        """Why the row scored as it did, in words."""
        if self.failure is not None:
            return f"{self.failure.kind}: {self.failure.message}"
        return "; ".join(text for text in self.feedback.values() if text)


def judged_record(
    example: Example,
    prediction: Prediction,
    judged: Judged,
    lane: Lane,
    used: tuple[int, int, float | None] | None = None,
) -> RowRecord:
    """The record of a row that was judged; `used` is what it took without the judge."""
    tokens_in, tokens_out, cost = used if used is not None else lane.usage()
    return RowRecord(
        id=example.id,
        index=example.index,
        outputs=prediction.outputs,
        score=judged.score,
        metrics=judged.metrics,
        feedback=judged.feedback,
        details=judged.details,
        reasks=sum(step.reasks for step in prediction.trace),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost=cost,
        trace=prediction.trace,
    )


def not_reached(example: Example) -> RowRecord:
    """The record of a row that the budget cut off."""
    return RowRecord(
        id=example.id,
        index=example.index,
        outputs=None,
        score=None,
        metrics={},
        failure=Failure("budget", "the budget ended before this row was asked"),
    )


def merged(runs: Sequence[RowRecord], repeats: Repeats) -> RowRecord:
    """The record of a row from the records of its runs.

    A run that the budget cut off leaves the row unasked; a run without a score for no fault of the program is left
    out, and with too few others the row has no score either.
    """
    cut = next((run for run in runs if run.failure is not None and run.failure.kind == "budget"), None)
    scores = [run.score for run in runs if run.score is not None]
    score = None if cut is not None else repeats.score(scores)
    nearest = _nearest(runs, score)
    return msgspec.structs.replace(
        nearest,
        score=score,
        metrics={} if cut is not None else _metrics(runs, repeats),
        failure=_failure(runs, score) if cut is None else cut.failure,
        reasks=sum(run.reasks for run in runs),
        input_tokens=sum(run.input_tokens for run in runs),
        output_tokens=sum(run.output_tokens for run in runs),
        cost=_sum([run.cost for run in runs]),
        repeats=tuple(
            Repeat(score=run.score, metrics=run.metrics, outputs=run.outputs, failure=run.failure)
            for run in runs
        ),
        passed=repeats.passed(scores) if cut is None else None,
    )


def _nearest(runs: Sequence[RowRecord], score: float | None) -> RowRecord:
    """The run that stands for all: of those nearest to the score the lowest, since a failure tells more."""
    if score is None:
        return runs[0]
    scored = [
        (abs(run.score - score), run.score, place) for place, run in enumerate(runs) if run.score is not None
    ]
    return runs[min(scored)[2]]


def _metrics(runs: Sequence[RowRecord], repeats: Repeats) -> dict[str, float | None]:
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    values = {name: [run.metrics.get(name) for run in runs] for name in names}
    return {name: repeats.score([v for v in found if v is not None]) for name, found in values.items()}


def _failure(runs: Sequence[RowRecord], score: float | None) -> Failure | None:
    """Why the row has no score, or why it has none but zeros."""
    failures = [run.failure for run in runs if run.failure is not None]
    unscored = [failure for failure in failures if not failure.scored]
    if score is None:
        return unscored[0] if unscored else None
    return failures[0] if len(failures) == len(runs) else None


def _sum(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
