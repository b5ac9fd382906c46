"""The state of a `gepa` search and its two moves: mutate by reflection, and merge.

Source: Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", 2025,
arXiv 2507.19457, algorithm 1 and the appendix on Merge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from promptc.optimizers.demos import gold_columns
from promptc.optimizers.gepa_merge import propose_merge, telling_rows
from promptc.optimizers.gepa_selection import Pool, select_parent
from promptc.optimizers.minibatches import Minibatches
from promptc.optimizers.proposal import Ask, Proposal, shown
from promptc.optimizers.proposing import Proposer, open_predictors, sample_of
from promptc.optimizers.search import Search, Trial
from promptc.optimizers.stopping import Stopping
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.gepa import Gepa

MOST_STEPS = 10_000
"""Mutations after which even a search that costs nothing ends."""
PERFECT = 1.0
"""The score of a row that leaves nothing to learn."""


class _Step(msgspec.Struct, frozen=True):
    """One mutation under way: its number, the parent's place in the pool, and the minibatch."""

    number: int
    parent: int
    rows: tuple[Example, ...]


class _Child(msgspec.Struct, frozen=True):
    """A candidate that waits to join the pool: whose it is, and how it came about."""

    candidate: Candidate
    parents: tuple[int, ...]
    origin: str


class Evolution:
    """The pool of candidates, what was spent, and what is due. `most_runs` bounds program runs on train and dev."""

    def __init__(self, settings: Gepa, search: Search, start: Trial, most_runs: float) -> None:
        self._settings = settings
        self._search = search
        self._components = open_predictors(search.program)
        self._pool = Pool(start, search.objectives)
        self._proposer = Proposer(search, max_characters=settings.max_characters)
        self._minibatches = Minibatches(search, settings.minibatch)
        self._stopping = Stopping(search, settings.stop_at_score, settings.no_improvement)
        self._golds = gold_columns(search)
        self._merging = settings.use_merge and len(self._components) > 1
        self._most_runs = most_runs
        self._runs = len(search.dev)
        self._steps = 0
        self._looked_at = 0
        self._perfect_in_a_row = 0
        self._checked = 0
        self._better = 0
        self._merges_due = 0
        self._merges_tried = 0
        self._merges_done = 0
        self._found_one = False
        self._short = False

    def goes_on(self) -> bool:
        """False once a stop rule or the budget ends the search."""
        rounds, self._looked_at = self._steps - self._looked_at, self._steps
        if not self._components or self._stopping.met(rounds):
            return False
        if self._short:
            self._search.stop_reason = "budget"
            return False
        most = self._settings.max_trials
        if most is not None and len(self._pool.trials) > most:
            return False
        if self._all_right() or self._steps >= MOST_STEPS:
            return False
        return self._room() > 0 and self._search.may_go_on("iteration")

    async def mutate(self) -> None:
        """Select parents, gather feedback on minibatches, rewrite prompts; a child that is better there joins."""
        steps = [self._next_step() for _ in range(self._room())]
        results = await self._run([(self._pool.trials[step.parent].candidate, step.rows) for step in steps])
        before = {step.number: records for step, records in zip(steps, results, strict=False)}
        proposals = await self._proposals([step for step in steps if step.number in before], before)
        children = self._children(steps, proposals)
        results = await self._run([(child.candidate, step.rows) for step, child in children])
        self._checked += len(results)
        better = [
            child
            for (step, child), after in zip(children, results, strict=False)
            if self._is_better(before[step.number], after)
        ]
        self._better += len(better)
        added = await self._take_in(better)
        self._found_one = added > 0
        self._merges_due += min(added, self._settings.max_merges - self._merges_done - self._merges_due)

    def merge_is_due(self) -> bool:
        """True when the last iteration brought a candidate, and not all merges are used up."""
        return self._merging and self._found_one and self._merges_due > 0

    async def merge(self) -> None:
        """Cross two survivors of the front; the child joins if it is no worse than both on a few telling dev rows."""
        self._found_one = False
        self._merges_tried += 1
        rng = self._search.rng("merge", self._merges_tried)
        found = propose_merge(self._pool, self._components, rng, self._pool.known())
        if found is None:
            return
        places = telling_rows(self._pool, found.first, found.second, self._settings.merge_rows, rng)
        results = await self._run([(found.child, [self._search.dev[place] for place in places])])
        parents = [
            [self._pool.trials[one].records[place] for place in places] for one in (found.first, found.second)
        ]
        if not results or _total(results[0]) < max(_total(records) for records in parents):
            return
        origin = f"merge of {self._name(found.first)} and {self._name(found.second)}"
        if await self._take_in([_Child(found.child, (found.first, found.second), origin)]):
            self._merges_due -= 1
            self._merges_done += 1

    def summary(self) -> list[str]:
        """What happened, in words."""
        lines = [
            f"{self._steps} iterations; {self._proposer.summary()}; "
            f"{self._better} of {self._checked} children were better on their minibatch"
        ]
        if self._merging:
            lines.append(f"{self._merges_done} of {self._merges_tried} merges were taken in")
        if self._all_right():
            lines.append("every minibatch of a whole epoch was right: there is nothing left to reflect on")
        return lines if self._components else ["freeze: leaves no instruction that gepa could change"]

    def _all_right(self) -> bool:
        return self._perfect_in_a_row >= self._minibatches.per_epoch

    def _room(self) -> int:
        """How many mutations fit with the passes over dev that they may earn, at most a wave; none stops the search."""
        search, settings = self._search, self._settings
        rows = max(2 * self._minibatches.size, settings.merge_rows if self._merging else 0)
        whole = rows + len(search.dev)
        room = int(min(settings.wave, (self._most_runs - self._runs) // whole))
        if room < 1:
            return 0
        affordable = search.affordable_rows(room * whole) // whole
        asks = len(self._components) if settings.components == "all" else 1
        room = min(room, affordable, self._proposer.affordable(room * asks) // asks)
        if room < 1 and search.stop_reason == "finished":
            search.stop_reason = "budget"
        return max(0, room)

    def _next_step(self) -> _Step:
        settings = self._settings
        self._steps += 1
        rng = self._search.rng("parent", self._steps)
        parent = select_parent(
            self._pool, settings.selector, rng, epsilon=settings.epsilon, top_k=settings.top_k
        )
        return _Step(self._steps, parent, self._minibatches.take())

    async def _proposals(
        self, steps: Sequence[_Step], before: Mapping[int, tuple[RowRecord, ...]]
    ) -> dict[int, list[Proposal]]:
        """What the proposer makes of the minibatches, as one phase, by the number of the step."""
        asks: list[Ask] = []
        owners: dict[int, int] = {}
        for step in steps:
            for ask in self._asks(step, before[step.number]):
                asks.append(ask)
                owners[id(ask)] = step.number
        found: dict[int, list[Proposal]] = {}
        for proposal in await self._proposer.propose(asks):
            found.setdefault(owners[id(proposal.ask)], []).append(proposal)
        return found

    def _asks(self, step: _Step, records: tuple[RowRecord, ...]) -> list[Ask]:
        """What to ask the proposer after a minibatch; nothing where the parent left nothing to learn."""
        scores = [record.score for record in records if record.score is not None]
        skipped = bool(scores) and self._settings.skip_perfect and min(scores) >= PERFECT
        self._perfect_in_a_row = self._perfect_in_a_row + 1 if skipped else 0
        if skipped or not scores:
            return []
        if self._settings.components == "all":
            names: Sequence[str] = self._components
        else:
            names = [self._pool.turn(step.parent, self._components)]
        return [self._ask(step, name, records) for name in names]

    def _ask(self, step: _Step, name: str, records: tuple[RowRecord, ...]) -> Ask:
        predictor = self._search.program.predictors[name]
        pairs = zip(records, step.rows, strict=True)
        return Ask(
            predictor=name,
            current=self._pool.trials[step.parent].candidate.predictors[name].instructions,
            examples=tuple(shown(record, row, predictor, self._golds) for record, row in pairs),
            rollout=sample_of(self._search, step.number, name),
        )

    def _children(
        self, steps: Sequence[_Step], proposals: Mapping[int, Sequence[Proposal]]
    ) -> list[tuple[_Step, _Child]]:
        """The parents with what was proposed for them, but for those that the pool or the wave has already."""
        children = []
        known = self._pool.known()
        for step in steps:
            mine = proposals.get(step.number, [])
            candidate = self._pool.trials[step.parent].candidate
            for proposal in mine:
                candidate = self._proposer.candidate(candidate, proposal)
            if candidate.digest() in known:
                continue
            known.add(candidate.digest())
            origin = f"mutation of {self._name(step.parent)}"
            if len(self._components) > 1:
                origin += f": {', '.join(proposal.ask.predictor for proposal in mine)}"
            children.append((step, _Child(candidate, (step.parent,), origin)))
        return children

    def _is_better(self, before: Sequence[RowRecord], after: Sequence[RowRecord]) -> bool:
        """The child's sum against the parent's, over the rows on which both have a score."""
        pairs = [
            (old.score, new.score)
            for old, new in zip(before, after, strict=True)
            if old.score is not None and new.score is not None
        ]
        old_sum, new_sum = sum(old for old, _ in pairs), sum(new for _, new in pairs)
        return bool(pairs) and (new_sum > old_sum or (self._settings.accept_equal and new_sum == old_sum))

    async def _take_in(self, children: Sequence[_Child]) -> int:
        """Score children on all of dev and add them to the pool; returns how many came in."""
        trials = await self._search.try_all([(child.candidate, child.origin) for child in children])
        self._runs += len(trials) * len(self._search.dev)
        parents = {child.candidate.digest(): child.parents for child in children}
        valid = [trial for trial in trials if trial.valid]
        for trial in valid:
            self._pool.add(trial, parents[trial.candidate.digest()])
        return len(valid)

    async def _run(self, pairs: Sequence[tuple[Candidate, Sequence[Example]]]) -> list[tuple[RowRecord, ...]]:
        """The records of those pairs, in order, that the budget held whole; the search ends where it did not."""
        results = await self._search.run_rows(pairs, role="task")
        whole = []
        for (_, rows), records in zip(pairs, results, strict=False):
            if len(records) < len(rows) or any(r.failure and r.failure.kind == "budget" for r in records):
                break
            whole.append(records)
        self._runs += sum(map(len, whole))
        self._short = self._short or len(whole) < len(pairs)
        return whole

    def _name(self, place: int) -> str:
        """A candidate of the pool by the number of its trial."""
        return f"trial {self._pool.trials[place].number}"


def _total(records: Sequence[RowRecord]) -> float:
    """The sum of the scores; a row without one counts as nothing."""
    return sum(record.score for record in records if record.score is not None)
