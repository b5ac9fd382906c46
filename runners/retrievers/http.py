"""`http`: a search service of the user's own that speaks JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.retrievers.filters import conditions
from promptc.runners.retrievers.hits import Shape, passages, within
from promptc.runners.retrievers.protocol import Filter, Opening, Passage
from promptc.runners.retrievers.remote import Remote
from promptc.runners.retrievers.web import Headers, JsonService, MethodOption, Url
from promptc.spec.suggest import listed

Key = Annotated[str, msgspec.Meta(pattern=".")]


class Http(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that answers JSON, asked once for each query at the one address that the spec names.

    It is sent the query, the number of passages and the filter under the names given here, and whatever stands under
    `parameters`. Its reply holds a list of hits: texts, or objects with a text, an id and a score.
    """

    url: Url
    method: MethodOption = "post"
    headers: Headers = {}
    parameters: Annotated[
        dict[str, Any],
        msgspec.Meta(description="What else is sent, as it is.", examples=[{"index": "handbook"}]),
    ] = {}
    query: Annotated[Key, msgspec.Meta(description="What it calls the query.", examples=["q"])] = "query"
    count: Annotated[
        Key, msgspec.Meta(description="What it calls the number of passages.", examples=["size"])
    ] = "k"
    filter: Annotated[Key, msgspec.Meta(description="What it calls the filter.", examples=["where"])] = (
        "filter"
    )
    hits: Annotated[
        Key | None,
        msgspec.Meta(
            description="Where the reply holds the list of hits, with dots; without it the reply is the list.",
            examples=["results.items"],
        ),
    ] = None
    text: Annotated[Key, msgspec.Meta(description="Where a hit holds its text.", examples=["body"])] = "text"
    id: Annotated[Key, msgspec.Meta(description="Where a hit holds its id.", examples=["doc_id"])] = "id"
    score: Annotated[
        Key, msgspec.Meta(description="Where a hit holds its score.", examples=["relevance"])
    ] = "score"

    def opened(self, opening: Opening) -> SearchedService:
        """Ready to ask."""
        return SearchedService(self, opening)


class SearchedService:
    """An open `http`; every reply is recorded."""

    def __init__(self, kind: Http, opening: Opening) -> None:
        self._kind = kind
        self._name = opening.name
        self._remote = Remote(opening, JsonService(opening, kind.url, kind.headers, kind.method))

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """What the service finds for each query. Raises RowFailed."""
        try:
            conditions(filter)
        except ValueError as error:
            raise RowFailed("tool", f"retriever {self._name}: {error}") from error
        return await lane.together([self._asking(query, k, filter) for query in queries])

    async def close(self) -> None:
        """Close the connections."""
        await self._remote.close()

    def _asking(
        self, query: str, k: int, filter: Filter | None
    ) -> Callable[[Lane], Awaitable[list[Passage]]]:
        kind = self._kind
        payload = {**kind.parameters, kind.query: query, kind.count: k}
        if filter:
            payload[kind.filter] = dict(filter)

        async def ask(lane: Lane) -> list[Passage]:
            reply = await self._remote.ask(lane, ["http", kind.method, kind.url], payload)
            found = self._hits(reply)
            return passages(found, Shape(text=kind.text, id=kind.id, score=kind.score), self._name, k)

        return ask

    def _hits(self, reply: Any) -> Any:
        if self._kind.hits is not None:
            found = within(reply, self._kind.hits)
            if found is msgspec.UNSET:
                keys = f": it is an object with {listed(reply)}" if isinstance(reply, dict) else ""
                said = f"the reply has nothing at `{self._kind.hits}`{keys}"
                raise RowFailed("tool", f"retriever {self._name}: {said}")
            return found
        if isinstance(reply, dict):
            said = (
                f"the reply is an object with {listed(reply)}: say under hits: which of these holds the list"
            )
            raise RowFailed("tool", f"retriever {self._name}: {said}")
        return reply
