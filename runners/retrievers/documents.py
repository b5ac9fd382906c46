"""Documents: the rows of a file as what a retriever searches and shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from promptc.runners.retrievers.protocol import Passage
from promptc.runners.rows import Example, read_rows
from promptc.spec.errors import DataError
from promptc.spec.suggest import did_you_mean, listed

DocumentsPath = Annotated[
    str,
    msgspec.Meta(
        description="The documents: a file of rows, JSONL, CSV or Parquet, beside the spec or anywhere else.",
        examples=["corpus.jsonl"],
        pattern=".",
    ),
]
TextColumn = Annotated[
    str,
    msgspec.Meta(description="The column that holds a document's text.", examples=["text"], pattern="."),
]
IdColumn = Annotated[
    Annotated[str, msgspec.Meta(pattern=".")] | None,
    msgspec.Meta(
        description="The column that names a document; `id` where it is not given, else a digest of its content.",
        examples=["doc_id"],
    ),
]
SearchedColumns = Annotated[
    tuple[str, ...],
    msgspec.Meta(
        description="The columns that are searched, when more than the text, or other than it.",
        examples=[["title", "text"]],
    ),
]


class Document(msgspec.Struct, frozen=True):
    """One document: what is shown of it, and what is searched."""

    id: str
    text: str
    searched: str
    meta: dict[str, Any]

    def passage(self, score: float) -> Passage:
        """The document as it was found."""
        return Passage(id=self.id, text=self.text, score=score, meta=self.meta)


class Documents(msgspec.Struct, frozen=True):
    """All documents of a file, in its order."""

    entries: tuple[Document, ...]
    path: str

    @property
    def digest(self) -> str:
        """32 hex digits over what is searched, in order: equal digests give equal indexes."""
        content = msgspec.json.encode([document.searched for document in self.entries])
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def fields(self) -> set[str]:
        """The fields that a filter may name."""
        return {name for document in self.entries for name in document.meta}


def read_documents(
    path: str, *, text: str, id_column: str | None = None, searched: Sequence[str] = ()
) -> Documents:
    """The documents of a file. Raises DataError with file and line."""
    examples = read_rows(path, id_field=id_column)
    entries = tuple(_document(path, example, text, id_column or "id", searched) for example in examples)
    if not entries:
        raise DataError(path, "holds no documents")
    missing = [c for c in searched if not any(c in (*d.meta, text, id_column or "id") for d in entries)]
    if missing:
        known = {name for document in entries for name in document.meta} | {text}
        raise DataError(path, f"no document has `{missing[0]}`", hint=did_you_mean(missing[0], sorted(known)))
    return Documents(entries, path)


def file_digest(path: str | Path) -> str:
    """32 hex digits over a file's bytes; "" where it cannot be read, which is said where it is opened."""
    whole = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                whole.update(part)
    except OSError:
        return ""
    return whole.hexdigest()


def _document(path: str, example: Example, text: str, own: str, searched: Sequence[str]) -> Document:
    row = example.row
    if not isinstance(row.get(text), str):
        columns = listed(row)
        said = f"the document has no `{text}`" if text not in row else f"`{text}` is no text"
        hint = "" if text in row else f"its columns are {columns}: name the one with the text under text:"
        raise DataError(path, said, line=example.line, hint=hint)
    meta = {name: value for name, value in row.items() if name not in (text, own)}
    return Document(example.id, row[text], _searched(row, searched or (text,)), meta)


def _searched(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    return "\n".join(value for column in columns if isinstance(value := row.get(column), str))
