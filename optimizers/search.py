"""The search core that every optimizer shares: trials on dev, a budget, a best so far, reasons to stop.

A search is a deterministic function of spec, data, seed and effects. Optimizers hand it candidates; it admits them to
the budget in program order, evaluates them as one phase, and keeps the records.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from promptc.optimizers.demos import choosing, without_row
from promptc.optimizers.front import undominated
from promptc.runners.asking import Role
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import Arm, Evaluator, RowRecord
from promptc.runners.judging import Judge
from promptc.runners.ledger import Amount, scaled
from promptc.runners.objectives import Objective
from promptc.runners.program import Program
from promptc.runners.rows import Example
from promptc.spec.errors import Untrusted

StopReason = Literal["finished", "budget", "score", "no_improvement", "minutes", "stop_file"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate with its records on dev.

    `score` is the mean over the scored rows, None where the trial is invalid: too many rows without a score say
    nothing about the candidate. `spent` is what the run had asked for when the trial was done. `figures` has a value
    for each objective, where there are several.
    """

    number: int
    candidate: Candidate
    origin: str
    records: tuple[RowRecord, ...]
    score: float | None
    prompt_characters: int
    spent: Amount = Amount()
    figures: dict[str, float | None] = {}

    @property
    def valid(self) -> bool:
        """True when the score says something about the candidate."""
        return self.score is not None


