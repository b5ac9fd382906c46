"""Tool called: the model used a tool, often enough and with the right arguments."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.used_tools import StepOption, calls_of, has


class ToolCalled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when a tool was called on the way to the answer, else 0. Reads no gold; with `negate` it must not be called.

    Calls that failed count only with `failed`.
    """

    tool: Annotated[
        str,
        msgspec.Meta(description="The tool, by the name under which models call it.", examples=["search"]),
    ]
    arguments: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="Only calls whose arguments hold all of these.", examples=[{"city": "Paris"}]
        ),
    ] = {}
    min: Annotated[int, msgspec.Meta(ge=0, description="How often at least.", examples=[1])] = 1
    max: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None,
        msgspec.Meta(description="How often at most.", examples=[3]),
    ] = None
    failed: Annotated[bool, msgspec.Meta(description="Count calls that failed, too.", examples=[True])] = (
        False
    )
    step: StepOption = None

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = False

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Count the calls."""
        named = [called for called in calls_of(case, self.step) if called.tool == self.tool]
        count = sum(
            has(called.arguments, self.arguments) and (self.failed or not called.failed) for called in named
        )
        enough = count >= self.min and (self.max is None or count <= self.max)
        said = f"{self.tool} was called {_times(count)}"
        if self.arguments:
            said += f" with {msgspec.json.encode(self.arguments).decode()}"
        if len(named) > count:
            said += f", and {_times(len(named) - count)} otherwise or without success"
        return Score(float(enough), said if enough else f"{said}, expected {self._wanted()}")

    def _wanted(self) -> str:
        if self.max is None:
            return f"at least {_times(self.min)}"
        return _times(self.min) if self.min == self.max else f"{self.min} to {_times(self.max)}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
