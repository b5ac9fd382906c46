"""Messages put together."""

from __future__ import annotations

from collections.abc import Iterable

from promptc.runners.models.request import Message


def joined(*groups: Iterable[Message]) -> tuple[Message, ...]:
    """The messages in order, neighbours of one role made one: what a template cut apart is whole again."""
    merged: list[Message] = []
    for group in groups:
        for message in group:
            if merged and merged[-1].role == message.role:
                merged[-1] = Message(message.role, merged[-1].content + message.content)
            else:
                merged.append(message)
    return tuple(merged)
