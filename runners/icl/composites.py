"""Objects and lists of objects: an estimator for each member, put together again."""

from __future__ import annotations

from typing import Any

import msgspec

from promptc.runners.icl.case import Case
from promptc.runners.icl.draw import Draw
from promptc.runners.icl.estimators import Estimator

_VOTERS = 3


class Members(msgspec.Struct, frozen=True):
    """An object whose members are estimated one by one."""

    members: dict[str, Estimator]

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """An object with all members."""
        return {name: estimator.guess(case, draw, skip) for name, estimator in self.members.items()}


class Rows(msgspec.Struct, frozen=True):
    """A list of objects: every member is estimated as a list, and the lists are read side by side.

    A member that yields fewer values than the longest list repeats its last one, or takes the estimate in
    `alone`.
    """

    members: dict[str, Estimator]
    alone: dict[str, Estimator]
    low: int
    high: int

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A list of objects, all with all members."""
        columns = {name: list(each.guess(case, draw, skip) or []) for name, each in self.members.items()}
        length = max(self.low, min(self.high, max(map(len, columns.values()), default=0)))
        for name, column in columns.items():
            while len(column) < length:
                column.append(column[-1] if column else self.alone[name].guess(case, draw, skip))
        return [{name: column[index] for name, column in columns.items()} for index in range(length)]


class Items(msgspec.Struct, frozen=True):
    """A list that nothing is known about: as many items as must be, each the same guess."""

    item: Estimator
    count: int

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A list of guesses."""
        return [self.item.guess(case, draw, skip + index) for index in range(self.count)]


class Nullable(msgspec.Struct, frozen=True):
    """None where most of the nearest demos have None (`absent`), else what the estimator says."""

    estimator: Estimator
    absent: tuple[bool, ...]

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A value or None."""
        near = case.nearest(_VOTERS)
        if 2 * sum(self.absent[index] for index in near) > len(near):
            return None
        return self.estimator.guess(case, draw, skip)
