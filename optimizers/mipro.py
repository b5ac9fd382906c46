"""`mipro`: instructions and demonstrations searched together, by a surrogate of what each combination is worth.

Source: Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs", 2024,
arXiv 2406.11695, sections 3 and 4, in the form of its successor MIPROv2. Mended against the peer: the instruction in
use is an option beside the proposed ones instead of in the place of one that was paid for; the program is described
once, not with each proposal, and from its fields instead of its source; a seed of 0 is a seed; a minibatch may be as
large as dev, and demos of either kind may be 0; combinations whose rows have no score tell the surrogate nothing,
where the peer tells it 0; a row is bootstrapped once for all sets, is never in its own prompt, and is not copied into
an instruction; frozen texts and demos are no variables; the budget is a wall that keeps a pass over dev to its end.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from promptc.optimizers.bayesian import require_optuna
from promptc.optimizers.bootstrap_few_shot import MaxBootstrapped, MaxLabeled, MaxRounds, Threshold, Wave
from promptc.optimizers.demos import open_to_demos
from promptc.optimizers.grounding import summary_questions
from promptc.optimizers.mipro_options import DemoSets, propose_instructions
from promptc.optimizers.mipro_trials import Trials
from promptc.optimizers.proposing import Proposer, open_predictors
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.program import Program

MINIBATCH = 35
"""Rows per trial, where dev has more than `WHOLE_DEV`."""
WHOLE_DEV = 50


class Size(msgspec.Struct, frozen=True):
    """How large a search is: options per variable, and rows of dev that are chosen on at most."""

    candidates: int
    dev: int


AUTO = {"light": Size(6, 100), "medium": Size(12, 300), "heavy": Size(18, 1000)}
"""The peer's sizes."""


