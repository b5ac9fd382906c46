"""Applies the metrics of a spec to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.asking import Asked, plain_speaker
from promptc.runners.failures import Failure, RowFailed
from promptc.runners.formats.protocol import Format
from promptc.runners.judge_programs import judging_program, says_pass_or_fail
from promptc.runners.metrics.classification import Classification
from promptc.runners.metrics.exact_match import ExactMatch
from promptc.runners.metrics.protocol import Case, Metric, Score
from promptc.runners.metrics.tally import Tally, tally_of
from promptc.runners.phase import Lane
from promptc.runners.program import CompiledProgram, Prediction
from promptc.runners.repeats import Repeats
from promptc.spec.expressions import Expression, ExpressionError, compile_expression
from promptc.spec.fields import Signature, enum_labels
from promptc.spec.model import MetricUse, Spec


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What the metrics say of one row.

    `score` is the weighted mean of the metrics that did not abstain (or the one that `objective:` names), None where
    all abstain. `metrics` has every metric's value, None where it abstained.
    """

    score: float | None
    metrics: dict[str, float | None]
    feedback: dict[str, str]
    details: dict[str, dict[str, Any]]


class AppliedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric with the entry that says what it is applied to. `labels` are all values that its field can have."""

    use: MetricUse
    metric: Metric
    field: str | None
    gold: str | None
    condition: Expression | None = None
    program: CompiledProgram | None = None
    labels: tuple[str, ...] = ()

    @property
    def binary(self) -> bool:
        """True when every score is 0 or 1; of a program that judges, by what its verdict can be."""
        return self.metric.binary or (self.program is not None and says_pass_or_fail(self.program))

    def calls(self) -> int:
        """Model calls that judging one row takes."""
        return self.metric.calls() * (self.program.program.calls()[1] if self.program is not None else 1)

    def applies(self, row: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> bool:
        """False where the row has no gold that the metric needs, or its `when` is not true.

        Without outputs (the row failed) a `when` that looks at them is taken to hold. Raises ExpressionError.
        """
        if self._reads_gold() and self.gold is not None and row.get(self.gold) is None:
            return False
        if self.condition is None or (outputs is None and "outputs" in self.condition.roots):
            return True
        scope = {"inputs": dict(row), "row": dict(row), "outputs": dict(outputs or {})}
        return self.condition.evaluate(scope) is True

    def tally(self) -> Tally | None:
        """What the metric says about all rows together; of labels, right or wrong, which was taken for which."""
        found = tally_of(self.metric)
        if found is None and self.labels and isinstance(self.metric, ExactMatch):
            found = Classification(labels=self.labels, ignore_case=self.metric.ignore_case).tally()
        return found

    def _reads_gold(self) -> bool:
        inputs = self.program.program.inputs if self.program is not None else ()
        return self.metric.reads_gold or any(field.name == "expected" and field.required for field in inputs)

    def case(self, row: Mapping[str, Any], prediction: Prediction) -> Case:
        """What the metric looks at."""
        outputs = prediction.outputs
        value = outputs.get(self.field) if self.field is not None else outputs
        expected = row.get(self.gold, msgspec.UNSET) if self.gold is not None else msgspec.UNSET
        return Case(
            value=value, expected=expected, row=row, outputs=outputs, trace=prediction.trace, field=self.field
        )


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """All metrics of a spec, and how they make one score."""

    metrics: tuple[AppliedMetric, ...]
    objective: str | None
    judge_format: Format
    format_retries: int
    repeats: Repeats = Repeats()

    @property
    def binary(self) -> bool:
        """True when every score of a run is 0 or 1."""
        return len(self._deciding()) == 1 and self._deciding()[0].binary

    @property
    def binary_rows(self) -> bool:
        """True when every score of a row, however often it is run, is 0 or 1: pass/fail statistics apply."""
        return self.binary and self.repeats.keeps_binary

    def binary_metric(self, applied: AppliedMetric) -> bool:
        """The same for the scores of one metric."""
        return applied.binary and self.repeats.keeps_binary

    def gold_columns(self) -> tuple[str, ...]:
        """The columns that hold gold, in the order of the metrics."""
        return tuple(
            dict.fromkeys(m.gold for m in self.metrics if m.metric.reads_gold and m.gold is not None)
        )

    def programs(self) -> list[CompiledProgram]:
        """The programs that judge."""
        return [applied.program for applied in self.metrics if applied.program is not None]

    def calls(self) -> int:
        """Model calls that judging one row takes."""
        return sum(applied.calls() for applied in self.metrics)

    async def judge(self, row: Mapping[str, Any], prediction: Prediction, services: LaneServices) -> Judged:
        """Score one prediction. Raises RowFailed where a metric cannot."""
        values: dict[str, float | None] = {}
        feedback: dict[str, str] = {}
        details: dict[str, dict[str, Any]] = {}
        for applied in self.metrics:
            name = applied.use.name
            score = await self._score(applied, row, prediction, services)
            if score is None:
                values[name] = None
                continue
            values[name] = 1.0 - score.value if applied.use.negate else score.value
            if score.feedback:
                feedback[name] = score.feedback
            if score.details:
                details[name] = score.details
        return Judged(score=self._combined(values), metrics=values, feedback=feedback, details=details)

    def failed(self, row: Mapping[str, Any], failure: Failure) -> Judged:
        """A row without a prediction: 0 where that is the candidate's doing, unscored otherwise."""
        applying = [a.use.name for a in self.metrics if failure.scored and a.applies(row)]
        values: dict[str, float | None] = {
            a.use.name: 0.0 if a.use.name in applying else None for a in self.metrics
        }
        return Judged(
            score=self._combined(values), metrics=values, feedback={"": failure.message}, details={}
        )

    async def _score(
        self, applied: AppliedMetric, row: Mapping[str, Any], prediction: Prediction, services: LaneServices
    ) -> Score | None:
        try:
            if not applied.applies(row, prediction.outputs):
                return None

            return await applied.metric.score(applied.case(row, prediction), services.for_metric(applied))
        except ExpressionError as error:
            raise RowFailed(
                "metric", f"{applied.use.name}: `when` cannot be decided: {error.message}"
            ) from error
        except ValueError as error:
            raise RowFailed("metric", f"{applied.use.name}: the gold cannot be used: {error}") from error

    def _deciding(self) -> list[AppliedMetric]:
        if self.objective is not None:
            return [m for m in self.metrics if m.use.name == self.objective]
        return [m for m in self.metrics if m.use.weight > 0]

    def _combined(self, values: Mapping[str, float | None]) -> float | None:
        weighted = [
            (value, m.use.weight if self.objective is None else 1.0)
            for m in self._deciding()
            if (value := values[m.use.name]) is not None
        ]
        if not weighted:
            return None
        return sum(value * weight for value, weight in weighted) / sum(weight for _, weight in weighted)


