"""Rows parted by what a column holds: slices, and clusters whose rows are not independent."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from promptc.runners.rows import Example

Row = TypeVar("Row")


def slice_of(row: Mapping[str, Any], column: str) -> str:
    """The slice that a row belongs to: its column's value as text, `(none)` where there is none."""
    value = row.get(column)
    return "(none)" if value is None else str(value)


def by_value(rows: Sequence[tuple[Row, Example]], column: str) -> dict[str, list[tuple[Row, Example]]]:
    """The rows parted by a column's values, in the order of the values; `(none)` where there is none."""
    groups: dict[str, list[tuple[Row, Example]]] = {}
    for record, example in rows:
        groups.setdefault(slice_of(example.row, column), []).append((record, example))
    return dict(sorted(groups.items()))


def clusters_of(examples: Iterable[Example], column: str | None) -> list[Hashable] | None:
    """The cluster of each row, None for a row that stands alone; None where all rows are independent."""
    if column is None:
        return None
    values = (example.row.get(column) for example in examples)
    return [None if value is None else str(value) for value in values]


def independent(examples: Sequence[Example], column: str | None) -> int:
    """How many rows or clusters stand on their own."""
    clusters = clusters_of(examples, column)
    if clusters is None:
        return len(examples)
    return len({cluster for cluster in clusters if cluster is not None}) + clusters.count(None)
