"""The confusion matrix of report.html: a table whose cells are shaded by their share of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MOST_LABELS = 24
LEVELS = 6
OTHERS = "others"


class MatrixCell(msgspec.Struct, frozen=True, kw_only=True):
    """So many rows of one label that were taken for another; `level` is their share in steps of 1/LEVELS."""

    rows: int
    level: int
    right: bool


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted for the rows of one label, how many there are, and how many of them were found."""

    label: str
    cells: tuple[MatrixCell, ...]
    support: int
    recall: float


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Rows are what was expected, columns what was predicted; `merged` labels stand together under "others"."""

    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    merged: int = 0


def matrix(tally: Mapping[str, Any], most: int = MOST_LABELS) -> Matrix | None:
    """The matrix of a metric's tally; None where it has none.

    Of more than `most` labels those with the most mistakes keep a line of their own.
    """
    found = tally.get("confusion")
    if not isinstance(found, Mapping) or not found:
        return None
    counts: dict[tuple[str, str], int] = {
        (expected, predicted): rows for expected, row in found.items() for predicted, rows in row.items()
    }
    labels = sorted({label for pair in counts for label in pair})
    kept = _kept(counts, labels, most)
    names = [label for label in labels if label in kept]
    merged = len(labels) - len(names)
    if merged:
        names.append(OTHERS)
        counts = _merged(counts, kept)
    expected = [name for name in names if any(counts.get((name, other)) for other in names)]
    rows = tuple(_row(name, names, counts) for name in expected)
    return Matrix(columns=tuple(names), rows=rows, merged=merged)


def _kept(counts: Mapping[tuple[str, str], int], labels: list[str], most: int) -> set[str]:
    if len(labels) <= most:
        return set(labels)
    mistakes = dict.fromkeys(labels, 0)
    for (expected, predicted), rows in counts.items():
        if expected != predicted:
            mistakes[expected] += rows
            mistakes[predicted] += rows
    return set(sorted(labels, key=lambda label: (-mistakes[label], label))[: most - 1])


def _merged(counts: Mapping[tuple[str, str], int], kept: set[str]) -> dict[tuple[str, str], int]:
    together: dict[tuple[str, str], int] = {}
    for (expected, predicted), rows in counts.items():
        pair = (expected if expected in kept else OTHERS, predicted if predicted in kept else OTHERS)
        together[pair] = together.get(pair, 0) + rows
    return together


def _row(label: str, names: list[str], counts: Mapping[tuple[str, str], int]) -> MatrixRow:
    rows = [counts.get((label, name), 0) for name in names]
    support = sum(rows)
    cells = tuple(
        MatrixCell(rows=n, level=-(-LEVELS * n // support) if support else 0, right=name == label)
        for n, name in zip(rows, names, strict=True)
    )
    return MatrixRow(
        label=label,
        cells=cells,
        support=support,
        recall=counts.get((label, label), 0) / support if support else 0.0,
    )
