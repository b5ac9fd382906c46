"""How `auto` divides a budget: rows to choose on, passes over them, rounds of learning, proposals in each."""

from __future__ import annotations

import math

import msgspec

DEV_SHARE = 6
"""One pass over the rows to choose on takes at most one such part of the budget."""
FEWEST_DEV = 8
"""Rows to choose on, however small the budget: below it the choice is a coin's."""
MOST_ROUNDS = 12
ROWS_A_ROUND = 7
"""Rounds grow with the square root of the runs, in this unit: half of a larger budget goes into longer rounds."""
PROPOSAL_SHARE = 8
"""Proposals are at most one such part of the program runs: they are the dearer calls."""
MOST_PROPOSALS = 20
"""Proposals in one round. More see the same rows again, and say the same again."""
FEWEST_PROPOSALS = 3
"""Proposals that even the smallest search asks for, where it can pay them."""
FEWEST_ROWS = 8
"""Program runs below which a round learns nothing."""
FINALISTS = ((250, 1), (900, 2), (1500, 3))
"""Up to so many runs so many candidates have a pass over dev at the end; above, `MOST_FINALISTS`."""
MOST_FINALISTS = 5


class Allotment(msgspec.Struct, frozen=True, kw_only=True):
    """`dev` rows to choose on, `finals` passes over them kept for the end, and `rounds` with so much in each.

    `runs` are program runs and `proposals` calls, of all rounds together.
    """

    dev: int
    finals: int
    runs: int
    rounds: int
    proposals: int

    @property
    def kept(self) -> int:
        """Program runs that the end needs."""
        return self.finals * self.dev

    def round_runs(self, left: int) -> int:
        """Program runs of the next round, where so many are left for learning: what is left is divided evenly."""
        return left // self.rounds_left(left)

    def round_proposals(self, left: int, asked: int) -> int:
        """Proposals of the next round, where so many program runs are left and so many proposals were asked for."""
        return max(0, min(MOST_PROPOSALS, -(-(self.proposals - asked) // self.rounds_left(left))))

    def rounds_left(self, left: int) -> int:
        """Rounds for so many program runs."""
        return max(1, round(left / max(FEWEST_ROWS, self.runs // self.rounds)))


def allot(runs: int, dev: int, affordable_proposals: int) -> Allotment:
    """Divide so many program runs, the start's pass over dev included, where there are so many dev rows."""
    dev = max(min(FEWEST_DEV, dev), min(dev, runs // DEV_SHARE))
    finals = next((count for most, count in FINALISTS if runs < most), MOST_FINALISTS)
    learning = max(0, runs - dev - finals * dev)
    rounds = max(1, min(MOST_ROUNDS, round(math.sqrt(learning / ROWS_A_ROUND))))
    proposals = min(affordable_proposals, max(FEWEST_PROPOSALS, runs // PROPOSAL_SHARE))
    return Allotment(dev=dev, finals=finals, runs=learning, rounds=rounds, proposals=proposals)
