"""Ends a sweep: the leaderboard, the rows side by side, every file of its directory, the manifest last."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.finish import git_state
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.sweep_details import SweepDetails, differing_rows
from promptc.cli.side_by_side import write_side_by_side
from promptc.cli.sweep_cells import Cell
from promptc.runners.finished_run import ScoredRow, open_run
from promptc.runners.leaderboard import Leaderboard
from promptc.runners.ranking import Entry, cost_measure, results
from promptc.runners.run_directory import RunDirectory
from promptc.runners.summary import VerdictLine
from promptc.runners.timing import Timing
from promptc.runners.verdicts import exit_code
from promptc.spec.errors import PromptcError, SpecError

SWEEP = "sweep.json"
BEST = "best"
"""The link to the best cell's folder."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a cell came to: what its report shows, or the error that ended it.

    `path` is where it stands now; `before` says that it was finished before and is shown again.
    """

    cell: Cell
    folder: str
    path: Path
    details: ReportDetails | None = None
    error: PromptcError | None = None
    before: bool = False

    @property
    def code(self) -> int:
        """The cell's exit code."""
        if self.error is not None:
            return self.error.exit_code
        return self.details.summary.exit_code if self.details is not None else 0

    def entry(self, rows: dict[str, ScoredRow] | None = None) -> Entry:
        """The cell for the leaderboard."""
        return Entry(
            number=self.cell.number,
            directory=self.folder,
            values=dict(self.cell.values),
            summary=self.details.summary if self.details is not None else None,
            rows=rows or {},
            exit_code=self.code,
            error=error_text(self.error),
        )


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a sweep beside what its cells came to.

    `test` is the digest of the test rows, `notes` belong beside the figures.
    """

    command: str
    name: str
    split: str
    directory: RunDirectory
    arguments: tuple[str, ...]
    version: str
    base: Path
    test: str
    share: dict[str, float]
    notes: tuple[str, ...] = ()


class CellTiming(msgspec.Struct, frozen=True, kw_only=True):
    """What a cell's last session took, and the median and 95th percentile of a reply's latency, all in seconds.

    Latencies are None where no reply was waited for.
    """

    seconds: float
    median_latency: float | None
    p95_latency: float | None
    paid_calls: int
    paid_usd: float


def error_text(error: PromptcError | None) -> str:
    """An error in one sentence; of a spec, its first finding."""
    if isinstance(error, SpecError) and error.diagnostics:
        return error.diagnostics[0].message
    return error.message if error is not None else ""


def finish_sweep(ending: Ending, ended: Sequence[Ended], terminal: Terminal, *, as_json: bool) -> int:
    """Write and show what came out; returns the exit code."""
    directory = ending.directory
    rows = {
        one.folder: {row.id: row for row in open_run(one.path).rows(ending.split)}
        for one in ended
        if one.details is not None
    }
    board = leaderboard(ending, ended, rows)
    timings = {
        one.folder: cell_timing(one.details.timing, one.cell)
        for one in ended
        if one.details is not None and one.details.timing is not None
    }
    details = SweepDetails(
        board=board,
        latencies={folder: timing.median_latency for folder, timing in timings.items()},
        differing=differing_rows(board, directory.work, rows),
        run_directory=str(directory.path if board.complete else directory.work),
    )
    _write(ending, details, timings, rows)
    _show(details, terminal, as_json=as_json)
    return board.exit_code


def leaderboard(
    ending: Ending, ended: Sequence[Ended], rows: Mapping[str, dict[str, ScoredRow]]
) -> Leaderboard:
    """What goes into sweep.json."""
    cells = results([one.entry(rows.get(one.folder)) for one in ended], ending.split)
    verdicts = [line for one in ended for line in _verdicts(one)]
    return Leaderboard(
        command=ending.command,
        name=ending.name,
        identity=ending.directory.marker.identity,
        split=ending.split,
        keys=tuple(dict.fromkeys(key for one in ended for key, _ in one.cell.values)),
        share=ending.share,
        complete=all(one.error is None for one in ended),
        cost_measure=cost_measure(cells),
        best=next((cell.directory for cell in cells if cell.rank == 1), None),
        cells=cells,
        exit_code=exit_code(verdicts),
        verdicts=tuple(verdicts),
        notes=(*ending.notes, *_row_notes(rows, ending.split)),
    )


def _verdicts(ended: Ended) -> Iterator[VerdictLine]:
    """Why a cell does not end with 0, with its name."""
    if ended.error is not None:
        message = f"{ended.cell.label}: {error_text(ended.error)}"
        yield VerdictLine(code=ended.error.exit_code, message=message)
    elif ended.details is not None:
        for line in ended.details.summary.verdicts:
            yield msgspec.structs.replace(line, message=f"{ended.cell.label}: {line.message}")


def _row_notes(rows: Mapping[str, dict[str, ScoredRow]], split: str) -> list[str]:
    """A word where cells were not scored on the same rows: their means do not compare like with like."""
    contents = {frozenset((row.id, row.digest) for row in cell.values()) for cell in rows.values()}
    if len(contents) < 2:
        return []
    return [
        f"the cells were not scored on the same {split} rows: distances and p count the rows that two cells share; "
        "where run.seed is swept, data.split.seed keeps the rows the same"
    ]


def cell_timing(timing: Timing, cell: Cell) -> CellTiming:
    """What of a run's timing belongs beside its place."""
    model = timing.models.get(cell.loaded.spec.steps[0].model)
    known = model is not None and model.calls > 0
    return CellTiming(
        seconds=timing.seconds,
        median_latency=model.median_latency if model is not None and known else None,
        p95_latency=model.p95_latency if model is not None and known else None,
        paid_calls=timing.paid_calls,
        paid_usd=timing.paid_usd,
    )


