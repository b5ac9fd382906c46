"""What was said between promptc and a model in one request."""

from __future__ import annotations

import msgspec

from promptc.runners.models.request import Message


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it was sent, what came back, and what was wrong with that."""

    messages: tuple[Message, ...]
    reply: str
    reasoning: str = ""
    problem: str = ""
