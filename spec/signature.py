"""The short form of a signature: `"question, context: list[str] -> answer: str, sure: bool"`."""

from __future__ import annotations

from collections.abc import Sequence

from promptc.spec.fields import Field, Signature
from promptc.spec.media import misplaced
from promptc.spec.type_text import Schema, Token, TypeReader, TypeTextError, tokens

RESERVED = ("item", "previous", "args", "self", "inputs")
"""Names that expressions need for themselves; no field and no step has one of them."""


def parse_signature(text: str) -> Signature:
    """Input and output fields; TypeTextError says what is wrong and at which character."""
    found = tokens(text)
    arrows = [token for token in found if token.kind == "arrow"]
    if len(arrows) != 1:
        message = "a signature has one `->` between its inputs and its outputs"
        at = arrows[1] if arrows else found[-1]
        hint = "" if arrows else 'such as "question -> answer"'
        raise TypeTextError(message if arrows else "no `->`: " + message, at.offset, len(at.text), hint)
    reader = TypeReader(found)
    inputs = _fields(reader, "an input field")
    reader.expect("->", "between inputs and outputs")
    outputs = _fields(reader, "an output field")
    if reader.current.kind != "end":
        raise reader.unexpected("`,` or the end of the signature")
    _check_duplicates(inputs, outputs)
    for side, fields in (("inputs", inputs), ("outputs", outputs)):
        for name, schema in fields:
            wrong = misplaced(schema, side)
            if wrong:
                raise TypeTextError(wrong, name.offset, len(name.text))
    return Signature(
        inputs=tuple(_field(name, schema) for name, schema in inputs),
        outputs=tuple(_field(name, schema) for name, schema in outputs),
    )


def _field(name: Token, schema: Schema) -> Field:
    return Field(name=name.text, schema=schema, labels=labels_of(schema))


def labels_of(schema: Schema) -> dict[str, str]:
    """The values of an enum without descriptions; empty for other types."""
    return {label(value): "" for value in schema.get("enum", ()) if value is not None}


def label(value: object) -> str:
    """How a value of an enum is called: text as it is, others as in JSON."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def name_problem(name: str) -> str:
    """Why a field or step cannot have this name, "" when it can."""
    if name in RESERVED:
        return f'"{name}" is a reserved name: expressions use it'
    if not name.isidentifier() or len(name) > 64:
        return f'"{name[:64]}" is not a name: at most 64 letters, digits and _, no digit first'
    return ""


def _fields(reader: TypeReader, wanted: str) -> list[tuple[Token, Schema]]:
    fields = []
    while True:
        name = reader.current
        if name.kind != "name":
            raise reader.unexpected(wanted)
        reader.take()
        problem = name_problem(name.text)
        if problem:
            raise TypeTextError(problem, name.offset, len(name.text), "choose another name")
        schema = reader.type() if reader.accept(":") else {"type": "string"}
        fields.append((name, schema))
        if not reader.accept(","):
            return fields


def _check_duplicates(
    inputs: Sequence[tuple[Token, Schema]], outputs: Sequence[tuple[Token, Schema]]
) -> None:
    seen: set[str] = set()
    for name, _ in [*inputs, *outputs]:
        if name.text in seen:
            raise TypeTextError(
                f'two fields are called "{name.text}"', name.offset, len(name.text), "rename one of them"
            )
        seen.add(name.text)
