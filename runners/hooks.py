"""The user's functions, run in worker processes: they cannot break the protocol, hang a run or see its
secrets.

A worker is a Python of its own that starts in the spec's folder with PATH, HOME, LANG, LC_ALL, LC_CTYPE, TZ
and TMPDIR of the caller's environment and nothing else: no keys, no PYTHONPATH. String hashes and `random`
are the same in every worker. The result must depend on the arguments alone, for which worker serves which row
is left to chance. Processes that the function leaves behind are ended with their worker, as long as they stay
in its session."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from promptc.runners import hook_worker
from promptc.runners.failures import RowFailed
from promptc.runners.hook_source import locate

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""The variables of the environment that the user's code sees."""

LOADING = 60.0
"""Seconds that a file may at least take to be imported; libraries such as torch need several."""

_GRACE = 2.0
"""Seconds after its limit in which a worker should have ended itself, naming the line that it stood at."""

_KEPT_OUTPUT = 2000
_SHOWN_OUTPUT = 200


class _Output:
    """The end of what a worker has printed. Read whenever something comes, so that printing never blocks."""

    def __init__(self) -> None:
        self._source, self.sink = os.pipe()
        self._text = b""
        os.set_blocking(self._source, False)
        asyncio.get_running_loop().add_reader(self._source, self.drain)

    def drain(self) -> None:
        """Take what is there now; at most 1 MiB, so that a flood cannot hold the event loop."""
        for _ in range(16):
            try:
                part = os.read(self._source, 2**16)
            except BlockingIOError:
                return
            if not part:
                asyncio.get_running_loop().remove_reader(self._source)
                return
            self._text = (self._text + part)[-_KEPT_OUTPUT:]

    def take(self) -> str:
        """Everything since the last time."""
        self.drain()
        text, self._text = self._text.decode("utf-8", "replace"), b""
        return text

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._source)
        os.close(self._source)


