"""Metadata filters: which documents count, checked once and applied to each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from promptc.runners.retrievers.protocol import Filter
from promptc.spec.suggest import did_you_mean, listed

Bound = Literal["gt", "gte", "lt", "lte"]
Scalar = str | int | float | bool | None

BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


class Condition(msgspec.Struct, frozen=True):
    """One field is one of these values, or lies within bounds."""

    field: str
    values: tuple[Scalar, ...] = ()
    bounds: tuple[tuple[Bound, str | int | float], ...] = ()

    def holds(self, meta: Mapping[str, Any]) -> bool:
        """Whether the field meets it; of a list, whether one of its items does. A missing field does not."""
        found = meta.get(self.field)
        return any(self._met(item) for item in (found if isinstance(found, list) else [found]))

    def _met(self, value: Any) -> bool:
        if not self.bounds:
            return any(_equal(value, wanted) for wanted in self.values)
        return all(_comparable(value, bound) and BOUNDS[name](value, bound) for name, bound in self.bounds)


def conditions(written: Filter | None) -> tuple[Condition, ...]:
    """The conditions of a filter, all of which have to hold. Raises ValueError that says what is wrong."""
    if written is None:
        return ()
    if not isinstance(written, Mapping):
        raise ValueError(f"a filter is a mapping from fields to values, not {written!r:.60}")
    return tuple(_condition(str(field), wanted) for field, wanted in written.items())


def unknown_field(found: Iterable[Condition], known: Iterable[str]) -> str:
    """What is wrong with a filter over documents with these fields: a field that none of them has; "" if nothing."""
    names = sorted(set(known))
    for condition in found:
        if condition.field not in names:
            hint = did_you_mean(condition.field, names) or "they have none beside text and id"
            return f"no document has the field `{condition.field}`; {hint}"
    return ""


def _condition(field: str, wanted: Any) -> Condition:
    if isinstance(wanted, Mapping):
        return Condition(field, bounds=_bounds(field, wanted))
    values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
    if not values:
        raise ValueError(f"filter {field}: an empty list matches no document")
    wrong = next((value for value in values if isinstance(value, list | tuple | Mapping)), None)
    if wrong is not None:
        raise ValueError(f"filter {field}: {wrong!r:.60} is no text, number, true, false or null")
    return Condition(field, values=values)


def _bounds(field: str, wanted: Mapping[str, Any]) -> tuple[tuple[Bound, str | int | float], ...]:
    if not wanted:
        raise ValueError(f"filter {field}: give at least one of {listed(BOUNDS)}")
    for name, bound in wanted.items():
        if name not in BOUNDS:
            hint = did_you_mean(str(name), BOUNDS)
            raise ValueError(f"filter {field}: unknown comparison `{name}`; {hint}")
        if isinstance(bound, bool) or not isinstance(bound, str | int | float):
            raise ValueError(f"filter {field}.{name}: {bound!r:.60} is no number or text to compare with")
    return tuple(wanted.items())  # type: ignore[arg-type]


def _equal(value: Any, wanted: Scalar) -> bool:
    """True is not 1, and 2 is 2.0."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _comparable(value: Any, bound: str | int | float) -> bool:
    if isinstance(bound, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)
