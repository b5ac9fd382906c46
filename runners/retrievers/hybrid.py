"""`hybrid`: several retrievers, their ranks put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import msgspec

from promptc.runners.phase import Lane
from promptc.runners.retrievers.protocol import Filter, Opening, Passage, Retriever


class Hybrid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks several retrievers of the spec and adds up what their ranks are worth (reciprocal rank fusion).

    A passage is worth 1 / (constant + rank) for each retriever that finds it; scores do not count. Source: Cormack et
    al., "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", 2009.
    """

    retrievers: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            min_length=2,
            description="Their names under retrievers:. The earlier one decides between equals.",
            examples=[["keywords", "vectors"]],
        ),
    ]
    constant: Annotated[
        float, msgspec.Meta(ge=0, description="How little the first ranks stand out.", examples=[10])
    ] = 60.0
    depth: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="How many passages each of them is asked for, at least.", examples=[100]
        ),
    ] = 20

    def opened(self, opening: Opening) -> Fused:
        """With the others, which are open already."""
        return Fused(self, [opening.other(name) for name in self.retrievers])


class Fused:
    """An open `hybrid`. The others belong to whoever opened them."""

    def __init__(self, kind: Hybrid, others: Sequence[Retriever]) -> None:
        self._kind = kind
        self._others = others

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """The passages whose ranks are worth most. Raises RowFailed."""
        depth = max(k, self._kind.depth)

        def asking(other: Retriever) -> Callable[[Lane], Awaitable[list[list[Passage]]]]:
            return lambda own: other.search(own, queries, depth, filter)

        found = await lane.together([asking(other) for other in self._others])
        return [fused(rankings, self._kind.constant)[:k] for rankings in zip(*found, strict=True)]

    async def close(self) -> None:
        """Nothing is open here."""


def fused(rankings: Sequence[Sequence[Passage]], constant: float) -> list[Passage]:
    """One ranking from several, with what each passage is worth as its score.

    Passages are one when id and text are equal. Of equals, the one that comes first in the earlier ranking is first.
    """
    worth: dict[tuple[str, str], float] = {}
    known: dict[tuple[str, str], Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            key = (passage.id, passage.text)
            known.setdefault(key, passage)
            worth[key] = worth.get(key, 0.0) + 1 / (constant + rank)
    order = sorted(worth, key=lambda key: -worth[key])
    return [msgspec.structs.replace(known[key], score=worth[key]) for key in order]
