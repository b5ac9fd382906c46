"""Messages put together."""

from __future__ import annotations

from collections.abc import Iterable

from promptc.runners.models.request import Message


def joined(*groups: Iterable[Message]) -> tuple[Message, ...]:
    """The messages in order, neighbours of one role made one: what a template cut apart is whole again."""
    merged: list[Message] = []
    for group in groups:
        for message in group:
            before = merged[-1] if merged else None
            if (
                before is not None
                and before.role == message.role
                and not (before.tool_calls or message.tool_call_id)
            ):
                merged[-1] = Message(
                    message.role,
                    before.content + message.content,
                    (*before.attachments, *message.attachments),
                    message.tool_calls,
                )
            else:
                merged.append(message)
    return tuple(merged)
