"""`chroma`: the vectors of a Chroma server, or of documents in Chroma's own store inside this process."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
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
from promptc.runners.retrievers.protocol import Opening
from promptc.runners.retrievers.stores import SearchedStore, hit, one_source
from promptc.runners.retrievers.vectors import TEXTS_AT_ONCE, Vectorizing
from promptc.runners.retrievers.web import Headers, JsonService, Url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOADED_AT_ONCE = 1000
"""Documents in one request while the store in this process is filled."""
COLUMNS = ("documents", "metadatas", "distances")
"""What a query brings beside the ids."""
Name = Annotated[str, msgspec.Meta(pattern=".")]


class Chroma(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vectors of a Chroma server, or of documents in Chroma's own store inside this process.

    A server's collection is searched with vectors of the model that its entries were made with. Without a server,
    `documents` are taken in when the first row asks, with hashed vectors where the spec names no model; their lists
    and objects cannot be filtered by.
    """

    url: Url | None = None
    collection: Annotated[
        Name | None, msgspec.Meta(description="The server's collection.", examples=["handbook"])
    ] = None
    headers: Headers = {}
    tenant: Annotated[Name, msgspec.Meta(description="The server's tenant.", examples=["acme"])] = (
        "default_tenant"
    )
    database: Annotated[Name, msgspec.Meta(description="The tenant's database.", examples=["search"])] = (
        "default_database"
    )
    documents: DocumentsPath | None = None
    text: TextColumn = "text"
    id: IdColumn = None
    fields: SearchedColumns = ()
    model: ModelOption = None
    dimensions: Dimensions = 2048
    batch: Batch = TEXTS_AT_ONCE

    def __post_init__(self) -> None:
        one_source("chroma", self.url, self.collection, self.documents)

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
        identity = ["chroma", self.url, self.collection, self.tenant, self.database]
        store = _Server(self, opening) if documents is None else _Own(opening)
        return SearchedStore(opening, store, identity, how, documents)


class _Server:
    """A server's collection, by Chroma's own protocol over promptc's connections.

    Chroma's asynchronous client has no time limit, does not check certificates unless it is told to, and sends the
    headers of the first client with the requests of all.
    """

    def __init__(self, kind: Chroma, opening: Opening) -> None:
        self._kind = kind
        self._opening = opening
        place = f"tenants/{_quoted(kind.tenant)}/databases/{_quoted(kind.database)}/collections"
        self._collections = f"{(kind.url or '').rstrip('/')}/api/v2/{place}"
        self._found: JsonService | None = None
        self._search: JsonService | None = None

    async def fill(self, documents: Documents, vectors: NDArray[np.float32]) -> None:
        """A server's documents are its own."""

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """Per vector the nearest entries. Raises CallFailed."""
        where = _where(conditions(payload["filter"]), self._opening.name)
        if self._search is None:
            self._search = await self._collection()
        asked = {"query_embeddings": payload["vectors"], "n_results": payload["k"], "include": list(COLUMNS)}
        return _hits(await self._search.ask(asked | ({"where": where} if where else {})))

    async def close(self) -> None:
        """Close the connections."""
        for service in (self._found, self._search):
            if service is not None:
                await service.close()

    async def _collection(self) -> JsonService:
        """What answers for the collection, which the server knows by an id of its own."""
        kind = self._kind
        if self._found is None:
            name = f"{self._collections}/{_quoted(kind.collection or '')}"
            self._found = JsonService(self._opening, name, kind.headers, "get")
        found = await self._found.ask({})
        own = found.get("id") if isinstance(found, dict) else None
        if not isinstance(own, str):
            said = f"retriever {self._opening.name}: {kind.url} does not answer like a Chroma server"
            raise CallFailed(said, fatal=True, hint="correct url")
        return JsonService(self._opening, f"{self._collections}/{own}/query", kind.headers, "post")


class _Own:
    """Chroma's store inside this process."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._client: Any = None
        self._entries: Any = None

    async def fill(self, documents: Documents, vectors: NDArray[np.float32]) -> None:
        """Take the documents in, in their order."""
        import chromadb
        from chromadb.config import Settings

        self._client = chromadb.EphemeralClient(settings=Settings(anonymized_telemetry=False))
        # Every client of a process shares one store: names keep the collections apart.
        self._entries = self._client.create_collection(
            f"promptc-{uuid.uuid4().hex}",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )
        for start in range(0, len(documents.entries), LOADED_AT_ONCE):
            part = documents.entries[start : start + LOADED_AT_ONCE]
            self._entries.add(
                ids=[document.id for document in part],
                embeddings=vectors[start : start + LOADED_AT_ONCE].tolist(),
                documents=[document.text for document in part],
                metadatas=[_flat(document.meta) for document in part],
            )

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """Per vector the nearest entries. Raises CallFailed."""
        from chromadb.errors import ChromaError

        where = _where(conditions(payload["filter"]), self._opening.name)
        try:
            found = self._entries.query(
                query_embeddings=payload["vectors"],
                n_results=payload["k"],
                where=where,
                include=list(COLUMNS),
            )
        except (ChromaError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            raise CallFailed(f"retriever {self._opening.name}: {said}") from error
        return _hits(found)

    async def close(self) -> None:
        """Forget the documents, which the store of the process would keep."""
        if self._client is not None:
            self._client.delete_collection(self._entries.name)


def _hits(found: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """What a query found, a list for each vector."""
    columns = zip(found["ids"], *(found[name] for name in COLUMNS), strict=True)
    return [
        [hit(own, text, 1 - gap, meta or {}) for own, text, meta, gap in zip(*column, strict=True)]
        for column in columns
    ]


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _flat(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """What Chroma keeps of a document; None where nothing is left."""
    return {key: value for key, value in meta.items() if isinstance(value, str | int | float | bool)} or None


def _where(wanted: Sequence[Condition], retriever: str) -> dict[str, Any] | None:
    """The conditions in Chroma's words; None where there are none. Raises CallFailed."""
    parts: list[dict[str, Any]] = []
    for condition in wanted:
        values = [*condition.values, *(bound for _, bound in condition.bounds if isinstance(bound, str))]
        if None in condition.values or (condition.bounds and values):
            what = "null" if not condition.bounds else "texts with < and >"
            raise CallFailed(
                f"retriever {retriever}: Chroma cannot compare {what} (filter {condition.field})"
            )
        if condition.bounds:
            parts += [{condition.field: {f"${name}": bound}} for name, bound in condition.bounds]
        else:
            parts.append({condition.field: {"$in": list(condition.values)}})
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else None
