"""All and any: several metrics as one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.protocol import Case, Metric, Score, Services
from promptc.runners.metrics.registry import build, split

Entries = Annotated[
    tuple[str | dict[str, Any], ...],
    msgspec.Meta(
        description="Metrics, written as everywhere; each may have its own `field`, `expected` and `negate`.",
        examples=[["exact_match", {"contains": {"field": "reply", "texts": ["refund"], "negate": True}}]],
        min_length=1,
    ),
]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What a part looks at where that differs from the whole."""

    field: str | None = None
    expected: str | None = None
    negate: bool = False


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of the metrics."""

    name: str
    metric: Metric
    placement: Placement

    async def score(self, case: Case, services: Services) -> Score | None:
        """The part's own score, turned round by `negate`."""
        score = await self.metric.score(self._case(case), services)
        if score is None or not self.placement.negate:
            return score
        return Score(1.0 - score.value, f"the opposite was wanted: {score.feedback}", score.details)

    def _case(self, case: Case) -> Case:
        field, column = self.placement.field, self.placement.expected or self.placement.field
        if column is None:
            return case
        gold = case.row.get(column)
        return msgspec.structs.replace(
            case,
            value=case.value if field is None else case.outputs.get(field),
            expected=msgspec.UNSET if gold is None else gold,
        )


class Several(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What all and any share: one of the parts' scores decides, and its reasons are the feedback."""

    metrics: Entries

    choose: ClassVar[Callable[[Sequence[float]], float]]
    decided: ClassVar[float]
    """The score after which no other part can change the outcome."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("there must be at least one metric")

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """The metrics, built."""
        return tuple(_part(entry) for entry in self.metrics)

    @property
    def binary(self) -> bool:
        """True when all parts are."""
        return all(part.metric.binary for part in self.parts)

    @property
    def reads_gold(self) -> bool:
        """True when a part does."""
        return any(part.metric.reads_gold for part in self.parts)

    def calls(self) -> int:
        """The calls of all parts."""
        return sum(part.metric.calls() for part in self.parts)

    async def score(self, case: Case, services: Services) -> Score | None:
        """The deciding score with the feedback of the parts that have it; None where all abstain.

        Parts that call no model go first, and a part that calls one is not asked once the outcome is decided.
        """
        scores: dict[int, Score] = {}
        for index in sorted(range(len(self.parts)), key=lambda i: (self.parts[i].metric.calls() > 0, i)):
            part = self.parts[index]
            if part.metric.calls() and any(score.value == self.decided for score in scores.values()):
                continue
            score = await part.score(case, services)
            if score is not None:
                scores[index] = score
        return self._together([(self.parts[index].name, scores[index]) for index in sorted(scores)])

    def _together(self, scores: list[tuple[str, Score]]) -> Score | None:
        if not scores:
            return None
        value = type(self).choose([score.value for _, score in scores])
        reasons = [
            f"{name}: {score.feedback}" for name, score in scores if score.value == value and score.feedback
        ]
        details = [_part_details(name, score) for name, score in scores]
        return Score(value, "; ".join(reasons), {"parts": details})


class AllOf(Several, frozen=True):
    """The least of several metrics: right only when all of them are."""

    choose: ClassVar[Callable[[Sequence[float]], float]] = min
    decided: ClassVar[float] = 0.0


class AnyOf(Several, frozen=True):
    """The greatest of several metrics: right when one of them is."""

    choose: ClassVar[Callable[[Sequence[float]], float]] = max
    decided: ClassVar[float] = 1.0


def _part_details(name: str, score: Score) -> dict[str, Any]:
    details = {"metric": name, "score": score.value}
    return {**details, "details": score.details} if score.details else details


def _part(entry: str | Mapping[str, Any]) -> Part:
    name, parameters = split(entry)
    placed = {key: parameters.pop(key) for key in Placement.__struct_fields__ if key in parameters}
    try:
        placement = msgspec.convert(placed, Placement)
    except msgspec.ValidationError as error:
        raise ValueError(f"metric `{name}`: {error}") from error
    return Part(name=name, metric=build({name: parameters}), placement=placement)
