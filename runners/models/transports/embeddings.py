"""Embedding models: a request is a text per message, and the completion's text holds a vector for each.

They are reached like language models, with the same keys, addresses, limits and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import msgspec

from promptc.runners.models.request import CallFailed, Completion, Request, Usage
from promptc.runners.models.transports.connection import Answer
from promptc.runners.models.transports.direct import Direct
from promptc.runners.models.transports.failures import error_object, failure
from promptc.runners.models.transports.litellm_transport import LitellmTransport
from promptc.runners.models.vectors import packed


class _Entry(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Entry] | None = None
    model: str | None = None
    usage: _Tokens | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Reply)


class DirectEmbeddings(Direct):
    """Asks one model at one address for vectors."""

    path: ClassVar[str] = "embeddings"
    speaks: ClassVar[str] = "OpenAI's embeddings"

    async def _asked(self, request: Request) -> dict[str, Any]:
        return {"input": [message.content for message in request.messages]}

    def _completion(self, answer: Answer) -> Completion | None:
        reply = _decoder.decode(answer.content)
        if reply.error:
            said = error_object({"error": reply.error})
            raise failure(int(said.code) if said.code.isdigit() else 502, said, answer.headers, self._who)
        if not reply.data:
            return None
        usage = _usage(reply.usage)
        return Completion(
            text=packed(_in_order([(entry.index, entry.embedding) for entry in reply.data])),
            usage=usage,
            cost=self._services.cost(usage),
            served_model=reply.model or "",
        )


class LitellmEmbeddings(LitellmTransport):
    """Asks one model through litellm for vectors."""

    async def _asked(self, request: Request) -> dict[str, Any]:
        return {"input": [message.content for message in request.messages]}

    async def _sent(self, litellm: ModuleType, options: dict[str, Any]) -> Any:
        return await litellm.aembedding(**options)

    def _read(self, reply: Any) -> Completion:
        if not reply.data:
            raise CallFailed(f"{self._who.model}: the reply has no vectors", retryable=True, status=200)
        usage = _usage(reply.usage)
        return Completion(
            text=packed(_in_order([(entry["index"], entry["embedding"]) for entry in reply.data])),
            usage=usage,
            cost=self._cost(usage, reply._hidden_params.get("response_cost")),
            served_model=reply.model or "",
        )


def _in_order(entries: Sequence[tuple[int | None, Sequence[float]]]) -> list[Sequence[float]]:
    """The vectors by their numbers; as they come where a server gives none."""
    if any(number is None for number, _ in entries):
        return [vector for _, vector in entries]
    return [vector for _, vector in sorted(entries, key=lambda entry: entry[0] or 0)]


def _usage(said: Any) -> Usage:
    """The tokens of the texts; a reply of vectors has none of its own."""
    return Usage(getattr(said, "prompt_tokens", None) or getattr(said, "total_tokens", None) or 0)
