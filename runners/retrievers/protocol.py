"""What every retriever does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from promptc.runners.models.secrets import Redactor
from promptc.runners.phase import Lane


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text that was found. A higher score is better; scores of different retrievers do not compare.

    `meta` holds what the document says beside its text and id.
    """

    id: str
    text: str
    score: float
    meta: dict[str, Any] = {}


Filter = Mapping[str, Any]
"""Which documents count: `{field: value}`, `{field: [values]}`, `{field: {gte: 3}}`; see `filters`."""


class Retriever(Protocol):
    """An open retriever. Whatever it asks of the outside goes through the row's lane, so that a replay asks nothing."""

    async def search(
        self, lane: Lane, queries: Sequence[str], k: int, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """Per query at most `k` passages, the best first. Raises RowFailed."""
        ...

    async def close(self) -> None:
        """Let go of connections; called once."""
        ...


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a retriever is opened with. None of it but `seed` changes what is found.

    `embedding` names the model that makes its vectors, None where words are hashed. `indexes` is the folder in which
    indexes are kept, None to keep none. `other` gives another retriever of the spec by its name. `timeout` is in
    seconds for one request; `retries` and `concurrency` count requests, as under `run:`.
    """

    name: str
    seed: int
    embedding: str | None
    environment: Mapping[str, str]
    redactor: Redactor
    indexes: Path | None
    offline: bool
    timeout: float
    retries: int
    concurrency: int
    other: Callable[[str], Retriever]


class RetrieverKind(Protocol):
    """A kind of retriever: a frozen Struct whose fields are its parameters."""

    def opened(self, opening: Opening) -> Retriever:
        """Ready to search. Reads documents; no socket before the first search. Raises SpecError, DataError."""
        ...
