"""The state of a `simba` search and its step: try, contrast, change, compare.

Source: DSPy's optimizer SIMBA; there is no paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from promptc.optimizers.demos import open_to_demos
from promptc.optimizers.minibatches import Minibatches
from promptc.optimizers.proposing import Proposer, open_predictors
from promptc.optimizers.search import Search, valid_mean
from promptc.optimizers.simba_pool import Pool
from promptc.optimizers.simba_strategies import Bucket, Draft, Strategies, Try, buckets_of
from promptc.runners.asking import Role
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.program import Program
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.simba import Simba

Named = tuple[Candidate, str]
"""A candidate and where it comes from."""


def has_teacher(program: Program) -> bool:
    """True when the first try at each row is the teacher's."""
    return "teacher" in program.spec.models


class Ascent:
    """The pool of programs, and what was made of the rows."""

    def __init__(self, settings: Simba, search: Search) -> None:
        self._settings = settings
        self._search = search
        self._minibatches = Minibatches(search, settings.minibatch)
        self._proposer = Proposer(search)
        self._strategies = Strategies(
            search,
            self._proposer,
            max_demos=settings.max_demos,
            max_input_characters=settings.max_input_characters,
        )
        self._pool = Pool(search.start, top=settings.num_candidates)
        self._steps = 0
        self._made = 0

    def goes_on(self) -> bool:
        """False after the last step, or where the budget holds no further row; at once where all is frozen."""
        if not self._may_change_anything() or self._steps >= self._settings.max_steps:
            return False
        return self._room() > 0 and self._search.may_go_on("step")

    async def step(self) -> Named | None:
        """Try rows, make candidates of those whose tries differ most, keep all; the best of them on these rows."""
        rows = self._minibatches.take()[: self._room()]
        self._steps += 1
        self._search.now(f"step {self._steps}: tries")
        tries = await self._tries(rows)
        expected = _expected(tries)
        for one in tries:
            if one.program is not None:
                self._pool.judge(one.program, [one.score - expected[one.row.id]])
        self._search.now(f"step {self._steps}: candidates")
        return await self._best_of(await self._drafts(buckets_of(tries)), rows, expected)

    def notes(self) -> list[str]:
        """What happened, in words."""
        if not self._may_change_anything():
            return ["freeze: leaves nothing that simba could change"]
        lines = [f"{self._steps} steps; {self._made} candidates ({self._strategies.summary()})"]
        return [*lines, self._proposer.summary()] if self._proposer.asked else lines

    def _may_change_anything(self) -> bool:
        program = self._search.program
        return bool(open_predictors(program) or (self._settings.max_demos and open_to_demos(program)))

    def _room(self) -> int:
        """How many rows the next step may look at: what the budget holds beside a pass over dev."""
        search, size = self._search, self._minibatches.size
        each, kept = 2 * self._settings.num_candidates + 1, len(search.dev)
        room = (search.affordable_rows(size * each + kept) - kept) // each
        search.short_of_budget = search.short_of_budget or room < size
        return room

    async def _tries(self, rows: Sequence[Example]) -> list[Try]:
        """Each row several times: each time another sample, and a program drawn by its standing."""
        count, taught = self._settings.num_candidates, has_teacher(self._search.program)
        rng = self._search.rng("programs", self._steps)
        samples: list[tuple[Candidate, list[Example], Role, int]] = []
        owners: list[int | None] = []
        for number in range(count):
            drawn: dict[int, list[Example]] = {}
            for row in rows:
                drawn.setdefault(self._pool.draw(rng, self._settings.sampling_temperature), []).append(row)
            role: Role = "teacher" if taught and number == 0 else "task"
            for place, mine in sorted(drawn.items()):
                rollout = (self._steps - 1) * count + number
                samples.append((self._pool.candidate(place), mine, role, rollout))
                owners.append(None if role == "teacher" else place)
        results = await self._search.run_samples(samples)
        return [
            Try(row=row, record=record, score=record.score, program=owner)
            for (_, mine, *_), owner, records in zip(samples, owners, results, strict=False)
            for row, record in zip(mine, records, strict=False)
            if record.score is not None
        ]

    async def _drafts(self, buckets: Sequence[Bucket]) -> list[Draft]:
        """What becomes of the rows, in order, until there are enough candidates; none that is known already."""
        rng = self._search.rng("strategies", self._steps)
        drafts: list[Draft] = []
        for bucket in buckets:
            if len(drafts) > self._settings.num_candidates:
                break
            source = self._pool.candidate(self._pool.draw(rng, self._settings.candidate_temperature))
            draft = self._strategies.draft(bucket, source, rng)
            if draft is not None:
                drafts.append(draft)
        known = self._pool.known()
        found = []
        for draft in await self._strategies.carried_out(drafts):
            if draft.candidate.digest() not in known:
                known.add(draft.candidate.digest())
                found.append(draft)
        return found

    async def _best_of(
        self, drafts: Sequence[Draft], rows: Sequence[Example], expected: Mapping[str, float]
    ) -> Named | None:
        """Run the candidates on the step's rows and take them in; the best one, of equals the shorter."""
        results = await self._search.run_rows([(draft.candidate, rows) for draft in drafts], role="task")
        ranked: list[tuple[float, int, int]] = []
        for place, (draft, records) in enumerate(zip(drafts, results, strict=False)):
            score = self._score(records) if len(records) == len(rows) else None
            if score is None:
                continue
            self._made += 1
            gains = [r.score - expected[r.id] for r in records if r.score is not None and r.id in expected]
            self._pool.judge(self._pool.add(draft.candidate), gains)
            length = self._search.program.compile(draft.candidate).prompt_characters()
            ranked.append((-round(score, 12), length, place))
        if not ranked:
            return None
        winner = drafts[min(ranked)[2]]
        return winner.candidate, f"step {self._steps}: {winner.origin}"

    def _score(self, records: Sequence[RowRecord]) -> float | None:
        if any(record.failure is not None and record.failure.kind == "budget" for record in records):
            return None
        return valid_mean(records, self._search.program.spec.run.max_unscored)


def _expected(tries: Sequence[Try]) -> dict[str, float]:
    """What a try at each row scores on average."""
    scores: dict[str, list[float]] = {}
    for one in tries:
        scores.setdefault(one.row.id, []).append(one.score)
    return {row: sum(mine) / len(mine) for row, mine in scores.items()}
