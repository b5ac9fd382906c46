"""Checks the metrics before money is spent: gold must beat shuffled gold.

A metric that gives the right answer no more than a wrong one would send a search after noise. Only metrics that read
gold and call no model are checked; it costs nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from promptc.runners.effects import Effects
from promptc.runners.evaluate import Evaluator
from promptc.runners.failures import RowFailed
from promptc.runners.judging import AppliedMetric, Judge, LaneServices
from promptc.runners.phase import Lane
from promptc.runners.program import Prediction
from promptc.runners.rows import Example
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError

ROWS_CHECKED = 50


async def check_metrics(
    evaluator: Evaluator, judge: Judge, examples: Sequence[Example], seed: int
) -> list[str]:
    """Notes on what could not be checked. Raises SpecError for a metric that cannot tell gold from shuffled gold."""
    findings, notes = [], []
    for applied in judge.metrics:
        if (
            not applied.metric.reads_gold
            or applied.metric.calls()
            or applied.gold is None
            or applied.field is None
        ):
            continue
        rows = [e for e in examples if applied.applies(e.row)][:ROWS_CHECKED]
        golds = [_gold(e.row[applied.gold]) for e in rows]
        shuffled = _shuffled(golds, seed)
        if shuffled is None:
            notes.append(f"metric `{applied.use.name}` was not checked: all gold values are equal")
            continue
        right, reason = await _mean(evaluator.effects, judge, applied, rows, golds)
        wrong, _ = await _mean(evaluator.effects, judge, applied, rows, shuffled)
        if right <= wrong:
            findings.append(_finding(applied, right, wrong, reason))
    if findings:
        raise SpecError(tuple(findings))
    return notes


def _finding(applied: AppliedMetric, right: float, wrong: float, reason: str) -> Diagnostic:
    return Diagnostic(
        message=f"metric `{applied.use.name}` cannot tell right from wrong: "
        f"gold as the answer scores {right:.2f}, shuffled gold {wrong:.2f}"
        + (f" ({reason})" if reason else ""),
        position=applied.use.position,
        hint="check `field:` and `expected:`, or the metric itself; --skip-metric-check searches anyway",
    )


def _gold(value: Any) -> Any:
    """Of several acceptable values the first."""
    return value[0] if isinstance(value, list) and value and not isinstance(value[0], list | dict) else value


def _shuffled(golds: Sequence[Any], seed: int) -> list[Any] | None:
    """The golds in another order, as many in wrong places as possible; None when all are equal."""
    if all(gold == golds[0] for gold in golds):
        return None
    order = sorted(range(len(golds)), key=lambda i: (str(golds[i]), i))
    shift = random.Random(seed).randint(1, len(golds) - 1)
    largest = max(sum(g == gold for g in golds) for gold in golds)
    shift = max(shift, min(largest, len(golds) - 1))
    result: list[Any] = [None] * len(golds)
    for place, index in enumerate(order):
        result[index] = golds[order[(place + shift) % len(order)]]
    return result


async def _mean(
    effects: Effects, judge: Judge, applied: AppliedMetric, rows: Sequence[Example], answers: Sequence[Any]
) -> tuple[float, str]:
    """The mean score of answers, and why the first one that failed did."""
    scores: dict[int, float] = {}
    reasons: list[str] = []

    async def job(lane: Lane, place: int, example: Example, answer: Any) -> float:
        prediction = Prediction(outputs={applied.field or "": answer})
        services = LaneServices(lane, judge.judge_format, judge.format_retries)
        try:
            score = await applied.metric.score(applied.case(example.row, prediction), services)
        except RowFailed as error:
            reasons.append(error.failure.message)
            return 0.0
        if score is None:
            return 0.0
        if score.value < 1 and score.feedback:
            reasons.append(score.feedback)
        return 1.0 - score.value if applied.use.negate else score.value

    phase = effects.phase(f"metric check {applied.use.name}", {})
    jobs = [
        (lambda lane, p=place, e=example, a=answer: job(lane, p, e, a))
        for place, (example, answer) in enumerate(zip(rows, answers, strict=True))
    ]
    await phase.run(jobs, scores.__setitem__)
    return sum(scores.values()) / max(1, len(scores)), reasons[0] if reasons else ""
