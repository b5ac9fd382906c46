"""`multi_chain_comparison`: several attempts, and one call that compares them and answers.

Source: Yoran et al., "Answering Questions by Meta-Reasoning over Multiple Chains of Thought", 2023.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.modules.inner import Inner, build_inner, unfit
from promptc.runners.modules.protocol import Call, Module, free_name, judge_calls, shown_replies
from promptc.runners.modules.sampling import sampled, without_failures
from promptc.spec.fields import Field, Signature
from promptc.spec.media import REASONING

ATTEMPTS = "Independent attempts at the answer by number. They may contradict each other, and any of them may be wrong."
COMPARING = "Compare the attempts, say where they go wrong, and work out the right answer."


class MultiChainComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Run a module several times, then ask once more with all attempts and their reasoning in sight.

    The attempts are data in an input field of the predictor `compare`, which reasons before it answers. An attempt
    that fails is not shown. The step's assertions hold for the last answer alone.
    """

    module: Inner = "chain_of_thought"
    n: Annotated[int, msgspec.Meta(ge=1, description="How many attempts are compared.", examples=[3])] = 3

    def __post_init__(self) -> None:
        _ = self.inner

    @functools.cached_property
    def inner(self) -> Module:
        """The module that makes the attempts."""
        return build_inner(self.module)

    def unfit(self, signature: Signature, checks: int) -> str:
        """Why it cannot carry out the step; "" where it can."""
        return unfit(self.inner, signature, checks)

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """Those of the inner module, and `compare`, whose further fields are called like none of the step's."""
        inner = self.inner.predictors(signature)
        attempts, reasoning = _names(signature)
        comparing = msgspec.structs.replace(
            signature,
            inputs=(
                *signature.inputs,
                Field(name=attempts, schema={"type": "object"}, description=ATTEMPTS),
            ),
            outputs=(
                Field(
                    name=reasoning,
                    schema={"type": "string", "format": REASONING},
                    description=COMPARING,
                    default="",
                ),
                *signature.outputs,
            ),
        )
        return {**inner, free_name("compare", inner): comparing}

    def calls(self) -> tuple[int, int]:
        """Those of the inner module, once per attempt, and one."""
        low, high = self.inner.calls()
        return low * self.n + 1, high * self.n + 1

    def judged(self) -> int:
        """Those within the inner module, in every run."""
        return judge_calls(self.inner) * self.n

    def shown(self) -> int:
        """The attempts, or those that the inner module shows."""
        return max(shown_replies(self.inner), self.n)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the comparison. Raises the first failure where all attempts failed."""
        runs = await sampled(
            call, self.inner, signature, inputs, indices=range(self.n), of=self.n, checked=False
        )
        done = without_failures(runs)
        shown = {str(number): {**run.reply, **run.outputs} for number, run in enumerate(done, start=1)}
        attempts, _ = _names(signature)
        compare = free_name("compare", self.inner.predictors(signature))
        replied = await call.predict(compare, {**inputs, attempts: shown})
        outputs = {field.name: replied[field.name] for field in signature.outputs}
        agreeing = [run.index for run in done if run.outputs == outputs]
        call.take(
            agreeing[0] if agreeing else None,
            f"{len(agreeing)} of {len(runs)} attempts agree with the comparison",
        )
        return outputs


def _names(signature: Signature) -> tuple[str, str]:
    """What the fields for the attempts and for the reasoning are called."""
    taken = [field.name for field in (*signature.inputs, *signature.outputs)]
    return free_name("attempts", taken), free_name("reasoning", taken)
