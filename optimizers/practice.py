"""Runs candidates on training rows and remembers every record: what was run once is never run again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example


class Practice:
    """The training rows as a place to learn: candidates, rows, and how each did on which.

    `runs` counts the rows that were run, `most` of them at most.
    """

    def __init__(self, search: Search, most: float = math.inf) -> None:
        self._search = search
        self._most = most
        self._records: dict[tuple[str, str], RowRecord] = {}
        self.runs = 0

    async def run(self, wanted: Iterable[tuple[Candidate, Sequence[Example]]]) -> bool:
        """Run candidates on rows, as one phase; False where the budget left something out."""
        missing = [(candidate, self._missing(candidate, rows)) for candidate, rows in wanted]
        pairs = self._within_limit(missing)
        if not pairs:
            return not any(rows for _, rows in missing)
        results = await self._search.run_rows(pairs, role="task")
        came = 0
        for (candidate, _), records in zip(pairs, results, strict=False):
            digest = candidate.digest()
            for record in records:
                if record.failure is None or record.failure.kind != "budget":
                    self._records[digest, record.id] = record
                    came += 1
        self.runs += came
        return came == sum(len(rows) for _, rows in missing)

    def record(self, candidate: Candidate, row: Example) -> RowRecord | None:
        """How a candidate did on a row; None where it was not run on it."""
        return self._records.get((candidate.digest(), row.id))

    def scores(self, candidate: Candidate, rows: Sequence[Example]) -> list[float | None]:
        """A candidate's scores on rows, in their order; None where it was not run, or the row could not be scored."""
        digest = candidate.digest()
        records = (self._records.get((digest, row.id)) for row in rows)
        return [record.score if record is not None else None for record in records]

    def missing(self, candidate: Candidate, rows: Sequence[Example]) -> int:
        """How many of the rows it was not run on."""
        return len(self._missing(candidate, rows))

    def table(self) -> dict[str, dict[str, float]]:
        """Row → candidate's digest → score, for all that was scored, in the order in which rows were first run."""
        found: dict[str, dict[str, float]] = {}
        for (digest, row_id), record in self._records.items():
            if record.score is not None:
                found.setdefault(row_id, {})[digest] = record.score
        return found

    def left(self) -> float:
        """How many rows may still be run."""
        return self._most - self.runs

    def _within_limit(
        self, pairs: Sequence[tuple[Candidate, Sequence[Example]]]
    ) -> list[tuple[Candidate, Sequence[Example]]]:
        room, found = self.left(), []
        for candidate, rows in pairs:
            taken = rows if len(rows) <= room else rows[: int(room)]
            room -= len(taken)
            if taken:
                found.append((candidate, taken))
        return found

    def _missing(self, candidate: Candidate, rows: Sequence[Example]) -> list[Example]:
        digest = candidate.digest()
        return [row for row in rows if (digest, row.id) not in self._records]
