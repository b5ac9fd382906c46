"""Which tools a prediction's steps called: what the metrics of tools look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.candidate import Called
from promptc.runners.metrics.protocol import Case

StepOption = Annotated[
    str | None,
    msgspec.Meta(description="Only calls of this step; of all steps without it.", examples=["answer"]),
]


def calls_of(case: Case, step: str | None) -> Iterator[Called]:
    """The calls that led to the prediction, in order; those of runs that were not taken do not count."""
    for traced in case.trace:
        if not traced.kept or (step is not None and traced.predictor.partition(".")[0] != step):
            continue
        for turn in traced.turns:
            yield from turn.calls


def has(arguments: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a call's arguments hold all of these values."""
    if not isinstance(arguments, Mapping):
        return not wanted
    return all(name in arguments and arguments[name] == value for name, value in wanted.items())
