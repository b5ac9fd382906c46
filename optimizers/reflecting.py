"""Makes the requests for instructions: which failures each proposal sees, beside what went well and what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from promptc.optimizers.coverage import Row, covering
from promptc.optimizers.demos import gold_columns
from promptc.optimizers.proposal import Ask, Shown, shown
from promptc.optimizers.search import Search
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

VIEWS = 4
FAILED_BELOW = 1.0
"""A score below it leaves something to learn."""


class Lesson(msgspec.Struct, frozen=True):
    """A training row with how a candidate did on it."""

    row: Row
    record: RowRecord | None

    @property
    def failed(self) -> bool:
        """True when there is something to learn from it."""
        return self.record is not None and self.record.score is not None and self.record.score < FAILED_BELOW


class Reader:
    """Hands out failures in batches that differ: what was shown least comes first, and each batch is spread wide."""

    def __init__(self, search: Search, rng: Random) -> None:
        self._search = search
        self._golds = gold_columns(search)
        self._rng = rng
        self._times: dict[str, int] = {}

    def batch(self, predictor: str, lessons: Sequence[Lesson], failures: int, successes: int, batches: int = 1) -> tuple[Shown, ...]:
        """So many failures, spread over what they are made of, then some successes."""
        failed = [lesson for lesson in lessons if lesson.failed]
        unknown = [lesson for lesson in lessons if lesson.record is None and self._tells(predictor, lesson)]
        passed = [lesson for lesson in lessons if not lesson.failed and lesson.record is not None and lesson.record.score is not None]
        chosen = self._spread(failed, min(failures, max(2, -(-VIEWS * len(failed) // batches))))
        chosen += self._spread(unknown, failures - len(chosen))
        chosen += self._spread(passed, successes)
        signature = self._search.program.predictors[predictor]
        return tuple(
            shown(l.record, l.row.example, signature, self._golds) if l.record is not None else labelled(l.row.example, signature, self._golds)
            for l in chosen)

    def _tells(self, predictor, lesson):
        signature = self._search.program.predictors[predictor].signature
        row = lesson.row.example.row
        return all(f.name in row for f in signature.inputs if f.required) and any(
            row.get(self._golds.get(f.name, f.name)) is not None for f in signature.outputs)

    def _spread(self, lessons: Sequence[Lesson], count: int) -> list[Lesson]:
        if count <= 0 or not lessons:
            return []
        order = list(lessons)
        self._rng.shuffle(order)
        order.sort(key=lambda lesson: self._times.get(lesson.row.example.id, 0))
        pool = order[: 2 * count]
        rows = [lesson.row for lesson in pool]
        wide = covering(rows, {row.example.id: 1.0 for row in rows}, count)
        ids = [row.example.id for row in wide]
        ids += [row.example.id for row in rows if row.example.id not in ids]
        known = {lesson.row.example.id: lesson for lesson in pool}
        for row_id in ids[:count]:
            self._times[row_id] = self._times.get(row_id, 0) + 1
        return [known[row_id] for row_id in ids[:count]]


def labelled(example, predictor, golds):
    names = {field.name: golds.get(field.name, field.name) for field in predictor.signature.outputs}
    return Shown(
        row=example,
        inputs={f.name: example.row[f.name] for f in predictor.signature.inputs if f.name in example.row},
        given={},
        expected={n: example.row[c] for n, c in names.items() if example.row.get(c) is not None},
        feedback="",
    )
