"""Field types in their long form: JSON Schema with a few kindnesses, made plain and strict.

The kindnesses: a type may be written as in a signature (`type: list[str]`), an enum may carry descriptions,
`nullable` and `optional` stand for what they say, and `$ref` reaches into a file of the spec's folder. What
comes out is JSON Schema (draft 2020-12) without references, in which objects are closed unless the spec says
otherwise.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from promptc.spec.diagnostics import Findings
from promptc.spec.fields import Field
from promptc.spec.media import misplaced
from promptc.spec.nodes import Node, Path, dotted, plain
from promptc.spec.references import ReferenceRefused, References, Trail
from promptc.spec.scalars import resolve
from promptc.spec.signature import label, labels_of, name_problem
from promptc.spec.type_text import Schema, TypeTextError, enumeration, nullable, parse_type

ONE_SCHEMA = (
    "items", "contains", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "propertyNames",
    "not", "if", "then", "else",
)  # fmt: skip
MANY_SCHEMAS = ("prefixItems", "anyOf", "oneOf", "allOf")
NAMED_SCHEMAS = ("properties", "patternProperties", "dependentSchemas")
PLAIN_KEYWORDS = (
    "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType",
    "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
    "minProperties", "maxProperties", "dependentRequired", "language", "maxBytes", "title", "description", "examples",
)  # fmt: skip
_ORDER = ("type", "enum", *PLAIN_KEYWORDS, *ONE_SCHEMA, *MANY_SCHEMAS, *NAMED_SCHEMAS, "required")
_OPEN_WITHIN = frozenset({"allOf", "if", "then", "else", "not", "dependentSchemas"})
_RANGES = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minContains", "maxContains"),
    ("minProperties", "maxProperties"),
)


class TypeBuilder:
    """Turns the nodes of a spec's fields into fields."""

    def __init__(self, references: References, findings: Findings) -> None:
        self._references = references
        self._findings = findings

    def fields(self, node: Node, path: Path) -> tuple[Field, ...]:
        """The fields of one side, in order. What is wrong with one of them leaves it out."""
        found = [self.field(name, child, (*path, name)) for name, child in node.value.items()]
        return tuple(field for field in found if field is not None)

    def field(self, name: str, node: Node, path: Path) -> Field | None:
        """One field, None when its name or type is wrong."""
        problem = name_problem(name)
        if problem:
            self._findings.error(
                problem, node.key or node.position, path=dotted(path), hint="choose another name"
            )
            return None
        if node.value is None:
            return Field(name=name)
        try:
            schema = self.schema(node, path, ())
        except _Refused:
            return None
        wrong = misplaced(schema, str(path[-2]) if len(path) > 1 else "")
        if wrong:
            self._findings.error(wrong, node.key or node.position, path=dotted(path))
            return None
        return self._field(name, schema, node, path)

    def _field(self, name: str, schema: Schema, node: Node, path: Path) -> Field | None:
        own = node.value if isinstance(node.value, dict) else {}
        description = schema.pop("description", "")
        described = own.get("enum")
        labels = labels_of(schema)
        if described is not None and isinstance(described.value, dict):
            labels = {value: child.value or "" for value, child in described.value.items()}
            description = own["description"].value if "description" in own else ""
        default: Any = msgspec.UNSET
        if "default" in own:
            default = plain(own["default"])
        elif "optional" in own and own["optional"].value:
            default = None
            schema = nullable(schema)
        if default is not msgspec.UNSET and not self._fits(default, schema, own.get("default", node), path):
            return None
        return Field(
            name=name, schema=schema, description=description.strip(), labels=labels, default=default
        )

    def _fits(self, default: Any, schema: Schema, node: Node, path: Path) -> bool:
        import jsonschema

        error = jsonschema.exceptions.best_match(
            jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).iter_errors(
                default
            )
        )
        if error is not None:
            self._findings.error(
                f"the default does not fit the field: {error.message}", node.place, path=dotted(path)
            )
        return error is None

    def schema(self, node: Node, path: Path, trail: Trail, *, close: bool = True) -> Schema:
        """The plain schema of a type. `trail` holds the references on the way here."""
        if isinstance(node.value, str):
            return self._text(node, path)
        if isinstance(node.value, bool):
            return {} if node.value else {"not": {}}
        if node.value is None:
            return {"type": "string"}
        own: dict[str, Node] = node.value
        schema = self._referred(own["$ref"], path, trail, close=close) if "$ref" in own else {}
        schema |= self._type(own, path)
        schema |= self._enum(own, path)
        schema |= {key: plain(own[key]) for key in PLAIN_KEYWORDS if key in own}
        schema |= self._parts(own, path, trail, close)
        self._check_ranges(schema, own, node, path)
        if close:
            self._close(schema, own)
        if "nullable" in own and own["nullable"].value:
            schema = nullable(schema)
        return {key: schema[key] for key in sorted(schema, key=_ORDER.index)}

    def _text(self, node: Node, path: Path) -> Schema:
        try:
            return parse_type(node.value)
        except TypeTextError as error:
            position = node.inside(error.offset, error.length)
            self._findings.error(error.message, position, path=dotted(path), hint=error.hint)
            raise _Refused from error

    def _type(self, own: dict[str, Node], path: Path) -> Schema:
        if "type" not in own:
            return {}
        if isinstance(own["type"].value, list):
            return {"type": plain(own["type"])}
        return self._text(own["type"], (*path, "type"))

    def _enum(self, own: dict[str, Node], path: Path) -> Schema:
        """A list of values, or labels with descriptions. The descriptions of a nested one join its
        description.
        """
        if "enum" not in own:
            return {}
        node = own["enum"]
        if isinstance(node.value, list):
            found = enumeration(plain(node))
            return {"enum": found["enum"]} if "type" in own else found
        kinds = plain(own["type"]) if "type" in own else "string"
        values: list[Any] = list(node.value)
        if {"integer", "number", "int", "float"} & set([kinds] if isinstance(kinds, str) else kinds):
            values = [self._number(text, child, path) for text, child in node.value.items()]
        lines = [f"{label(value)}: {child.value}" for value, child in node.value.items() if child.value]
        if "description" in own:
            lines.insert(0, own["description"].value)
        schema = enumeration(values) if "type" not in own else {"enum": values}
        return {**schema, "description": "\n".join(lines)} if lines else schema

    def _number(self, text: str, node: Node, path: Path) -> Any:
        value = resolve(text) if len(text) < 18 else text
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._findings.error(
                f'the label "{text}" is not a number', node.key, path=dotted((*path, "enum"))
            )
            raise _Refused
        return value

    def _parts(self, own: dict[str, Node], path: Path, trail: Trail, close: bool) -> Schema:
        """Schemas within the schema. A failure in one of them lets the others be read before it counts."""
        parts: Schema = {}
        refused = False
        for key in (*ONE_SCHEMA, *MANY_SCHEMAS, *NAMED_SCHEMAS, "required"):
            if key not in own:
                continue
            node = own[key]
            inner_close = close and key not in _OPEN_WITHIN
            try:
                if key == "required":
                    parts[key] = plain(node)
                elif key in ONE_SCHEMA:
                    flag = isinstance(node.value, bool)
                    parts[key] = (
                        node.value if flag else self.schema(node, (*path, key), trail, close=inner_close)
                    )
                elif key in MANY_SCHEMAS:
                    parts[key] = [
                        self.schema(child, (*path, key, index), trail, close=inner_close)
                        for index, child in enumerate(node.value)
                    ]
                else:
                    parts[key] = self._named(node, (*path, key), trail, inner_close)
            except _Refused:
                refused = True
        if refused:
            raise _Refused
        return parts

    def _named(self, node: Node, path: Path, trail: Trail, close: bool) -> dict[str, Schema]:
        schemas, refused = {}, False
        for name, child in node.value.items():
            try:
                schemas[name] = self.schema(child, (*path, name), trail, close=close)
            except _Refused:
                refused = True
        if refused:
            raise _Refused
        return schemas

    def _referred(self, node: Node, path: Path, trail: Trail, *, close: bool) -> Schema:
        try:
            target, longer = self._references.target(node, trail)
        except ReferenceRefused as error:
            self._findings.error(error.message, node.position, path=dotted((*path, "$ref")), hint=error.hint)
            raise _Refused from error
        return self.schema(target, path, longer, close=close)

    def _close(self, schema: Schema, own: dict[str, Node]) -> None:
        """All properties are required and no others allowed, where nothing else is said."""
        if "properties" not in own:
            return
        if not {"additionalProperties", "unevaluatedProperties", "patternProperties"} & own.keys():
            schema["additionalProperties"] = False
        if "required" not in own:
            schema["required"] = [
                name for name, child in own["properties"].value.items() if not _is_optional(child)
            ]
        schema.setdefault("type", "object")

    def _check_ranges(self, schema: Schema, own: dict[str, Node], node: Node, path: Path) -> None:
        refused = False
        for low, high in _RANGES:
            if low in schema and high in schema and schema[low] > schema[high]:
                place = own.get(high) or own.get(low) or node
                message = f"{low} {schema[low]} is above {high} {schema[high]}: no value fits"
                self._findings.error(message, place.position, path=dotted(path))
                refused = True
        if "pattern" in own:
            try:
                re.compile(schema["pattern"])
            except re.error as error:
                place = own["pattern"]
                at = place.inside(error.pos) if error.pos is not None else place.position
                message = f"not a regular expression: {error.msg}"
                self._findings.error(message, at, path=dotted((*path, "pattern")))
                refused = True
        if refused:
            raise _Refused


class _Refused(Exception):
    """A type cannot be used; the reason has been noted."""


def _is_optional(node: Node) -> bool:
    return isinstance(node.value, dict) and "optional" in node.value and bool(node.value["optional"].value)
