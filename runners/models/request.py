"""What is asked of a language model and what comes back, as plain data."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Protocol

import msgspec

from promptc.spec.media import AttachmentKind

FinishReason = Literal["stop", "length", "refused", "tool_calls", "other"]


EMBEDDINGS = "embeddings:"
"""How the endpoint of a model begins that is asked for vectors."""


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An image, recording or file that goes with a message; the text calls it by its label, in brackets.

    `source` is what a row says: a path, a URL or a data URI. Once the file is read, `digest` (32 hex digits),
    `media_type` and `size` (bytes) stand in its place, so that a request's key depends on the content and not on the
    path. A URL stays. `name` is a file's name, which models are told; "" for images and recordings.
    """

    kind: AttachmentKind
    label: str
    source: str = ""
    digest: str = ""
    media_type: str = ""
    size: int = 0
    name: str = ""
    limit: int = 0


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's wish to have a tool called. `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str = "{}"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat message. `tool_calls` are an assistant's; `tool_call_id` says which of them a tool answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    attachments: tuple[Attachment, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def plain(self) -> bool:
        """Nothing but a role and a text, as nearly all messages are."""
        return not (self.attachments or self.tool_calls or self.tool_call_id)

    def shown(self) -> str:
        """The message for a person: its text, then what is attached and which tools are called, a line each."""
        attached = [f"[{a.label}]: {a.kind} {a.source or a.name or a.digest}" for a in self.attachments]
        called = [f"→ {call.name}({call.arguments})" for call in self.tool_calls]
        return "\n".join([*([self.content] if self.content else []), *attached, *called])


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

    @property
    def embeds(self) -> bool:
        """True where vectors are asked for, one per message, and no text."""
        return self.endpoint.startswith(EMBEDDINGS)

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
    tool_calls: tuple[ToolCall, ...] = ()


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
