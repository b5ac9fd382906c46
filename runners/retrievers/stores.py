"""What `qdrant` and `chroma` have in common: vectors are made here, and a store finds those next to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.retrievers.documents import Documents
from promptc.runners.retrievers.filters import conditions
from promptc.runners.retrievers.hits import Shape, passages
from promptc.runners.retrievers.protocol import Filter, Opening, Passage
from promptc.runners.retrievers.remote import Remote, Service
from promptc.runners.retrievers.vectors import Vectorizer, Vectorizing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Store(Service, Protocol):
    """A store of vectors. It is asked with `vectors`, `k` and `filter`, and answers with a list of hits for each."""

    async def fill(self, documents: Documents, vectors: NDArray[np.float32]) -> None:
        """Take these documents in. Called once, before any question, for a store inside this process."""
        ...


class SearchedStore:
    """An open store. What it finds is recorded, since nobody can say that it would find the same again."""

    def __init__(
        self,
        opening: Opening,
        store: Store,
        identity: Sequence[Any],
        how: Vectorizing,
        documents: Documents | None,
    ) -> None:
        self._name = opening.name
        self._store = store
        self._identity = [*identity, documents.digest if documents else ""]
        self._how = how
        self._documents = documents
        self._remote = Remote(opening, store)
        parts = msgspec.json.encode([opening.name, self._identity, how])
        self._key = hashlib.blake2b(parts, digest_size=16).digest()

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """What stands next to the vector of each query. Raises RowFailed."""
        try:
            conditions(filter)
        except ValueError as error:
            raise RowFailed("tool", f"retriever {self._name}: {error}") from error
        vectorizer = await lane.once(self._key, self._ready)
        vectors = await vectorizer.vectors(lane, queries)
        payload = {
            "vectors": [v.tolist() for v in vectors],
            "k": k,
            "filter": dict(filter) if filter else None,
        }
        found = await self._remote.ask(lane, self._identity, payload)
        return [passages(hits, Shape(), self._name, k) for hits in found]

    async def close(self) -> None:
        """Close the connections."""
        await self._remote.close()

    async def _ready(self, lane: Lane) -> Vectorizer:
        if self._documents is None:
            return Vectorizer(self._how)
        texts = [document.searched for document in self._documents.entries]
        vectorizer = Vectorizer(self._how, texts)
        await self._store.fill(self._documents, await vectorizer.vectors(lane, texts))
        return vectorizer


def one_source(kind: str, url: str | None, collection: str | None, documents: str | None) -> None:
    """Raises ValueError unless there is a server with a collection, or documents, and not both."""
    if (url is None) == (documents is None):
        raise ValueError(f"{kind} needs url: and collection:, or documents: to search in this process")
    if url is not None and collection is None:
        raise ValueError(f"{kind} needs the collection: to search at {url}")


def hit(own: Any, text: Any, score: float, meta: Mapping[str, Any]) -> dict[str, Any]:
    """A hit as `hits.passages` reads it."""
    return {"id": str(own), "text": text, "score": score, "meta": dict(meta)}
