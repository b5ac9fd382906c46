"""A row's inputs in a prompt: most are text, an attachment goes beside it, a history becomes messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.runners.attachments import attached, labelled
from promptc.runners.failures import RowFailed
from promptc.runners.formats.escaping import Escaping
from promptc.runners.models.request import Message
from promptc.spec.fields import Field
from promptc.spec.media import TURNS

NO_ATTACHMENT = "(none)"


def input_value(field: Field, inputs: Mapping[str, Any]) -> Any:
    """A row's value for an input, or the input's default. KeyError when it has neither."""
    return inputs[field.name] if field.required or field.name in inputs else field.default


def input_texts(fields: Sequence[Field], inputs: Mapping[str, Any], escaping: Escaping) -> dict[str, str]:
    """The text of each input of a row but for its history. KeyError when one without a default is missing."""
    return {
        field.name: input_text(field, input_value(field, inputs), escaping)
        for field in fields
        if not field.holds_turns
    }


def demo_texts(fields: Sequence[Field], inputs: Mapping[str, Any], escaping: Escaping) -> dict[str, str]:
    """The text of each input that a demo has; a history is written out, for it is no turn of this conversation."""
    return {f.name: input_text(f, inputs[f.name], escaping) for f in fields if f.name in inputs}


def input_text(field: Field, value: Any, escaping: Escaping) -> str:
    """What stands in the prompt for a value: itself, the labels of what is attached, a conversation as a script."""
    if field.holds_turns and value is not None:
        return "\n\n".join(f"{turn.role}: {escaping.as_text(turn.content)}" for turn in turns(value))
    if field.attachment is None:
        return escaping.as_text(value)
    return "\n".join(f"[{label}]" for label, _ in labelled(field.name, value)) or NO_ATTACHMENT


def asked(fields: Sequence[Field], inputs: Mapping[str, Any], text: str) -> tuple[Message, ...]:
    """The row's own messages: the conversation so far, and a user message with the text and all attachments.

    Neighbouring turns of one role are one message, as providers want it.
    """
    messages: list[Message] = []
    for field in fields:
        value = input_value(field, inputs) if field.holds_turns else None
        for turn in turns(value) if value is not None else ():
            _add(messages, turn)
    if messages and messages[0].role == "assistant":
        messages.insert(0, Message("user", "(The conversation begins with you.)"))
    _add(messages, Message("user", text, attached(fields, inputs)))
    return tuple(messages)


def turns(value: Any) -> list[Message]:
    """A history's turns as messages. Raises RowFailed for what is none."""
    try:
        found = msgspec.convert(value, list[_Turn])
    except msgspec.ValidationError as error:
        roles = " or ".join(TURNS["items"]["properties"]["role"]["enum"])
        raise RowFailed(
            "data", f"a history is a list of {{role, content}} with the role {roles}: {error}"
        ) from error
    return [Message(turn.role, turn.content) for turn in found]


class _Turn(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant"]
    content: str


def _add(messages: list[Message], message: Message) -> None:
    if messages and messages[-1].role == message.role:
        before = messages.pop()
        message = msgspec.structs.replace(message, content=f"{before.content}\n\n{message.content}")
    messages.append(message)
