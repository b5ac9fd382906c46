"""Demonstrations: labelled ones from the data, bootstrapped ones from traces that passed."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from promptc.runners import labelled
from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate, Demo
from promptc.runners.evaluate import RowRecord
from promptc.runners.labelled import labelled_demos
from promptc.runners.program import Program
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.search import Search


def labeled_demos(search: Search, predictor: Predictor, examples: Sequence[Example]) -> tuple[Demo, ...]:
    """Those of the examples that hold every required output of the predictor, as demos in the same order."""
    return labelled_demos(search.program, predictor, examples, gold_columns(search))


def gold_columns(search: Search) -> dict[str, str]:
    """Output field → the column that holds its gold, where a metric says that it has another name."""
    return labelled.gold_columns(search.judge)


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
        texts = msgspec.structs.replace(start.predictors[name], demos=demos[name])
        candidate = candidate.with_predictor(name, texts)
    return candidate


def without_row(candidate: Candidate, example: Example, choosing: Collection[str] = ()) -> Candidate:
    """The candidate without the demos that come from this row; the same object where there are none.

    `choosing` are predictors that choose among their demos for each row: these see to it themselves.
    """
    for name, texts in candidate.predictors.items():
        kept = tuple(demo for demo in texts.demos if demo.row_id != example.id)
        if len(kept) < len(texts.demos) and name not in choosing:
            candidate = candidate.with_predictor(name, msgspec.structs.replace(texts, demos=kept))
    return candidate


def choosing(program: Program, candidate: Candidate) -> frozenset[str]:
    """The predictors that show a row only those of their demos that are most like it."""
    texts = candidate.predictors
    return frozenset(
        name
        for name, predictor in program.predictors.items()
        if predictor.nearest is not None or (name in texts and texts[name].nearest is not None)
    )


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
            inputs=step.inputs,
            outputs=step.outputs,
            turns=step.turns,
            source="bootstrapped",
            row_id=record.id,
        )
    return demos
