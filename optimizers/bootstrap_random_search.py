"""`bootstrap_random_search`: many random sets of demonstrations, and the best of them on dev.

Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines", 2023,
section 4 and appendix E.2 (BootstrapFewShotWithRandomSearch). Mended against the peer: a row is bootstrapped once for
all candidates, dev is never the training set when there is another, 0 is honoured everywhere, ties keep the shorter
prompt, and all candidates are evaluated in one phase.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.bootstrap_few_shot import MaxBootstrapped, MaxLabeled, MaxRounds, Threshold, Wave
from promptc.optimizers.bootstrapping import Teacher, Wanted, demos_of
from promptc.optimizers.demos import with_demos
from promptc.optimizers.labeled_few_shot import labeled_candidate
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.candidate import Candidate
from promptc.runners.program import Program
from promptc.runners.rows import Example


class BootstrapRandomSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Draw many sets of demonstrations, labelled and bootstrapped, and keep the one that scores best on dev."""

    candidates: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Random sets to try, beside the start, labelled demos alone, and the plain bootstrap.",
            examples=[16],
        ),
    ] = 16
    max_bootstrapped_demos: MaxBootstrapped = 4
    max_labeled_demos: MaxLabeled = 16
    max_rounds: MaxRounds = 1
    threshold: Threshold = None
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None
    wave: Wave = 8

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """A pass over dev for each candidate, and at most every training row in every round once."""
        trials = 2 + self.candidates
        most = sizes.train * self.max_rounds if self.max_bootstrapped_demos else 0
        return Plan(
            runs={"task": (2 * sizes.dev, (1 + trials) * sizes.dev), "teacher": (0, most)},
            first_trial=2 * sizes.dev,
            trials=trials,
        )

    async def optimize(self, search: Search) -> None:
        """Start, labelled demos, plain bootstrap, then the random sets."""
        await search.begin()
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        await stopping.try_all([(labeled_candidate(search, self.max_labeled_demos), "labelled demos")])
        if stopping.met():
            return
        teacher = Teacher(
            search,
            max_labeled_demos=self.max_labeled_demos,
            max_rounds=self.max_rounds,
            threshold=self.threshold,
            wave=self.wave,
        )
        wanted = [Wanted(search.train, self.max_bootstrapped_demos)]
        wanted += [self._random_set(search, number) for number in range(self.candidates)]
        collected = await teacher.collect(wanted)
        if self.max_bootstrapped_demos:
            search.notes.append(teacher.summary())
        proposals: list[tuple[Candidate, str]] = []
        for number, passes in enumerate(collected, start=-1):
            demos = demos_of(search, passes, self.max_labeled_demos, number)
            origin = "plain bootstrap" if number < 0 else f"random set {number + 1}"
            proposals.append((with_demos(search.program, search.start, demos), origin))
        await stopping.try_all(proposals)

    def _random_set(self, search: Search, number: int) -> Wanted:
        rng = search.rng("random set", number)
        order: list[Example] = list(search.train)
        rng.shuffle(order)
        quota = rng.randint(1, self.max_bootstrapped_demos) if self.max_bootstrapped_demos else 0
        return Wanted(tuple(order), quota)
