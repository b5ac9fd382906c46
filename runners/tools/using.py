"""The calls of one turn, made at once, and what the model is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from promptc.runners.candidate import Called
from promptc.runners.conversation import Conversation
from promptc.runners.formats.json_text import dumps
from promptc.runners.models.request import ToolCall
from promptc.runners.phase import Lane
from promptc.runners.tools.protocol import Offered, ToolFailed, Tools


class Used(msgspec.Struct, frozen=True):
    """What came of a call: what the model is told, and the value itself, None where it failed."""

    called: Called
    value: Any = None


async def used(
    lane: Lane,
    tools: Tools,
    offered: Sequence[Offered],
    calls: Sequence[ToolCall],
    talk: Conversation,
    first: int = 0,
) -> tuple[Used, ...]:
    """What comes of each call, in order. A tool that fails says so in its result. Raises RowFailed.

    `first` counts the calls of this turn that were made before.
    """
    works = [
        partial(_one, tools, offered, call, number, talk) for number, call in enumerate(calls, start=first)
    ]
    return tuple(await lane.together(works))


async def _one(
    tools: Tools, offered: Sequence[Offered], call: ToolCall, number: int, talk: Conversation, lane: Lane
) -> Used:
    arguments: Any = call.arguments
    try:
        arguments = msgspec.json.decode(call.arguments)
        result = await tools.call(
            lane, offered, call.name, arguments, _mark(lane, offered, call.name, arguments, number, talk)
        )
    except msgspec.DecodeError as error:
        return _failed(call, arguments, f"not JSON: {error}")
    except ToolFailed as error:
        return _failed(call, arguments, str(error))
    text = result if isinstance(result, str) else dumps(result)
    return Used(Called(tool=call.name, arguments=arguments, result=text), result)


def _failed(call: ToolCall, arguments: Any, said: str) -> Used:
    return Used(Called(tool=call.name, arguments=arguments, result=said, failed=True))


def _mark(
    lane: Lane, offered: Sequence[Offered], name: str, arguments: Any, number: int, talk: Conversation
) -> tuple[Any, ...]:
    """What tells a call from equal ones.

    What changes something is done for each row and each time that it is asked for; what failed is tried anew. All else
    is asked once, whoever asks.
    """
    if any(one.function.name == name and one.function.effects == "write" for one in offered):
        return (lane.row, talk.mark(number))
    failures = talk.failures(name, arguments)
    return (failures,) if failures else ()
