"""Mean reciprocal rank: how early the first right passage comes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from promptc.runners.metrics.found import Cutoff, StepOption, found_in, relevant, shown
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import quote_all


class Mrr(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One over the rank of the first right passage, 0 where none was found; the mean over rows is MRR.

    The gold is the id of the right passage, or a list of ids. A row without any right passage is left out. Source:
    Voorhees, "The TREC-8 Question Answering Track Report", 1999, section 2.
    """

    k: Cutoff = None
    step: StepOption = None

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Find the first right passage."""
        right = relevant(case.expected) if case.expected is not msgspec.UNSET else {}
        if not right:
            return None
        found = found_in(case, self.step, self.k)
        rank = next((rank for rank, item in enumerate(found, start=1) if item.id in right), None)
        if rank is None:
            return Score(0.0, f"none of {quote_all(right)}: {shown(found)}")
        return Score(1 / rank, f"`{found[rank - 1].id}` is at rank {rank}")
