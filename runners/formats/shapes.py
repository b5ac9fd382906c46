"""A field's schema, prepared once: which kinds of value it admits, its labels, its validator."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from promptc.runners.formats.choices import Choices, choices_of
from promptc.runners.formats.fields_text import label_values
from promptc.runners.formats.string_formats import format_checker
from promptc.spec.media import REASONING

KINDS = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_SILENT = frozenset({"type", "title", "description", "examples", "default", "$comment"})


class Shape(msgspec.Struct, frozen=True, eq=False):
    """What a schema admits.

    `kinds` are JSON Schema type names (`number` brings `integer`). `choices` stands for an enum. `plain`
    means that any value of the right kind, or any of the choices, is valid.
    """

    schema: dict[str, Any]
    kinds: frozenset[str]
    choices: Choices | None
    validator: Draft202012Validator
    plain: bool

    @property
    def text(self) -> bool:
        """Only strings are valid, and they are not an enum: a reply's text is the value as it stands."""
        return self.choices is None and self.kinds == _STRING


_STRING = frozenset({"string"})


def shape_of(schema: Any) -> Shape:
    """The shape of a schema; `True` and `False` are schemas too."""
    return _prepared(msgspec.json.encode(schema))


@lru_cache(maxsize=4096)
def _prepared(encoded: bytes) -> Shape:
    schema = json.loads(encoded)
    if not isinstance(schema, dict):
        schema = {} if schema else {"not": {}}
    validator = Draft202012Validator(schema, format_checker=format_checker())
    labels = label_values(schema)
    choices = None if labels is None else choices_of(value for value in labels if validator.is_valid(value))
    return Shape(
        schema=schema,
        kinds=_kinds(schema),
        choices=choices,
        validator=validator,
        plain=choices is not None or (isinstance(schema.get("type"), str) and _says_no_more(schema)),
    )


def _says_no_more(schema: dict[str, Any]) -> bool:
    return schema.keys() - {"format"} <= _SILENT and schema.get("format", REASONING) == REASONING


def _kinds(schema: Any) -> frozenset[str]:
    if not isinstance(schema, dict):
        return KINDS if schema else frozenset()
    kinds = KINDS
    named = schema.get("type")
    if named is not None:
        kinds = frozenset({named} if isinstance(named, str) else named)
        kinds |= {"integer"} if "number" in kinds else frozenset()
    labels = label_values(schema)
    if labels is not None:
        kinds &= frozenset().union(*(_kinds_of_value(value) for value in labels))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kinds &= frozenset().union(*(_kinds(branch) for branch in schema[union]))
    for branch in schema.get("allOf", ()):
        kinds &= _kinds(branch)
    return kinds


def _kinds_of_value(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        return frozenset({"integer", "number"})
    if isinstance(value, str):
        return _STRING
    return frozenset({"array" if isinstance(value, list) else "object"})
