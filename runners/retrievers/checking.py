"""What is wrong with a spec's retrievers, as far as it shows without a socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptc.runners.extras import lacking
from promptc.runners.models.settings import provider_of
from promptc.runners.plugins import build
from promptc.runners.retrievers.documents import Documents, read_documents
from promptc.runners.retrievers.embedding import embedding_names, embedding_of, makes_vectors
from promptc.runners.retrievers.filters import conditions, unknown_field
from promptc.runners.retrievers.registry import RETRIEVERS
from promptc.runners.rows import open_rows
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import DataError, SpecError
from promptc.spec.model import Retrieve, RetrieverUse, Spec, Stage
from promptc.spec.pipeline import all_stages
from promptc.spec.suggest import did_you_mean


def retriever_findings(spec: Spec) -> list[Diagnostic]:
    """Parameters that do not fit, names that there are not, files and packages that are missing."""
    found: list[Diagnostic] = []
    for use in spec.retrievers.values():
        try:
            build(RETRIEVERS, use.plugin)
        except SpecError as error:
            found += error.diagnostics
            continue
        found += [_finding(spec, use, *problem) for problem in _problems(spec, use)]
    return [*found, *_filter_findings(spec), *_model_findings(spec)]


def _model_findings(spec: Spec) -> Iterator[Diagnostic]:
    """Names of embedding models that nobody knows, and models that make no vectors."""
    for name in embedding_names(spec):
        model = spec.model_named(name)
        place = model.position or (spec.optimizer.position if spec.optimizer is not None else None)
        if name not in spec.models and "/" not in name:
            hint = did_you_mean(name, spec.models) or "declare it under models:"
            yield Diagnostic(message=f'no model is called "{name}"', position=place, path="models", hint=hint)
        elif provider_of(model.model) == "embedded":
            said = f"{model.model} makes no vectors"
            yield Diagnostic(
                message=said, position=place, path=f"models.{name}", hint="leave it out to hash words"
            )


def document_findings(spec: Spec) -> list[Diagnostic]:
    """Filters over fields that no document has. Reads the documents; raises DataError for those that are none."""
    found = []
    fields = {
        name: documents.fields() for name, use in spec.retrievers.items() if (documents := documents_of(use))
    }
    for stage, action in _searches(spec):
        if isinstance(action.filter, dict) and action.retriever in fields:
            wrong = unknown_field(conditions(action.filter), fields[action.retriever])
            if wrong:
                found.append(Diagnostic(message=f"filter: {wrong}", position=stage.position, path="pipeline"))
    return found


def _searches(spec: Spec) -> Iterator[tuple[Stage, Retrieve]]:
    for stage in all_stages(spec.stages):
        if isinstance(stage.action, Retrieve):
            yield stage, stage.action


def _filter_findings(spec: Spec) -> Iterator[Diagnostic]:
    """What is wrong with the filters that steps write out."""
    for stage, action in _searches(spec):
        if isinstance(action.filter, dict):
            try:
                conditions(action.filter)
            except ValueError as error:
                yield Diagnostic(message=str(error), position=stage.position, path="pipeline")


def documents_of(use: RetrieverUse) -> Documents | None:
    """The documents of a retriever that has some. Raises DataError."""
    params = use.plugin.params
    if "documents" not in params:
        return None
    return read_documents(
        params["documents"],
        text=params.get("text", "text"),
        id_column=params.get("id"),
        searched=params.get("fields", ()),
    )


def missing_packages(kind: str, params: Mapping[str, Any]) -> str:
    """What to install for a kind of retriever; "" when nothing is missing."""
    modules = {
        "bm25": ("bm25s", "Stemmer") if params.get("language") else ("bm25s",),
        "qdrant": ("qdrant_client",) if "documents" in params else (),
        "chroma": ("chromadb",) if "documents" in params else (),
    }
    return lacking(f"the retriever {kind}", modules.get(kind, ()), kind)


def _problems(spec: Spec, use: RetrieverUse) -> Iterator[tuple[str, str, str]]:
    """Message, hint and parameter of each thing that is wrong."""
    kind, params = use.plugin.name, use.plugin.params
    if lack := missing_packages(kind, params):
        yield lack, "", ""
    if "documents" in params:
        try:
            open_rows(params["documents"]).close()
        except DataError as error:
            yield error.message, error.hint, "documents"
    if makes_vectors(kind) and "url" in params and embedding_of(spec, params.get("model")) is None:
        said = f"nothing says which model made the vectors of this {kind} collection"
        yield said, "add models: {embed: …}, or model: here", ""
    yield from _members(spec, use)


def _members(spec: Spec, use: RetrieverUse) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the retrievers that a hybrid names."""
    for name in _named(use):
        if name not in spec.retrievers:
            yield f'no retriever is called "{name}"', did_you_mean(name, spec.retrievers), "retrievers"
        elif use.name in _below(spec, name, frozenset()):
            yield f"{use.name} would ask itself, through {name}", "", "retrievers"


def _below(spec: Spec, name: str, seen: frozenset[str]) -> frozenset[str]:
    """A retriever and all that it asks."""
    if name in seen or name not in spec.retrievers:
        return seen
    seen |= {name}
    for other in _named(spec.retrievers[name]):
        seen = _below(spec, other, seen)
    return seen


def _named(use: RetrieverUse) -> tuple[str, ...]:
    return tuple(use.plugin.params.get("retrievers", ())) if use.plugin.name == "hybrid" else ()


def _finding(spec: Spec, use: RetrieverUse, message: str, hint: str, parameter: str) -> Diagnostic:
    path = f"retrievers.{use.name}"
    place = spec.positions.get(f"{path}.{use.plugin.name}.{parameter}")
    return Diagnostic(message=message, position=place or use.position, path=path, hint=hint)
