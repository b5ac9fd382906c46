"""Runs candidates on training rows and remembers every record: what was run once is never run again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from promptc.optimizers.demos import without_row
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example


class Practice:
    """The training rows as a place to learn: candidates, rows, and how each did on which.

    A row that is one of a candidate's own demos is asked without that demo: a prompt that holds the answer teaches
    nothing. `runs` counts rows that were run.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._records: dict[tuple[str, str], RowRecord] = {}
        self.runs = 0

    async def run(self, wanted: Iterable[tuple[Candidate, Sequence[Example]]]) -> bool:
        """Run candidates on rows, as one phase; False where the budget left something out."""
        pairs: list[tuple[Candidate, list[Example]]] = []
        owners: list[Candidate] = []
        for candidate, rows in wanted:
            for asked, group in self._missing(candidate, rows):
                pairs.append((asked, group))
                owners.append(candidate)
        if not pairs:
            return True
        results = await self._search.run_rows(pairs, role="task")
        for owner, records in zip(owners, results, strict=False):
            digest = owner.digest()
            for record in records:
                if record.failure is None or record.failure.kind != "budget":
                    self._records[digest, record.id] = record
                    self.runs += 1
        return len(results) == len(pairs) and all(
            self.record(owner, row) is not None
            for owner, (_, rows) in zip(owners, pairs, strict=True)
            for row in rows
        )

    def record(self, candidate: Candidate, row: Example) -> RowRecord | None:
        """How a candidate did on a row; None where it was not run on it."""
        return self._records.get((candidate.digest(), row.id))

    def records(self, candidate: Candidate, rows: Sequence[Example]) -> list[RowRecord | None]:
        """How a candidate did on rows, in their order."""
        digest = candidate.digest()
        return [self._records.get((digest, row.id)) for row in rows]

    def scores(self, candidate: Candidate, rows: Sequence[Example]) -> list[float | None]:
        """A candidate's scores on rows; None where it was not run, or the row could not be scored."""
        return [record.score if record is not None else None for record in self.records(candidate, rows)]

    def missing(self, candidate: Candidate, rows: Sequence[Example]) -> int:
        """How many of the rows it was not run on."""
        return sum(record is None for record in self.records(candidate, rows))

    def _missing(
        self, candidate: Candidate, rows: Sequence[Example]
    ) -> list[tuple[Candidate, list[Example]]]:
        shared: list[Example] = []
        alone: list[tuple[Candidate, list[Example]]] = []
        for row, record in zip(rows, self.records(candidate, rows), strict=True):
            if record is not None:
                continue
            asked = without_row(candidate, row)
            if asked is candidate:
                shared.append(row)
            else:
                alone.append((asked, [row]))
        return [(candidate, shared), *alone] if shared else alone
