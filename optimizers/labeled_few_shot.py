"""`labeled_few_shot`: rows of the training data as demonstrations, without a single search call."""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.demos import labeled_demos, sample_examples, with_demos
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import StopAtScore, Stopping
from promptc.runners.candidate import Candidate
from promptc.runners.program import Program


class LabeledFewShot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put up to `k` labelled training rows into the prompt, then check on dev that they help.

    Each predictor draws its own rows, from those that label all its outputs.
    """

    k: Annotated[
        int,
        msgspec.Meta(ge=0, description="How many demonstrations each predictor gets at most.", examples=[16]),
    ] = 16
    sample: Annotated[
        bool,
        msgspec.Meta(
            description="True draws rows at random (by the run's seed), false takes the first ones.",
            examples=[True],
        ),
    ] = True
    stop_at_score: StopAtScore = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """Two passes over dev: the start and the candidate."""
        return Plan(runs={"task": (2 * sizes.dev, 2 * sizes.dev)}, first_trial=2 * sizes.dev, trials=1)

    async def optimize(self, search: Search) -> None:
        """Try the one candidate."""
        await search.begin()
        candidate = labeled_candidate(search, self.k, sample=self.sample)
        await Stopping(search, self.stop_at_score).try_all([(candidate, f"{self.k} labelled demos")])


def labeled_candidate(search: Search, k: int, *, sample: bool = True) -> Candidate:
    """The start with up to `k` labelled demos for each predictor."""
    demos = {}
    for name, predictor in search.program.predictors.items():
        usable = [e for e in search.train if labeled_demos(search, predictor, [e])]
        chosen = sample_examples(search.rng("labeled", name), usable, k) if sample else usable[:k]
        demos[name] = labeled_demos(search, predictor, chosen)
    return with_demos(search.program, search.start, demos)