def _write(
    ending: Ending,
    details: SweepDetails,
    timings: Mapping[str, CellTiming],
    rows: Mapping[str, dict[str, ScoredRow]],
) -> None:
    from promptc.cli.reports.sweep_files import sweep_reports

    directory, board = ending.directory, details.board
    directory.write(SWEEP, _json(board))
    directory.write("timing.json", _json({"cells": timings}))
    if not directory.finished:
        write_side_by_side(directory, board, rows)
    _link_best(directory, board)
    for name, content in sweep_reports(details).items():
        directory.write(name, content)
    if board.complete and not directory.finished:
        directory.complete(_json(_manifest(ending, board)))


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"


def _manifest(ending: Ending, board: Leaderboard) -> dict[str, Any]:
    """What made this sweep; written last."""
    cells = sorted(board.cells, key=lambda cell: cell.number)
    return {
        "promptc": ending.version,
        "command": ending.directory.marker.command,
        "arguments": list(ending.arguments),
        "identity": board.identity,
        "name": board.name,
        "digests": {"test": ending.test},
        "scored": [board.split, *(["test"] if any(cell.test is not None for cell in cells) else [])],
        "cells": [
            {"directory": cell.directory, "identity": cell.identity, "values": cell.values} for cell in cells
        ],
        "git": git_state(ending.base),
        "python": platform.python_version(),
        "platform": sys.platform,
    }


def _link_best(directory: RunDirectory, board: Leaderboard) -> None:
    """`best` names the best cell's folder; left alone where links cannot be made."""
    link = directory.work / BEST
    temporary = directory.work / f".{BEST}.tmp"
    with contextlib.suppress(OSError):
        if board.best is None:
            link.unlink(missing_ok=True)
        elif not link.is_symlink() or os.readlink(link) != board.best:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(board.best, target_is_directory=True)
            os.replace(temporary, link)


def _show(details: SweepDetails, terminal: Terminal, *, as_json: bool) -> None:
    from promptc.cli.json_output import json_text
    from promptc.cli.reports.sweep import sweep_report

    with contextlib.suppress(BrokenPipeError):  # whoever reads may have seen enough; the verdict stands
        if as_json:
            document = {**msgspec.to_builtins(details.board), "run_directory": details.run_directory}
            terminal.write(json_text(document))
        else:
            terminal.answer(sweep_report(details))
    for verdict in details.board.verdicts:
        terminal.complain(verdict.message)
