"""Fields as Python types: what an exported function takes and returns."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from promptc.cli.exports.python_literals import data_literal, docstring, text_literal
from promptc.runners.formats.fields_text import label_values
from promptc.spec.fields import Field

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

Style = Literal["TypedDict", "BaseModel"]


class Types:
    """Writes schemas as annotations; objects with named properties become classes, which come before their users."""

    def __init__(self, style: Style, taken: Sequence[str] = ()) -> None:
        self._style = style
        self._names: set[str] = set(taken)
        self.classes: list[str] = []

    def of(self, schema: Any, name: str) -> str:
        """The annotation of a schema; `name` is what a class is called after."""
        if not isinstance(schema, dict):
            return "Any"
        labels = label_values(schema)
        if labels is not None:
            return _literal(labels)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return _union([self.of(branch, name) for branch in branches])
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return _union([self._kind(kind, schema, name) for kind in kinds])
        return self._kind(kinds, schema, name)

    def record(self, name: str, fields: Sequence[Field], said: str) -> str:
        """A class whose members are fields. Returns its name."""
        members = {
            field.name: (self.of(field.schema, f"{name}_{field.name}"), field.description) for field in fields
        }
        return self._class(name, members, said)

    def _kind(self, kind: Any, schema: Mapping[str, Any], name: str) -> str:
        if kind == "array":
            return f"list[{self.of(schema.get('items'), f'{name}_item')}]"
        if kind == "object":
            return self._object(schema, name)
        return _PLAIN.get(kind, "Any")

    def _object(self, schema: Mapping[str, Any], name: str) -> str:
        if not schema.get("properties"):
            values = schema.get("additionalProperties")
            return f"dict[str, {self.of(values, f'{name}_value')}]" if values else "dict[str, Any]"
        required = schema.get("required", ())
        members = {}
        for key, inner in schema["properties"].items():
            annotation = self.of(inner, f"{name}_{key}")
            said = inner.get("description", "") if isinstance(inner, dict) else ""
            members[key] = (annotation if key in required else self._optional(annotation), said)
        return self._class(name, members, "")

    def _optional(self, annotation: str) -> str:
        return f"NotRequired[{annotation}]" if self._style == "TypedDict" else f"{annotation} | None = None"

    def _class(self, name: str, members: Mapping[str, tuple[str, str]], said: str) -> str:
        odd = any(not is_name(key) for key in members)
        if odd and self._style == "BaseModel":
            return "dict[str, Any]"
        called = self._free(class_name(name))
        if odd:
            self.classes.append(_functional(called, members))
        else:
            self.classes.append(_class_text(called, self._style, members, said))
        return called

    def _free(self, name: str) -> str:
        number = 2
        free = name
        while free in self._names:
            free, number = f"{name}{number}", number + 1
        self._names.add(free)
        return free


def is_name(text: str) -> bool:
    """Whether Python takes it for a parameter's or an attribute's name."""
    return text.isidentifier() and not keyword.iskeyword(text)


def class_name(text: str) -> str:
    """`support_triage` as `SupportTriage`."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"Outputs{name}"


def _class_text(name: str, style: Style, members: Mapping[str, tuple[str, str]], said: str) -> str:
    lines = [f"class {name}({style}):"]
    if said:
        lines += [f"    {docstring(said)}", ""]
    for key, (annotation, description) in members.items():
        lines.append(f"    {key}: {annotation}")
        if description and style == "TypedDict":
            lines.append(f"    {docstring(description)}")
    return "\n".join(lines if members else [*lines, "    pass"])


def _functional(name: str, members: Mapping[str, tuple[str, str]]) -> str:
    """A typed dictionary some of whose keys are no names."""
    entries = ", ".join(f"{text_literal(key)}: {annotation}" for key, (annotation, _) in members.items())
    return f"{name} = TypedDict({text_literal(name)}, {{{entries}}})"


def _literal(labels: Sequence[Any]) -> str:
    """The labels; those that Python cannot name (fractions) as their type."""
    named = [label for label in labels if isinstance(label, str | int | bool) or label is None]
    parts = [f"Literal[{', '.join(map(data_literal, named))}]"] if named else []
    if any(isinstance(label, float) for label in labels):
        parts.append("float")
    if any(isinstance(label, list | dict) for label in labels):
        parts.append("Any")
    return _union(parts)


def _union(parts: Sequence[str]) -> str:
    return " | ".join(dict.fromkeys(parts))
