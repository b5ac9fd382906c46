"""Every metric by name, and how an entry under `metrics:` becomes one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, cast

import msgspec

from promptc.runners.metrics.protocol import Metric
from promptc.runners.plugins import load_class

METRICS: dict[str, str] = {
    "exact_match": "promptc.runners.metrics.exact_match:ExactMatch",
    "contains": "promptc.runners.metrics.contains:Contains",
    "regex": "promptc.runners.metrics.regex:Regex",
    "f1": "promptc.runners.metrics.f1:F1",
    "numeric": "promptc.runners.metrics.numeric:Numeric",
    "json_fields": "promptc.runners.metrics.json_fields:JsonFields",
    "classification": "promptc.runners.metrics.classification:Classification",
    "similarity": "promptc.runners.metrics.similarity:Similarity",
    "rouge": "promptc.runners.metrics.rouge:Rouge",
    "bleu": "promptc.runners.metrics.bleu:Bleu",
    "chrf": "promptc.runners.metrics.chrf:Chrf",
    "recall_at_k": "promptc.runners.metrics.recall_at_k:RecallAtK",
    "mrr": "promptc.runners.metrics.mrr:Mrr",
    "ndcg": "promptc.runners.metrics.ndcg:Ndcg",
    "passage_match": "promptc.runners.metrics.passage_match:PassageMatch",
    "grounded": "promptc.runners.metrics.grounded:Grounded",
    "llm_judge": "promptc.runners.metrics.llm_judge:LlmJudge",
    "pairwise_judge": "promptc.runners.metrics.pairwise_judge:PairwiseJudge",
    "calibration": "promptc.runners.metrics.calibration:Calibration",
    "tool_called": "promptc.runners.metrics.tool_called:ToolCalled",
    "trajectory": "promptc.runners.metrics.trajectory:Trajectory",
    "python": "promptc.runners.metrics.python:Python",
    "all": "promptc.runners.metrics.composite:AllOf",
    "any": "promptc.runners.metrics.composite:AnyOf",
}

ASKING = ("llm_judge", "pairwise_judge")
"""Metrics that ask a model."""

ENTRY_POINTS = "promptc.metrics"
"""The entry-point group in which other packages offer metrics; one is loaded only when a spec names it."""


def load(name: str) -> type[Any]:
    """The class of a metric. Raises ValueError for a name that nobody offers."""
    if name in METRICS:
        return cast(type[Any], load_class(METRICS[name]))
    offered = entry_points(group=ENTRY_POINTS, name=name)
    if offered:
        return cast(type[Any], next(iter(offered)).load())
    raise ValueError(f"there is no metric `{name}`; {_suggestion(name, METRICS)}")


def build(entry: str | Mapping[str, Any]) -> Metric:
    """A metric as a spec writes it, `name` or `{name: {parameter: value}}`. Raises ValueError that says what
    is wrong.

    The keys that belong to the entry rather than to the metric (`name weight negate field expected when`) are
    taken out before.
    """
    name, parameters = split(entry)
    cls = load(name)
    known = [field.encode_name for field in msgspec.structs.fields(cls)]
    unknown = next((key for key in parameters if key not in known), None)
    if unknown is not None:
        raise ValueError(f"metric `{name}` has no parameter `{unknown}`; {_suggestion(unknown, known)}")
    try:
        return cast(Metric, msgspec.convert(parameters, cls))
    except msgspec.ValidationError as error:
        raise ValueError(f"metric `{name}`: {error}") from error


def split(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and parameters of an entry. Raises ValueError where it has another shape."""
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise ValueError(f"a metric is one name, or one name with parameters; here are {len(entry)} keys")
    [(name, parameters)] = entry.items()
    if parameters is None:
        return name, {}
    if not isinstance(parameters, Mapping):
        raise ValueError(f"metric `{name}`: its parameters must be a mapping, not {parameters!r}")
    return name, dict(parameters)


def _suggestion(name: str, known: Mapping[str, str] | list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"there are: {', '.join(known)}" if known else "it takes none"
