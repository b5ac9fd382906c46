"""What stands in an exported Python file for what promptc has from libraries: bundled, never used by promptc itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from promptc.runners.formats.json_text import _LONGEST_REPAIR, _sound

UNSET: Any = object()
"""Stands for a value that is not there, where None would be one."""


@dataclass(frozen=True)
class Field:
    """One named, typed input or output; `schema` is its JSON Schema."""

    name: str
    schema: dict[str, Any] = dataclasses.field(default_factory=lambda: {"type": "string"})
    default: Any = UNSET

    @property
    def required(self) -> bool:
        """A field without a default has to be there."""
        return self.default is UNSET


@dataclass(frozen=True)
class Signature:
    """Input fields and output fields."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]


def _repaired(text: str) -> Any:
    """JSON with slips, mended by json-repair where that is installed; else the model is asked again."""
    if len(text) > _LONGEST_REPAIR or importlib.util.find_spec("json_repair") is None:
        return None
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
        return _sound("\\u", value)
    except (ValueError, LookupError, RecursionError):
        return None


@dataclass(frozen=True)
class PlainError:
    """Why a value is not of its type, or none of the labels."""

    validator: str
    validator_value: Any
    instance: Any
    schema: Any
    absolute_path: tuple[str | int, ...] = ()


class PlainValidator:
    """Checks what this program's fields say: a type, or a list of labels."""

    def __init__(self, schema: Mapping[str, Any], format_checker: Any = None) -> None:
        self._schema = schema

    def iter_errors(self, value: Any) -> Iterator[PlainError]:
        """Every way in which the value does not fit."""
        for keyword, wanted in self._schema.items():
            if keyword == "type" and not _is_of(wanted, value):
                yield PlainError(keyword, wanted, value, self._schema)
            if keyword == "enum" and _canonical(value) not in map(_canonical, wanted):
                yield PlainError(keyword, wanted, value, self._schema)

    def is_valid(self, value: Any) -> bool:
        """Whether the value fits."""
        return next(self.iter_errors(value), None) is None


def _is_of(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        return kind == "number" or (kind == "integer" and whole)
    kinds: dict[str, type] = {"string": str, "array": list, "object": dict, "null": type(None)}
    return kind in kinds and isinstance(value, kinds[kind])


def _canonical(value: Any) -> str:
    """Equal for values that JSON Schema calls equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def format_checker() -> Any:
    """No field of this program has a string format."""
