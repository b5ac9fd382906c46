"""`refine`: a module tries, is told which of the step's assertions failed, and tries again.

Source: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", 2023, section 2, with the assertions in
the place of the model's own feedback.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.metrics.protocol import Metric
from promptc.runners.modules.best_of_n import Threshold
from promptc.runners.modules.inner import Inner, build_inner, unfit
from promptc.runners.modules.protocol import Call, Module, judge_calls, shown_replies
from promptc.runners.modules.reward import Reward, build_reward, rewarded_calls
from promptc.runners.modules.sampling import Run, accepted, sampled
from promptc.spec.fields import Signature


class Refine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Run a module, hand the messages of the assertions that failed on to the next try, and take the best one.

    The next try sees its own inputs and, as a further input `advice`, what the last one answered and what was wrong
    with it; the first prompt is the plain one, and no demo shows advice. The reward is that of `best_of_n`: the share
    of the step's assertions that hold, or a metric, whose feedback is handed on. The first try that is good enough
    ends it; on a tie the earlier one wins. The row fails where even the best try is not good enough and breaks more
    than suggestions.
    """

    module: Inner = "predict"
    n: Annotated[int, msgspec.Meta(ge=1, description="How many tries there are at most.", examples=[3])] = 3
    threshold: Threshold = 1.0
    reward: Reward = None

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
            return "refine needs assert:, or a reward:"
        return unfit(self.inner, signature, checks)

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """Those of the inner module, which all tries share."""
        return self.inner.predictors(signature)

    def calls(self) -> tuple[int, int]:
        """Those of the inner module, for one try at least and for all at most."""
        low, high = self.inner.calls()
        return low, high * self.n

    def shown(self) -> int:
        """Those that the inner module shows, and the last try in the advice."""
        return shown_replies(self.inner) + 1

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the best try. Raises RowFailed."""
        runs: list[Run] = []
        advice = ""
        for index in range(self.n):
            runs += await sampled(
                call,
                self.inner,
                signature,
                inputs,
                indices=[index],
                of=self.n,
                checked=False,
                advice=advice,
                reward=self.metric,
            )
            if runs[-1].reward >= self.threshold:
                break
            advice = _advice(runs[-1])
        return accepted(call, runs, self.threshold)


def _advice(run: Run) -> str:
    """What the next try should know about the last one."""
    if run.failure is not None:
        return f"An earlier try gave no answer that could be used: {run.failure.failure.message}"
    said = msgspec.json.encode(run.outputs).decode()
    problems = "\n".join(f"- {problem}" for problem in (*run.problems, run.feedback) if problem)
    return f"An earlier try answered {said}\nDo better. What was wrong with it:\n{problems}"