class _Died(Exception):
    """A worker that went away, or did not answer in time."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late


class _Worker:
    """One process and the socket to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        output: _Output,
    ) -> None:
        self.process = process
        self.output = output
        self.loaded: set[str] = set()
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, folder: Path, environment: Mapping[str, str]) -> _Worker:
        """A new process that waits for its first request."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        output = _Output()
        flags = ["-P", "-B", "-u", "-X", "utf8", *(["-s"] if sys.flags.no_user_site else [])]
        script = [hook_worker.__file__, str(theirs.fileno()), str(folder)]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *flags,
                *script,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.sink,
                stderr=output.sink,
                pass_fds=[theirs.fileno()],
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
        except BaseException:
            output.close()
            writer.close()
            raise
        finally:
            theirs.close()
            os.close(output.sink)
        return cls(process, reader, writer, output)

    async def ask(self, request: dict[str, Any], timeout: float) -> Any:
        """The reply's value. Raises RowFailed with the worker's sentence, _Died when there is no reply."""
        frame = msgspec.json.encode({**request, "timeout": timeout})
        try:
            async with asyncio.timeout(timeout + _GRACE):
                self._writer.write(hook_worker.LENGTH.pack(len(frame)) + frame)
                await self._writer.drain()
                head = await self._reader.readexactly(hook_worker.LENGTH.size)
                body = await self._reader.readexactly(hook_worker.LENGTH.unpack(head)[0])
        except TimeoutError as error:
            raise _Died(late=True) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Died(late=False) from error
        reply = msgspec.json.decode(body)
        if "error" in reply:
            raise RowFailed("hook", reply["error"])
        return reply["value"]

    async def exit_code(self) -> int | None:
        """How the process ended; None when it has not, although its socket has."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.process.wait(), _GRACE)
        return None

    def end(self) -> None:
        """End the process and its children at once; `process.wait()` still has to be awaited."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._writer.close()
        self.output.close()

    async def close(self) -> None:
        """Let the process end by itself, and make sure of it."""
        self._writer.close()
        await self.exit_code()
        self.end()


class HookPool:
    """Runs `file.py:function` of a spec's folder. Workers start when needed and end with the context."""

    def __init__(
        self, base: str | Path, *, environment: Mapping[str, str], workers: int = 2, timeout: float = 60.0
    ) -> None:
        self._base = Path(base).resolve()
        self._timeout = timeout
        kept = {name: environment[name] for name in PASSED_ON if name in environment}
        self._environment = {**kept, "PYTHONHASHSEED": "0"}
        self._free = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._ended: list[_Worker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.close() for worker in idle))
        await asyncio.gather(*(worker.process.wait() for worker in (*idle, *self._ended)))

    async def call(self, reference: str, payload: Any) -> Any:
        """What the function returns. Raises RowFailed("hook", …).

        A mapping is given as arguments: by name where the function's required parameters are among its keys,
        else in its order, as many as the function wants; anything else is a single argument. The result must
        be JSON and not null. One call may take `timeout` seconds; a worker that hangs or dies is replaced.
        """
        try:
            locate(self._base, reference)
        except ValueError as error:
            raise RowFailed("hook", f"{reference}: {error}") from error
        async with self._free:
            worker = await self._worker()
            try:
                value = await self._ask(worker, reference, payload)
            except RowFailed as failed:
                self._idle.append(worker)
                raise RowFailed("hook", failed.failure.message + _printed(worker.output.take())) from failed
            except _Died as died:
                try:
                    sentence = await self._obituary(worker, reference, died.late)
                finally:
                    self._bury(worker)
                raise RowFailed("hook", sentence) from died
            except msgspec.DecodeError as error:
                self._bury(worker)
                raise RowFailed("hook", f"{reference} returned text that is not valid Unicode") from error
            except BaseException:
                self._bury(worker)
                raise
            self._idle.append(worker)
            worker.output.take()
            return value

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.process.returncode is None:
                return worker
            self._bury(worker)
        return await _Worker.start(self._base, self._environment)

    def _bury(self, worker: _Worker) -> None:
        worker.end()
        self._ended.append(worker)

    async def _ask(self, worker: _Worker, reference: str, payload: Any) -> Any:
        if reference not in worker.loaded:
            await worker.ask({"reference": reference}, max(LOADING, self._timeout))
            worker.loaded.add(reference)
        return await worker.ask({"reference": reference, "payload": payload}, self._timeout)

    async def _obituary(self, worker: _Worker, reference: str, late: bool) -> str:
        """Why there was no answer: the limit, an exit or a signal, and where in the user's files."""
        code = None if late else await worker.exit_code()
        output = worker.output.take()
        printed, dump, stack = (*_DUMP.split(output, maxsplit=1), "", "")[:3]
        limit = self._timeout if reference in worker.loaded else max(LOADING, self._timeout)
        if late or dump.startswith("Timeout"):
            what = f"it was still running after {limit:g} s"
        elif code is None:
            what = "it broke the connection to its worker process"
        elif code < 0:
            name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
            what = f"its process was ended by {name}"
        else:
            what = f"it ended its process with exit code {code}"
        return f"{_place(stack, self._base) or reference}: {what}{_printed(printed)}"


_DUMP = re.compile(r"^(Timeout \(|Fatal Python error: )", re.MULTILINE)
"""How Python's fault handler begins what it writes about a process that hangs or crashes."""


def _place(stack: str, base: Path) -> str:
    """The innermost line of a fault handler's stack that is the user's own."""
    for path, line, name in re.findall(r'File "([^"]+)", line (\d+) in (\S+)', stack):
        if Path(path).is_relative_to(base) and "site-packages" not in Path(path).parts:
            return f"{Path(path).relative_to(base)}:{line}, in {name}"
    return ""


def _printed(output: str) -> str:
    text = output.strip()
    return f" (it printed: {text[-_SHOWN_OUTPUT:]!r})" if text else ""
