"""`colbert`: a ColBERTv2 server, asked as DSPy asks it.

Source: Santhanam et al., "ColBERTv2: Effective and Efficient Retrieval via Lightweight Late Interaction", 2022.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.retrievers.hits import Shape, passages
from promptc.runners.retrievers.protocol import Filter, Opening, Passage
from promptc.runners.retrievers.remote import Remote
from promptc.runners.retrievers.web import Headers, JsonService, MethodOption, Url

SHAPE = Shape(text="text", id="pid", score="score")


class Colbert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ColBERTv2 server: `{"query", "k"}` in, `{"topk": [{"pid", "text", "score"}]}` out. It knows no filters."""

    url: Url
    method: MethodOption = "get"
    headers: Headers = {}

    def opened(self, opening: Opening) -> SearchedServer:
        """Ready to ask."""
        return SearchedServer(self, opening)


class SearchedServer:
    """An open `colbert`; every reply is recorded."""

    def __init__(self, kind: Colbert, opening: Opening) -> None:
        self._kind = kind
        self._name = opening.name
        self._remote = Remote(opening, JsonService(opening, kind.url, kind.headers, kind.method))

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """What the server finds for each query. Raises RowFailed."""
        if filter:
            raise RowFailed("tool", f"retriever {self._name}: a ColBERT server has no filters")
        return await lane.together([self._asking(query, k) for query in queries])

    async def close(self) -> None:
        """Close the connections."""
        await self._remote.close()

    def _asking(self, query: str, k: int) -> Callable[[Lane], Awaitable[list[Passage]]]:
        async def ask(lane: Lane) -> list[Passage]:
            reply = await self._remote.ask(lane, ["colbert", self._kind.url], {"query": query, "k": k})
            if not isinstance(reply, dict) or "topk" not in reply:
                said = reply.get("message") if isinstance(reply, dict) else None
                why = f": {said}" if isinstance(said, str) else ", so it is no ColBERT server"
                raise RowFailed("tool", f"retriever {self._name}: the reply has no `topk`{why}")
            return passages(reply["topk"], SHAPE, self._name, k)

        return ask
