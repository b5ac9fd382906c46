"""The tools of a run, open: what they offer, and what becomes of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.formats.problems import problems
from promptc.runners.formats.shapes import shape_of
from promptc.runners.phase import Lane
from promptc.runners.plugins import build
from promptc.runners.tools.protocol import Function, Offered, Opening, OpenTool, ToolFailed, ToolKind
from promptc.runners.tools.registry import TOOLS
from promptc.spec.model import ToolUse
from promptc.spec.suggest import did_you_mean, listed


class Toolbox:
    """All tools of a run. With `acting`, tools that change something are called; without, their stubs answer."""

    def __init__(self, uses: Mapping[str, ToolUse], openings: Mapping[str, Opening], *, acting: bool) -> None:
        self._uses = uses
        self._acting = acting
        kinds: dict[str, ToolKind] = {name: build(TOOLS, use.plugin) for name, use in uses.items()}
        self._open: dict[str, OpenTool] = {name: kind.opened(openings[name]) for name, kind in kinds.items()}

    async def offered(self, lane: Lane, names: Sequence[str]) -> tuple[Offered, ...]:
        """The functions of these tools, in order. Raises RowFailed where two have one name."""
        found: list[Offered] = []
        for name in names:
            use = self._uses[name]
            for function in await self._open[name].functions(lane):
                other = next((one.tool for one in found if one.function.name == function.name), None)
                if other is not None:
                    raise RowFailed(
                        "tool",
                        f"the tools {other} and {name} both offer {function.name}; keep one, with only:",
                    )
                found.append(Offered(described(use, function), name))
        return tuple(found)

    async def call(
        self, lane: Lane, offered: Sequence[Offered], name: str, arguments: Any, mark: tuple[Any, ...]
    ) -> Any:
        """What a function gives, as JSON data. Raises ToolFailed for what the model should know, RowFailed otherwise.

        `mark` tells calls apart that are each made for themselves: those that change something, and repeated ones.
        """
        found = next((one for one in offered if one.function.name == name), None)
        names = [one.function.name for one in offered]
        if found is None:
            raise ToolFailed(
                f"there is no tool {name}; {did_you_mean(name, names) or f'there are: {listed(names)}'}"
            )
        function = found.function
        wrong = problems(shape_of(function.schema).validator, "arguments", arguments)
        if wrong:
            raise ToolFailed(" ".join(wrong))
        use = self._uses[found.tool]
        if not self._acting:
            stub = _stub(use, name, arguments)
            if stub is not msgspec.UNSET:
                return stub
            if function.effects == "write":
                raise RowFailed(
                    "tool",
                    f"{name} changes something outside, and has no stub for these arguments: add stubs: to the tool, "
                    "or pass --allow-effects",
                )
        return await self._open[found.tool].call(lane, name, arguments, mark)

    async def close(self) -> None:
        """Let go of all connections and processes."""
        for tool in self._open.values():
            await tool.close()


def described(use: ToolUse, function: Function) -> Function:
    """The function with what the spec says in place of what it says of itself."""
    return msgspec.structs.replace(
        function,
        description=use.description or function.description,
        effects=use.effects or function.effects,
    )


def _stub(use: ToolUse, name: str, arguments: Mapping[str, Any]) -> Any:
    for stub in use.stubs:
        fits = all(key in arguments and arguments[key] == value for key, value in stub.arguments.items())
        if fits and stub.tool in (None, name):
            return stub.result
    return msgspec.UNSET
