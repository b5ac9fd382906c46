"""What the report of a sweep is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from promptc.cli.side_by_side import Rows, answers_of
from promptc.cli.untrusted import excerpt
from promptc.runners.leaderboard import CellResult, Leaderboard
from promptc.runners.run_rows import WholeRow

MOST_ROWS = 6
MOST_CELLS = 6
MOST_TEXT = 200


class Answer(msgspec.Struct, frozen=True):
    """What one cell said to a row, as an excerpt, or why it said nothing."""

    cell: int
    score: float | None
    text: str


class DifferingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row on which cells differ."""

    id: str
    inputs: str
    expected: str
    answers: tuple[Answer, ...]


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that tell the cells apart most; `count` of `common` rows differ. Answers are of the best few cells."""

    rows: tuple[DifferingRow, ...] = ()
    count: int = 0
    common: int = 0


class SweepDetails(msgspec.Struct, frozen=True, kw_only=True):
    """All that a sweep's report shows. `latencies` are a reply's median seconds, by the cell's folder."""

    board: Leaderboard
    run_directory: str
    latencies: dict[str, float | None] = {}
    differing: Differing = Differing()


def differing_rows(board: Leaderboard, folder: Path, rows: Rows) -> Differing:
    """The rows that every ranked cell has, and on which their scores are furthest apart."""
    cells = [cell for cell in board.cells if cell.rank is not None and cell.directory in rows]
    if len(cells) < 2:
        return Differing()
    shared = [
        name for name in rows[cells[0].directory] if all(name in rows[cell.directory] for cell in cells)
    ]
    spread = {name: _spread([rows[cell.directory][name].score for cell in cells]) for name in shared}
    apart = [name for name in shared if spread[name] > 0]
    chosen = sorted(apart, key=lambda name: -spread[name])[:MOST_ROWS]
    shown = cells[:MOST_CELLS]
    answers = {cell.number: _chosen(folder, board, cell, rows, chosen) for cell in shown}
    return Differing(
        rows=tuple(_row(name, shown, answers) for name in chosen), count=len(apart), common=len(shared)
    )


def _spread(scores: Sequence[float | None]) -> float:
    known = [score for score in scores if score is not None]
    return max(known) - min(known) if known else 0.0


def _chosen(
    folder: Path, board: Leaderboard, cell: CellResult, rows: Rows, chosen: Sequence[str]
) -> dict[str, WholeRow]:
    wanted = frozenset(chosen)
    return {row.id: row for row in answers_of(folder, board.split, cell, rows) if row.id in wanted}


def _row(
    name: str, cells: Sequence[CellResult], answers: Mapping[int, Mapping[str, WholeRow]]
) -> DifferingRow:
    first = answers[cells[0].number][name]
    return DifferingRow(
        id=name,
        inputs=values(first.inputs),
        expected=values(first.expected),
        answers=tuple(
            Answer(cell.rank or 0, answers[cell.number][name].score, answer_text(answers[cell.number][name]))
            for cell in cells
        ),
    )


def answer_text(row: WholeRow) -> str:
    """What a row was answered, or why it was not."""
    if row.outputs is None and row.failure is not None:
        return f"{row.failure.kind}: {excerpt(row.failure.message, MOST_TEXT)}"
    return values(row.outputs or {})


def values(tree: Mapping[str, object]) -> str:
    """One value alone; several each with its name."""
    if len(tree) == 1:
        return excerpt(next(iter(tree.values())), MOST_TEXT)
    return excerpt(
        ", ".join(f"{name}: {excerpt(value, MOST_TEXT)}" for name, value in tree.items()), MOST_TEXT
    )
