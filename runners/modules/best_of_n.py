"""`best_of_n`: several runs of a module, of which the one that keeps most of the step's assertions wins."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.metrics.protocol import Metric
from promptc.runners.modules.inner import Inner, build_inner, unfit
from promptc.runners.modules.protocol import Call, Module, judge_calls, shown_replies
from promptc.runners.modules.reward import Reward, build_reward, rewarded_calls
from promptc.runners.modules.sampling import Run, accepted, sampled
from promptc.spec.fields import Signature

Threshold = Annotated[
    float,
    msgspec.Meta(
        ge=0,
        le=1,
        description="The reward from which on a run is good enough.",
        examples=[1.0],
    ),
]


class BestOfN(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Run a module up to n times and take the run that keeps most of the step's assertions.

    The reward of a run is the share of the assertions that hold, suggestions included, or what `reward`, a metric that
    needs no gold, says of it; then a run that breaks a required assertion is worth nothing. Runs go out in waves, and
    no wave follows one in which a run was good enough; on a tie the first run wins. Inside, a failed assertion asks
    nothing again: another run does instead. A run without outputs is worse than any other. The row fails where even
    the best run is not good enough and breaks more than suggestions.
    """

    module: Inner = "predict"
    n: Annotated[
        int, msgspec.Meta(ge=1, description="How often the module is run at most.", examples=[3])
    ] = 3
    threshold: Threshold = 1.0
    reward: Reward = None
    wave: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="How many runs start at once: 1 pays for none in vain, n is the fastest.",
            examples=[1],
        ),
    ] = 1

    def __post_init__(self) -> None:
        _ = self.inner, self.metric

    @functools.cached_property
    def inner(self) -> Module:
        """The module that is run."""
        return build_inner(self.module)

    @functools.cached_property
    def metric(self) -> Metric | None:
        """The metric that rewards runs, where there is one."""
        return build_reward(self.reward)

    def judged(self) -> int:
        """One reward per run at most, and those within the inner module."""
        return (rewarded_calls(self.metric, 1) + judge_calls(self.inner)) * self.n

    def unfit(self, signature: Signature, checks: int) -> str:
        """Why it cannot carry out the step; "" where it can."""
        if not checks and self.metric is None:
            return "best_of_n needs assert:, or a reward:"
        return unfit(self.inner, signature, checks)

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """Those of the inner module, which all runs share."""
        return self.inner.predictors(signature)

    def calls(self) -> tuple[int, int]:
        """Those of the inner module, for one wave at least and for all runs at most."""
        low, high = self.inner.calls()
        return low * min(self.wave, self.n), high * self.n

    def shown(self) -> int:
        """Those that the inner module shows."""
        return shown_replies(self.inner)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the best run. Raises RowFailed."""
        runs: list[Run] = []
        for start in range(0, self.n, self.wave):
            wave = range(start, min(start + self.wave, self.n))
            runs += await sampled(
                call,
                self.inner,
                signature,
                inputs,
                indices=wave,
                of=self.n,
                checked=False,
                reward=self.metric,
            )
            if any(run.reward >= self.threshold for run in runs):
                break
        return accepted(call, runs, self.threshold)
