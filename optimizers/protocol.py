"""What every optimizer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from promptc.optimizers.search import Search
    from promptc.runners.program import Program


class Sizes(msgspec.Struct, frozen=True):
    """How many rows there are to learn from; how many program runs it takes to choose on dev and to report on test.

    The latter are rows times `run.repeat`.
    """

    train: int
    dev: int
    test: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a search would ask for, before any call: program runs by role, fewest and most; of `proposer`, calls.

    `first_trial` is how many task runs it takes before anything but the start could win: a budget below it is refused.
    `trials` counts candidates beside the start, at most.
    """

    runs: dict[str, tuple[int, int]]
    first_trial: int
    trials: int
    notes: tuple[str, ...] = ()


class Optimizer(Protocol):
    """A search for a better candidate. A frozen msgspec Struct whose fields are its parameters."""

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """What it would do on so many rows."""
        ...

    async def optimize(self, search: Search) -> None:
        """Try candidates on `search`, the start first; it remembers the best and knows when to stop."""
        ...
