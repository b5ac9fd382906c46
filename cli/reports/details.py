"""What a report is made from: the figures of a run, and what a person needs beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from promptc.cli.untrusted import excerpt
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.judging import Judge
from promptc.runners.rows import Example
from promptc.runners.summary import SplitSummary, Summary
from promptc.runners.timing import Timing
from promptc.spec.fields import Field

MOST_ROWS = 5
MOST_TEXT = 400
"""Characters of a value or a reason that a report keeps."""


class WorstRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the rows that went worst, as excerpts. `got` is empty where there was no prediction."""

    id: str
    score: float | None
    inputs: str
    expected: str
    got: str
    reason: str


class ReportDetails(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report shows.

    `start` and `winner` are the candidates of an `optimize`. `next_commands` takes the place of the commands
    that the report would suggest. `finished_before` says that the time and the payment are those of an earlier
    day: this time nothing was asked. It can be stored as JSON and read back, to make the same reports again.
    """

    summary: Summary
    spec_name: str
    run_directory: str
    start: Candidate | None = None
    winner: Candidate | None = None
    worst: tuple[WorstRow, ...] = ()
    timing: Timing | None = None
    next_commands: tuple[str, ...] | None = None
    finished_before: bool = False

    def splits(self) -> list[tuple[str, SplitSummary]]:
        """The scored splits by name, the one that matters most first; alone where the start has won."""
        splits = scored_splits(self.summary)
        if not start_won(self.summary):
            return splits
        return [
            (name, msgspec.structs.replace(split, start=None, improvement=None)) for name, split in splits
        ]

    def title(self) -> str:
        """The command and what it worked on: `optimize support-triage`."""
        return f"{self.summary.command} {self.spec_name or self.summary.name}".strip()


def scored_splits(summary: Summary) -> list[tuple[str, SplitSummary]]:
    """Test, all, dev, train: those that were scored."""
    named = [(name, summary.split(name)) for name in ("test", "all", "dev", "train")]
    return [(name, split) for name, split in named if split is not None]


def start_won(summary: Summary) -> bool:
    """True where no candidate was better than the start."""
    winner = summary.winner
    return winner is not None and (winner.number == 0 or winner.origin == "start")


def is_search(summary: Summary) -> bool:
    """True for `optimize`: there is a winner beside a start."""
    return summary.winner is not None or any(split.start is not None for _, split in scored_splits(summary))


def worst_rows(
    shown: Sequence[tuple[RowRecord, Example]],
    judge: Judge,
    inputs: Sequence[Field],
    *,
    limit: int = MOST_ROWS,
) -> tuple[WorstRow, ...]:
    """The rows that went worst, failures first, each reason once before any comes twice."""
    pairs = [
        (record, example)
        for record, example in shown
        if record.failure is not None or (record.score is not None and record.score < 1.0)
    ]
    pairs.sort(key=lambda pair: (pair[0].failure is None, pair[0].score or 0.0, pair[0].index))
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int, RowRecord, Example]] = []
    for record, example in pairs:
        reason = record.failure.kind if record.failure is not None else record.reason()
        seen[reason] = seen.get(reason, 0) + 1
        ranked.append((seen[reason], len(ranked), record, example))
    ranked.sort(key=lambda entry: entry[:2])
    names, golds = [field.name for field in inputs], judge.gold_columns()
    return tuple(_worst_row(record, example, names, golds) for _, _, record, example in ranked[:limit])


def _worst_row(record: RowRecord, example: Example, inputs: Iterable[str], golds: Iterable[str]) -> WorstRow:
    return WorstRow(
        id=record.id,
        score=record.score,
        inputs=_values(example.row, inputs),
        expected=_values(example.row, golds),
        got=_values(record.outputs, record.outputs) if record.outputs is not None else "",
        reason=excerpt(record.reason(), MOST_TEXT),
    )


def _values(row: Mapping[str, object], names: Iterable[str]) -> str:
    """One column: its value alone; several: each with its name."""
    shown = [(name, row[name]) for name in names if name in row]
    if len(shown) == 1:
        return excerpt(shown[0][1], MOST_TEXT)
    return excerpt(", ".join(f"{name}: {excerpt(value, MOST_TEXT)}" for name, value in shown), MOST_TEXT)
