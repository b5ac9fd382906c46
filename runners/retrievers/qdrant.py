"""`qdrant`: the vectors of a Qdrant server, or of documents in Qdrant's own store inside this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import msgspec

from promptc.runners.models.request import CallFailed
from promptc.runners.retrievers.dense import Batch, Dimensions, ModelOption
from promptc.runners.retrievers.documents import (
    Documents,
    DocumentsPath,
    IdColumn,
    SearchedColumns,
    TextColumn,
    read_documents,
)
from promptc.runners.retrievers.filters import Condition, conditions
from promptc.runners.retrievers.hits import within
from promptc.runners.retrievers.protocol import Opening
from promptc.runners.retrievers.stores import SearchedStore, hit, one_source
from promptc.runners.retrievers.vectors import TEXTS_AT_ONCE, Vectorizing
from promptc.runners.retrievers.web import JsonService, Url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLLECTION = "documents"
"""What the store in this process calls them."""
LOADED_AT_ONCE = 256
"""Documents in one request while the store in this process is filled."""
Name = Annotated[str, msgspec.Meta(pattern=".")]


class Qdrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vectors of a Qdrant server, or of documents in Qdrant's own store inside this process.

    A server's collection is searched with vectors of the model that its points were made with. Without a server,
    `documents` are taken in when the first row asks, with hashed vectors where the spec names no model.
    """

    url: Url | None = None
    collection: Annotated[
        Name | None, msgspec.Meta(description="The server's collection.", examples=["handbook"])
    ] = None
    api_key: Annotated[
        Name | None,
        msgspec.Meta(description="The server's key, out of the environment.", examples=["${env:QDRANT_KEY}"]),
    ] = None
    vector: Annotated[
        Name | None,
        msgspec.Meta(
            description="Which of a point's vectors, when they have names.", examples=["text-dense"]
        ),
    ] = None
    documents: DocumentsPath | None = None
    text: TextColumn = "text"
    id: IdColumn = None
    fields: SearchedColumns = ()
    model: ModelOption = None
    dimensions: Dimensions = 2048
    batch: Batch = TEXTS_AT_ONCE

    def __post_init__(self) -> None:
        one_source("qdrant", self.url, self.collection, self.documents)

    def opened(self, opening: Opening) -> SearchedStore:
        """With its documents, if it has some; nothing is connected yet. Raises DataError."""
        documents = None
        if self.documents is not None:
            documents = read_documents(
                self.documents, text=self.text, id_column=self.id, searched=self.fields
            )
        how = Vectorizing(
            model=opening.embedding, batch=self.batch, dimensions=self.dimensions, seed=opening.seed
        )
        identity = ["qdrant", self.url, self.collection, self.vector, self.text, self.id]
        store = _Server(self, opening) if documents is None else _Own(self, opening)
        return SearchedStore(opening, store, identity, how, documents)


class _Server:
    """A server's collection, by Qdrant's own protocol over promptc's connections."""

    def __init__(self, kind: Qdrant, opening: Opening) -> None:
        self._kind = kind
        self._name = opening.name
        url = (
            f"{(kind.url or '').rstrip('/')}/collections/{quote(kind.collection or '', safe='')}/points/query"
        )
        headers = {"api-key": kind.api_key} if kind.api_key else {}
        self._service = JsonService(opening, url, headers, "post")

    async def fill(self, documents: Documents, vectors: NDArray[np.float32]) -> None:
        """A server's documents are its own."""

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """Per vector the nearest points. Raises CallFailed."""
        wanted = conditions(payload["filter"])
        asked: dict[str, Any] = {"limit": payload["k"], "with_payload": True}
        if wanted:
            asked["filter"] = _filter(wanted, self._name)
        if self._kind.vector is not None:
            asked["using"] = self._kind.vector
        replies = [await self._service.ask({**asked, "query": vector}) for vector in payload["vectors"]]
        return [[_hit(self._kind, point) for point in self._points(reply)] for reply in replies]

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    def _points(self, reply: Any) -> list[dict[str, Any]]:
        points = within(reply, "result.points")
        if not isinstance(points, list):
            said = f"retriever {self._name}: {self._kind.url} does not answer like a Qdrant server"
            raise CallFailed(said, fatal=True, hint="correct url")
        return points


class _Own:
    """Qdrant's store inside this process."""

    def __init__(self, kind: Qdrant, opening: Opening) -> None:
        self._kind = kind
        self._name = opening.name
        self._client: Any = None

    async def fill(self, documents: Documents, vectors: NDArray[np.float32]) -> None:
        """Take the documents in, in their order."""
        from qdrant_client import AsyncQdrantClient, models

        self._client = AsyncQdrantClient(location=":memory:")
        await self._client.create_collection(
            COLLECTION,
            vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE),
        )
        text, own = self._kind.text, self._kind.id or "id"
        points = [
            models.PointStruct(
                id=place,
                vector=vector.tolist(),
                payload={**document.meta, text: document.text, own: document.id},
            )
            for place, (document, vector) in enumerate(zip(documents.entries, vectors, strict=True))
        ]
        for start in range(0, len(points), LOADED_AT_ONCE):
            await self._client.upsert(COLLECTION, points=points[start : start + LOADED_AT_ONCE])

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """Per vector the nearest points. Raises CallFailed."""
        from qdrant_client import models

        wanted = conditions(payload["filter"])
        where = models.Filter.model_validate(_filter(wanted, self._name)) if wanted else None
        found = []
        for vector in payload["vectors"]:
            reply = await self._client.query_points(
                COLLECTION, query=vector, limit=payload["k"], query_filter=where, with_payload=True
            )
            found.append([_hit(self._kind, point.model_dump()) for point in reply.points])
        return found

    async def close(self) -> None:
        """Forget the documents."""
        if self._client is not None:
            await self._client.close()


def _hit(kind: Qdrant, point: Mapping[str, Any]) -> dict[str, Any]:
    payload = dict(point.get("payload") or {})
    text = payload.pop(kind.text, None)
    return hit(payload.pop(kind.id or "id", point.get("id")), text, point.get("score", 0.0), payload)


def _filter(wanted: Sequence[Condition], retriever: str) -> dict[str, Any]:
    """The conditions in Qdrant's words. Raises CallFailed."""
    return {"must": [_range(one, retriever) if one.bounds else _any_of(one) for one in wanted]}


def _any_of(condition: Condition) -> dict[str, Any]:
    return {"should": [_equal(condition.field, value) for value in condition.values]}


def _equal(field: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {"is_empty": {"key": field}}
    if isinstance(value, float):
        return {"key": field, "range": {"gte": value, "lte": value}}
    return {"key": field, "match": {"value": value}}


def _range(condition: Condition, retriever: str) -> dict[str, Any]:
    """Bounds that are numbers, or dates as text."""
    bounds = dict(condition.bounds)
    if not all(_is_date(bound) for bound in bounds.values() if isinstance(bound, str)):
        said = f"Qdrant compares numbers and dates, not the bounds of {condition.field}"
        raise CallFailed(f"retriever {retriever}: {said}")
    return {"key": condition.field, "range": bounds}


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
