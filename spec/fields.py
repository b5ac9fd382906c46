"""Fields and signatures: what goes into a step and what comes out, typed by JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.spec.media import HISTORY, REASONING, AttachmentKind, attachment_kind


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One named, typed input or output.

    `schema` is a JSON Schema (draft 2020-12) without description and default, `$ref`s resolved, objects
    closed (`additionalProperties: false`, every property required) unless the spec says otherwise. `labels`
    maps each value of an enum to its description ("" where it has none) and is empty for other types.
    """

    name: str
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})
    description: str = ""
    labels: dict[str, str] = {}
    default: Any = msgspec.UNSET

    @property
    def required(self) -> bool:
        """A field without a default has to be there."""
        return self.default is msgspec.UNSET

    @property
    def holds_reasoning(self) -> bool:
        """A field for how the model comes to its answer, which a provider may bring of its own accord."""
        return self.schema.get("format") == REASONING

    @property
    def holds_turns(self) -> bool:
        """A conversation so far, which becomes messages of its own."""
        return self.schema.get("format") == HISTORY

    @property
    def attachment(self) -> AttachmentKind | None:
        """What the field attaches to the prompt, one or a list of them; None for a field that is text."""
        return attachment_kind(self.schema)


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A step's input fields, output fields and instructions."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    instructions: str = ""

    def output(self, name: str) -> Field:
        """The output field of that name; KeyError when there is none."""
        for field in self.outputs:
            if field.name == name:
                return field
        raise KeyError(name)


def enum_labels(field: Field) -> tuple[str, ...]:
    """The labels of an enum of texts, or of a list of them; none for every other type."""
    for option in (field.schema, *field.schema.get("anyOf", ()), field.schema.get("items", {})):
        values = option.get("enum", ()) if isinstance(option, Mapping) else ()
        if values and all(isinstance(value, str) or value is None for value in values):
            return tuple(value for value in values if value is not None)
    return ()


def field_tree(field: Field) -> dict[str, Any]:
    """The field in its long form, as a spec writes it."""
    tree: dict[str, Any] = dict(field.schema)
    if any(field.labels.values()):
        tree["enum"] = dict(field.labels)
        if None in field.schema["enum"]:
            tree["nullable"] = True
    if field.description:
        tree["description"] = field.description
    if field.default is not msgspec.UNSET:
        tree["default"] = field.default
    return tree
