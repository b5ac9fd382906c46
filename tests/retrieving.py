"""Searches in a run: rows that ask retrievers, with a journal, and models that are scripted or behind a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripted import ScriptedModels, text

from promptc.runners.effects import Effects
from promptc.runners.failures import Failure, RowFailed
from promptc.runners.journal import Journal
from promptc.runners.ledger import Amount, Ledger
from promptc.runners.models.request import Request
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.stack import ModelStack, open_models
from promptc.runners.models.vectors import packed
from promptc.runners.phase import Lane
from promptc.runners.retrievers.embedding import embedding_names
from promptc.runners.retrievers.opening import open_retrievers
from promptc.spec.errors import SpecError
from promptc.spec.load import load
from promptc.spec.model import Budget, Spec

DOCUMENTS = [
    {"id": "cat", "text": "A cat is a small animal that hunts mice at night.", "lang": "en", "year": 1990},
    {"id": "dog", "text": "Dogs guard the house and hunt with people.", "lang": "en", "year": 2001,
     "tags": ["pet", "guard"]},
    {"id": "kuh", "text": "Kühe geben Milch, und aus Milch wird Käse.", "lang": "de", "year": 2010},
    {"id": "bat", "text": "Bats hunt insects at night, in the dark.", "lang": "en", "year": 2020, "tags": ["wild"]},
    {"id": "blank", "text": "", "lang": "en", "year": 2021},
]  # fmt: skip


def written(
    folder: Path, documents: Sequence[Mapping[str, Any]] = DOCUMENTS, name: str = "docs.jsonl"
) -> Path:
    """The documents as a file."""
    path = folder / name
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def the_spec(folder: Path, retrievers: Mapping[str, Any], **keys: Any) -> Spec:
    """A spec with these retrievers, of which `docs` is asked by its one step."""
    tree = {
        "version": 1,
        "name": "t",
        "models": {"task": "embedded/icl"},
        "inputs": {"q": "string"},
        "retrievers": retrievers,
        "pipeline": [{"step": "search", "retrieve": next(iter(retrievers)), "inputs": {"query": "inputs.q"}}],
        **keys,
    }
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=folder, environment={})
    if spec is None:
        raise SpecError(tuple(findings))
    return spec


class Asking:
    """Rows that each ask a retriever once, and what they were told."""

    def __init__(
        self,
        spec: Spec,
        asks: Sequence[tuple[Any, ...]],
        *,
        models: Any = None,
        hooks: Any = None,
        path: Path | None = None,
        workers: int = 8,
        budget: Budget | None = None,
        environment: Mapping[str, str] | None = None,
        offline: bool = False,
        cache: Path | None = None,
        worst: float = 0,
    ) -> None:
        self.worst = {"embed": Amount(worst)}
        self.spec = spec
        self.asks = asks
        self.models = models if models is not None else ScriptedModels(lambda _: text("no"))
        self.environment = {
            "PROMPTC_CACHE_DIR": str(cache or Path(spec.base) / "cache"),
            **(environment or {}),
        }
        self.redactor = Redactor()
        self.offline = offline
        self.effects = Effects(
            Journal(path, identity="r", version="1"),
            Ledger(budget or Budget()),
            self.models,
            hooks,
            concurrency=workers,
        )
        self.usage: dict[int, tuple[int, int, float | None]] = {}

    def run(self) -> list[Any]:
        """Per row the hits of each query, or the failure."""
        found: dict[int, Any] = {}

        async def work() -> None:
            opening = open_retrievers(
                self.spec, environment=self.environment, redactor=self.redactor, offline=self.offline
            )
            async with opening as retrievers:
                self.effects.retrievers = retrievers
                phase = self.effects.phase("search", self.worst)
                await phase.run([self._job(place) for place in range(len(self.asks))], found.__setitem__)
                await self.effects.drain()
            if isinstance(self.models, ModelStack):
                await self.models.close()

        try:
            asyncio.run(work())
        finally:
            self.effects.journal.close()
        return [found[place] for place in sorted(found)]

    def ids(self) -> list[list[str]]:
        """Per row the ids that its first query found."""
        return [[hit["id"] for hit in hits[0]] for hits in self.run()]

    def _job(self, place: int) -> Any:
        name, queries, k, where = (*self.asks[place], None, None)[:4]

        async def job(lane: Lane) -> Any:
            try:
                found = await lane.retrieve(
                    name, [queries] if isinstance(queries, str) else queries, k, where
                )
            except RowFailed as error:
                return error.failure
            finally:
                self.usage[place] = lane.usage()
            return found

        return job


def failure(found: Any) -> str:
    """The sentence of a row that failed."""
    assert isinstance(found, Failure), found
    return f"{found.kind}: {found.message}"


def letters(line: str) -> list[float]:
    """A vector that counts letters."""
    return [float(line.lower().count(chr(ord("a") + n))) for n in range(26)]


class Embedder(ScriptedModels):
    """A scripted embedding model: a vector counts letters, a token is a character and costs 1/64 of a dollar."""

    def __init__(self, **options: Any) -> None:
        super().__init__(self._vectors, **options)

    def _vectors(self, request: Request) -> Any:
        texts = [message.content for message in request.messages]
        tokens = sum(map(len, texts))
        return text(packed([letters(t) for t in texts]), tokens_in=tokens, tokens_out=0, cost=tokens / 64)


def stack_for(spec: Spec, environment: Mapping[str, str] | None = None, **options: Any) -> ModelStack:
    """The spec's models with all their layers; `Asking` closes them."""
    names = dict.fromkeys([*spec.models, *embedding_names(spec)])
    return open_models(
        {name: spec.model_named(name) for name in names},
        environment=environment or {},
        redactor=Redactor(),
        embedding=embedding_names(spec),
        **options,
    )
