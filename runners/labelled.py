"""Rows of the data as demos: their values under the fields' names, their gold as the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate, Demo
from promptc.runners.judging import Judge
from promptc.runners.program import Program, labeled_demo
from promptc.runners.rows import Example


def labelled_demos(
    program: Program, predictor: Predictor, examples: Sequence[Example], golds: Mapping[str, str]
) -> tuple[Demo, ...]:
    """Those of the examples that hold every required output of the predictor, as demos in the same order.

    `golds` maps output fields to the columns that hold what is right, where these have other names.
    """
    required = {field.name for field in predictor.signature.outputs if field.required}
    demos = []
    for example in examples:
        seen = program.seen_by(predictor.step, with_gold(example.row, golds))
        if seen is not None:
            demos.append(labeled_demo(predictor.signature, seen, example.id))
    return tuple(demo for demo in demos if required <= demo.outputs.keys())


def labelled_outputs(
    program: Program, predictor: Predictor, example: Example, golds: Mapping[str, str]
) -> dict[str, Any] | None:
    """What the predictor should answer for a row; None where the row does not say all of it."""
    gold = program.gold_of(predictor.step, with_gold(example.row, golds))
    demo = labeled_demo(predictor.signature, gold)
    required = {field.name for field in predictor.signature.outputs if field.required}
    return demo.outputs if required <= demo.outputs.keys() else None


def gold_columns(judge: Judge) -> dict[str, str]:
    """Output field → the column that holds its gold, where a metric says that it has another name."""
    return {m.field: m.gold for m in judge.metrics if m.field and m.gold and m.field != m.gold}


def with_gold(row: Mapping[str, Any], golds: Mapping[str, str]) -> dict[str, Any]:
    """The row with its gold under the output fields' names; of several acceptable values the first."""
    filled = dict(row)
    for field, column in golds.items():
        value = row.get(column)
        if field not in filled and value is not None:
            filled[field] = value[0] if isinstance(value, list) and value else value
    return filled


def pooled_start(program: Program, judge: Judge, train: Sequence[Example]) -> Candidate:
    """The candidate that the spec describes; predictors in a `knn` have the labelled train rows as demos, too."""
    candidate = program.start()
    steps = {step.name: step for step in program.steps}
    for name, predictor in program.predictors.items():
        if predictor.nearest is None or steps[predictor.step].demos == "none":
            continue
        texts = candidate.predictors[name]
        rows = labelled_demos(program, predictor, train, gold_columns(judge))
        demos = (*texts.demos, *rows)
        candidate = candidate.with_predictor(name, msgspec.structs.replace(texts, demos=demos))
    return candidate


def wants_rows(program: Program) -> bool:
    """True where the spec's own candidate cannot be made without train rows."""
    return any(predictor.nearest is not None for predictor in program.predictors.values())
