"""`gepa`: instructions that evolve by reflection, kept apart by what they are good at.

Source: Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", 2025,
arXiv 2507.19457: algorithm 1 (the loop), algorithm 2 (Pareto-based selection), and the appendix on Merge. Mended
against the peer: the budget is a wall (an iteration that it does not hold to its last call is not begun), rows without
a score count for nobody, a row never sees itself among the demos of its prompt, a proposal that copies rows or breaks
its contract never costs a run, ties keep the shorter prompt, `wave` mutations may go on at once without the result
depending on which ends first, and every draw follows from the seed and its purpose, so that a resumed search is the
same search.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from promptc.optimizers.gepa_evolution import Evolution
from promptc.optimizers.gepa_selection import SelectorName
from promptc.optimizers.proposing import LONGEST_INSTRUCTION, open_predictors
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import NoImprovement, StopAtScore, is_limited
from promptc.runners.program import Program

AUTO_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}
"""The peer's sizes of a search; what they cost is `auto_runs`."""
BATCH, FULL_PASS_EVERY = 35, 5
"""Rows per trial, and trials per full pass, that the peer's figure for a search's cost is made of."""


class Gepa(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rewrite instructions after looking at a few rows, keep whoever is best at something, cross what fits together.

    Each iteration takes a candidate from the Pareto front over dev rows, runs it on a minibatch of training rows, asks
    the proposer for a better instruction for one component, and keeps the child for a full pass over dev when it is
    better on the same minibatch. With one predictor there is nothing to merge.
    """

    auto: Annotated[
        Literal["light", "medium", "heavy"] | None,
        msgspec.Meta(
            description="How many program runs on train and dev to spend, by the peer's figures. Without it the search "
            "goes on until the budget ends; where the spec has none either, it is `light`.",
            examples=["light"],
        ),
    ] = None
    max_runs: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="So many program runs on train and dev instead of `auto`.", examples=[800]),
    ] = None
    max_trials: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="End the search after so many candidates beside the start had their pass over dev.",
            examples=[20],
        ),
    ] = None
    minibatch: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Training rows that a mutation looks at and is checked on.", examples=[3]
        ),
    ] = 3
    wave: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Mutations at once, each with a parent and a minibatch of its own. "
            "More are faster, but learn later from each other.",
            examples=[4],
        ),
    ] = 1
    selector: Annotated[
        SelectorName,
        msgspec.Meta(
            description="Which candidate is mutated next: one of the Pareto front (of the `top_k` best alone), "
            "by the number of rows, and of objectives, on which it is among the best; the best on average; or that, "
            "and any with the chance `epsilon`.",
            examples=["pareto"],
        ),
    ] = "pareto"
    epsilon: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=1, description="The chance of any candidate in `epsilon_greedy`.", examples=[0.1]
        ),
    ] = 0.1
    top_k: Annotated[
        int, msgspec.Meta(ge=1, description="How many of the best `top_k_pareto` looks at.", examples=[5])
    ] = 5
    components: Annotated[
        Literal["round_robin", "all"],
        msgspec.Meta(
            description="Which predictors a mutation rewrites: the next in turn, or all at once.",
            examples=["round_robin"],
        ),
    ] = "round_robin"
    skip_perfect: Annotated[
        bool,
        msgspec.Meta(
            description="Ask for nothing when the parent is right on the whole minibatch.", examples=[True]
        ),
    ] = True
    accept_equal: Annotated[
        bool,
        msgspec.Meta(
            description="Keep a child that is as good as its parent on the minibatch, not only a better one.",
            examples=[False],
        ),
    ] = False
    use_merge: Annotated[
        bool, msgspec.Meta(description="Cross candidates that changed different predictors.", examples=[True])
    ] = True
    max_merges: Annotated[
        int, msgspec.Meta(ge=0, description="Merges that are taken in at most.", examples=[5])
    ] = 5
    merge_rows: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Dev rows that a merge is checked on before its full pass.", examples=[5]
        ),
    ] = 5
    max_characters: Annotated[
        int,
        msgspec.Meta(ge=1, description="Longest instruction that is taken from a proposal.", examples=[4000]),
    ] = LONGEST_INSTRUCTION
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """The start on dev; then for each iteration two minibatches, a proposal, and a pass over dev if it helped."""
        components = open_predictors(program)
        size = min(self.minibatch, sizes.train)
        first = 2 * sizes.dev + 2 * size
        asks = len(components) if self.components == "all" else 1
        runs = self._most_runs(program, sizes.dev)
        calls = program.spec.budget.calls
        if runs is None and calls is not None:
            most = max(first, calls - 2 * sizes.test)
            proposals = most - sizes.dev
        else:
            most = max(first, runs or auto_runs("heavy", len(components), sizes.dev))
            proposals = (most - sizes.dev) // size * asks
        trials = (most - sizes.dev) // (min(2 * size, self.merge_rows) + sizes.dev)
        notes = []
        if not components:
            notes.append("freeze: leaves no instruction that gepa could change")
        if self.use_merge and len(components) == 1:
            notes.append("one predictor with open instructions: there is nothing to merge")
        return Plan(
            runs={"task": (first, most), "proposer": (1, proposals)},
            first_trial=first,
            trials=trials if self.max_trials is None else min(trials, self.max_trials),
            notes=tuple(notes),
        )

    async def optimize(self, search: Search) -> None:
        """Algorithm 1: begin with the start; while the budget lasts, merge when one is due, else mutate."""
        start = await search.begin()
        if not start.valid:
            return
        most = self._most_runs(search.program, len(search.dev))
        evolution = Evolution(self, search, start, math.inf if most is None else most)
        while evolution.goes_on():
            if evolution.merge_is_due():
                await evolution.merge()
            else:
                await evolution.mutate()
        search.notes += evolution.summary()

    def _most_runs(self, program: Program, dev: int) -> int | None:
        """The program runs that the search may take; None where only the budget ends it."""
        if self.max_runs is not None:
            return self.max_runs
        if self.auto is None and is_limited(program.spec.budget):
            return None
        return auto_runs(self.auto or "light", len(open_predictors(program)), dev)


def auto_runs(size: Literal["light", "medium", "heavy"], predictors: int, dev: int) -> int:
    """Program runs of a search, by the peer's figure: a pass over dev, minibatch trials, and passes in between."""
    candidates = AUTO_CANDIDATES[size]
    trials = int(max(2 * (2 * predictors) * math.log2(candidates), 1.5 * candidates))
    passes = (trials + 1) // FULL_PASS_EVERY + 1 + (trials < FULL_PASS_EVERY)
    return dev + candidates * 5 + trials * BATCH + passes * dev
