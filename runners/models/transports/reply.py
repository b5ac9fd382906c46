"""Reading a chat-completions reply, tolerant about what servers leave out and strict about what is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from promptc.runners.models.request import Completion, FinishReason, ToolCall, Usage

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refused",
    "refusal": "refused",
    "safety": "refused",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}


class _CachedTokens(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _CachedTokens | None = None
    prompt_cache_hit_tokens: int | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None


class ChatReply(msgspec.Struct):
    """The body of a reply, as far as it is read. `error` is what some gateways send with status 200."""

    choices: list[_Choice] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    usage: _Usage | None = None
    error: Any = None


def completion_of(reply: ChatReply, cost: Callable[[Usage], float | None]) -> Completion | None:
    """The completion in a reply; None when the reply has no message."""
    choice = reply.choices[0] if reply.choices else None
    if choice is None or choice.message is None:
        return None
    message = choice.message
    text, reasoning = split_reasoning(_plain(message.content))
    finish = finish_reason(choice.finish_reason)
    if message.refusal and not text:
        text, finish = message.refusal, "refused"
    usage = _usage(reply.usage)
    said = message.reasoning_content or (message.reasoning if isinstance(message.reasoning, str) else "")
    return Completion(
        text=text,
        finish_reason=finish,
        usage=usage,
        cost=cost(usage),
        reasoning=said or reasoning,
        served_model=reply.model or "",
        fingerprint=reply.system_fingerprint or "",
        tool_calls=read_tool_calls(message.tool_calls),
    )


def read_tool_calls(calls: Sequence[Any] | None) -> tuple[ToolCall, ...]:
    """The tools that a message calls; arguments that a server sends as an object become text again."""
    found = []
    for call in calls or ():
        function = call.function
        if function is None or not function.name:
            continue
        arguments = function.arguments
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments or {}).decode()
        found.append(ToolCall(call.id or "", function.name, arguments or "{}"))
    return tuple(found)


def finish_reason(said: str | None) -> FinishReason:
    """The reason in promptc's words; what no one knows is `other`."""
    if said == "stop":
        return "stop"
    return FINISH_REASONS.get(said.lower(), "other") if said else "other"


def split_reasoning(text: str) -> tuple[str, str]:
    """The answer and the thoughts that a server without a reasoning parser leaves in front of it."""
    if not text.startswith("<think>"):
        return text, ""
    thoughts, closed, answer = text.removeprefix("<think>").partition("</think>")
    return (answer.lstrip(), thoughts.strip()) if closed else (text, "")


def _plain(content: str | list[Any] | None) -> str:
    if isinstance(content, str):
        return content
    parts = [part.get("text") for part in content or () if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens or 0
    return Usage(
        usage.prompt_tokens or 0, usage.completion_tokens or 0, min(cached, usage.prompt_tokens or 0)
    )
