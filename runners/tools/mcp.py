"""`mcp`: the tools of a Model Context Protocol server, started as a process or reached over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.tools.mcp_server import Server
from promptc.runners.tools.protocol import Function, Opening, ToolFailed
from promptc.runners.tools.recorded import ROLE, recorded
from promptc.runners.tools.secrets import told
from promptc.spec.model import Effects
from promptc.spec.suggest import did_you_mean, listed


class McpTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server of the Model Context Protocol and all it offers, or some of it.

    The server says which tools it has when a run first needs them; what it says is recorded, like its answers. A tool
    that does not call itself read-only counts as `effects: write`, unless `effects:` says otherwise. Needs the extra
    `mcp`: pip install 'promptc[mcp]'.
    """

    effects: ClassVar[Effects] = "write"

    command: Annotated[
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(
            description="What starts the server, run in the spec's folder.",
            examples=[["python", "server.py"]],
        ),
    ] = None
    url: Annotated[
        Annotated[str, msgspec.Meta(pattern="^https?://")] | None,
        msgspec.Meta(description="Where a server runs already.", examples=["http://localhost:8000/mcp"]),
    ] = None
    headers: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="Headers for a server at a URL.",
            examples=[{"Authorization": "Bearer ${env:MCP_KEY}"}],
        ),
    ] = {}
    environment: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="Variables for a server that is started; it sees few others.",
            examples=[{"API_KEY": "${env:SERVER_KEY}"}],
        ),
    ] = {}
    only: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(description="The tools that models may call; all without it.", examples=[["read_file"]]),
    ] = None

    def offered(self, name: str, base: Path) -> tuple[Function, ...] | None:
        """None: the server knows. Raises ValueError unless it is either started or reached."""
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has a command: that starts it, or a url: where it runs")
        return None

    def opened(self, opening: Opening) -> OfferedByServer:
        """Ready to be called; the server is not started yet."""
        return OfferedByServer(self, opening)

    def identity(self) -> list[Any]:
        """What tells the server from others."""
        return ["mcp", self.url if self.url is not None else list(self.command or ())]


class _Listed(msgspec.Struct, frozen=True):
    """A tool as the journal keeps it."""

    name: str
    description: str
    schema: dict[str, Any]
    reads_only: bool


class OfferedByServer:
    """An open `mcp`."""

    def __init__(self, kind: McpTool, opening: Opening) -> None:
        self._kind = kind
        self._opening = opening
        self._server = Server(kind.command, kind.url, kind.headers, kind.environment, opening)
        told({**kind.headers, **kind.environment}, opening)

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """What the server offers, in its order; recorded."""

        async def work() -> Any:
            return await self._server.tools()

        found = await lane.outside(ROLE, [*self._kind.identity(), "list"], work)
        offered = msgspec.convert(found, list[_Listed])
        only = self._kind.only
        for name in only or ():
            names = [tool.name for tool in offered]
            if name not in names:
                hint = did_you_mean(name, names) or f"it has {listed(names)}"
                raise RowFailed("tool", f"{self._opening.name}: the server has no tool {name}; {hint}")
        return tuple(
            Function(
                name=tool.name,
                description=tool.description,
                schema=tool.schema,
                effects="read" if tool.reads_only else "write",
            )
            for tool in offered
            if only is None or tool.name in only
        )

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """What the server answers: structured data where it gives some, else its text."""

        async def work() -> Any:
            value, failed = await self._server.call(function, arguments)
            if failed:
                raise ToolFailed(value if isinstance(value, str) else msgspec.json.encode(value).decode())
            return value

        return await recorded(lane, [*self._kind.identity(), function, arguments, *mark], work)

    async def close(self) -> None:
        """End the server, or the connection to it."""
        await self._server.close()
