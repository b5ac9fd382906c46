"""`infer_rules`: rules that a model reads off the training rows, added to the instruction.

Source: DSPy's InferRules (Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving
Pipelines", 2023, and its optimizers), which induces rules from all training rows and keeps the best set on
validation. Mended against the peer: the start and the bootstrapped program are candidates too, so that the result is
never worse on dev than what it came from; dev is not cut out of train where there is one; a predictor inside the
program learns from the traces that passed, not from the final labels alone; rows that do not fit are left out before
the call, others for each set of rules; all sets are asked for at once; rules that copy a row are rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from promptc.optimizers.bootstrap_few_shot import MaxBootstrapped, MaxLabeled, MaxRounds, Threshold, Wave
from promptc.optimizers.bootstrapping import Teacher, Wanted, demos_of
from promptc.optimizers.demos import gold_columns, with_demos
from promptc.optimizers.proposal import Ask, Proposal, Shown
from promptc.optimizers.proposing import Proposer, open_predictors, sample_of
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.program import Program

SHOWN_CHARACTERS = 60_000
"""Characters of training rows that one request shows: what nearly every model's context holds."""
MOST_HALVINGS = 8
"""How often the rows are halved for a model whose context is smaller than that."""


class InferRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bootstrap demonstrations, then have rules inferred from the training rows; keep the best set of rules on dev."""

    num_candidates: Annotated[
        int, msgspec.Meta(ge=1, description="Sets of rules to try for the whole program.", examples=[10])
    ] = 10
    num_rules: Annotated[
        int, msgspec.Meta(ge=1, description="Rules in a set at most, for each predictor.", examples=[10])
    ] = 10
    max_bootstrapped_demos: MaxBootstrapped = 4
    max_labeled_demos: MaxLabeled = 16
    max_rounds: MaxRounds = 1
    threshold: Threshold = None
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None
    wave: Wave = 8

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """The start, the bootstrapped program, and each set of rules on dev."""
        predictors = len(open_predictors(program))
        most = sizes.train * self.max_rounds if self.max_bootstrapped_demos else 0
        trials = 1 + (self.num_candidates if predictors else 0)
        return Plan(
            runs={
                "task": (2 * sizes.dev, (1 + trials) * sizes.dev),
                "teacher": (0, most),
                "proposer": (0, predictors * self.num_candidates),
            },
            first_trial=2 * sizes.dev,
            trials=trials,
            notes=() if predictors else ("freeze: leaves no instruction that infer_rules could change",),
        )

    async def optimize(self, search: Search) -> None:
        """Bootstrap; then for each candidate and predictor infer rules; then choose on dev."""
        start = await search.begin()
        if not start.valid:
            return
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        if stopping.met():
            return
        base, passes = await self._bootstrapped(search)
        await stopping.try_all([(base, "bootstrapped demos")])
        names = open_predictors(search.program)
        if stopping.met() or not names:
            return
        induction = _Induction(self, search, base, passes)
        sets = await induction.candidates(names)
        search.notes += induction.notes
        await stopping.try_all(sets)

    async def _bootstrapped(self, search: Search) -> tuple[Candidate, list[RowRecord]]:
        teacher = Teacher(
            search,
            max_labeled_demos=self.max_labeled_demos,
            max_rounds=self.max_rounds,
            threshold=self.threshold,
            wave=self.wave,
        )
        [passes] = await teacher.collect([Wanted(search.train, self.max_bootstrapped_demos)])
        if self.max_bootstrapped_demos:
            search.notes.append(teacher.summary())
        demos = demos_of(search, passes, self.max_labeled_demos, "bootstrap")
        return with_demos(search.program, search.start, demos), passes


class _Induction:
    """Asks for rules and adds them to the bootstrapped program."""

    def __init__(
        self, settings: InferRules, search: Search, base: Candidate, passes: Sequence[RowRecord]
    ) -> None:
        self._settings = settings
        self._search = search
        self._base = base
        self._passes = {record.id: record for record in passes}
        self._proposer = Proposer(search)
        self._most_rows = len(search.train)
        self.notes: list[str] = []

    async def candidates(self, names: Sequence[str]) -> list[tuple[Candidate, str]]:
        """The bootstrapped program with each set of rules; the budget may hold fewer than are wanted."""
        taught = {name: self._worked(self._search.program.predictors[name]) for name in names}
        for name in [name for name in names if not taught[name]]:
            self.notes.append(f"{name}: no training row says what it should answer, so it gets no rules")
        asked = [name for name in names if taught[name]]
        if not asked:
            return []
        wanted = self._affordable(len(asked))
        numbers = [(number, name) for number in range(wanted) for name in asked]
        found = await self._first_reply(asked[0], taught[asked[0]]) if numbers else []
        asks = [self._ask(number, name, taught[name]) for number, name in numbers[1:]]
        found += await self._proposer.propose(asks)
        self.notes.append(self._proposer.summary())
        sets = [self._base for _ in range(wanted)]
        places = {self._rollout(number, name): number for number, name in numbers}
        for proposal in found:
            place = places[proposal.ask.rollout]
            sets[place] = self._proposer.candidate(sets[place], proposal)
        return [
            (one, f"rules, set {number}") for number, one in enumerate(sets, start=1) if one is not self._base
        ]

    async def _first_reply(self, name: str, worked: Sequence[Shown]) -> list[Proposal]:
        """The first proposal, asked with half of the rows again and again until they fit the model's context."""
        for _ in range(1 + MOST_HALVINGS):
            ask = self._ask(0, name, worked)
            replies = await self._proposer.replies([ask])
            if not replies or not replies[0].too_long or self._most_rows == 1:
                return [reply for reply in replies if not reply.problem]
            self._most_rows = max(1, len(ask.examples) // 2)
            self.notes.append(
                f"{len(ask.examples)} rows are too long for the proposer: it is shown {self._most_rows}"
            )
        return []

    def _affordable(self, predictors: int) -> int:
        """How many sets of rules can be asked for and tried."""
        search, wanted = self._search, self._settings.num_candidates
        dev = len(search.dev)
        tried = search.affordable_rows(wanted * dev) // dev
        asked = self._proposer.affordable(wanted * predictors) // predictors
        if min(tried, asked) < wanted:
            search.short_of_budget = True
        return min(wanted, tried, asked)

    def _ask(self, number: int, name: str, worked: Sequence[Shown]) -> Ask:
        """The same rows for all sets where they fit; else each set is inferred from a sample of its own."""
        rng = self._search.rng("rows for rules", number, name)
        shown = list(worked)
        size = 0
        if len(shown) > self._most_rows or sum(map(_length, shown)) > SHOWN_CHARACTERS:
            rng.shuffle(shown)
        kept: list[Shown] = []
        for one in shown[: self._most_rows]:
            size += _length(one)
            if kept and size > SHOWN_CHARACTERS:
                break
            kept.append(one)
        return Ask(
            predictor=name,
            current=self._current(name),
            examples=tuple(kept),
            rollout=self._rollout(number, name),
            rules=self._settings.num_rules,
        )

    def _current(self, name: str) -> str:
        """The instruction that the rules are added to, with the sentences that have to stand in it."""
        text = self._base.predictors[name].instructions
        keep = self._proposer.keep(self._search.program.predictors[name])
        return "\n".join([text, *(sentence for sentence in keep if sentence not in text)]).strip()

    def _rollout(self, number: int, name: str) -> int:
        return sample_of(self._search, "rules", number, name)

    def _worked(self, predictor: Predictor) -> list[Shown]:
        """What is right for this predictor, row by row: its own call where the row passed, else the row's labels."""
        worked = []
        golds = gold_columns(self._search)
        for example in self._search.train:
            record = self._passes.get(example.id)
            step = (
                next((s for s in reversed(record.asked()) if s.predictor == predictor.name), None)
                if record
                else None
            )
            labels = {f.name: example.row.get(golds.get(f.name, f.name)) for f in predictor.signature.outputs}
            inputs = step.inputs if step is not None else example.row
            expected = {n: v for n, v in labels.items() if v is not None} or (
                dict(step.outputs) if step else {}
            )
            if expected:
                known = {f.name: inputs[f.name] for f in predictor.signature.inputs if f.name in inputs}
                worked.append(
                    Shown(row=example, inputs=known or example.row, given={}, expected=expected, feedback="")
                )
        return worked


def _length(one: Shown) -> int:
    return sum(len(str(value)) for value in (*one.inputs.values(), *one.expected.values()))
