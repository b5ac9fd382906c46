"""`majority`: several runs of a module vote, and the most common answer wins.

Source: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", 2023, section 2.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from promptc.runners.modules.inner import Inner, build_inner, unfit
from promptc.runners.modules.protocol import Call, Module, judge_calls, shown_replies
from promptc.runners.modules.sampling import Run, sampled, without_failures
from promptc.spec.fields import Signature

SHOWN_CHARACTERS = 60
"""How much of a value a note shows."""


class Majority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Run a module several times and take the most common answer (self-consistency); on a tie, the one given first.

    The runs are different samples of the model, the first one its plain reply. Values are compared as JSON, texts
    without regard to case and outer space; the outputs are those of the first run with the winning value. A run that
    fails has no vote.
    """

    module: Inner = "chain_of_thought"
    n: Annotated[int, msgspec.Meta(ge=1, description="How often the module is run.", examples=[5])] = 5
    field: Annotated[
        Annotated[str, msgspec.Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None,
        msgspec.Meta(
            description="The output field that is voted on; all of them together where it is not given.",
            examples=["answer"],
        ),
    ] = None

    def __post_init__(self) -> None:
        _ = self.inner

    @functools.cached_property
    def inner(self) -> Module:
        """The module that is run."""
        return build_inner(self.module)

    def unfit(self, signature: Signature, checks: int) -> str:
        """Why it cannot carry out the step; "" where it can."""
        names = [field.name for field in signature.outputs]
        if self.field is not None and self.field not in names:
            return f"module `majority`: there is no output `{self.field}` to vote on, only {', '.join(names)}"
        return unfit(self.inner, signature, checks)

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """Those of the inner module, which all runs share."""
        return self.inner.predictors(signature)

    def calls(self) -> tuple[int, int]:
        """Those of the inner module, once per run."""
        low, high = self.inner.calls()
        return low * self.n, high * self.n

    def judged(self) -> int:
        """Those within the inner module, in every run."""
        return judge_calls(self.inner) * self.n

    def shown(self) -> int:
        """Those that the inner module shows."""
        return shown_replies(self.inner)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the first run that gave the most common answer. Raises the first failure if all fail."""
        runs = await sampled(
            call, self.inner, signature, inputs, indices=range(self.n), of=self.n, checked=True
        )
        voting = without_failures(runs)
        ballots = {run.index: canonical(self._value(run)) for run in voting}
        votes = Counter(ballots.values())
        # A counter keeps the order of first sight, and max takes the first of equals: a tie goes to the lowest index.
        winning = max(votes, key=lambda ballot: votes[ballot])
        winner = next(run for run in voting if ballots[run.index] == winning)
        call.take(winner.index, _note(votes, winning, runs))
        return winner.outputs

    def _value(self, run: Run) -> Any:
        if self.field is not None:
            return run.outputs[self.field]
        return next(iter(run.outputs.values())) if len(run.outputs) == 1 else run.outputs


def canonical(value: Any) -> str:
    """Equal for values that mean the same: JSON with sorted keys, texts without case and outer space, 2.0 as 2."""
    return msgspec.json.encode(_plain(value), order="deterministic").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _note(votes: Mapping[str, int], winning: str, runs: Sequence[Run]) -> str:
    others = [f"{_cut(ballot)} {count}" for ballot, count in votes.items() if ballot != winning]
    failed = sum(run.failure is not None for run in runs)
    if failed:
        others.append(f"failed {failed}")
    rest = f" (others: {', '.join(others)})" if others else ""
    return f"{votes[winning]} of {len(runs)} votes for {_cut(winning)}{rest}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
