"""`simba`: small steps uphill, from rows on which the program's own tries differ most.

Source: DSPy's optimizer SIMBA (Stochastic Introspective Mini-Batch Ascent); there is no paper. Mended against the peer:
fewer training rows than a minibatch are enough; the winner of each step has a pass over dev at once, where the peer
runs some of them over the whole training set in the end, so that a search that is stopped keeps what it found; a
strategy that is skipped gives no candidate, where the peer's unchanged program takes a place; candidates that were
scored on different minibatches are compared by how much better they did than the tries at the same rows, and the start
with them, where the peer compares means of different rows and takes the start for 0; what the metrics said is shown to
the adviser; advice that copies rows, or lets an instruction grow beyond the limit, is rejected. For several predictors
there is one request each, which shows that predictor's own part in the two tries.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.demos import open_to_demos
from promptc.optimizers.proposing import open_predictors
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.simba_ascent import Ascent, has_teacher
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.program import Program


class Simba(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try the rows of a minibatch several times, and learn from the best try, or from what set it apart from the worst.

    Each step takes the rows whose tries differ most, and makes of each a candidate: with the best try as a
    demonstration, or with advice that a proposer gives after comparing the best try with the worst.
    """

    max_steps: Annotated[int, msgspec.Meta(ge=1, description="Steps.", examples=[8])] = 8
    minibatch: Annotated[
        int, msgspec.Meta(ge=1, description="Training rows that a step looks at.", examples=[32])
    ] = 32
    num_candidates: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Tries at each row; a step makes one candidate more than this at most.",
            examples=[6],
        ),
    ] = 6
    max_demos: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="Demonstrations per predictor; where there are so many, one goes.", examples=[4]
        ),
    ] = 4
    max_input_characters: Annotated[
        int,
        msgspec.Meta(ge=1, description="Longer texts are cut in demonstrations.", examples=[100_000]),
    ] = 100_000
    sampling_temperature: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description="How often a program that did less well tries rows: 0 never, the higher the more often.",
            examples=[0.2],
        ),
    ] = 0.2
    candidate_temperature: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description="How often such a program is what a candidate is made from.",
            examples=[0.2],
        ),
    ] = 0.2
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """The start on dev; in each step the tries and the candidates on a minibatch, and the winner on dev."""
        size, tries = min(self.minibatch, sizes.train), self.num_candidates
        advised, shown = open_predictors(program), self.max_demos and open_to_demos(program)
        if not advised and not shown:
            notes = ("freeze: leaves nothing that simba could change",)
            return Plan(runs={"task": (sizes.dev, sizes.dev)}, first_trial=sizes.dev, trials=0, notes=notes)
        taught = has_teacher(program)
        tried = (tries - taught) * size
        return Plan(
            runs={
                "task": (
                    sizes.dev + self.max_steps * tried,
                    sizes.dev + self.max_steps * (tried + (tries + 1) * size + sizes.dev),
                ),
                "teacher": (taught * self.max_steps * size, taught * self.max_steps * size),
                "proposer": (0, self.max_steps * (tries + 1) * len(advised)),
            },
            first_trial=2 * sizes.dev + 2 * tries + 1,
            trials=self.max_steps,
        )

    async def optimize(self, search: Search) -> None:
        """Steps uphill on minibatches; the winner of each has a pass over dev."""
        start = await search.begin()
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        if not start.valid or stopping.met():
            return
        ascent = Ascent(self, search)
        while ascent.goes_on() and not stopping.met():
            winner = await ascent.step()
            await search.try_all([winner] if winner is not None else [])
            stopping.met(rounds=1)
        search.notes += ascent.notes()
