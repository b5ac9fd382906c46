"""Writes reports of finished runs: `promptc report`."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.opening import RUNS
from promptc.cli.page.drawing import HINT, drawing
from promptc.cli.reports.stored import StoredRun, newest_run, stored_run
from promptc.cli.untrusted import path_line
from promptc.runners.disk import write_file
from promptc.spec.errors import UsageError

PAGE = "report.html"
SUFFIXES: Mapping[str, str] = {
    ".html": "html", ".htm": "html", ".md": "md", ".xml": "junit", ".csv": "csv", ".parquet": "parquet",
    ".json": "json", ".txt": "text",
}  # fmt: skip
STDOUT = Path("-")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of `promptc report`."""

    run: Path | None
    kind: str | None
    as_json: bool
    output: Path | None
    show: bool
    most_rows: int
    include_text: bool
    pass_at: float | None


def write_report(request: Request, terminal: Terminal) -> None:
    """Write what was asked for, and say where it is. Raises UsageError, RunError."""
    kind = _kind(request)
    run = stored_run(request.run or newest_run(RUNS))
    target = request.output or (run.path / PAGE if kind == "html" else STDOUT)
    if kind == "parquet":
        _write_parquet(run, target, terminal)
    elif target == STDOUT:
        _to_stdout(_PARTS[kind](run, request))
    else:
        if not target.parent.is_dir():
            raise UsageError(f"there is no folder {target.parent}")
        write_file(target, _PARTS[kind](run, request))
        _tell(target, terminal)
    if kind == "html" and drawing() is None:
        terminal.say(f"without plots: {HINT} brings what draws them")
    if request.show:
        _open(target, terminal)


def _kind(request: Request) -> str:
    """The format that is meant. Raises UsageError for wishes that contradict each other."""
    named = SUFFIXES.get(request.output.suffix.lower()) if request.output is not None else None
    if request.as_json and request.kind not in (None, "json"):
        raise UsageError(f"--json and --format {request.kind} are two formats", "leave one of them out")
    kind = "json" if request.as_json else request.kind or named or "html"
    if kind == "parquet" and request.output in (None, STDOUT):
        raise UsageError("parquet is no text for a terminal", "name a file: -o rows.parquet")
    if request.show and (kind != "html" or request.output == STDOUT):
        raise UsageError("--open shows the page", "leave --format out, and let it be written to a file")
    if kind != "junit" and (request.include_text or request.pass_at is not None):
        raise UsageError("--include-text and --pass-at belong to --format junit")
    return kind


def _page(run: StoredRun, request: Request) -> Iterator[bytes]:
    from promptc.cli.page.report import html_report

    yield html_report(run.details, run.path, run.manifest, most_rows=request.most_rows)


def _markdown(run: StoredRun, _: Request) -> Iterator[bytes]:
    from promptc.cli.reports.markdown import markdown_report

    yield markdown_report(run.details).encode()


def _text(run: StoredRun, _: Request) -> Iterator[bytes]:
    from promptc.cli.reports.files import text_report

    yield text_report(run.details).encode()


def _json(run: StoredRun, _: Request) -> Iterator[bytes]:
    from promptc.cli.reports.machine import as_document

    yield as_document(run.details.summary, run.details.run_directory).encode()


def _junit(run: StoredRun, request: Request) -> Iterable[bytes]:
    from promptc.cli.reports.junit import junit_parts

    return junit_parts(run.details, run.path, include_text=request.include_text, pass_at=request.pass_at)


def _csv(run: StoredRun, _: Request) -> Iterator[bytes]:
    from promptc.cli.reports.row_files import csv_parts

    return (part.encode() for part in csv_parts(run.path))


_PARTS: Mapping[str, Callable[[StoredRun, Request], Iterable[bytes]]] = {
    "html": _page,
    "md": _markdown,
    "text": _text,
    "json": _json,
    "junit": _junit,
    "csv": _csv,
}


def _write_parquet(run: StoredRun, target: Path, terminal: Terminal) -> None:
    from promptc.cli.reports.row_files import write_parquet

    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}")
    write_parquet(run.path, target)
    _tell(target, terminal)


def _to_stdout(parts: Iterable[bytes]) -> None:
    stream: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    for part in parts:
        if stream is not None:
            stream.write(part)
        else:
            sys.stdout.write(part.decode())


def _tell(target: Path, terminal: Terminal) -> None:
    """The path is the answer: `xdg-open $(promptc report)` works."""
    terminal.write(f"{path_line(str(target))}\n")


def _open(page: Path, terminal: Terminal) -> None:
    if not webbrowser.open(page.resolve().as_uri()):
        terminal.warn(f"no browser was found; open {page} yourself")
