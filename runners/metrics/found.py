"""What was found, as retrieval metrics see it: passages or their ids in order, and which of them are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from promptc.runners.metrics.protocol import Case
from promptc.runners.metrics.text import as_json, as_text

StepOption = Annotated[
    Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_]")] | None,
    msgspec.Meta(
        description="The retrieve step whose hits are judged, in the place of an output field.",
        examples=["search"],
    ),
]
Cutoff = Annotated[
    Annotated[int, msgspec.Meta(ge=1)] | None,
    msgspec.Meta(
        description="How many of the first passages count; all where it is not given.", examples=[5]
    ),
]


class Found(msgspec.Struct, frozen=True):
    """One thing that was found. Of a bare text nobody knows whether it is an id or the passage: it is both."""

    id: str
    text: str


def found_in(case: Case, step: str | None, cutoff: int | None = None) -> list[Found]:
    """What the judged field holds, or what the step found, each passage once, the best first.

    A step that ran several times counts as one, in the order of its runs.
    """
    items = _items(case.value) if step is None else _hits(case.trace, step)
    first: dict[str, Found] = {}
    for item in map(_found, items):
        first.setdefault(item.id, item)
    return list(first.values())[:cutoff]


def relevant(expected: Any) -> dict[str, float]:
    """The ids that are right, with their grades: those of a mapping, 1 in a list or alone, none above 0 left out.

    Raises ValueError for grades that are no numbers.
    """
    if isinstance(expected, Mapping) and not {"id", "text"} & expected.keys():
        for name, grade in expected.items():
            if isinstance(grade, bool) or not isinstance(grade, int | float):
                raise ValueError(f"the grade of `{name}` is {grade!r}, not a number")
        return {str(name): float(grade) for name, grade in expected.items() if grade > 0}
    return {_found(item).id: 1.0 for item in _items(expected)}


def shown(found: Sequence[Found], limit: int = 5) -> str:
    """What was found, for a sentence."""
    if not found:
        return "nothing was found"
    names = ", ".join(f"`{item.id[:60]}`" for item in found[:limit])
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return f"found {names}{more}"


def _hits(trace: Sequence[Any], step: str) -> list[Any]:
    hits: list[Any] = []
    for one in trace:
        if one.predictor == step and one.kind == "retrieve":
            hits += one.outputs.get("hits", ())
    return hits


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _found(item: Any) -> Found:
    if isinstance(item, Mapping):
        text = as_text(item.get("text"))
        own = item.get("id")
        return Found(as_text(own) if own is not None else text or as_json(item), text)
    return Found(as_text(item), as_text(item))
