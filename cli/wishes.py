"""What a user wants of a first spec, and whether it makes sense: the flags and answers of `promptc init`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.spec.errors import UsageError
from promptc.spec.suggest import did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
RUBRIC = "The answer is correct and complete, and keeps to what was asked."
"""What a judge goes by until the user has written something better."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said; None (or nothing) leaves it to the guess."""

    name: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    instructions: str | None = None
    model: str | None = None
    metric: str | None = None
    module: str | None = None


def plain_name(text: str) -> str:
    """A name as a spec may have it: small letters of ASCII, digits, `.`, `_` and `-`."""
    folded = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folded).strip("-._")[:80] or "program"


def check_name(name: str) -> str:
    """The name, or UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a program", "use letters, digits, -, _ and ., at most 80")
    return name


def check_model(model: str) -> str:
    """The model's name, or UsageError with what shows without a network."""
    from promptc.runners.models.settings import diagnose
    from promptc.spec.model import Model

    name = model.strip()
    script = {"script": "replies.jsonl"} if name == "embedded/script" else {}
    findings = diagnose(Model(model=name, params=script)) if name else ["a model has a name"]
    if script:
        findings = ["embedded/script needs a file of replies: write it into the spec's models:"]
    if findings:
        raise UsageError(f"model {name}: {findings[0]}", "any litellm name is good, or embedded/icl")
    return name


def check_module(module: str) -> str:
    """The module's name, or UsageError."""
    from promptc.runners.modules.registry import MODULES

    if module not in MODULES:
        raise UsageError(f"there is no module {module!r}", did_you_mean(module, MODULES))
    return module


def check_metric(metric: str) -> str:
    """The metric's name, or UsageError for one that does not exist or asks for more than a name."""
    from promptc.runners.metrics.registry import METRICS, build

    if metric not in METRICS:
        raise UsageError(f"there is no metric {metric!r}", did_you_mean(metric, METRICS))
    try:
        build({metric: metric_parameters(metric)})
    except ValueError as error:
        raise UsageError(str(error), "choose another here, and edit metrics: in the file") from None
    return metric


def check_columns(columns: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The columns, each once, or UsageError for one that the data does not have."""
    for name in columns:
        if name not in known:
            raise UsageError(f"the data has no column {name!r}", did_you_mean(name, known))
    return tuple(dict.fromkeys(columns))


def metric_parameters(metric: str) -> dict[str, Any]:
    """What a metric cannot do without."""
    return {"rubric": RUBRIC} if metric == "llm_judge" else {}
