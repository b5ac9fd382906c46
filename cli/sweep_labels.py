"""How the cells of a sweep are called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from promptc.cli.untrusted import one_line

LONGEST_VALUE = 60
SHORTEST_CUT = 6


def label_of(values: Iterable[tuple[str, Any]]) -> str:
    """What a cell changes, on one line: `models.task=a/b, run.seed=1`."""
    return ", ".join(f"{key}={value_text(value)}" for key, value in values)


def value_text(value: Any) -> str:
    """A value of a key, short: a text as it is, a plug-in as `name {parameter: value}`, anything else as in YAML."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, parameters),) = value.items()
        if isinstance(parameters, dict):
            return one_line(f"{name} {_flow(parameters)}" if parameters else name, LONGEST_VALUE)
    return one_line(_flow(value), LONGEST_VALUE)


def fitted(texts: Sequence[str], room: int, between: str) -> str:
    """The texts in so many columns: the longest are cut first, in their middle, and none below a few characters."""
    left = room - len(between) * (len(texts) - 1)
    allowed = [len(text) for text in texts]
    while sum(allowed) > left and max(allowed) > SHORTEST_CUT:
        allowed[allowed.index(max(allowed))] -= 1
    return between.join(_cut(text, limit) for text, limit in zip(texts, allowed, strict=True))


def _cut(text: str, limit: int) -> str:
    """Both ends of a text: models of one provider differ in the last letters of their names."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False)
