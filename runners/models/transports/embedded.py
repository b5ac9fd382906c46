"""The embedded transport: the in-context learner of promptc itself, without weights and without a network."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from promptc.runners.icl.draw import Draw, effective_temperature
from promptc.runners.icl.learner import Asked, Prepared, prepare, take_apart
from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage

SERVED_MODEL = "embedded/icl"
FINGERPRINT = "icl-1"
"""Changes with every change of the learner that can change a reply."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


class EmbeddedIcl:
    """Answers from the request alone: messages, temperature and rollout; a pure function of them.

    What the messages before the row teach is kept for the `prefixes` most recent prompts, since thousands of
    rows share one. A token is a run of letters, digits and underscores, or a single other mark.
    """

    def __init__(self, prefixes: int = 32) -> None:
        self._limit = prefixes
        self._prepared: OrderedDict[Hashable, tuple[Prepared, int]] = OrderedDict()

    async def complete(self, request: Request) -> Completion:
        """The reply, free of charge. What it cannot do it does badly; CallFailed for what it cannot even look at."""
        # Answering is pure computation; between two rows the loop gets a turn.
        await asyncio.sleep(0)
        refuse_attachments(request.messages)
        asked = take_apart(request.messages)
        prepared, tokens = self._recall(asked)
        draw = Draw(request.messages, effective_temperature(request.params, request.rollout), request.rollout)
        text = prepared.answer(asked.row, draw)
        rest = request.messages[len(asked.shared) :]
        return Completion(
            text=text,
            usage=Usage(input_tokens=tokens + count_tokens(rest), output_tokens=len(_TOKEN.findall(text))),
            cost=0.0,
            served_model=SERVED_MODEL,
            fingerprint=FINGERPRINT,
        )

    async def close(self) -> None:
        """Forget the prompts."""
        self._prepared.clear()

    def _recall(self, asked: Asked) -> tuple[Prepared, int]:
        found = self._prepared.get(asked.key)
        if found is None:
            found = prepare(asked.prompt()), count_tokens(asked.shared)
            self._prepared[asked.key] = found
            if len(self._prepared) > self._limit:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(asked.key)
        return found


def refuse_attachments(messages: Sequence[Message]) -> None:
    """Raise CallFailed where a message has an image, recording or file."""
    found = next((a for message in messages for a in message.attachments), None)
    if found is not None:
        raise CallFailed(
            f"{SERVED_MODEL} reads text only, and `{found.label}` is of the type {found.kind}",
            fatal=True,
            hint="name a model under models: that takes it",
        )


def count_tokens(messages: Sequence[Message]) -> int:
    """Tokens of all messages' texts."""
    return sum(len(_TOKEN.findall(message.content)) for message in messages)