class Mipro(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Propose instructions from what the task is, bootstrap demonstrations, and search their combinations (MIPROv2).

    A tree-structured Parzen estimator draws which instruction and which demonstrations each predictor gets, and learns
    from scores on minibatches of dev; now and then the best by mean has a pass over all of dev. Needs optuna:
    `pip install "promptc[mipro]"`.
    """

    auto: Annotated[
        Literal["light", "medium", "heavy"],
        msgspec.Meta(
            description="How much to try: 6, 12 or 18 sets of demonstrations with half as many instructions, chosen on "
            "at most 100, 300 or 1,000 rows of dev.",
            examples=["light"],
        ),
    ] = "light"
    num_candidates: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="So many new instructions, and so many sets of demonstrations, for each predictor.",
            examples=[10],
        ),
    ] = None
    num_trials: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="Combinations to draw; by the number of options and predictors where it is not given.",
            examples=[30],
        ),
    ] = None
    max_bootstrapped_demos: MaxBootstrapped = 4
    max_labeled_demos: MaxLabeled = 4
    max_rounds: MaxRounds = 1
    threshold: Threshold = None
    minibatch: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="Rows of dev that a combination is scored on. Without it 35, and all of dev where that has 50 "
            "rows or fewer.",
            examples=[35],
        ),
    ] = None
    full_pass_every: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="After so many minibatches the best combination by mean has a pass over all of dev.",
            examples=[5],
        ),
    ] = 5
    trials_at_once: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Combinations drawn at once. More are faster, but learn later from each other.",
            examples=[5],
        ),
    ] = 1
    data_summary: Annotated[
        bool, msgspec.Meta(description="Tell the proposer what the training rows are like.", examples=[True])
    ] = True
    summary_rows: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Training rows per look at the data, of which there are ten.", examples=[10]
        ),
    ] = 10
    describe_program: Annotated[
        bool, msgspec.Meta(description="Tell the proposer what the program is for.", examples=[True])
    ] = True
    show_demos: Annotated[
        bool, msgspec.Meta(description="Show the proposer up to three demonstrations.", examples=[True])
    ] = True
    tips: Annotated[
        bool,
        msgspec.Meta(
            description="Tell each proposal to try something else: be simple, say who the model is …",
            examples=[True],
        ),
    ] = True
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None
    wave: Wave = 8

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """The start on dev, the teacher on train at most, requests to the proposer, minibatches and passes over dev."""
        require_optuna(program.spec)
        repeat = program.spec.run.repeat
        rows = self.chosen_on(sizes.dev // repeat)
        dev = rows * repeat
        drawn = self.trials(program)
        size = self.batch(rows)
        passes = drawn if size == rows else -(-drawn // self.full_pass_every)
        sampled = size if size < rows else 0
        return Plan(
            runs={
                "task": (2 * dev if drawn else dev, dev + drawn * sampled + passes * dev),
                "teacher": (0, sizes.train * self.max_rounds if self.bootstraps(program) else 0),
                "proposer": (0, self._proposer_calls(program, sizes.train)),
            },
            first_trial=2 * dev + sampled,
            trials=passes,
            notes=self._plan_notes(program, sizes),
        )

    async def optimize(self, search: Search) -> None:
        """Bootstrap demonstrations, propose instructions, then draw combinations and learn from their scores."""
        search.choose_on(self.chosen_on(len(search.dev)))
        start = await search.begin()
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        if not start.valid or stopping.met():
            return
        proposer = Proposer(search)
        with search.keeping(self.batch(len(search.dev)) + len(search.dev)):
            demos = DemoSets(self, search)
            await demos.bootstrap()
            instructions = await propose_instructions(self, search, proposer, demos)
        trials = Trials(self, search, start, instructions, demos.options())
        while trials.goes_on() and not stopping.met(trials.passes_since()):
            await trials.draw()
            await trials.pass_over_dev()
        await trials.end()
        search.notes += [*demos.notes, *trials.notes()]
        if proposer.asked:
            search.notes.append(proposer.summary())

    def chosen_on(self, dev: int) -> int:
        """How many rows of dev the search chooses on."""
        return min(dev, AUTO[self.auto].dev)

    def batch(self, dev: int) -> int:
        """How many of them a combination is scored on."""
        wanted = self.minibatch or (MINIBATCH if dev > WHOLE_DEV else dev)
        return min(wanted, dev)

    def searches_demos(self, program: Program) -> bool:
        """True when there are demonstrations to choose."""
        return bool(self.max_bootstrapped_demos or self.max_labeled_demos) and bool(open_to_demos(program))

    def bootstraps(self, program: Program) -> bool:
        """True when a teacher runs: for demonstrations in prompts, or for those that only the proposer sees."""
        if self.searches_demos(program) and self.max_bootstrapped_demos:
            return True
        return self.show_demos and not self.searches_demos(program) and bool(open_predictors(program))

    def sets(self) -> int:
        """Sets of demonstrations for each predictor."""
        return self.num_candidates or AUTO[self.auto].candidates

    def proposals(self, program: Program) -> int:
        """New instructions for each predictor."""
        if self.num_candidates is not None:
            return self.num_candidates
        whole = AUTO[self.auto].candidates
        return whole // 2 if self.searches_demos(program) else whole

    def trials(self, program: Program) -> int:
        """Combinations to draw: none where nothing is open."""
        variables = len(open_predictors(program))
        if self.searches_demos(program):
            variables += len(open_to_demos(program))
        if not variables:
            return 0
        return self.num_trials or auto_trials(variables, self.sets())

    def _proposer_calls(self, program: Program, train: int) -> int:
        names = open_predictors(program)
        if not names:
            return 0
        calls = len(names) * self.proposals(program)
        if self.data_summary:
            calls += summary_questions(train, self.summary_rows)
        return calls + (1 + len(names) if self.describe_program else 0)

    def _plan_notes(self, program: Program, sizes: Sizes) -> tuple[str, ...]:
        notes = []
        if not self.trials(program):
            notes.append("freeze: leaves nothing that mipro could change")
        dev = sizes.dev // program.spec.run.repeat
        if self.chosen_on(dev) < dev:
            notes.append(f"{self.auto} chooses on the first {self.chosen_on(dev)} rows of dev")
        return tuple(notes)


def auto_trials(variables: int, options: int) -> int:
    """Combinations that are drawn for so many variables with so many options each, by the peer's figure."""
    return int(max(2 * variables * math.log2(options), 1.5 * options))
