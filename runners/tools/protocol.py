"""What every tool does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec

from promptc.runners.models.secrets import Redactor
from promptc.runners.phase import Lane
from promptc.spec.model import Effects


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a model may call. `schema` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    schema: dict[str, Any]
    effects: Effects = "read"


class Offered(msgspec.Struct, frozen=True):
    """A function with the tool that offers it."""

    function: Function
    tool: str


def with_description(offered: Offered, descriptions: Mapping[str, str]) -> Offered:
    """The function with what a candidate says of it, under `tools.NAME`, in place of what it says of itself."""
    said = descriptions.get(f"tools.{offered.function.name}")
    if said is None:
        return offered
    return Offered(msgspec.structs.replace(offered.function, description=said), offered.tool)


class ToolFailed(Exception):
    """A call that the model can learn from: wrong arguments, nothing found, no answer in time."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool is opened with.

    `name` is what models call it. `digests` maps the user's functions to the digests of their code. `timeout` is in
    seconds for one call. With `offline` no socket may be opened.
    """

    name: str
    base: Path
    timeout: float
    environment: Mapping[str, str]
    redactor: Redactor
    digests: Mapping[str, str]
    offline: bool = False


class OpenTool(Protocol):
    """A tool that is ready to be called. What it asks of the outside goes through the row's lane."""

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """What it offers; of a server, as it says itself. Raises RowFailed."""
        ...

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """What a function gives for arguments that fit its schema, as JSON data.

        `mark` tells calls apart that are to be made each for itself. Raises ToolFailed for what the model should know,
        RowFailed for what is not the model's business.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and processes; called once."""
        ...


class ToolKind(Protocol):
    """A kind of tool: a frozen Struct whose fields are its parameters."""

    effects: ClassVar[Effects]
    """What it does outside, where the spec says nothing."""

    def offered(self, name: str, base: Path) -> tuple[Function, ...] | None:
        """What it offers as far as that is known without asking anybody; None where only the outside knows.

        Raises ValueError with what is wrong.
        """
        ...

    def opened(self, opening: Opening) -> OpenTool:
        """Ready to be called; nothing is asked before the first call."""
        ...


class Tools(Protocol):
    """All tools of a run: `promptc.runners.tools.toolbox.Toolbox`."""

    async def offered(self, lane: Lane, names: Sequence[str]) -> tuple[Offered, ...]:
        """The functions of these tools, in order. Raises RowFailed."""
        ...

    async def call(
        self, lane: Lane, offered: Sequence[Offered], name: str, arguments: Any, mark: tuple[Any, ...]
    ) -> Any:
        """What a function gives, as JSON data. Raises ToolFailed for what the model should know, else RowFailed."""
        ...
