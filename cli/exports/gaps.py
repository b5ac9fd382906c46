"""A prompt with gaps: what is sent for every row, and where a row's own values go.

The gaps are found by rendering a row whose values are marks that stand in no prompt, so whatever a format does around
its values is carried as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from promptc.runners.program import CompiledProgram

_PRIVATE = (0xE000, 0xF8FF)
"""Unicode's private use area: characters that mean nothing to anybody."""


class Gap(msgspec.Struct, frozen=True):
    """The place of an input's value."""

    name: str


class Turn(msgspec.Struct, frozen=True):
    """One message: literal texts and gaps in turn."""

    role: Literal["system", "user", "assistant", "tool"]
    pieces: tuple[str | Gap, ...]

    def filled(self, fill: Callable[[str], str], literal: Callable[[str], str] = str) -> str:
        """The message as one text, with each gap and each literal written by these functions."""
        return "".join(
            fill(piece.name) if isinstance(piece, Gap) else literal(piece) for piece in self.pieces
        )


def turns(compiled: CompiledProgram, predictor: str) -> tuple[Turn, ...]:
    """The messages with a gap for each input that is text; no turns of a conversation so far."""
    fields = compiled.speakers[predictor].signature.inputs
    names = [field.name for field in fields if not field.holds_turns and field.attachment is None]
    empty: dict[str, Any] = {field.name: [] if field.holds_turns else "-" for field in fields}
    plain = "".join(message.content for message in compiled.messages(predictor, empty))
    mark = next(chr(code) for code in range(*_PRIVATE) if chr(code) not in plain)
    marked = {name: f"{mark}{place}{mark}" for place, name in enumerate(names)}
    messages = compiled.messages(predictor, {**empty, **marked})
    return tuple(Turn(message.role, _pieces(message.content, mark, names)) for message in messages)


def _pieces(text: str, mark: str, names: list[str]) -> tuple[str | Gap, ...]:
    cut = text.split(mark)
    pieces: list[str | Gap] = [
        Gap(names[int(piece)]) if place % 2 else piece for place, piece in enumerate(cut)
    ]
    return tuple(piece for piece in pieces if piece != "")
