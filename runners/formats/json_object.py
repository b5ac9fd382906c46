"""`json`: the answer is one JSON object, enforced by the provider where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.attachments import attached
from promptc.runners.candidate import Demo
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.formats.fields_text import (
    field_lines,
    has_shape,
    label_values,
    object_outline,
    one_line,
    type_words,
)
from promptc.runners.formats.inputs import asked, demo_texts, input_texts
from promptc.runners.formats.json_text import NotJson, decode, unfenced
from promptc.runners.formats.markers import MARKERS, sections
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.replies import parse_reply, read_bare, read_json, read_lines, read_markers
from promptc.runners.formats.response_schema import response_schema
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Field, Signature

_WAYS = (read_json, read_markers, read_lines, read_bare)


class Json(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One JSON object with the outputs as its keys; inputs stand under the same markers as in `chat`."""

    version: ClassVar[str] = "json/1"

    response_format: Annotated[
        Literal["schema", "object", "none"],
        msgspec.Meta(
            description=(
                "What the provider is asked to enforce: the outputs' JSON Schema, some JSON object, or "
                "nothing. The reply is validated in every case."
            ),
            examples=["schema", "object", "none"],
        ),
    ] = "schema"

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """The system message, then each demo as a user turn and an assistant turn in JSON."""
        messages = [Message("system", _system_text(signature))]
        for inputs, outputs in shown_demos(signature, demos):
            given = sections(demo_texts(signature.inputs, inputs, MARKERS))
            messages.append(Message("user", given, attached(signature.inputs, inputs)))
            messages.append(Message("assistant", MARKERS.as_json(outputs)))
        return tuple(messages)

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """One user message: the input sections and the reminder; before it the conversation so far."""
        given = sections(input_texts(signature.inputs, inputs, MARKERS))
        text = f"{given}\n\n{_reminder(signature)}" if given else _reminder(signature)
        return asked(signature.inputs, inputs, text)

    def params(self, signature: Signature) -> dict[str, Any]:
        """`response_format` as OpenAI defines it.

        A signature that a strict schema cannot express (an object with free keys, any JSON value) asks for
        some JSON object instead.
        """
        if self.response_format == "none":
            return {}
        schema = response_schema(signature) if self.response_format == "schema" else None
        if schema is None:
            return {"response_format": {"type": "json_object"}}
        described = {"name": "outputs", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": described}}

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The output values, or ParseError."""
        return parse_reply(signature, completion.text, _WAYS, lambda text: _nothing(signature, text))

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The error and the reminder."""
        return f"That answer cannot be used. {error}\n\n{_reminder(signature)}"


def _system_text(signature: Signature) -> str:
    parts = [signature.instructions.strip() or "Fill in the output fields."]
    if signature.inputs:
        layout = sections({f.name: f"{{{f.name}}}" for f in signature.inputs if not f.holds_turns})
        parts.append("\n".join(["The input fields are:", *field_lines(signature.inputs)]))
    parts.append("\n".join(["The output fields are:", *field_lines(signature.outputs)]))
    if signature.inputs:
        parts.append(f"The inputs are given in this layout:\n\n{layout}")
    shape = object_outline((field.name, _member_words(field), "") for field in signature.outputs)
    parts.append("\n".join(["The answer is one JSON object and nothing else:", "", *shape]))
    return "\n\n".join(parts)


def _member_words(field: Field) -> list[str]:
    if label_values(field.schema) is not None:
        return [f"one of the labels of `{field.name}`"]
    return [f"the shape of `{field.name}`" if has_shape(field.schema) else type_words(field.schema)]


def _reminder(signature: Signature) -> str:
    noun = "key" if len(signature.outputs) == 1 else "keys"
    return f"Answer with one JSON object with the {noun} {_keys(signature)}."


def _keys(signature: Signature) -> str:
    return ", ".join(f"`{field.name}`" for field in signature.outputs)


def _nothing(signature: Signature, text: str) -> str:
    wanted = f"The reply is not a JSON object with {_keys(signature)}"
    bare = unfenced(text).strip()
    if not bare.startswith("{"):
        return wanted
    try:
        decode(bare)
    except NotJson as error:
        return f"{wanted} ({one_line(str(error))})"
    return wanted
