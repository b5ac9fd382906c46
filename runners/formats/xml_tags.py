"""`xml`: every field in a tag of its own, which many models keep to more easily than to marker lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from promptc.runners.attachments import attached
from promptc.runners.candidate import Demo
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.formats.fields_text import field_lines
from promptc.runners.formats.inputs import asked, demo_texts, input_texts
from promptc.runners.formats.json_text import unfenced
from promptc.runners.formats.markers import chosen_answer
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.replies import Way, filled, parse_reply, read_bare, read_json, read_lines
from promptc.runners.formats.tags import tagged, tags_of
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Signature


class Xml(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags: fields are listed in the system message, values stand between `<name>` and `</name>`.

    A reply is read by its tags, also where some are not closed, or where an object or list is written in tags; without
    any, as a JSON object, as `name: value` lines, or as the only output's value.
    """

    version: ClassVar[str] = "xml/1"

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """The system message, then each demo as a user and an assistant turn."""
        escaping = tags_of(signature).escaping
        messages = [Message("system", _system_text(signature))]
        for inputs, outputs in shown_demos(signature, demos):
            answers = {
                field.name: escaping.as_answer(field, outputs[field.name])
                for field in signature.outputs
                if field.name in outputs
            }
            given = tagged(demo_texts(signature.inputs, inputs, escaping))
            messages.append(Message("user", given, attached(signature.inputs, inputs)))
            messages.append(Message("assistant", tagged(answers)))
        return tuple(messages)

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """One user message: the inputs in their tags and the reminder; before it the conversation so far."""
        given = tagged(input_texts(signature.inputs, inputs, tags_of(signature).escaping))
        text = f"{given}\n\n{_reminder(signature)}" if given else _reminder(signature)
        return asked(signature.inputs, inputs, text)

    def params(self, signature: Signature) -> dict[str, Any]:
        """None: the layout needs no help from the provider."""
        return {}

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The output values, or ParseError. Of a reply that was cut off, the value that is not closed is missing."""
        ways = _ways(completion.finish_reason != "length")
        return parse_reply(signature, completion.text, ways, lambda _: _nothing(signature))

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The error and the reminder."""
        return f"That answer cannot be used. {error}\n\n{_reminder(signature)}"


def _ways(complete: bool) -> tuple[Way, ...]:
    """How a reply is read; one that was cut off is not `complete`."""

    def read_tags(signature: Signature, text: str) -> dict[str, Any] | None:
        tags = tags_of(signature)
        sections = ((name, part.strip()) for name, part in tags.found(unfenced(text), complete=complete))
        found = chosen_answer(signature, sections)
        return filled(signature, found, tags.read) if found else None

    return (read_tags, read_json, read_lines, read_bare)


def _system_text(signature: Signature) -> str:
    fields = (*signature.inputs, *signature.outputs)
    parts = [signature.instructions.strip() or "Fill in the output fields."]
    if signature.inputs:
        parts.append("\n".join(["The input fields are:", *field_lines(signature.inputs)]))
    parts.append(
        "\n".join(["The output fields are:", *field_lines(signature.outputs, answered_as_text=True)])
    )
    layout = tagged({field.name: f"{{{field.name}}}" for field in fields if not field.holds_turns})
    parts.append(f"All interactions follow this layout:\n\n{layout}")
    parts.append("Values stand between their tags as they are, without escapes such as `&lt;`.")
    return "\n\n".join(parts)


def _reminder(signature: Signature) -> str:
    order = ", then ".join(f"`<{field.name}>…</{field.name}>`" for field in signature.outputs)
    return f"Answer with {order}, and nothing else."


def _nothing(signature: Signature) -> str:
    noun = "tag" if len(signature.outputs) == 1 else "tags"
    return f"The reply lacks the {noun} {', '.join(f'`<{field.name}>`' for field in signature.outputs)}"
