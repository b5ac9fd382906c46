"""`chat`: every field in a section of its own under a marker line. The default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from promptc.runners.attachments import attached
from promptc.runners.candidate import Demo
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.formats.fields_text import field_lines
from promptc.runners.formats.inputs import asked, demo_texts, input_texts
from promptc.runners.formats.markers import MARKERS, end_name, marker, sections
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.replies import parse_reply, read_bare, read_json, read_lines, read_markers
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Signature

_WAYS = (read_markers, read_json, read_lines, read_bare)


class Chat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Marked sections: fields are listed in the system message, values stand under `[[ ## name ## ]]`.

    A reply is read by its markers; without any, as a JSON object, as `name: value` lines, or as the only
    output's value.
    """

    version: ClassVar[str] = "chat/1"

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """The system message, then each demo as a user and an assistant turn."""
        messages = [Message("system", _system_text(signature))]
        for inputs, outputs in shown_demos(signature, demos):
            answers = {
                field.name: MARKERS.as_answer(field, outputs[field.name])
                for field in signature.outputs
                if field.name in outputs
            }
            given = sections(demo_texts(signature.inputs, inputs, MARKERS))
            messages.append(Message("user", given, attached(signature.inputs, inputs)))
            messages.append(Message("assistant", sections(answers) + f"\n\n{marker(end_name(signature))}"))
        return tuple(messages)

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """One user message: the input sections and the reminder; before it the conversation so far."""
        given = sections(input_texts(signature.inputs, inputs, MARKERS))
        text = f"{given}\n\n{_reminder(signature)}" if given else _reminder(signature)
        return asked(signature.inputs, inputs, text)

    def params(self, signature: Signature) -> dict[str, Any]:
        """None: the layout needs no help from the provider."""
        return {}

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The output values, or ParseError."""
        return parse_reply(signature, completion.text, _WAYS, lambda _: _nothing(signature))

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The error and the reminder."""
        return f"That answer cannot be used. {error}\n\n{_reminder(signature)}"


def _system_text(signature: Signature) -> str:
    fields = (*signature.inputs, *signature.outputs)
    layout = sections({field.name: f"{{{field.name}}}" for field in fields if not field.holds_turns})
    parts = [signature.instructions.strip() or "Fill in the output fields."]
    if signature.inputs:
        parts.append("\n".join(["The input fields are:", *field_lines(signature.inputs)]))
    parts.append(
        "\n".join(["The output fields are:", *field_lines(signature.outputs, answered_as_text=True)])
    )
    parts.append(f"All interactions follow this layout:\n\n{layout}\n\n{marker(end_name(signature))}")
    return "\n\n".join(parts)


def _reminder(signature: Signature) -> str:
    order = ", then ".join(f"`{marker(field.name)}`" for field in signature.outputs)
    return f"Answer with {order}, and end with `{marker(end_name(signature))}`."


def _nothing(signature: Signature) -> str:
    noun = "section" if len(signature.outputs) == 1 else "sections"
    return f"The reply lacks the {noun} {', '.join(f'`{marker(field.name)}`' for field in signature.outputs)}"
