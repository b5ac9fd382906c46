"""What is asked of a language model and what comes back, as plain data."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Protocol

import msgspec

FinishReason = Literal["stop", "length", "refused", "tool_calls", "other"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can change the reply, and nothing else.

    `params` goes to the provider as it is (temperature, max_tokens, response_format …). Rollout 0 is the plain
    request; rollout n asks for another sample. `endpoint` is the origin and path of a model's `api_base`, else "".
    """

    model: str
    messages: tuple[Message, ...]
    params: dict[str, Any] = {}
    rollout: int = 0
    endpoint: str = ""

    def key(self) -> bytes:
        """16 bytes that identify the request: equal requests have equal keys, in any process."""
        canonical = msgspec.json.encode(
            [self.model, self.messages, self.params, self.rollout, self.endpoint], order="deterministic"
        )
        return hashlib.blake2b(canonical, digest_size=16).digest()


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one reply, as the provider counted them. `cached_tokens` are part of `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class Completion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply. `cost` is in US dollars, None where no price is known."""

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    cost: float | None = None
    reasoning: str = ""
    served_model: str = ""
    fingerprint: str = ""


class CallFailed(Exception):
    """A request that got no reply: what the provider or the network said, and whether asking again can help.

    `kind` tells a row's failure: `provider` and `timeout` are nobody's fault in the program and leave the row
    unscored; `context` (the prompt is too long) and `refused` (a content filter) are the candidate's doing.
    `fatal` means that no other request of this run can succeed either (wrong key, unknown model, connection refused),
    so the run should stop with `hint` rather than fail row by row.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Literal["provider", "timeout", "context", "refused"] = "provider",
        retryable: bool = False,
        fatal: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable
        self.fatal = fatal
        self.status = status
        self.retry_after = retry_after
        self.hint = hint


class CallAbandoned(Exception):
    """The run ends before this request was sent: nothing was asked, nothing is paid, nothing is recorded."""


class Layer(Protocol):
    """Anything that answers requests: a transport, or a layer (cache, limiter, retry) around another one.

    Raises CallFailed. `close` releases sockets and files and may be called once.
    """

    async def complete(self, request: Request) -> Completion:
        """Answer the request, or raise CallFailed."""
        ...

    async def close(self) -> None:
        """Release what the layer holds."""
        ...
