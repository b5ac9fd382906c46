"""Opens the retrievers of a spec, and closes them.

async with open_retrievers(spec, environment=…, redactor=…) as retrievers:
    effects = Effects(…, retrievers=retrievers)        # rows then ask by `lane.retrieve(name, queries, k, filter)`
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.models.cache_file import cache_path
from promptc.runners.models.secrets import Redactor
from promptc.runners.phase import Lane
from promptc.runners.plugins import build
from promptc.runners.retrievers.checking import retriever_findings
from promptc.runners.retrievers.embedding import embedding_of, makes_vectors
from promptc.runners.retrievers.protocol import Filter, Opening, Retriever, RetrieverKind
from promptc.runners.retrievers.registry import RETRIEVERS
from promptc.spec.errors import SpecError
from promptc.spec.model import RetrieverUse, Spec


class OpenRetrievers:
    """The open retrievers of a run, by name."""

    def __init__(self, spec: Spec, opened: Mapping[str, Retriever]) -> None:
        self._spec = spec
        self._opened = opened

    async def search(
        self, lane: Lane, name: str, queries: Sequence[str], k: int | None, where: Filter | None
    ) -> list[list[dict[str, Any]]]:
        """Per query the passages as plain data, the best first; `k` None is the retriever's. Raises RowFailed."""
        found = await self._opened[name].search(lane, queries, k or self._spec.retrievers[name].k, where)
        plain: list[list[dict[str, Any]]] = msgspec.to_builtins(found)
        return plain


@contextlib.asynccontextmanager
async def open_retrievers(
    spec: Spec,
    *,
    environment: Mapping[str, str],
    redactor: Redactor | None = None,
    offline: bool = False,
) -> AsyncIterator[OpenRetrievers]:
    """All retrievers of the spec, ready to search.

    Documents are read and keyword indexes made or fetched here; nothing is connected before the first search. Raises
    SpecError and DataError.
    """
    findings = retriever_findings(spec)
    if findings:
        raise SpecError(tuple(findings))
    opened: dict[str, Retriever] = {}

    def get(name: str) -> Retriever:
        if name not in opened:
            kind: RetrieverKind = build(RETRIEVERS, spec.retrievers[name].plugin)
            opened[name] = kind.opened(opening(spec.retrievers[name]))
        return opened[name]

    def opening(use: RetrieverUse) -> Opening:
        vectors = makes_vectors(use.plugin.name)
        return Opening(
            name=use.name,
            seed=spec.run.seed,
            embedding=embedding_of(spec, use.plugin.params.get("model")) if vectors else None,
            environment=environment,
            redactor=redactor or Redactor(),
            indexes=index_folder(environment) if spec.run.cache else None,
            offline=offline,
            timeout=spec.run.timeout,
            retries=spec.run.retries,
            concurrency=spec.run.concurrency,
            other=get,
        )

    try:
        yield OpenRetrievers(spec, {name: get(name) for name in spec.retrievers})
    finally:
        for retriever in opened.values():
            await retriever.close()


def index_folder(environment: Mapping[str, str]) -> Path:
    """Where indexes over documents are kept: beside the cache of replies."""
    return cache_path(environment).parent / "indexes"
