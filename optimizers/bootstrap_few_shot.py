"""`bootstrap_few_shot`: demonstrations from traces that passed.

Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines", 2023,
section 4 and appendix E.1 (BootstrapFewShot). Mended against the peer: a threshold of 0 is honoured, graded scores need
more than "not zero" to pass, rows run in waves, and the result is compared with the start instead of returned unseen.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from promptc.optimizers.bootstrapping import Teacher, Wanted, demos_of
from promptc.optimizers.demos import with_demos
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search
from promptc.optimizers.stopping import StopAtScore, Stopping
from promptc.runners.program import Program

MaxBootstrapped = Annotated[
    int,
    msgspec.Meta(ge=0, description="Demonstrations from the teacher's traces, at most.", examples=[4]),
]
MaxLabeled = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        description="Fill up with labelled rows to so many demonstrations in all; also what the teacher is shown.",
        examples=[16],
    ),
]
MaxRounds = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        description="How often the teacher tries a row; later tries are further samples.",
        examples=[1, 3],
    ),
]
Threshold = Annotated[
    float | None,
    msgspec.Meta(
        description="The score from which a trace passes, 0 included. "
        "Without it: 1 for pass/fail metrics, 0.7 for graded ones.",
        examples=[0.8],
    ),
]
Wave = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        description="Rows that the teacher tries at once. Larger is faster and may spend more calls than needed.",
        examples=[8],
    ),
]


class BootstrapFewShot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Run a teacher on training rows and show its successful traces as demonstrations."""

    max_bootstrapped_demos: MaxBootstrapped = 4
    max_labeled_demos: MaxLabeled = 16
    max_rounds: MaxRounds = 1
    threshold: Threshold = None
    stop_at_score: StopAtScore = None
    wave: Wave = 8

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """Two passes over dev, and at most every training row in every round."""
        most = sizes.train * self.max_rounds if self.max_bootstrapped_demos else 0
        least = min(self.max_bootstrapped_demos, sizes.train)
        return Plan(
            runs={"task": (2 * sizes.dev, 2 * sizes.dev), "teacher": (least, most)},
            first_trial=2 * sizes.dev + least,
            trials=1,
        )

    async def optimize(self, search: Search) -> None:
        """Collect passes in the order of the training rows, then try the one candidate."""
        await search.begin()
        if Stopping(search, self.stop_at_score).met():
            return
        teacher = Teacher(
            search,
            max_labeled_demos=self.max_labeled_demos,
            max_rounds=self.max_rounds,
            threshold=self.threshold,
            wave=self.wave,
        )
        [passes] = await teacher.collect([Wanted(search.train, self.max_bootstrapped_demos)])
        if self.max_bootstrapped_demos:
            search.notes.append(teacher.summary())
        demos = demos_of(search, passes, self.max_labeled_demos, "bootstrap")
        await search.try_all(
            [(with_demos(search.program, search.start, demos), f"{len(passes)} bootstrapped demos")]
        )
