"""`python`: a function of the user's that searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.hook_source import RETRIEVER_ARGUMENTS
from promptc.runners.phase import Lane
from promptc.runners.retrievers.hits import Shape, passages
from promptc.runners.retrievers.protocol import Filter, Opening, Passage


class Python(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a function `search(queries, k, filter)` returns: for each query a list of passages.

    A passage is a text, or an object with `text` and perhaps `id`, `score` and `meta`. The function runs in a worker
    process, and what it returns is recorded.
    """

    function: Annotated[
        str,
        msgspec.Meta(
            description="The function, as `file.py:name`, in the spec's folder.",
            examples=["search.py:search"],
            pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
        ),
    ]

    def opened(self, opening: Opening) -> SearchedFunction:
        """Ready to run."""
        return SearchedFunction(self.function, opening.name)


class SearchedFunction:
    """An open `python`."""

    def __init__(self, function: str, name: str) -> None:
        self._function = function
        self._name = name

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """What the function finds. Raises RowFailed."""
        values = (list(queries), k, dict(filter) if filter else None)
        payload = dict(zip(RETRIEVER_ARGUMENTS, values, strict=True))
        found = await lane.hook(self._function, payload)
        if not isinstance(found, list) or len(found) != len(queries):
            said = f"{self._function} must return a list with one list of passages for each of {len(queries)} queries"
            raise RowFailed("hook", f"retriever {self._name}: {said}")
        return [passages(one, Shape(), self._name, k) for one in found]

    async def close(self) -> None:
        """Nothing is open."""
