"""`python`: a function of the user's, run in a worker process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.tools.function_source import read_function
from promptc.runners.tools.protocol import Function, Opening, ToolFailed
from promptc.runners.tools.recorded import recorded
from promptc.spec.model import Effects


class PythonTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function of yours. Its arguments and what they mean are read from its type hints and docstring, unrun.

    It runs in a worker process and returns plain data. What it raises is told to the model in one line.
    """

    effects: ClassVar[Effects] = "read"

    function: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$",
            description="The function, as file.py:name; the file lies in the spec's folder.",
            examples=["tools.py:order_status"],
        ),
    ]

    def offered(self, name: str, base: Path) -> tuple[Function, ...]:
        """The function. Raises ValueError where it cannot be a tool."""
        return (read_function(base, self.function, name),)

    def opened(self, opening: Opening) -> CalledFunction:
        """Ready to be called."""
        return CalledFunction(self, opening)


class CalledFunction:
    """An open `python`."""

    def __init__(self, kind: PythonTool, opening: Opening) -> None:
        self._reference = kind.function
        self._opening = opening
        self._offered = kind.offered(opening.name, opening.base)

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """The one function."""
        return self._offered

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """What it returns."""
        hooks = lane.phase.effects.hooks
        if hooks is None:
            raise RowFailed("hook", f"{self._reference} was not allowed to run")

        async def work() -> Any:
            try:
                async with asyncio.timeout(self._opening.timeout):
                    return await hooks.call(self._reference, arguments)
            except TimeoutError as error:
                raise ToolFailed(f"it did not answer within {self._opening.timeout:g} s") from error
            except RowFailed as error:
                raise ToolFailed(error.failure.message) from error

        digest = self._opening.digests.get(self._reference, "")
        return await recorded(lane, ["python", self._reference, digest, arguments, *mark], work)

    async def close(self) -> None:
        """The workers belong to whoever opened them."""
