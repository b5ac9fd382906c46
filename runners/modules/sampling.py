"""Several runs of one module on one row, all at once: what the sampling modules share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.protocol import Metric
from promptc.runners.modules.protocol import Call, Module
from promptc.spec.fields import Signature


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How one run ended: with outputs, or with a failure, which is data here because another run may do better.

    `reply` holds all that the run's last predictor call said. `problems` has an entry per assertion of the step, ""
    where it holds. `score` and `feedback` are those of the metric that rewards runs, where there is one.
    """

    index: int
    outputs: dict[str, Any] = {}
    reply: dict[str, Any] = {}
    problems: tuple[str, ...] = ()
    failure: RowFailed | None = None
    score: float | None = None
    feedback: str = ""

    @property
    def reward(self) -> float:
        """The metric's score, else the share of the step's assertions that hold; -1 for a failed run."""
        if self.failure is not None:
            return -1.0
        if self.score is not None:
            return self.score
        return self.problems.count("") / len(self.problems) if self.problems else 1.0


async def sampled(
    call: Call,
    module: Module,
    signature: Signature,
    inputs: Mapping[str, Any],
    *,
    indices: Iterable[int],
    of: int,
    checked: bool,
    advice: str = "",
    reward: Metric | None = None,
) -> list[Run]:
    """These of the `of` runs of the module, at once, in order."""

    def one(index: int) -> Callable[[Call], Awaitable[Run]]:
        async def work(own: Call) -> Run:
            try:
                sample = own.sample(index, of, checked=checked, advice=advice)
                outputs = await module.run(sample, signature, inputs)
            except RowFailed as failure:
                return Run(index=index, failure=failure)
            reply, problems = own.last_reply(), own.check(inputs, outputs)
            run = Run(index=index, outputs=outputs, reply=reply, problems=problems)
            return run if reward is None else await _scored(own, run, reward, inputs)

        return work

    return await call.together([one(index) for index in indices])


async def _scored(call: Call, run: Run, reward: Metric, inputs: Mapping[str, Any]) -> Run:
    """The run with what the metric says of it; one that breaks a required assertion is worth nothing."""
    if any(what and hard for what, hard in zip(run.problems, call.required(), strict=True)):
        return msgspec.structs.replace(run, score=0.0)
    score = await call.reward(reward, inputs, run.outputs)
    if score is None:
        return msgspec.structs.replace(run, score=0.0, feedback="the metric had nothing to judge")
    return msgspec.structs.replace(run, score=score.value, feedback=score.feedback)


def without_failures(runs: Sequence[Run]) -> list[Run]:
    """The runs that gave outputs. Raises the first failure where none did."""
    done = [run for run in runs if run.failure is None]
    if not done and runs[0].failure is not None:
        raise runs[0].failure
    return done


def accepted(call: Call, runs: Sequence[Run], threshold: float) -> dict[str, Any]:
    """The outputs of the run with the best reward, the first of equals; the trace says so.

    Raises the first failure where all runs failed, and RowFailed("constraint") where the best one stays below the
    threshold and breaks an assertion that is no suggestion.
    """
    best = max(without_failures(runs), key=lambda run: run.reward)
    call.take(best.index, f"run {best.index + 1} of {len(runs)}, reward {best.reward:.2f}: {_rewards(runs)}")
    broken = [what for what, hard in zip(best.problems, call.required(), strict=True) if hard and what]
    if best.reward < threshold and broken:
        raise RowFailed("constraint", broken[0])
    return best.outputs


def _rewards(runs: Sequence[Run]) -> str:
    return ", ".join("failed" if run.failure is not None else f"{run.reward:.2f}" for run in runs)
