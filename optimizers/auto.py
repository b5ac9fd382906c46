"""`auto`, the default: instructions and demonstrations searched together, within whatever budget there is.

What it takes from the papers on its peers is reflection on failures (GEPA, arXiv 2507.19457) and demos as part of the
search (MIPRO, arXiv 2406.11695). What it does otherwise:

1. Many proposals at once, each from a large batch of examples chosen to differ. Failures of the text in use come
   first; beside them stand rows that check what the text says.
2. Proposals are merged line by line like edits in version control: what one of them found is not lost when another one
   wins. Merges go on improving while no test has ruled them out.
3. Candidates race on growing samples of the same training rows; nobody has a pass over dev before the end.
4. Every run counts for every line that was in its prompt: a linear model gives credit to lines, demos and length, so
   that lines that do harm are found and left out, also those that no single comparison would show. Lines that no row
   can judge alone are tested together, by halves.
5. Demos are chosen to cover what the instruction gets wrong, and compete with having none.
6. The finalists have a pass over dev, where the start is a candidate too. Of equals the shorter prompt wins.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.allotment import FEWEST_DEV, allot
from promptc.optimizers.joint_search import JointSearch
from promptc.optimizers.proposing import Proposer, open_predictors
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import StopAtScore, is_limited
from promptc.runners.program import Program

DEFAULT_RUNS = 600
"""Program runs on train and dev without a budget, or two for each row where there are more."""
MOST_RUNS = 4000
"""Program runs under a budget that does not count calls."""
LEAST_RUNS = 5 * FEWEST_DEV
"""The start and a winner on the fewest rows to choose on, and a round to learn from."""


class Auto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rewrite instructions and choose demonstrations, and decide by itself how to spend the budget on that."""

    max_demos: Annotated[
        int, msgspec.Meta(ge=0, description="Most demonstrations in one prompt.", examples=[16])
    ] = 16
    examples: Annotated[
        int,
        msgspec.Meta(ge=1, description="Rows that a proposal sees at most, failures first.", examples=[25]),
    ] = 25
    max_runs: Annotated[
        Annotated[int, msgspec.Meta(ge=LEAST_RUNS)] | None,
        msgspec.Meta(
            description="Program runs on train and dev at most. Without it the budget decides; "
            "where the spec has none either, it is 600, or two for each row where there are more than 300.",
            examples=[600],
        ),
    ] = None
    no_improvement: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="End the search after so many rounds without anything better.", examples=[6]
        ),
    ] = 6
    stop_at_score: StopAtScore = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """The start and the finalists on dev, and what is left of the budget for learning."""
        runs = self._most_runs(program, sizes)
        names = open_predictors(program)
        allotment = allot(runs, sizes.dev, MOST_RUNS if names else 0)
        notes = (
            [] if names else ["freeze: leaves no instruction that auto could change, demonstrations alone"]
        )
        if allotment.dev < sizes.dev:
            notes.append(
                f"auto chooses on {allotment.dev} of {sizes.dev} dev rows, to have runs left to learn from"
            )
        return Plan(
            runs={"task": (2 * allotment.dev, runs), "proposer": (0, allotment.proposals)},
            first_trial=min(LEAST_RUNS, 5 * sizes.dev),
            trials=allotment.finals + (allotment.rounds if self.stop_at_score is not None else 0),
            notes=tuple(notes),
        )

    async def optimize(self, search: Search) -> None:
        """Divide the budget; learn in rounds; let the finalists and the start meet on dev."""
        sizes = Sizes(len(search.train), len(search.dev), 0)
        most = self._most_runs(search.program, sizes)
        affordable = search.affordable_rows(most + 1)
        allotment = allot(min(affordable, most), len(search.dev), Proposer(search).affordable(MOST_RUNS))
        search.choose_on(allotment.dev)
        start = await search.begin()
        if not start.valid:
            return
        joint = JointSearch(self, search, allotment, is_wall=affordable > most)
        if not joint.may_change():
            search.notes.append("freeze: leaves nothing that auto could change")
            return
        if self._is_enough(search):
            return
        await joint.warm_up()
        while joint.goes_on():
            if joint.is_in_doubt():
                await joint.sift()
            else:
                await joint.improve()
            if await self._has_enough(search, joint):
                break
        why = joint.why_ended()
        search.now("finalists on dev")
        await search.try_all(joint.finalists())
        if search.stop_reason == "finished":
            search.stop_reason = why
        search.notes += joint.summary()

    async def _has_enough(self, search: Search, joint: JointSearch) -> bool:
        """True when the incumbent reaches `stop_at_score` on train, and then on dev."""
        if self.stop_at_score is None or joint.training_score() < self.stop_at_score:
            return False
        await search.try_all([(joint.incumbent.candidate, joint.incumbent.origin)])
        return self._is_enough(search)

    def _is_enough(self, search: Search) -> bool:
        best = search.best().score
        if self.stop_at_score is None or best is None or best < self.stop_at_score:
            return False
        search.stop_reason = "score"
        return True

    def _most_runs(self, program: Program, sizes: Sizes) -> int:
        """Program runs on train and dev, at most."""
        budget = program.spec.budget
        most = MOST_RUNS if is_limited(budget) else max(DEFAULT_RUNS, 2 * (sizes.train + sizes.dev))
        if budget.calls is not None:
            most = max(0, budget.calls // program.calls()[1] - 2 * sizes.test)
        return most if self.max_runs is None else min(most, self.max_runs)
