"""Chooses demonstrations for a candidate: those that show what its instruction does not get right yet."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from promptc.optimizers.coverage import Row, covering, described
from promptc.optimizers.demos import gold_columns, labeled_demos, traced_demos, with_demos
from promptc.optimizers.practice import Practice
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate, Demo

NEED_UNKNOWN = 0.5
NEED_PASSED = 0.05
"""How much rows need help that were not run, or passed; one that failed needs 1."""
PASSED = 1.0


class DemoChoice:
    """The demos that training rows can give each predictor, and choices among them."""

    def __init__(self, search: Search, practice: Practice) -> None:
        self._search = search
        self._practice = practice
        golds = gold_columns(search)
        self._labelled = {
            name: {
                demo.row_id: demo for demo in labeled_demos(search, predictor, search.train) if demo.inputs
            }
            for name, predictor in search.program.predictors.items()
        }
        self.rows: list[Row] = described(
            search.train,
            [field.name for field in search.program.inputs],
            [golds.get(field.name, field.name) for field in search.program.outputs],
        )
        search.rng("demos").shuffle(self.rows)

    def covering(self, candidate: Candidate, count: int) -> Candidate:
        """The candidate with so many demos that cover what it fails at; of rows with nothing in common, any."""
        needs = self._needs(candidate)
        chosen = {}
        for name, pool in self._pools(candidate).items():
            rows = [row for row in self.rows if row.example.id in pool]
            ids = [row.example.id for row in covering(rows, needs, count)]
            rest = [row.example.id for row in rows if row.example.id not in ids]
            rest = [row_id for row_id in rest if needs[row_id] >= NEED_UNKNOWN]
            chosen[name] = tuple(pool[row_id] for row_id in [*ids, *rest][:count])
        return self._with(candidate, chosen)

    def random(self, candidate: Candidate, count: int, rng: Random) -> Candidate:
        """The candidate with so many demos drawn at random."""
        chosen = {}
        for name, pool in self._pools(candidate).items():
            rows = [row.example.id for row in self.rows if row.example.id in pool]
            chosen[name] = tuple(pool[row_id] for row_id in rng.sample(rows, min(count, len(rows))))
        return self._with(candidate, chosen)

    def copied(self, source: Candidate, candidate: Candidate) -> Candidate:
        """The candidate with the demos of another one."""
        return self._with(candidate, {name: texts.demos for name, texts in source.predictors.items()})

    def without(self, candidate: Candidate) -> Candidate:
        """The candidate with the demos that the search started with."""
        start = self._search.start
        return self._with(candidate, {name: texts.demos for name, texts in start.predictors.items()})

    def count(self, candidate: Candidate) -> int:
        """How many demos it shows at most in one prompt."""
        return max((len(texts.demos) for texts in candidate.predictors.values()), default=0)

    def _with(self, candidate: Candidate, demos: Mapping[str, tuple[Demo, ...]]) -> Candidate:
        return with_demos(self._search.program, candidate, demos)

    def _pools(self, candidate: Candidate) -> dict[str, dict[str, Demo]]:
        """Per predictor a demo for each row that can give one: from the candidate's own trace where it passed."""
        pools = {name: dict(pool) for name, pool in self._labelled.items()}
        for row in self.rows:
            record = self._practice.record(candidate, row.example)
            if record is None or record.failure is not None or record.score != PASSED:
                continue
            for name, demo in traced_demos(record).items():
                if name in pools:
                    pools[name][row.example.id] = demo
        return pools

    def _needs(self, candidate: Candidate) -> dict[str, float]:
        needs = {}
        for row in self.rows:
            record = self._practice.record(candidate, row.example)
            score = record.score if record is not None else None
            needs[row.example.id] = NEED_UNKNOWN if score is None else max(NEED_PASSED, 1.0 - score)
        return needs
