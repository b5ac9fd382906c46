"""The rows of runs beside each other: what each scored, what it said, and how far two runs are apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.failures import Failure
from promptc.runners.finished_run import ScoredRow, row_lines, rows_file
from promptc.runners.statistics import Difference, paired_difference

Pair = tuple[ScoredRow, ScoredRow]


class WholeRow(msgspec.Struct, frozen=True):
    """What a line of rows.jsonl says of a row for a person: what went in, what came out, what was right."""

    id: str
    split: str = ""
    candidate: str = ""
    score: float | None = None
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] | None = None
    expected: dict[str, Any] = {}
    failure: Failure | None = None


class Pairs(msgspec.Struct, frozen=True):
    """Rows that two runs have in common, pair by pair; `other_content` counts rows that only share their id."""

    rows: tuple[Pair, ...]
    other_content: int = 0


def whole_rows(run: Path, split: str, candidate: str) -> Iterator[WholeRow]:
    """The rows of a split as one candidate answered them, in order."""
    rows = row_lines(run / rows_file(run, split), WholeRow)
    return (row for row in rows if row.split == split and row.candidate == candidate)


def paired(first: Mapping[str, ScoredRow], second: Mapping[str, ScoredRow]) -> Pairs:
    """The rows that stand in both with the same content, in the order of the first."""
    both = [(row, second[name]) for name, row in first.items() if name in second]
    same = tuple((one, other) for one, other in both if one.digest == other.digest)
    return Pairs(same, len(both) - len(same))


def difference(pairs: Sequence[Pair], metric: str | None = None, *, confidence: float = 0.95) -> Difference:
    """The mean of second − first over the pairs, of the score or of one metric."""
    before = [_value(row, metric) for row, _ in pairs]
    after = [_value(row, metric) for _, row in pairs]
    clusters = [row.cluster for row, _ in pairs]
    return paired_difference(
        before,
        after,
        binary=all(value in (None, 0.0, 1.0) for value in (*before, *after)),
        clusters=clusters if any(cluster is not None for cluster in clusters) else None,
        confidence=confidence,
    )


def _value(row: ScoredRow, metric: str | None) -> float | None:
    return row.score if metric is None else row.metrics.get(metric)
