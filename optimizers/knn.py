"""`knn`: every row gets those training rows as demonstrations that are most like it.

Source: Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022, section 2. The peer bootstraps the
neighbours of each row when it is asked; here they are the labelled rows themselves, so a row costs what it did before.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from promptc.optimizers.bootstrapping import GRADED_PASS
from promptc.optimizers.demos import gold_columns, labeled_demos, traced_demos
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate, Demo, Nearest
from promptc.runners.labelled import labelled_outputs
from promptc.runners.modules.knn import By, ComparedFields, EmbeddingModel
from promptc.runners.neighbours import lacking_package
from promptc.runners.program import Program
from promptc.runners.retrievers.embedding import embedding_of
from promptc.runners.retrievers.vectors import EMBED, TEXTS_AT_ONCE
from promptc.runners.retrievers.words import LanguageOption
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.suggest import did_you_mean

SIZES = (4, 8, 16)
"""How many demonstrations are tried where the spec does not say."""


class Knn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give each row those training rows as demonstrations that are most like it, and check on dev that it helps.

    Each predictor whose demos are not frozen carries all training rows that label its outputs, and so does the
    artifact. What goes into the steps of a pipeline is taken from one run over the training rows; a step whose outputs
    no column labels gets its demonstrations from those runs that passed.
    """

    k: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="How many demonstrations a row sees; without it, 4, 8 and 16 are tried.",
            examples=[12],
        ),
    ] = None
    by: By = "bm25"
    language: LanguageOption = None
    fields: ComparedFields = ()
    model: EmbeddingModel = ""
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """A pass over dev for the start and for each number of demonstrations, and with steps one over train.

        Raises SpecError for fields that no predictor has, and where a package is missing.
        """
        self._check(program)
        trials, learning = len(self._sizes()), sizes.train if _takes_a_run(program) else 0
        runs = {"task": (learning + 2 * sizes.dev, learning + (1 + trials) * sizes.dev)}
        if self.by == "dense" and embedding_of(program.spec, self.model or None) is not None:
            each = len(program.predictors)
            once = each * math.ceil(sizes.train / TEXTS_AT_ONCE)
            runs[EMBED] = (once + each * sizes.dev, once + each * (trials * sizes.dev + sizes.test))
        return Plan(
            runs=runs,
            first_trial=learning + 2 * sizes.dev,
            trials=trials,
        )

    async def optimize(self, search: Search) -> None:
        """The start, then every number of demonstrations: all at once, or one by one where a rule may end it."""
        await search.begin()
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        if stopping.met():
            return
        made = await _traced(search) if _takes_a_run(search.program) else _labelled(search)
        pools = {name: demos for name, demos in made.items() if demos and _may_change(search, name)}
        lacking = sorted(search.program.predictors.keys() - pools.keys())
        if lacking:
            names = ", ".join(lacking)
            search.notes.append(
                f"no demonstrations are chosen for {names}: its demos are frozen, or there are none"
            )
        proposals = [(self._candidate(search, pools, k), f"the {k} nearest rows") for k in self._sizes()]
        at_once = 1 if stopping.has_rules else len(proposals)
        for first in range(0, len(proposals) if pools else 0, at_once):
            trials = await search.try_all(proposals[first : first + at_once])
            if stopping.met(rounds=len(trials)):
                return

    def _check(self, program: Program) -> None:
        names = [field.name for p in program.predictors.values() for field in p.signature.inputs]
        unknown = next((field for field in self.fields if field not in names), None)
        problem = lacking_package(self.by, self.language)
        if unknown is not None:
            problem = (
                f"there is no input `{unknown}` to compare; {did_you_mean(unknown, dict.fromkeys(names))}"
            )
        if problem:
            plugin = program.spec.optimizer
            place = plugin.position if plugin is not None else None
            raise SpecError(
                (Diagnostic(message=f"optimizer `knn`: {problem}", position=place, path="optimizer"),)
            )

    def _sizes(self) -> tuple[int, ...]:
        return SIZES if self.k is None else (self.k,)

    def _candidate(self, search: Search, pools: dict[str, tuple[Demo, ...]], k: int) -> Candidate:
        candidate = search.start
        for name, pool in pools.items():
            inputs = {field.name for field in search.program.predictors[name].signature.inputs}
            nearest = Nearest(
                k=k,
                by=self.by,
                language=self.language,
                fields=tuple(field for field in self.fields if field in inputs),
                model=self.model,
            )
            texts = candidate.predictors[name]
            known = {demo.row_id for demo in texts.demos if demo.row_id}
            demos = (*texts.demos, *(demo for demo in pool if demo.row_id not in known))
            texts = msgspec.structs.replace(texts, demos=demos, nearest=nearest)
            candidate = candidate.with_predictor(name, texts)
        return candidate


def _takes_a_run(program: Program) -> bool:
    """True where the rows alone do not tell what goes into every predictor."""
    return any(_fed_by_others(program, predictor) for predictor in program.predictors.values())


def _fed_by_others(program: Program, predictor: Predictor) -> bool:
    """True where some of a predictor's inputs are what other steps or predictors gave."""
    inputs = {field.name for field in predictor.signature.inputs}
    if program.graph is None:
        return not inputs <= {field.name for field in program.inputs}
    node = next((node for node in program.graph.nodes if node.name == predictor.step), None)
    if node is None or node.foreach is not None or not inputs <= node.inputs.keys():
        return True
    return any(not expression.roots <= {"inputs"} for expression in node.inputs.values())


def _may_change(search: Search, name: str) -> bool:
    [step] = [step for step in search.program.steps if step.name == search.program.predictors[name].step]
    return "demos" not in step.freeze and step.demos != "none"


def _labelled(search: Search) -> dict[str, tuple[Demo, ...]]:
    """Per predictor the training rows that label its outputs."""
    return {
        name: labeled_demos(search, predictor, search.train)
        for name, predictor in search.program.predictors.items()
    }


async def _traced(search: Search) -> dict[str, tuple[Demo, ...]]:
    """Per predictor what went into it on the training rows, with their gold where they label its outputs."""
    groups = await search.run_rows([(search.start, search.train)], role="task")
    records = {record.id: record for group in groups for record in group}
    golds = gold_columns(search)
    passing = 1.0 if search.judge.binary else GRADED_PASS
    made: dict[str, list[Demo]] = {name: [] for name in search.program.predictors}
    for example in search.train:
        record = records.get(example.id)
        if record is None:
            continue
        passed = traced_demos(record) if record.score is not None and record.score >= passing else {}
        for name, predictor in search.program.predictors.items():
            calls = [step for step in record.trace if step.predictor == name and step.kept]
            gold = labelled_outputs(search.program, predictor, example, golds) if len(calls) == 1 else None
            if gold is not None:
                made[name].append(Demo(inputs=calls[0].inputs, outputs=gold, row_id=example.id))
            elif name in passed:
                made[name].append(passed[name])
    return {name: tuple(demos) for name, demos in made.items()}
