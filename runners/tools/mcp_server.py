"""One server of the Model Context Protocol: started or reached once, asked by many rows. Nothing else imports mcp."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.hooks import PASSED_ON
from promptc.runners.tools.protocol import Opening, ToolFailed
from promptc.runners.tools.secrets import filled
from promptc.spec.errors import Untrusted

if TYPE_CHECKING:
    from mcp import Client

STARTING = 60.0
"""Seconds that a server may take until it answers first."""
INSTALL = "pip install 'promptc[mcp]'"


@dataclass(frozen=True)
class _Life:
    """One start of a server: the task that keeps it, its client once it answers, and what ends it."""

    task: asyncio.Task[None]
    client: asyncio.Future[Client]
    ending: asyncio.Event

    def over(self) -> bool:
        """Whether it ended, or is about to."""
        return self.ending.is_set() or self.task.done()


class Server:
    """A server behind a command or a URL. It lives in a task of its own, since it has to end where it began."""

    def __init__(
        self,
        command: Sequence[str] | None,
        url: str | None,
        headers: Mapping[str, str],
        environment: Mapping[str, str],
        opening: Opening,
    ) -> None:
        self._command = command
        self._url = url
        self._headers = headers
        self._environment = environment
        self._opening = opening
        self._turn = asyncio.Lock()
        self._life: _Life | None = None

    async def tools(self) -> list[dict[str, Any]]:
        """Name, description, schema of the arguments, and whether it only reads, of each tool. Raises RowFailed."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        life, client = await self._ready()
        while True:
            page = await self._guarded(life, client.list_tools(cursor=cursor), STARTING)
            for tool in page.tools:
                hints = tool.annotations
                found.append(
                    {
                        "name": tool.name,
                        "description": " ".join((tool.description or "").split()),
                        "schema": tool.input_schema,
                        "reads_only": bool(hints is not None and hints.read_only_hint),
                    }
                )
            cursor = page.next_cursor
            if not cursor:
                return found

    async def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """What a tool answers, and whether it calls that an error. Raises ToolFailed when it takes too long."""
        life, client = await self._ready()
        timeout = self._opening.timeout
        try:
            async with asyncio.timeout(timeout):
                answer = await self._guarded(life, client.call_tool(name, arguments), None)
        except TimeoutError as error:
            raise ToolFailed(f"it did not answer within {timeout:g} s") from error
        text = "\n".join(part.text for part in answer.content if part.type == "text")
        value = answer.structured_content if answer.structured_content is not None else text
        if isinstance(value, dict) and value.keys() == {"result"}:
            value = value["result"]
        return self._cleaned(value), bool(answer.is_error)

    async def close(self) -> None:
        """End the server, or the connection to it."""
        if self._life is not None:
            await self._end(self._life)

    async def _end(self, life: _Life) -> None:
        life.ending.set()
        await asyncio.gather(life.task, return_exceptions=True)

    async def _ready(self) -> tuple[_Life, Client]:
        if self._opening.offline:
            raise Untrusted(
                f"the tool {self._opening.name}: this call is not recorded", "run once without --offline"
            )
        async with self._turn:
            life = self._life
            if life is not None and life.over():
                await self._end(life)
            if life is None or life.over():
                client = asyncio.get_running_loop().create_future()
                ending = asyncio.Event()
                life = _Life(asyncio.create_task(self._live(client, ending)), client, ending)
                self._life = life
            both: set[asyncio.Future[Any]] = {life.client, life.task}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if life.client.done():
                return life, life.client.result()
            raise self._failed(life.task.exception() or EOFError("it ended at once"))

    async def _live(self, ready: asyncio.Future[Client], ending: asyncio.Event) -> None:
        """Start or reach the server, hand out the client, and keep it until the end."""
        async with contextlib.AsyncExitStack() as stack:
            ready.set_result(await self._opened(stack))
            await ending.wait()

    async def _opened(self, stack: contextlib.AsyncExitStack) -> Client:
        try:
            import httpx2
            from mcp import Client, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
        except ImportError as error:
            raise RowFailed("tool", f"{self._opening.name} needs the extra mcp: {INSTALL}") from error
        if self._url is not None:
            headers = filled(self._headers, self._opening)
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=STARTING))
            transport: Any = streamable_http_client(self._url, http_client=http)
        else:
            command = list(self._command or ())
            kept = {
                name: self._opening.environment[name]
                for name in PASSED_ON
                if name in self._opening.environment
            }
            parameters = StdioServerParameters(
                command=command[0],
                args=command[1:],
                env={**kept, **filled(self._environment, self._opening)},
                cwd=str(self._opening.base),
            )
            nowhere = stack.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115  the stack closes it
            transport = stdio_client(parameters, errlog=nowhere)
        async with asyncio.timeout(STARTING):
            return await stack.enter_async_context(Client(transport))

    async def _guarded(self, life: _Life, asked: Any, timeout: float | None) -> Any:
        """The answer to a request. Raises RowFailed when the server is gone, ToolFailed for what it refuses."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        try:
            async with asyncio.timeout(timeout):
                return await asked
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                # The next call starts or reaches it again.
                life.ending.set()
                raise self._failed(error) from error
            raise ToolFailed(self._cleaned(str(error))) from error
        except (OSError, EOFError, RuntimeError) as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> RowFailed:
        if isinstance(error, RowFailed):
            return error
        causes = [error]
        while isinstance(causes[-1], BaseExceptionGroup):
            causes.append(causes[-1].exceptions[0])
        why = self._opening.redactor.clean(str(causes[-1]) or type(causes[-1]).__name__)
        where = self._url if self._url is not None else " ".join(self._command or ())
        return RowFailed("tool", f"{self._opening.name}: the server ({where}) cannot be asked: {why}")

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._opening.redactor.clean(value)
        return msgspec.json.decode(self._opening.redactor.clean(msgspec.json.encode(value).decode()))
