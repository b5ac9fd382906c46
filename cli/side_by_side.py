"""rows.jsonl of a sweep: each row once, with what every cell made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptc.runners.finished_run import ScoredRow
from promptc.runners.leaderboard import CellResult, Leaderboard
from promptc.runners.run_directory import RunDirectory
from promptc.runners.run_rows import WholeRow, whole_rows

Rows = Mapping[str, dict[str, ScoredRow]]
"""What is known of each cell's rows, by the cell's folder."""


def write_side_by_side(directory: RunDirectory, board: Leaderboard, rows: Rows) -> None:
    """Write the rows in the order of the best cell; those that only other cells have come behind."""
    log = directory.appending("rows.jsonl")
    cells = [cell for cell in board.cells if cell.directory in rows]
    answers = [(cell, answers_of(directory.work, board.split, cell, rows)) for cell in cells]
    alike = len({tuple(rows[cell.directory]) for cell in cells}) == 1
    for line in _zipped(answers) if alike else _gathered(answers):
        log.append(log.count, line)
    log.put_in_order()


def answers_of(folder: Path, split: str, cell: CellResult, rows: Rows) -> Iterator[WholeRow]:
    """What a cell made of the rows that it was ranked on, in order."""
    known = rows[cell.directory]
    candidate = next(iter(known.values())).candidate if known else ""
    return whole_rows(folder / cell.directory, split, candidate)


def _zipped(answers: Sequence[tuple[CellResult, Iterator[WholeRow]]]) -> Iterator[dict[str, Any]]:
    """The lines where all cells have the same rows in the same order: read beside each other, never all at once."""
    cells = [cell for cell, _ in answers]
    for group in zip(*(own for _, own in answers), strict=True):
        yield _line(list(zip(cells, group, strict=True)))


def _gathered(answers: Sequence[tuple[CellResult, Iterator[WholeRow]]]) -> Iterator[dict[str, Any]]:
    found: dict[str, list[tuple[CellResult, WholeRow]]] = {}
    for cell, own in answers:
        for row in own:
            found.setdefault(row.id, []).append((cell, row))
    return (_line(group) for group in found.values())


def _line(group: Sequence[tuple[CellResult, WholeRow]]) -> dict[str, Any]:
    first = group[0][1]
    return {
        "id": first.id,
        "inputs": first.inputs,
        "expected": first.expected,
        "cells": {cell.directory: _answer(row) for cell, row in group},
    }


def _answer(row: WholeRow) -> dict[str, Any]:
    failure = {"failure": row.failure} if row.failure is not None else {}
    return {"score": row.score, "outputs": row.outputs, **failure}
