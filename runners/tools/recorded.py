"""A tool's call as an effect: made once, remembered, the same in every replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from promptc.runners.phase import Lane
from promptc.runners.tools.protocol import ToolFailed

ROLE = "tool"
"""The role of tool calls in the journal."""


async def recorded(lane: Lane, parts: Sequence[Any], work: Callable[[], Awaitable[Any]]) -> Any:
    """What the work brings, from the journal or from the world; ToolFailed is remembered like a result.

    `parts` is all that can change it. RowFailed passes through.
    """

    async def noted() -> dict[str, Any]:
        try:
            return {"result": await work()}
        except ToolFailed as error:
            return {"error": str(error)}

    found = await lane.outside(ROLE, parts, noted)
    if "error" in found:
        raise ToolFailed(found["error"])
    return found["result"]
