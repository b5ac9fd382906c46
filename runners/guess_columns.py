"""What the values of a column look like: text, labels, numbers, objects, lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.runners.tables import distinct_texts, typed

Kind = Literal["empty", "text", "labels", "boolean", "integer", "number", "object", "list", "mixed"]

MAX_LABELS = 200
MAX_LABEL_LENGTH = 80
MAX_PROPERTIES = 60
"""An object with more different keys is a map from data to data, not a record."""

_MAX_DEPTH = 6
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the data: its values that are not null, how many rows lack one, and what kind they are.

    `labels` are sorted and empty for other kinds. `spelled` means that the numbers are written as text.
    `length` is the mean number of characters of a text.
    """

    name: str
    kind: Kind
    values: tuple[Any, ...]
    missing: int = 0
    distinct: int = 0
    labels: tuple[str, ...] = ()
    spelled: bool = False
    length: float = 0.0

    @property
    def unique(self) -> bool:
        """True when every row has a value and no two rows have the same."""
        return not self.missing and self.distinct == len(self.values) > 1


def column(name: str, cells: Sequence[Any]) -> Column:
    """The column with these cells, one for each row; null where a row has none."""
    values = tuple(cell for cell in cells if cell is not None)
    missing = len(cells) - len(values)
    kinds = _kinds(values)
    kind: Kind = "mixed" if len(kinds) > 1 else next(iter(kinds), "empty")
    if kind == "text":
        return _text_column(name, values, missing)
    distinct = len({msgspec.json.encode(value, order="deterministic") for value in values})
    return Column(name=name, kind=kind, values=values, missing=missing, distinct=distinct)


def schema(values: Sequence[Any], depth: int = 0) -> dict[str, Any]:
    """The type of these values as a spec writes it, nested objects and lists included."""
    present = [value for value in values if value is not None]
    found = _schema_of(present, depth)
    return {**found, "nullable": True} if found and len(present) < len(values) else found


def _schema_of(values: Sequence[Any], depth: int) -> dict[str, Any]:
    kinds = _kinds(values)
    if kinds == {"object"} and depth < _MAX_DEPTH:
        return _object_schema(values, depth)
    if kinds == {"list"} and depth < _MAX_DEPTH:
        items = schema([item for value in values for item in value], depth + 1)
        return {"type": "array", **({"items": items} if items else {})}
    if kinds == {"text"}:
        labels = _labels(values, nested=True)
        return {"enum": list(labels)} if labels else {"type": "string"}
    names = {"text": "string", "list": "array"}
    types = sorted(names.get(kind, kind) for kind in kinds)
    return {"type": types[0]} if len(types) == 1 else {"type": types} if types else {}


def _object_schema(values: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for value in values for key in value))
    if len(keys) > MAX_PROPERTIES:
        return {"type": "object"}
    properties = {}
    for key in keys:
        own = [value[key] for value in values if key in value]
        optional = {"optional": True} if len(own) < len(values) else {}
        properties[key] = {**(schema(own, depth + 1) or {"type": "string", "nullable": True}), **optional}
    return {"type": "object", "properties": properties}


def _text_column(name: str, values: tuple[str, ...], missing: int) -> Column:
    distinct = len(distinct_texts(values))
    length = sum(map(len, values)) / len(values)
    if all(_PLAIN_NUMBER.fullmatch(value) for value in values):
        whole = all("." not in value for value in values)
        numbers = tuple(typed(value, {"type": "integer" if whole else "number"}) for value in values)
        kind: Kind = "integer" if whole else "number"
        return Column(
            name=name,
            kind=kind,
            values=numbers,
            missing=missing,
            distinct=distinct,
            spelled=True,
            length=length,
        )
    labels = _labels(values)
    return Column(
        name=name,
        kind="labels" if labels else "text",
        values=values,
        missing=missing,
        distinct=distinct,
        labels=labels,
        length=length,
    )


def _labels(values: Sequence[str], *, nested: bool = False) -> tuple[str, ...]:
    """The values, sorted, when they are few and come again and again; `nested` asks for more of both."""
    labels = distinct_texts(values)
    distinct = len(labels)
    most, repeats = (12, 5) if nested else (MAX_LABELS, 2 if distinct <= 10 else 3)
    if not 2 <= distinct <= most or len(values) < repeats * distinct:
        return ()
    if any(len(label) > MAX_LABEL_LENGTH or "\n" in label for label in labels):
        return ()
    return tuple(labels)


def _kinds(values: Sequence[Any]) -> set[Kind]:
    """The kinds that occur; whole numbers among others are numbers."""
    kinds = {_kind(value) for value in values}
    return kinds - {"integer"} if "number" in kinds else kinds


def _kind(value: Any) -> Kind:
    kinds: dict[type, Kind] = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "text",
        dict: "object",
        list: "list",
    }
    return kinds[type(value)]