class LaneServices:
    """What a metric may ask of the outside, on one row's lane."""

    __slots__ = ("_format", "_format_retries", "_lane", "_model", "_program")

    def __init__(
        self,
        lane: Lane,
        format_: Format,
        format_retries: int,
        model: str = "judge",
        program: CompiledProgram | None = None,
    ) -> None:
        self._lane = lane
        self._format = format_
        self._format_retries = format_retries
        self._model = model
        self._program = program

    def for_metric(self, applied: AppliedMetric) -> LaneServices:
        """The same for one metric: with the model, or the program, that judges for it."""
        if applied.use.model == self._model and applied.program is None:
            return self
        return LaneServices(
            self._lane, self._format, self._format_retries, applied.use.model, applied.program
        )

    async def judge(self, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """The outputs of the program that judges; raises RowFailed."""
        assert self._program is not None, "a metric that names a program is built with it"
        prediction = await self._program.run(self._lane, inputs, role="judge", rollout=rollout)
        return prediction.outputs

    async def predict(
        self, signature: Signature, inputs: Mapping[str, Any], *, model: str = "judge", rollout: int = 0
    ) -> dict[str, Any]:
        """Ask a model for the outputs of a signature; raises RowFailed."""
        name = self._model if model == "judge" else model
        asked = Asked(
            lane=self._lane,
            speaker=plain_speaker("judge", signature, self._format, name),
            model=name,
            role="judge",
            rollout=rollout,
            format_retries=self._format_retries,
        )
        return (await asked.said(inputs)).values

    async def hook(self, reference: str, payload: Any) -> Any:
        """Run the user's function; raises RowFailed."""
        return await self._lane.hook(reference, payload)


def build_judge(spec: Spec) -> Judge:
    """The metrics of a spec. Raises SpecError where a metric's parameters do not fit."""
    from promptc.runners.formats.registry import FORMATS
    from promptc.runners.metrics.registry import METRICS
    from promptc.runners.plugins import build
    from promptc.spec.plugin import Plugin

    applied = tuple(_applied(use, build(METRICS, use.plugin), spec) for use in spec.metrics)
    return Judge(
        metrics=applied,
        objective=spec.objective[0] if spec.objective and spec.objective[0] != "score" else None,
        judge_format=build(FORMATS, Plugin(kind="format", name="chat")),
        format_retries=spec.run.format_retries,
        repeats=Repeats(count=spec.run.repeat, reduce=spec.run.reduce, pass_rule=spec.run.pass_rule or ""),
    )


def _applied(use: MetricUse, metric: Metric, spec: Spec) -> AppliedMetric:
    only = spec.outputs[0].name if len(spec.outputs) == 1 else None
    # What a step found is no output, and neither is its gold one's.
    field = (use.field or only) if getattr(metric, "step", None) is None else None
    return AppliedMetric(
        use=use,
        metric=metric,
        field=field,
        gold=use.expected or field,
        condition=compile_expression(use.when) if use.when else None,
        program=judging_program(spec, use) if use.program is not None else None,
        labels=next((enum_labels(one) for one in spec.outputs if one.name == field), ()),
    )
