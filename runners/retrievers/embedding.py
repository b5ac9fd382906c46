"""Which models of a spec make vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptc.runners.retrievers.vectors import EMBED
from promptc.spec.model import Loop, Retrieve, RetrieverUse, Spec, Stage, Subprogram

VECTOR_KINDS = frozenset({"dense", "qdrant", "chroma"})
"""Kinds of retriever that compare vectors."""


def makes_vectors(kind: str) -> bool:
    """True for a kind of retriever that compares vectors."""
    return kind in VECTOR_KINDS


def embedding_of(spec: Spec, model: str | None) -> str | None:
    """The name of the model that makes vectors: the one that is asked for, else `embed`; None where they are hashed."""
    return model or (EMBED if EMBED in spec.models else None)


def vector_calls(spec: Spec) -> int:
    """How many requests for vectors the searches of a row make at most: one each, whatever the number of queries."""
    return sum(times * len(_asking(spec, name)) for name, times in _searches(spec.stages).items())


def asked_for_vectors(spec: Spec) -> tuple[RetrieverUse, ...]:
    """The retrievers that the steps ask, themselves or through a hybrid, and whose vectors a model makes."""
    asked = {name: use for search in _searches(spec.stages) for name, use in _asking(spec, search).items()}
    return tuple(asked.values())


def _searches(stages: Sequence[Stage]) -> Counter[str]:
    """How often each retriever is asked for a row at most."""
    found: Counter[str] = Counter()
    for stage in stages:
        times = stage.most_items if stage.foreach is not None else 1
        if isinstance(stage.action, Retrieve):
            found[stage.action.retriever] += times
        elif isinstance(stage.action, Loop | Subprogram):
            rounds = stage.action.most if isinstance(stage.action, Loop) else 1
            for name, inner in _searches(stage.action.stages).items():
                found[name] += inner * times * rounds
    return found


def _asking(spec: Spec, name: str) -> dict[str, RetrieverUse]:
    """Of a retriever and those that it asks, the ones whose vectors a model makes."""
    use = spec.retrievers.get(name)
    if use is None:
        return {}
    if use.plugin.name == "hybrid":
        others = use.plugin.params.get("retrievers", ())
        return {n: found for other in others for n, found in _asking(spec, other).items()}
    by_model = makes_vectors(use.plugin.name) and embedding_of(spec, use.plugin.params.get("model"))
    return {name: use} if by_model else {}


def embedding_names(spec: Spec) -> tuple[str, ...]:
    """The names of all models that are asked for vectors: `embed`, and those of retrievers, `knn` and its optimizer."""
    named = [EMBED] if EMBED in spec.models else []
    named += [
        model
        for use in spec.retrievers.values()
        if makes_vectors(use.plugin.name) and isinstance(model := use.plugin.params.get("model"), str)
    ]
    plugins = [step.module for step in spec.steps] + ([spec.optimizer] if spec.optimizer else [])
    for plugin in plugins:
        named += _of_neighbours({plugin.name: plugin.params})
    return tuple(dict.fromkeys(named))


def _of_neighbours(entry: Any) -> Iterator[str]:
    """The models of every `knn` in a plug-in and in those inside it."""
    if isinstance(entry, Mapping):
        for key, value in entry.items():
            if key == "knn" and isinstance(value, Mapping) and isinstance(value.get("model"), str):
                yield value["model"]
            yield from _of_neighbours(value)
    elif isinstance(entry, list | tuple):
        for part in entry:
            yield from _of_neighbours(part)
