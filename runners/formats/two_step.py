"""`two_step`: the model answers freely, and a cheap model (`models.extract`) reads the fields out of its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from promptc.runners.attachments import attached
from promptc.runners.candidate import Demo
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.formats.fields_text import field_lines
from promptc.runners.formats.inputs import asked, demo_texts, input_texts
from promptc.runners.formats.markers import MARKERS, sections
from promptc.runners.formats.protocol import Format, ParseError
from promptc.runners.formats.replies import answer_part
from promptc.runners.models.request import Completion, Message
from promptc.runners.modules.protocol import free_name
from promptc.spec.fields import Field, Signature

EXTRACT = (
    "Read the output fields out of a text that someone else has written. Take what the text says, in its own words "
    "where the field is free text. Do not answer the question yourself, and correct nothing."
)
ASKED = "Answer in your own words, and say everything that these fields need:"


class TwoStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Free text first, fields second: no layout keeps a reasoning model from thinking.

    The first prompt says what has to be answered, and not in which form. The second, to `models.extract`, holds that
    text alone and asks for the fields in the `chat` format; it has no demos and nothing that an optimizer changes.
    A field for the reasoning is not asked for again: the text is the reasoning.
    """

    version: ClassVar[str] = "two_step/1"

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """The system message, then each demo as a user turn and a free answer that holds the outputs."""
        messages = [Message("system", _system_text(signature))]
        for inputs, outputs in shown_demos(signature, demos):
            given = sections(demo_texts(signature.inputs, inputs, MARKERS))
            said = [f"{name}: {MARKERS.as_text(value)}" for name, value in outputs.items()]
            messages.append(Message("user", given, attached(signature.inputs, inputs)))
            messages.append(Message("assistant", "\n".join(said)))
        return tuple(messages)

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """One user message: the input sections; before it the conversation so far."""
        given = sections(input_texts(signature.inputs, inputs, MARKERS))
        return asked(signature.inputs, inputs, given or "Begin.")

    def params(self, signature: Signature) -> dict[str, Any]:
        """None: the answer is free."""
        return {}

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The inputs of the second step: the text. ParseError where there is none."""
        text = answer_part(completion.text)
        if not text:
            raise ParseError("The reply is empty.")
        return {_text_name(signature): text}

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The error and what to answer."""
        return f"That answer cannot be used. {error}\n\n{_asked(signature)}"

    def second(self, signature: Signature) -> tuple[Signature, Format]:
        """What the other model is asked, with the text as its input, and in which format."""
        outputs = tuple(field for field in signature.outputs if not field.holds_reasoning)
        text = Field(name=_text_name(signature), description="The text to read")
        return Signature(inputs=(text,), outputs=outputs, instructions=EXTRACT), Chat()


def _text_name(signature: Signature) -> str:
    return free_name("text", (field.name for field in signature.outputs))


def _system_text(signature: Signature) -> str:
    parts = [signature.instructions.strip() or "Answer what the fields below ask for."]
    if signature.inputs:
        parts.append("\n".join(["The input fields are:", *field_lines(signature.inputs)]))
    parts.append(_asked(signature))
    return "\n\n".join(parts)


def _asked(signature: Signature) -> str:
    return "\n".join([ASKED, *field_lines(signature.outputs)])
