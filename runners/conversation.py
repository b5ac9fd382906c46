"""One predictor call of several turns: the model calls something, sees what comes back, and goes on to its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from promptc.runners.asking import Said
from promptc.runners.candidate import Turn
from promptc.runners.failures import RowFailed
from promptc.runners.models.request import ToolCall

DROPPED = "(left out: the conversation became too long)"

Ask = Callable[[tuple[Turn, ...], bool], Awaitable[Said]]
"""Asks with the turns so far; True where the model has to answer now."""
Leave = Callable[[Said, tuple[Turn, ...]], None]
"""Leaves the call in the trace: what it came to, and all turns."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the model does next: it answers with values, or says `text` and calls something."""

    values: dict[str, Any] | None = None
    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class Conversation:
    """The turns of one predictor call. They are kept whole; what the model is shown may be less of them."""

    def __init__(self, inputs: Mapping[str, Any], ask: Ask, leave: Leave) -> None:
        self.inputs = inputs
        self._ask = ask
        self._leave = leave
        self._shown: list[Turn] = []
        self._reasks = 0
        self._notes: list[str] = []
        self.turns: list[Turn] = []

    async def reply(self, *, final: bool = False) -> Reply:
        """What the model does next; with `final` it answers. Raises RowFailed.

        Where the prompt has become too long, the results of the oldest calls are left out, and it is asked anew.
        """
        while True:
            try:
                said = await self._ask(tuple(self._shown), final)
            except RowFailed as error:
                if error.failure.kind != "context" or not self._made_room():
                    raise
                continue
            if said.calls:
                self._reasks += said.reasks
                return Reply(text=said.reply, calls=said.calls)
            self._end(said)
            return Reply(values=said.values)

    async def answer(self) -> dict[str, Any]:
        """The model's answer, with no turns left. Raises RowFailed."""
        reply = await self.reply(final=True)
        assert reply.values is not None, "who has to answer calls nothing"
        return reply.values

    def add(self, turn: Turn) -> None:
        """Go on after a turn."""
        self.turns.append(turn)
        self._shown.append(turn)

    def conclude(self, outputs: dict[str, Any], turn: Turn) -> None:
        """End with outputs that came out of this last turn, without a word of the model's own."""
        self.turns.append(msgspec.structs.replace(turn, ends=True))
        self._end(Said(values=outputs))

    def mark(self, number: int) -> str:
        """What tells the n-th call after the turns so far from the calls of other conversations."""
        said = msgspec.json.encode([self.inputs, self.turns, number], order="deterministic")
        return hashlib.blake2b(said, digest_size=8).hexdigest()

    def failures(self, tool: str, arguments: Any) -> int:
        """How often this call has been made so far without success."""
        called = (one for turn in self.turns for one in turn.calls)
        return sum((one.tool, one.arguments, one.failed) == (tool, arguments, True) for one in called)

    def note(self, sentence: str) -> None:
        """Say something in the trace."""
        self._notes.append(sentence)

    def _end(self, said: Said) -> None:
        whole = msgspec.structs.replace(
            said, reasks=said.reasks + self._reasks, notes=(*self._notes, *said.notes)
        )
        self._leave(whole, tuple(self.turns))

    def _made_room(self) -> bool:
        """Leave out the results of the older half of the turns that still have theirs; False where none has."""
        whole = [
            place for place, turn in enumerate(self._shown) if any(c.result != DROPPED for c in turn.calls)
        ]
        if not whole:
            return False
        for place in whole[: (len(whole) + 1) // 2]:
            calls = tuple(
                msgspec.structs.replace(called, result=DROPPED) for called in self._shown[place].calls
            )
            self._shown[place] = msgspec.structs.replace(self._shown[place], calls=calls)
        count = sum(all(c.result == DROPPED for c in turn.calls) for turn in self._shown)
        self._notes = [note for note in self._notes if not note.startswith("too long")]
        turns = "the first turn" if count == 1 else f"the first {count} turns"
        self._notes.append(f"too long: the results of {turns} were left out")
        return True
