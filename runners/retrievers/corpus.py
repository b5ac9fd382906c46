"""Documents at hand, of which scores choose the passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.retrievers.documents import Documents
from promptc.runners.retrievers.filters import conditions, unknown_field
from promptc.runners.retrievers.protocol import Filter, Passage
from promptc.runners.retrievers.ranking import best

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MASKS_KEPT = 64
"""Filters whose documents are remembered; most programs use one."""


class Corpus:
    """The documents of one retriever."""

    def __init__(self, name: str, documents: Documents) -> None:
        self.name = name
        self.documents = documents
        self._masks: dict[bytes, NDArray[np.bool_]] = {}

    def passages(self, scores: NDArray[np.float32], k: int, filter: Filter | None) -> list[Passage]:
        """The best `k` of those that the filter lets through and that score above 0. Raises RowFailed."""
        among = self._mask(filter) if filter else None
        entries = self.documents.entries
        return [entries[place].passage(score) for place, score in best(scores, k, among=among)]

    def _mask(self, filter: Filter) -> NDArray[np.bool_]:
        import numpy as np

        key = msgspec.json.encode(filter, order="deterministic")
        known = self._masks.get(key)
        if known is not None:
            return known
        try:
            wanted = conditions(filter)
        except ValueError as error:
            raise RowFailed("tool", f"retriever {self.name}: {error}") from error
        problem = unknown_field(wanted, self.documents.fields())
        if problem:
            raise RowFailed("tool", f"retriever {self.name}: {problem}")
        found = (all(c.holds(document.meta) for c in wanted) for document in self.documents.entries)
        mask = np.fromiter(found, dtype=np.bool_, count=len(self.documents.entries))
        if len(self._masks) >= MASKS_KEPT:
            self._masks.clear()
        self._masks[key] = mask
        return mask
