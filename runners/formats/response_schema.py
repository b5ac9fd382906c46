"""The outputs as one schema that providers enforce: OpenAI's strict subset of JSON Schema."""

from __future__ import annotations

from typing import Any

from promptc.runners.formats.fields_text import label_values
from promptc.runners.formats.shapes import shape_of
from promptc.spec.fields import Signature

# Length limits are left to our own validation: not every provider with strict schemas accepts them.
_NUMBER_LIMITS = frozenset({"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_KEPT = _NUMBER_LIMITS | {"type", "enum", "pattern", "format", "description", "minItems", "maxItems"}
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_TYPE_NAMES = {
    str: "string", bool: "boolean", int: "integer", float: "number",
    list: "array", dict: "object", type(None): "null",
}  # fmt: skip


class _Inexpressible(Exception):
    """A schema outside of the subset."""


def response_schema(signature: Signature) -> dict[str, Any] | None:
    """An object with every output required and no other, or None when an output cannot be expressed.

    A property that a nested object may leave out becomes required and nullable: in this subset null is how a
    model says that there is none.
    """
    properties = {field.name: field.schema for field in signature.outputs}
    try:
        return _object({"properties": properties, "required": list(properties)})
    except _Inexpressible:
        return None


def _strict(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict) or not schema.keys() & {"type", "enum", "const", "anyOf", "oneOf"}:
        raise _Inexpressible
    if schema.keys() & {"$ref", "allOf", "not", "if", "patternProperties", "prefixItems", "dependentSchemas"}:
        raise _Inexpressible
    kept = {key: value for key, value in schema.items() if key in _KEPT}
    if kept.get("format") not in _FORMATS:
        kept.pop("format", None)
    labels = label_values(schema)
    if labels is not None:
        return kept | {"enum": labels, "type": schema.get("type") or _type_of(labels)}
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return {"anyOf": [_strict(branch) for branch in branches]}
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "array" in kinds:
        kept["items"] = _strict(schema.get("items"))
    if "object" in kinds:
        kept |= _object(schema) | {"type": schema["type"]}
    return kept


def _type_of(labels: list[Any]) -> str | list[str]:
    """The type that providers want beside an enum."""
    kinds = list(dict.fromkeys(_TYPE_NAMES[type(label)] for label in labels))
    return kinds[0] if len(kinds) == 1 else kinds


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("additionalProperties", False) is not False or not schema.get("properties"):
        raise _Inexpressible
    required = schema.get("required", ())
    properties = {
        name: _strict(inner) if name in required or _admits_null(inner) else _nullable(_strict(inner))
        for name, inner in schema["properties"].items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _admits_null(schema: Any) -> bool:
    return "null" in shape_of(schema).kinds


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
