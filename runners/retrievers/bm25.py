"""`bm25`: documents of a file by the words that they share with the query."""

from __future__ import annotations

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
from promptc.runners.retrievers.keywords import KeywordIndex, Weighing, kept_index, keyword_index
from promptc.runners.retrievers.protocol import Filter, Opening, Passage
from promptc.runners.retrievers.words import LanguageOption


class Bm25(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents of a file, ranked by the words that they share with the query; rare words count more (BM25)."""

    documents: DocumentsPath
    text: TextColumn = "text"
    id: IdColumn = None
    fields: SearchedColumns = ()
    language: LanguageOption = None
    k1: Annotated[
        float,
        msgspec.Meta(ge=0, description="How fast a repeated word stops counting more.", examples=[1.2]),
    ] = 1.5
    b: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="How much long documents are held back.", examples=[0.5]),
    ] = 0.75

    def opened(self, opening: Opening) -> SearchedWords:
        """With its index, kept from before or made now. Raises DataError."""
        documents = read_documents(self.documents, text=self.text, id_column=self.id, searched=self.fields)
        texts = [document.searched for document in documents.entries]
        weighing = Weighing(language=self.language, k1=self.k1, b=self.b)
        if opening.indexes is None:
            index = keyword_index(texts, weighing)
        else:
            index = kept_index(texts, documents.digest, weighing, opening.indexes)
        return SearchedWords(Corpus(opening.name, documents), index)


class SearchedWords:
    """An open `bm25`: a pure function of documents and parameters, so nothing of it is recorded."""

    def __init__(self, corpus: Corpus, index: KeywordIndex) -> None:
        self._corpus = corpus
        self._index = index

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """The documents that share words with each query, the best first. Raises RowFailed for a wrong filter."""
        return [self._corpus.passages(self._index.scores(query), k, filter) for query in queries]

    async def close(self) -> None:
        """Nothing is open."""