class Search:
    """What an optimizer works on.

    `train` is for learning from, `dev` for choosing; there is no test split in here. `report` is told of each trial,
    `announce` of what is tried between trials. `objectives` are there where the spec names several. `tuned` is the
    start with choices made under `tune:`, where these were better in a race.
    """

    def __init__(
        self,
        program: Program,
        evaluator: Evaluator,
        *,
        start: Candidate,
        train: Sequence[Example],
        dev: Sequence[Example],
        seed: int,
        judge: Judge,
        objectives: Sequence[Objective] = (),
        report: Callable[[Trial, Trial], None] | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.program = program
        self.evaluator = evaluator
        self.start = start
        self.train = tuple(train)
        self.dev = tuple(dev)
        self.judge = judge
        self.objectives = tuple(objectives)
        self.trials: list[Trial] = []
        self.notes: list[str] = []
        self.stop_reason: StopReason = "finished"
        self.short_of_budget = False
        self.tuned: Candidate | None = None
        self._seed = seed
        self._report = report
        self._announce = announce

    def now(self, what: str) -> None:
        """Say what is tried now, to whoever watches."""
        if self._announce is not None:
            self._announce(what)

    def rng(self, *purpose: object) -> random.Random:
        """A random generator for one purpose: equal for equal seed and purpose, whatever was drawn elsewhere."""
        return random.Random(repr((self._seed, *purpose)))

    async def begin(self) -> Trial:
        """Evaluate the start: it is always a candidate. Raises Untrusted when its score means nothing.

        Where choices under `tune:` are better on dev, the search goes on from there, with the program that they make.
        """
        tuned = [(self.tuned, "tune")] if self.tuned is not None else []
        trials = await self.try_all([(self.start, "start"), *tuned])
        if trials and not trials[0].valid:
            raise Untrusted(
                "too many rows of the start have no score, so a search would compare noise",
                _first_failure(trials[0].records),
            )
        if not trials:
            return self._untried()
        last = trials[-1]
        if last is not trials[0] and last.score is not None and last.score >= (trials[0].score or 0.0):
            self.start = last.candidate
            self.program = self.program.variant(last.candidate.choices)
            return last
        return trials[0]

    async def try_all(self, proposals: Sequence[tuple[Candidate, str]]) -> list[Trial]:
        """Evaluate candidates on all of dev as one phase: those that the budget holds, in order.

        A candidate that was tried before is not tried again. Fewer trials than proposals set the stop reason.
        """
        known = {trial.candidate.digest() for trial in self.trials}
        fresh: list[tuple[Candidate, str]] = []
        for candidate, origin in proposals:
            if candidate.digest() not in known:
                known.add(candidate.digest())
                fresh.append((candidate, origin))
        if not fresh or not self.may_go_on("trials"):
            return []
        arms = [Arm(compiled=self.program.compile(candidate)) for candidate, _ in fresh]
        admitted = self._admitted(arms)
        if admitted < len(fresh):
            self.stop_reason = "budget"
        if not admitted:
            return []
        results = await self._evaluated([(arm, self.dev) for arm in arms[:admitted]])
        return [
            self._trial(arm, origin, records)
            for arm, (_, origin), records in zip(arms[:admitted], fresh, results, strict=False)
        ]

    async def run_rows(
        self, candidate_rows: Sequence[tuple[Candidate, Sequence[Example]]], *, role: Role, rollout: int = 0
    ) -> list[tuple[RowRecord, ...]]:
        """Run candidates on chosen rows, for learning: what the budget does not hold is left out, from the end.

        Each row is run once, whatever `run.repeat` says: what is learned from is one run, not a mean of several.

        One pass over dev is kept back, so that what was learned can be tried.
        """
        return await self.run_samples([(c, rows, role, rollout) for c, rows in candidate_rows])

    async def run_samples(
        self, samples: Sequence[tuple[Candidate, Sequence[Example], Role, int]]
    ) -> list[tuple[RowRecord, ...]]:
        """The same where each candidate runs as a role, and as a sample of its model's replies, of its own."""
        arms = [
            (Arm(compiled=self.program.compile(c), role=role, rollout=rollout, once=True), tuple(rows))
            for c, rows, role, rollout in samples
            if rows
        ]
        if not arms or not self.may_go_on("rows"):
            return []
        wanted = sum(len(rows) for _, rows in arms)
        ledger = self.evaluator.effects.ledger
        dev_pass = self.evaluator.row_estimate(Arm(compiled=self.program.compile(self.start)), self.dev)
        ledger.reserve("a trial", scaled(dev_pass, len(self.dev)))
        room = ledger.largest(self._mean_estimate(arms), wanted)
        ledger.release("a trial")
        self.short_of_budget = self.short_of_budget or room < wanted
        pairs = []
        for arm, rows in arms:
            if room > 0:
                pairs.append((arm, rows[:room]))
            room -= len(rows)
        return await self._evaluated(pairs) if pairs else []

    def affordable_rows(self, wanted: int, *, role: Role = "task") -> int:
        """How many program runs the budget holds, of so many that are wanted, at what one is expected to cost."""
        arm = Arm(compiled=self.program.compile(self.start), role=role)
        per_row = self.evaluator.row_estimate(arm, self.train)
        return self.evaluator.effects.ledger.largest(per_row, wanted)

    @contextlib.contextmanager
    def keeping(self, rows: int) -> Iterator[None]:
        """Keep the price of so many program runs on dev back, while something else is paid for."""
        ledger = self.evaluator.effects.ledger
        per_row = self.evaluator.row_estimate(Arm(compiled=self.program.compile(self.start)), self.dev)
        ledger.reserve("runs to come", scaled(per_row, rows))
        try:
            yield
        finally:
            ledger.release("runs to come")

    def choose_on(self, rows: int) -> None:
        """Choose on the first rows of dev alone, where the budget does not hold passes over all of it.

        Dev is in the order of a hash, so its beginning is a fair sample. Before `begin`.
        """
        self.dev = self.dev[: max(1, rows)]

    def may_go_on(self, label: str) -> bool:
        """False once the clock or a stop file ended the search, or the budget did."""
        if self.stop_reason != "finished":
            return False
        if not self.evaluator.effects.clock_allows(label):
            self.stop_reason = "stop_file" if self.evaluator.effects.stop_reason == "stop_file" else "minutes"
            return False
        return True

    def best(self) -> Trial:
        """The trial with the highest dev mean; of equals the one that is better by the next objective, the shorter
        prompt, the earlier one.
        """
        return (
            min((trial for trial in self.trials if trial.valid), key=self._rank, default=None)
            or self._untried()
        )

    def front(self) -> list[Trial]:
        """The valid trials that no other beats at one objective without losing at another, the best one first."""
        ranked = sorted((trial for trial in self.trials if trial.valid), key=self._rank)
        return [ranked[place] for place in undominated([self._merits(trial) for trial in ranked])]

    def _rank(self, trial: Trial) -> tuple[float, list[float], int, int]:
        """Sorts the best trial first."""
        others = [-merit for merit in self._merits(trial)[1:]]
        return (-round(trial.score or 0.0, 12), others, trial.prompt_characters, trial.number)

    def _merits(self, trial: Trial) -> list[float]:
        return [one.merit(trial.figures.get(one.name)) for one in self.objectives]

    async def _evaluated(
        self, wanted: Sequence[tuple[Arm, Sequence[Example]]]
    ) -> list[tuple[RowRecord, ...]]:
        """Each arm's records on its rows, as one phase. A row that is one of its own demos is asked without that demo.

        This matters where a search starts from demos of train, and where train and dev are the same rows because
        there are too few to part them: a prompt that holds the answer would look perfect.
        """
        pairs: list[tuple[Arm, list[Example]]] = []
        places: list[list[tuple[int, int]]] = []
        for arm, rows in wanted:
            shared: list[Example] = []
            mine: list[tuple[int, int]] = []
            whole, choose = len(pairs), choosing(self.program, arm.compiled.candidate)
            pairs.append((arm, shared))
            for example in rows:
                candidate = without_row(arm.compiled.candidate, example, choose)
                if candidate is arm.compiled.candidate:
                    mine.append((whole, len(shared)))
                    shared.append(example)
                else:
                    mine.append((len(pairs), 0))
                    alone = msgspec.structs.replace(arm, compiled=self.program.compile(candidate))
                    pairs.append((alone, [example]))
            places.append(mine)
        results = await self.evaluator.evaluate_pairs(pairs)
        return [tuple(results[group][place] for group, place in mine) for mine in places]

    def _mean_estimate(self, arms: Sequence[tuple[Arm, Sequence[Example]]]) -> dict[str, Amount]:
        """What one row of the arms is expected to cost, over all of them."""
        whole: dict[str, Amount] = {}
        for arm, rows in arms:
            for role, amount in self.evaluator.row_estimate(arm, self.train).items():
                whole[role] = whole.get(role, Amount()) + amount * len(rows)
        return scaled(whole, 1 / sum(len(rows) for _, rows in arms))

    def _admitted(self, arms: Sequence[Arm]) -> int:
        """How many of the candidates the budget holds, whole."""
        estimates = [scaled(self.evaluator.row_estimate(arm, self.dev), len(self.dev)) for arm in arms]
        largest = {
            role: max((e[role] for e in estimates), key=lambda a: (a.calls, a.usd)) for role in estimates[0]
        }
        return self.evaluator.effects.ledger.largest(largest, len(arms))

    def _trial(self, arm: Arm, origin: str, records: tuple[RowRecord, ...]) -> Trial:
        trial = Trial(
            number=len(self.trials),
            candidate=arm.compiled.candidate,
            origin=origin,
            records=records,
            score=valid_mean(records, self.program.spec.run.max_unscored),
            prompt_characters=arm.compiled.prompt_characters(),
            spent=self.evaluator.effects.ledger.spent,
            figures={one.name: one.figure(records) for one in self.objectives},
        )
        self.trials.append(trial)
        if any(r.failure is not None and r.failure.kind == "budget" for r in records):
            self.stop_reason = "budget"
        if self._report is not None:
            self._report(trial, self.best())
        return trial

    def _untried(self) -> Trial:
        compiled = self.program.compile(self.start)
        return Trial(
            number=0,
            candidate=self.start,
            origin="start",
            records=(),
            score=None,
            prompt_characters=compiled.prompt_characters(),
        )


def valid_mean(records: Sequence[RowRecord], max_unscored: float) -> float | None:
    """The mean score; None when more than `max_unscored` of the rows failed without a score, or none has one."""
    scores = [record.score for record in records if record.score is not None]
    unscored = sum(1 for r in records if r.failure is not None and not r.failure.scored)
    if not scores or unscored > max_unscored * len(records):
        return None
    return sum(scores) / len(scores)


def _first_failure(records: Sequence[RowRecord]) -> str:
    for record in records:
        if record.failure is not None and not record.failure.scored:
            return f"row {record.id}: {record.failure.kind}: {record.failure.message}"
    return "no metric could judge any row: is the gold column there?"
