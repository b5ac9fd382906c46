"""Recall at k: how many of the right passages are among the first that were found."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from promptc.runners.metrics.found import Cutoff, StepOption, found_in, relevant, shown
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import quote_all


class RecallAtK(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of the right passages that are among the first k.

    The gold is the id of the right passage, or a list of ids. A row without any right passage is left out. Source:
    Manning et al., "Introduction to Information Retrieval", 2008, sections 8.3 and 8.4.
    """

    k: Cutoff = None
    step: StepOption = None

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Look for each right passage."""
        right = relevant(case.expected) if case.expected is not msgspec.UNSET else {}
        if not right:
            return None
        found = found_in(case, self.step, self.k)
        ids = {item.id for item in found}
        missing = [name for name in right if name not in ids]
        value = 1 - len(missing) / len(right)
        if not missing:
            return Score(1.0, f"all of {quote_all(right)} found")
        return Score(value, f"missing {quote_all(missing)}: {shown(found)}")
