"""What a `simba` step makes of a row: its best try as a demonstration, or advice from what set it apart from the worst.

Source: DSPy's optimizer SIMBA; there is no paper.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.optimizers.demos import gold_columns, open_to_demos, traced_demos, with_demos
from promptc.optimizers.proposal import Ask, Shown, shown
from promptc.optimizers.proposing import Proposer, open_predictors, sample_of
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate, Demo
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a row, with its score; `program` is its place in the pool, None for the teacher's."""

    row: Example
    record: RowRecord
    score: float
    program: int | None


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The tries at one row, best first, and the scores between which all tries but the outer tenths lie."""

    tries: tuple[Try, ...]
    low: float
    high: float

    @property
    def best(self) -> Try:
        """The best try, the first of equals."""
        return self.tries[0]

    @property
    def worst(self) -> Try:
        """The worst try, the last of equals."""
        return self.tries[-1]

    def order(self) -> tuple[float, float, float]:
        """Sorts those first that tell most: by the gap between best and worst, the best, and its lead on the mean."""
        best = self.best.score
        mean = sum(one.score for one in self.tries) / len(self.tries)
        return (self.worst.score - best, -best, mean - best)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in the making: what it will be called, and the advice that it still waits for."""

    candidate: Candidate
    origin: str
    asks: tuple[Ask, ...] = ()


def buckets_of(tries: Sequence[Try]) -> list[Bucket]:
    """The rows with their tries, those that tell most first."""
    if not tries:
        return []
    low, high = tenths([one.score for one in tries])
    by_row: dict[str, list[Try]] = {}
    for one in tries:
        by_row.setdefault(one.row.id, []).append(one)
    buckets = [
        Bucket(tries=tuple(sorted(mine, key=lambda one: -one.score)), low=low, high=high)
        for mine in by_row.values()
    ]
    return sorted(buckets, key=Bucket.order)


def tenths(scores: Sequence[float]) -> tuple[float, float]:
    """The 10th and the 90th percentile, interpolated between neighbours."""
    if len(scores) == 1:
        return scores[0], scores[0]
    cuts = statistics.quantiles(scores, n=10, method="inclusive")
    return cuts[0], cuts[-1]


class Strategies:
    """The two ways to change a program after a row. Counts what it made and what it skipped."""

    def __init__(
        self, search: Search, proposer: Proposer, *, max_demos: int, max_input_characters: int
    ) -> None:
        self._search = search
        self._proposer = proposer
        self._max_demos = max_demos
        self._max_input_characters = max_input_characters
        self._golds = gold_columns(search)
        self._shown = open_to_demos(search.program) if max_demos else ()
        self._advised = open_predictors(search.program)
        self._asked = 0
        self._counts: dict[Literal["demos", "advice", "skipped"], int] = {
            "demos": 0,
            "advice": 0,
            "skipped": 0,
        }

    def draft(self, bucket: Bucket, source: Candidate, rng: random.Random) -> Draft | None:
        """A candidate from one row, by a strategy that is drawn; None where it can learn nothing from the row."""
        ways: list[Callable[[Bucket, Candidate], Draft | None]] = []
        ways += [self._with_demo] if self._shown else []
        ways += [self._with_advice] if self._advised else []
        lighter = self._without_some_demos(source, rng)
        draft = rng.choice(ways)(bucket, lighter)
        if draft is None:
            self._counts["skipped"] += 1
        return draft

    async def carried_out(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts with the advice that they waited for, asked for as one phase; without those that got none."""
        asks = [ask for draft in drafts for ask in draft.asks]
        found = {proposal.ask.rollout: proposal for proposal in await self._proposer.propose(asks)}
        done = []
        for draft in drafts:
            given = [found[ask.rollout] for ask in draft.asks if ask.rollout in found]
            candidate = draft.candidate
            for proposal in given:
                candidate = self._proposer.candidate(candidate, proposal)
            if given or not draft.asks:
                self._counts["advice" if draft.asks else "demos"] += 1
                done.append(msgspec.structs.replace(draft, candidate=candidate, asks=()))
        return done

    def summary(self) -> str:
        """How many candidates came about which way, in words."""
        counts = self._counts
        made = f"{counts['demos']} with a demonstration more, {counts['advice']} with advice"
        return f"{made}, {counts['skipped']} rows skipped"

    def _with_demo(self, bucket: Bucket, source: Candidate) -> Draft | None:
        """The best try as one more demonstration for each predictor, where it is better than most tries at any row."""
        best = bucket.best
        if best.score <= bucket.low or best.record.failure is not None:
            return None
        found = {name: self._cut(demo) for name, demo in traced_demos(best.record).items()}
        demos = {name: (*source.predictors[name].demos, found[name]) for name in self._shown if name in found}
        candidate = with_demos(self._search.program, source, demos)
        return Draft(candidate=candidate, origin=f"row {best.row.id} as a demo") if demos else None

    def _with_advice(self, bucket: Bucket, source: Candidate) -> Draft | None:
        """Advice from what set the best try apart from the worst, where there is a difference worth the name."""
        best, worst = bucket.best, bucket.worst
        if best.score <= bucket.low or worst.score >= bucket.high or best.score == worst.score:
            return None
        asks = []
        for name in self._advised:
            self._asked += 1
            ask = Ask(
                predictor=name,
                current=source.predictors[name].instructions,
                examples=(self._told(best, name, "better"), self._told(worst, name, "worse")),
                rollout=sample_of(self._search, "advice", self._asked),
                advice=True,
            )
            asks.append(ask)
        return Draft(candidate=source, origin=f"advice from row {best.row.id}", asks=tuple(asks))

    def _told(self, one: Try, name: str, which: str) -> Shown:
        """A try as the adviser sees it, with what was said about it."""
        part = shown(one.record, one.row, self._search.program.predictors[name], self._golds)
        judged = f"the {which} try, score {one.score:.2f}"
        return msgspec.structs.replace(part, feedback=": ".join(t for t in (judged, part.feedback) if t))

    def _without_some_demos(self, source: Candidate, rng: random.Random) -> Candidate:
        """The source without a few demos, drawn by their place: of a full prompt at least one goes."""
        count = max((len(source.predictors[name].demos) for name in self._shown), default=0)
        if not count:
            return source
        dropped = max(poisson(rng, count / self._max_demos), int(count >= self._max_demos))
        places = {rng.randrange(count) for _ in range(min(dropped, count))}
        left = {
            name: tuple(d for place, d in enumerate(source.predictors[name].demos) if place not in places)
            for name in self._shown
        }
        return with_demos(self._search.program, source, left)

    def _cut(self, demo: Demo) -> Demo:
        return msgspec.structs.replace(demo, inputs=_cut_texts(demo.inputs, self._max_input_characters))


def poisson(rng: random.Random, mean: float) -> int:
    """A number drawn from a Poisson distribution. Knuth, "The Art of Computer Programming", volume 2, 3.4.1."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _cut_texts(values: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {
        name: f"{value[:most]}…" if isinstance(value, str) and len(value) > most else value
        for name, value in values.items()
    }
