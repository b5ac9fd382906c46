"""`dense`: documents of a file by the likeness of vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from promptc.runners.phase import Lane
from promptc.runners.retrievers.corpus import Corpus
from promptc.runners.retrievers.documents import (
    DocumentsPath,
    IdColumn,
    SearchedColumns,
    TextColumn,
    read_documents,
)
from promptc.runners.retrievers.protocol import Filter, Opening, Passage
from promptc.runners.retrievers.vectors import TEXTS_AT_ONCE, VectorIndex, Vectorizing, vector_index

ModelOption = Annotated[
    Annotated[str, msgspec.Meta(pattern=".")] | None,
    msgspec.Meta(
        description=(
            "The model that makes the vectors: a name under models:, or a litellm name; `embed` where it is not given."
        ),
        examples=["openai/text-embedding-3-small"],
    ),
]
Dimensions = Annotated[
    int,
    msgspec.Meta(ge=16, le=65536, description="How long hashed vectors are.", examples=[4096]),
]
Batch = Annotated[
    int, msgspec.Meta(ge=1, le=2048, description="Texts in one request to the model.", examples=[32])
]


class Dense(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents of a file, ranked by the cosine of their vectors with the query's.

    An embedding model makes the vectors; each text is embedded once, and the cache and the run's journal keep it.
    Where the spec names none, words and their parts are hashed: that finds inflected and misspelt words, not meaning.
    """

    documents: DocumentsPath
    text: TextColumn = "text"
    id: IdColumn = None
    fields: SearchedColumns = ()
    model: ModelOption = None
    dimensions: Dimensions = 2048
    batch: Batch = TEXTS_AT_ONCE

    def opened(self, opening: Opening) -> SearchedVectors:
        """With its documents; their vectors are made when the first row asks. Raises DataError."""
        documents = read_documents(self.documents, text=self.text, id_column=self.id, searched=self.fields)
        how = Vectorizing(
            model=opening.embedding, batch=self.batch, dimensions=self.dimensions, seed=opening.seed
        )
        return SearchedVectors(Corpus(opening.name, documents), how)


class SearchedVectors:
    """An open `dense`. A model's vectors are recorded; the search over them is a pure function."""

    def __init__(self, corpus: Corpus, how: Vectorizing) -> None:
        self._corpus = corpus
        self._how = how
        self._texts = [document.searched for document in corpus.documents.entries]
        parts = msgspec.json.encode(["dense", corpus.documents.digest, how])
        self._key = hashlib.blake2b(parts, digest_size=16).digest()

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """The documents whose vectors are most like each query's. Raises RowFailed."""
        index = await lane.once(self._key, self._index)
        scores = await index.scores(lane, queries)
        return [self._corpus.passages(one, k, filter) for one in scores]

    async def close(self) -> None:
        """Nothing is open."""

    async def _index(self, lane: Lane) -> VectorIndex:
        return await vector_index(lane, self._texts, self._how)
