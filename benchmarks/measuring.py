"""How the benchmarks measure: whole processes with their CPU time and memory, beside a loopback server."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

SPECS = Path(__file__).resolve().parent / "specs"
START_SECONDS = 10.0


class Missing(Exception):
    """Something that a benchmark needs is not here; the message says what, and that this part is skipped."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark found: a table, and sentences below it."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The section as docs/benchmarks.md keeps it."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return "\n\n".join([table, *self.notes])


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked on the command line. `work` is a folder of this run alone."""

    shared: Path
    peer_python: Path | None
    rows: int
    rounds: int
    work: Path

    def data(self, name: str, *files: str) -> Path:
        """The folder of a data set that has these files; raises Missing."""
        folder = self.shared / "data" / name
        absent = [file for file in files if not (folder / file).is_file()]
        if absent:
            raise Missing(f"{folder} lacks {', '.join(absent)}; --shared names the folder with data/{name}")
        return folder


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """One process from start to end: seconds of wall and CPU time (user and system), and its peak memory in MB."""

    wall: float
    cpu: float
    peak: float
    stdout: bytes
    stderr: str


def spend(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Spent:
    """Run a command to its end. Raises RuntimeError with what it said when it fails."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stdout, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    said = err.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {process.returncode}:\n{said[-2000:]}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Spent(
        wall=wall,
        cpu=used.ru_utime + used.ru_stime,
        peak=used.ru_maxrss / scale,
        stdout=out.read_bytes(),
        stderr=said,
    )


def promptc() -> str:
    """The installed console script."""
    script = Path(sys.executable).with_name("promptc")
    if not script.is_file():
        raise Missing(
            f"{script} is not there: run the benchmarks with the Python that promptc is installed in"
        )
    return str(script)


def environment_for(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a measured process: its own cache, and compiled modules kept as an installer keeps them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {
        "PROMPTC_CACHE_DIR": str(settings.work / "cache"),
        "PYTHONPYCACHEPREFIX": str(settings.work / "bytecode"),
    }
    return {**kept, **own, **more}


def forget_replies(settings: Settings) -> None:
    """Empty the cache."""
    shutil.rmtree(settings.work / "cache", ignore_errors=True)


@contextlib.contextmanager
def loopback(
    settings: Settings, *, reply: str, latency: int = 0
) -> Iterator[tuple[int, Callable[[], dict[str, Any]]]]:
    """The chat-completions server that does no work: its port, and what it has counted. `latency` in ms."""
    script = settings.shared / "bench" / "loopback.mjs"
    node = shutil.which("node")
    if node is None or not script.is_file():
        raise Missing(
            f"no loopback server: {'node is not installed' if node is None else f'{script} is not there'}"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([node, str(script), str(port), "--reply", reply, "--latency", str(latency)])
    try:
        _until_ready(port)
        yield port, lambda: _ask(port, "stats")
    finally:
        process.terminate()
        process.wait()


def _until_ready(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            _ask(port, "stats")
            return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _ask(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def middle(values: Sequence[float], digits: int = 0) -> str:
    """The median, with the range where there are several."""
    shown = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return shown
    return f"{shown} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def machine() -> str:
    """What the figures were measured on and with."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{date.today().isoformat()}, {os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"promptc {version('promptc')}, aiohttp {version('aiohttp')}, SQLite {_sqlite()}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _sqlite() -> str:
    import sqlite3

    return sqlite3.sqlite_version
