"""Budgets: what a run may spend, what it has spent, and what still fits.

Figures are settled: a reply counts at its recorded price when it is first used, whether it was paid now, read from the
cache or replayed from the journal. So the same run spends the same budget however often it is interrupted, and the
decisions taken on these figures are the same. What was really paid is another figure (`timing.json`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from promptc.runners.models.request import Completion
from promptc.spec.model import Budget, RoleBudget

UNLIMITED = float("inf")
NEVER_ASKED_AGAIN = ("embed",)
"""Roles whose replies say nothing about how often others have to be asked again."""


class Amount(msgspec.Struct, frozen=True):
    """So many replies, tokens (in and out) and US dollars."""

    calls: float = 0
    tokens: float = 0
    usd: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.usd - other.usd)

    def __mul__(self, factor: float) -> Amount:
        return Amount(self.calls * factor, self.tokens * factor, self.usd * factor)

    def fits(self, room: Amount) -> bool:
        """No part of it is larger than the room's."""
        slack = 1e-9
        return (
            self.calls <= room.calls + slack
            and self.tokens <= room.tokens + slack
            and self.usd <= room.usd + slack
        )


Estimate = Mapping[str, Amount]
"""An amount per role."""


def total(estimate: Estimate) -> Amount:
    """The sum over the roles."""
    return sum(estimate.values(), Amount())


def scaled(estimate: Estimate, factor: float) -> dict[str, Amount]:
    """The same for so many rows."""
    return {role: amount * factor for role, amount in estimate.items()}


def _limit(wall: Budget | RoleBudget | None) -> Amount:
    def bound(value: float | None) -> float:
        return UNLIMITED if value is None else value

    if wall is None:
        return Amount(UNLIMITED, UNLIMITED, UNLIMITED)
    return Amount(bound(wall.calls), bound(wall.tokens), bound(wall.usd))


class Ledger:
    """What was spent, by role, against the walls of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._wall = _limit(budget)
        self._role_walls = {role: _limit(wall) for role, wall in budget.roles.items()}
        self._spent: dict[str, Amount] = {}
        self._reserved: dict[str, Estimate] = {}
        self.first_calls = 0
        self.reasks = 0

    @property
    def spent(self) -> Amount:
        """Everything settled so far."""
        return total(self._spent)

    def by_role(self) -> dict[str, Amount]:
        """Settled figures per role, in name order."""
        return dict(sorted(self._spent.items()))

    @property
    def counts_tokens(self) -> bool:
        """True when some wall is in tokens or dollars, so that every request needs a `max_tokens`."""
        walls = [self._wall, *self._role_walls.values()]
        return any(wall.tokens < UNLIMITED or wall.usd < UNLIMITED for wall in walls)

    def settle(self, role: str, completion: Completion, *, reask: bool) -> None:
        """Count one reply."""
        usage = completion.usage
        amount = Amount(1, usage.input_tokens + usage.output_tokens, completion.cost or 0.0)
        self._spent[role] = self._spent.get(role, Amount()) + amount
        if reask:
            self.reasks += 1
        elif role not in NEVER_ASKED_AGAIN:
            self.first_calls += 1

    @property
    def reask_rate(self) -> float:
        """Re-asks per first call so far."""
        return self.reasks / self.first_calls if self.first_calls else 0.0

    def mean_call(self, role: str) -> Amount | None:
        """What a reply of this role has cost on average; None before the first."""
        spent = self._spent.get(role)
        return spent * (1 / spent.calls) if spent is not None and spent.calls else None

    def reserve(self, name: str, estimate: Estimate) -> None:
        """Set an amount aside until `release`; no phase is admitted into it."""
        self._reserved[name] = estimate

    def release(self, name: str) -> None:
        """Give a reserved amount back."""
        self._reserved.pop(name, None)

    def room(self) -> Amount:
        """What is neither spent nor reserved."""
        reserved = sum((total(estimate) for estimate in self._reserved.values()), Amount())
        return self._wall - self.spent - reserved

    def walled_roles(self) -> tuple[str, ...]:
        """The roles that have a wall of their own."""
        return tuple(self._role_walls)

    def role_room(self, role: str) -> Amount:
        """What this role's own wall leaves; without bound where it has none."""
        wall = self._role_walls.get(role)
        if wall is None:
            return Amount(UNLIMITED, UNLIMITED, UNLIMITED)
        reserved = sum((e.get(role, Amount()) for e in self._reserved.values()), Amount())
        return wall - self._spent.get(role, Amount()) - reserved

    def fits(self, estimate: Estimate) -> bool:
        """The estimate fits every wall that it touches."""
        return total(estimate).fits(self.room()) and all(
            amount.fits(self.role_room(role)) for role, amount in estimate.items()
        )

    def largest(self, per_row: Estimate, rows: int) -> int:
        """How many of the rows fit, at this amount for each."""
        if self.fits(scaled(per_row, rows)):
            return rows
        low, high = 0, rows
        while low < high:
            middle = (low + high + 1) // 2
            if self.fits(scaled(per_row, middle)):
                low = middle
            else:
                high = middle - 1
        return low
