"""Chooses the examples that a proposer sees: which failures, beside rows that it can check its text against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from promptc.optimizers.coverage import Row, covering
from promptc.optimizers.demos import gold_columns
from promptc.optimizers.proposal import SHOWN_CHARACTERS, Shown, shown
from promptc.optimizers.search import Search
from promptc.runners.asking import Predictor
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

PERFECT = 1.0
"""A score below it leaves something to learn."""
FAILED_SHARE = 0.6
"""At most this share of the examples failed: the others say what must not get worse."""
VIEWS = 4
"""How often a failure is shown among the proposals of one round."""
FEWEST_FAILURES = 2
POOL = 2
"""Rows among which a batch is chosen, for each that it takes."""
MOST_CHARACTERS = 40_000
"""Characters of examples in one request."""


class Lesson(msgspec.Struct, frozen=True):
    """A training row with how a candidate did on it; `record` is None where it was not run."""

    row: Row
    record: RowRecord | None

    @property
    def score(self) -> float | None:
        """The candidate's score."""
        return self.record.score if self.record is not None else None


class Reader:
    """Hands out examples in batches that differ: what was shown least comes first, and each batch is spread wide."""

    def __init__(self, search: Search, rng: Random) -> None:
        self._search = search
        self._golds = gold_columns(search)
        self._rng = rng
        self._times: dict[str, int] = {}

    def batch(self, predictor: str, lessons: Sequence[Lesson], count: int, batches: int) -> tuple[Shown, ...]:
        """So many examples for one of so many proposals: failures, then any rows with a right answer."""
        failed = [one for one in lessons if one.score is not None and one.score < PERFECT]
        most = min(round(FAILED_SHARE * count), max(FEWEST_FAILURES, -(-VIEWS * len(failed) // batches)))
        chosen = self._spread(failed, most)
        taken = {lesson.row.example.id for lesson in chosen}
        rest = [one for one in lessons if one.row.example.id not in taken and self._tells(predictor, one)]
        chosen += self._spread(rest, count - len(chosen))
        return self._within_limit(
            [self._shown(self._search.program.predictors[predictor], one) for one in chosen]
        )

    def _tells(self, predictor: str, lesson: Lesson) -> bool:
        """A row that was run tells how it went; one that was not, what is right where the data says so."""
        if lesson.record is not None:
            return lesson.score is not None
        signature = self._search.program.predictors[predictor].signature
        row = lesson.row.example.row
        return all(field.name in row for field in signature.inputs if field.required) and any(
            row.get(self._golds.get(field.name, field.name)) is not None for field in signature.outputs
        )

    def _spread(self, lessons: Sequence[Lesson], count: int) -> list[Lesson]:
        """So many of the lessons: of those that were shown least, the ones that cover most together."""
        if count <= 0 or not lessons:
            return []
        order = list(lessons)
        self._rng.shuffle(order)
        order.sort(key=lambda lesson: self._times.get(lesson.row.example.id, 0))
        pool = {lesson.row.example.id: lesson for lesson in order[: POOL * count]}
        rows = [lesson.row for lesson in pool.values()]
        wide = covering(rows, dict.fromkeys(pool, 1.0), count)
        ids = list(dict.fromkeys([*(row.example.id for row in wide), *pool]))[:count]
        for row_id in ids:
            self._times[row_id] = self._times.get(row_id, 0) + 1
        return [pool[row_id] for row_id in ids]

    def _shown(self, predictor: Predictor, lesson: Lesson) -> Shown:
        if lesson.record is not None:
            return shown(lesson.record, lesson.row.example, predictor, self._golds)
        return labelled(lesson.row.example, predictor, self._golds)

    def _within_limit(self, examples: Sequence[Shown]) -> tuple[Shown, ...]:
        """The first of the examples that fit into one request; at least one."""
        room = MOST_CHARACTERS
        found: list[Shown] = []
        for one in examples:
            room -= _characters(one)
            if found and room < 0:
                break
            found.append(one)
        return tuple(found)


def labelled(example: Example, predictor: Predictor, golds: Mapping[str, str]) -> Shown:
    """A row that was not run, with its right answer."""
    names = {field.name: golds.get(field.name, field.name) for field in predictor.signature.outputs}
    return Shown(
        row=example,
        inputs={f.name: example.row[f.name] for f in predictor.signature.inputs if f.name in example.row},
        given={},
        expected={n: example.row[c] for n, c in names.items() if example.row.get(c) is not None},
        feedback="",
    )


def _characters(one: Shown) -> int:
    """About how long the example is when it is shown."""
    values = [*one.inputs.values(), *one.given.values(), *one.expected.values(), one.feedback]
    return sum(min(SHOWN_CHARACTERS, len(str(value))) for value in values)
