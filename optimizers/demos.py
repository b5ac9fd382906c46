"""Demonstrations: labelled ones from the data, bootstrapped ones from traces that passed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.evaluate import RowRecord
from promptc.runners.program import Program, labeled_demo
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.search import Search


def labeled_demos(search: Search, predictor: Predictor, examples: Sequence[Example]) -> tuple[Demo, ...]:
    """Those of the examples that hold every required output of the predictor, as demos in the same order."""
    golds = gold_columns(search)
    required = {field.name for field in predictor.signature.outputs if field.required}
    demos = []
    for example in examples:
        seen = search.program.seen_by(predictor.step, with_gold(example.row, golds))
        if seen is not None:
            demos.append(labeled_demo(predictor.signature, seen, example.id))
    return tuple(demo for demo in demos if required <= demo.outputs.keys())


def gold_columns(search: Search) -> dict[str, str]:
    """Output field → the column that holds its gold, where a metric says that it has another name."""
    return {m.field: m.gold for m in search.judge.metrics if m.field and m.gold and m.field != m.gold}


def with_gold(row: Mapping[str, Any], golds: Mapping[str, str]) -> dict[str, Any]:
    """The row with its gold under the output fields' names; of several acceptable values the first."""
    filled = dict(row)
    for field, column in golds.items():
        value = row.get(column)
        if field not in filled and value is not None:
            filled[field] = value[0] if isinstance(value, list) and value else value
    return filled


def sample_examples(rng: random.Random, examples: Sequence[Example], count: int) -> list[Example]:
    """So many of the examples, in random order; all of them when there are fewer."""
    return rng.sample(list(examples), min(count, len(examples)))


def open_to_demos(program: Program) -> tuple[str, ...]:
    """The predictors whose demos a search may change: neither frozen, nor wanted without any by the spec."""
    closed = {step.name for step in program.steps if "demos" in step.freeze or step.demos == "none"}
    return tuple(name for name, predictor in program.predictors.items() if predictor.step not in closed)


def with_demos(program: Program, start: Candidate, demos: Mapping[str, tuple[Demo, ...]]) -> Candidate:
    """The start with other demos. A predictor whose demos are frozen, or that the spec wants without, keeps its own."""
    candidate = start
    for name in open_to_demos(program):
        if name not in demos:
            continue
        texts = start.predictors[name]
        candidate = candidate.with_predictor(
            name,
            PredictorTexts(
                instructions=texts.instructions,
                descriptions=texts.descriptions,
                demos=demos[name],
                model=texts.model,
            ),
        )
    return candidate


def without_row(candidate: Candidate, example: Example) -> Candidate:
    """The candidate without the demos that come from this row; the same object where there are none."""
    for name, texts in candidate.predictors.items():
        kept = tuple(demo for demo in texts.demos if demo.row_id != example.id)
        if len(kept) < len(texts.demos):
            candidate = candidate.with_predictor(name, msgspec.structs.replace(texts, demos=kept))
    return candidate


def traced_demos(record: RowRecord) -> dict[str, Demo]:
    """One demo per predictor from a trace that passed: the last call of each that needed no re-ask, else the last.

    Runs whose result a module did not take teach nothing: they may have been wrong.
    """
    demos: dict[str, Demo] = {}
    clean: set[str] = set()
    for step in record.asked():
        if not step.kept or (step.predictor in clean and step.reasks):
            continue
        if not step.reasks:
            clean.add(step.predictor)
        demos[step.predictor] = Demo(
            inputs=step.inputs, outputs=step.outputs, source="bootstrapped", row_id=record.id
        )
    return demos
