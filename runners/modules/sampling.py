"""Several runs of one module on one row, all at once: what the sampling modules share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.modules.protocol import Call, Module
from promptc.spec.fields import Signature


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How one run ended: with outputs, or with a failure, which is data here because another run may do better.

    `reply` holds all that the run's last predictor call said. `problems` has an entry per assertion of the step, ""
    where it holds.
    """

    index: int
    outputs: dict[str, Any] = {}
    reply: dict[str, Any] = {}
    problems: tuple[str, ...] = ()
    failure: RowFailed | None = None

    @property
    def reward(self) -> float:
        """The share of the step's assertions that hold, -1 for a failed run."""
        if self.failure is not None:
            return -1.0
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
) -> list[Run]:
    """These of the `of` runs of the module, at once, in order."""

    def one(index: int) -> Callable[[Call], Awaitable[Run]]:
        async def work(own: Call) -> Run:
            try:
                sample = own.sample(index, of, checked=checked, advice=advice)
                outputs = await module.run(sample, signature, inputs)
            except RowFailed as failure:
                return Run(index=index, failure=failure)
            problems = own.check(inputs, outputs)
            return Run(index=index, outputs=outputs, reply=own.last_reply(), problems=problems)

        return work

    return await call.together([one(index) for index in indices])


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
