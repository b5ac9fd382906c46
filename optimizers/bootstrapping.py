"""Collects traces of a teacher that passed the metric, to become demonstrations.

The peer runs rows one after the other and starts over for each candidate. Here rows go out in waves (the lowest index
wins within one, started calls are finished and charged), and a row that was run once is not run again: every
candidate set draws from the same outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from promptc.optimizers.demos import choosing, labeled_demos, traced_demos, without_row
from promptc.optimizers.labeled_few_shot import labeled_candidate
from promptc.optimizers.search import Search
from promptc.runners.asking import Predictor
from promptc.runners.candidate import Candidate, Demo
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

GRADED_PASS = 0.7
"""What passes without a `threshold` where scores are graded. Pass/fail scores pass at 1."""


class Wanted(msgspec.Struct, frozen=True):
    """A set of demos to collect: rows in the order in which they are tried, and how many passes are enough."""

    order: tuple[Example, ...]
    quota: int


class Teacher:
    """Runs training rows, with labelled demos in its prompt and never the row itself, and remembers what passed."""

    def __init__(
        self,
        search: Search,
        *,
        max_labeled_demos: int,
        max_rounds: int,
        threshold: float | None,
        wave: int,
    ) -> None:
        self._search = search
        self._candidate = labeled_candidate(search, max_labeled_demos) if max_labeled_demos else search.start
        self._rounds = max_rounds
        self._wave = wave
        self._threshold = (
            threshold if threshold is not None else (1.0 if search.judge.binary else GRADED_PASS)
        )
        self._outcomes: dict[str, RowRecord | None] = {}
        self._best_failed = 0.0

    async def collect(self, wanted: Sequence[Wanted]) -> list[list[RowRecord]]:
        """For each wanted set its first passes in order; fewer where the rows, or the budget, ran out."""
        while True:
            needed: dict[str, Example] = {}
            for each in wanted:
                needed.update((e.id, e) for e in self._next_rows(each))
            if not needed:
                break
            before = len(self._outcomes)
            await self._run(list(needed.values()))
            if len(self._outcomes) == before:
                break
        return [self._passes(each) for each in wanted]

    def summary(self) -> str:
        """How many rows passed, in words."""
        passed = sum(record is not None for record in self._outcomes.values())
        text = f"{passed} of {len(self._outcomes)} training rows passed at threshold {self._threshold:g}"
        if not passed and self._outcomes:
            text += f"; the best scored {self._best_failed:.2f}: lower `threshold`, or name a stronger `models.teacher`"
        return text

    def _passes(self, wanted: Wanted) -> list[RowRecord]:
        passed = (self._outcomes.get(example.id) for example in wanted.order)
        return [record for record in passed if record is not None][: wanted.quota]

    def _next_rows(self, wanted: Wanted) -> list[Example]:
        """The next wave of rows that the set still needs; empty when it has enough, or all were run."""
        passes = 0
        unknown: list[Example] = []
        for example in wanted.order:
            if passes >= wanted.quota or len(unknown) >= self._wave:
                break
            if example.id not in self._outcomes:
                unknown.append(example)
            elif not unknown and self._outcomes[example.id] is not None:
                passes += 1
        return unknown if passes < wanted.quota else []

    async def _run(self, rows: Sequence[Example]) -> None:
        waiting = list(rows)
        for attempt in range(self._rounds):
            if not waiting:
                return
            records = await self._attempt(waiting, attempt)
            for example in waiting:
                record = records.get(example.id)
                if record is not None:
                    self._outcomes[example.id] = record if self._passed(record) else None
            waiting = [e for e in waiting if e.id in self._outcomes and self._outcomes[e.id] is None]

    async def _attempt(self, rows: Sequence[Example], attempt: int) -> dict[str, RowRecord]:
        """Run rows, each with a prompt that does not hold it; what the budget left out is missing."""
        shared: list[Example] = []
        alone: list[tuple[Candidate, Sequence[Example]]] = []
        choose = choosing(self._search.program, self._candidate)
        for example in rows:
            candidate = without_row(self._candidate, example, choose)
            if candidate is self._candidate:
                shared.append(example)
            else:
                alone.append((candidate, [example]))
        groups = await self._search.run_rows(
            [(self._candidate, shared), *alone], role="teacher", rollout=attempt
        )
        records = (record for group in groups for record in group)
        return {r.id: r for r in records if r.failure is None or r.failure.kind != "budget"}

    def _passed(self, record: RowRecord) -> bool:
        if record.score is None or record.failure is not None:
            return False
        if record.score >= self._threshold:
            return True
        self._best_failed = max(self._best_failed, record.score)
        return False


def demos_of(
    search: Search, passes: Sequence[RowRecord], max_labeled_demos: int, purpose: object
) -> Mapping[str, tuple[Demo, ...]]:
    """Per predictor the bootstrapped demos of the passes, filled up with labelled ones to `max_labeled_demos`."""
    traced = [traced_demos(record) for record in passes]
    used = {record.id for record in passes}
    rest = [e for e in search.train if e.id not in used]
    return {
        name: _filled(
            search, predictor, [d[name] for d in traced if name in d], rest, max_labeled_demos, purpose
        )
        for name, predictor in search.program.predictors.items()
    }


def _filled(
    search: Search,
    predictor: Predictor,
    bootstrapped: Sequence[Demo],
    rest: Sequence[Example],
    max_labeled_demos: int,
    purpose: object,
) -> tuple[Demo, ...]:
    missing = max(0, max_labeled_demos - len(bootstrapped))
    pool = labeled_demos(search, predictor, rest) if missing else ()
    rng = search.rng("fill", predictor.name, purpose)
    return (*bootstrapped, *rng.sample(pool, min(missing, len(pool))))
