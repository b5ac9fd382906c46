"""How a model calls tools on the way to its answer: natively where its provider can, in writing otherwise.

A conversation grows at its end only: what a turn added stays the same bytes, so that providers' prompt caches hit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from promptc.runners.candidate import Called, Demo, Turn
from promptc.runners.formats.json_text import NotJson, decode, dumps, values_in
from promptc.runners.formats.protocol import Format, ParseError
from promptc.runners.formats.replies import answer_part
from promptc.runners.models.request import Completion, Message, ToolCall
from promptc.runners.tools.protocol import Function
from promptc.spec.fields import Signature

ANSWER_NOW = "No more tools: answer now, with what you know."


class Talk(Protocol):
    """What a predictor says and reads besides its format, where a model may call something before it answers."""

    def system(self) -> str:
        """What the system message says after the format's own text; "" where there is nothing to say."""
        ...

    def params(self, *, final: bool) -> dict[str, Any]:
        """Parameters of the request."""
        ...

    def read(self, signature: Signature, completion: Completion) -> tuple[str, tuple[ToolCall, ...]]:
        """What the model says, and what it calls; no call where the reply is its answer. Raises ParseError."""
        ...

    def turn(self, turn: Turn, number: int) -> tuple[Message, ...]:
        """A turn as it stands in the conversation. `number` counts the calls before it."""
        ...

    def closing(self) -> tuple[Message, ...]:
        """What asks for the answer when no more turns are left."""
        ...


class NativeCalls(msgspec.Struct, frozen=True):
    """Calls as the provider's own part of a message."""

    functions: tuple[Function, ...]

    def system(self) -> str:
        """Nothing: the provider shows the tools."""
        return ""

    def params(self, *, final: bool) -> dict[str, Any]:
        """The tools; at the end none of them may be chosen."""
        if not self.functions:
            return {}
        tools = [
            {
                "type": "function",
                "function": {
                    "name": function.name,
                    "description": function.description,
                    "parameters": function.schema,
                },
            }
            for function in self.functions
        ]
        return {"tools": tools, "tool_choice": "none"} if final else {"tools": tools}

    def read(self, signature: Signature, completion: Completion) -> tuple[str, tuple[ToolCall, ...]]:
        """The calls that came, with ids of our own: a provider's are another in every run."""
        calls = tuple(
            msgspec.structs.replace(call, id=call_id(number))
            for number, call in enumerate(completion.tool_calls, start=1)
        )
        return answer_part(completion.text), calls

    def turn(self, turn: Turn, number: int) -> tuple[Message, ...]:
        """The assistant's message with its calls, and a message for each result."""
        calls = tuple(
            ToolCall(call_id(number + place), called.tool, dumps(called.arguments))
            for place, called in enumerate(turn.calls, start=1)
        )
        answers = (
            Message(
                "tool", f"Error: {called.result}" if called.failed else called.result, tool_call_id=call.id
            )
            for call, called in zip(calls, turn.calls, strict=True)
        )
        return (Message("assistant", turn.text, tool_calls=calls), *answers)

    def closing(self) -> tuple[Message, ...]:
        """A message of the user's."""
        return (Message("user", ANSWER_NOW),)


class WrittenCalls(msgspec.Struct, frozen=True):
    """Calls as JSON lines in a fenced block, which any model can write."""

    functions: tuple[Function, ...]

    def system(self) -> str:
        """What there is to call, and how."""
        if not self.functions:
            return ""
        lines = ["Before you answer you may call these tools:"]
        for function in self.functions:
            lines.append(
                f"- {function.name}({', '.join(signature_of(function))}): {function.description}".rstrip(": ")
            )
            lines += [f"  {line}" for line in argument_lines(function)]
        example = dumps({"tool": self.functions[0].name, "arguments": example_of(self.functions[0])})
        lines += [
            "",
            "To call some, reply with nothing but a block like this, one call on a line:",
            "",
            f"```tools\n{example}\n```",
            "",
            "Their results come in the next message. Once you know enough, answer in the layout above.",
        ]
        return "\n".join(lines)

    def params(self, *, final: bool) -> dict[str, Any]:
        """None."""
        return {}

    def read(self, signature: Signature, completion: Completion) -> tuple[str, tuple[ToolCall, ...]]:
        """The calls in the reply's block, fenced or bare. ParseError for a block that cannot be read."""
        text = answer_part(completion.text)
        block = _BLOCK.search(text)
        if block is None:
            known = {function.name for function in self.functions}
            calls = self._calls(values_in(text)) if '"tool"' in text else []
            calls = calls if all(name in known for name, _ in calls) else []
            before = text[: text.find("{")] if calls else text
        else:
            calls = self._calls(_lines(block[1]))
            before = text[: block.start()]
            if not calls:
                raise ParseError(
                    'The block holds no call: write {"tool": "name", "arguments": {…}}, one on a line.'
                )
        return _unfenced(before), tuple(
            ToolCall(call_id(number), name, dumps(arguments))
            for number, (name, arguments) in enumerate(calls, start=1)
        )

    def turn(self, turn: Turn, number: int) -> tuple[Message, ...]:
        """The block as the model should write it, and its results in one message."""
        calls = "\n".join(dumps({"tool": c.tool, "arguments": c.arguments}) for c in turn.calls)
        said = f"{turn.text}\n\n" if turn.text else ""
        results = "\n\n".join(f"{_head(called)}\n{called.result}" for called in turn.calls)
        return (Message("assistant", f"{said}```tools\n{calls}\n```"), Message("user", results))

    def closing(self) -> tuple[Message, ...]:
        """The end of the last message with results."""
        return (Message("user", f"\n\n{ANSWER_NOW}"),)

    def _calls(self, values: Sequence[Any]) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for value in values:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict) and isinstance(each.get("tool"), str):
                    arguments = each.get("arguments", {})
                    found.append((each["tool"], arguments if isinstance(arguments, dict) else {}))
        return found


def call_id(number: int) -> str:
    """An id for the n-th call of a conversation: nine letters and digits, as the strictest provider wants it."""
    return f"call{number:05d}"


def talk_prefix(
    format_: Format, signature: Signature, demos: Sequence[Demo], talk: Talk
) -> tuple[Message, ...]:
    """The messages before the row: the format's own with what the talk says, demos with the turns that they took."""
    head = format_.prefix(signature, ())
    messages = list(_with_system(head, talk.system()))
    whole = format_.prefix(signature, demos)
    if whole[: len(head)] != head:
        # A template with a place for its demos shows them there, without their turns.
        return _with_system(whole, talk.system())
    for demo in demos:
        shown = format_.prefix(signature, (demo,))[len(head) :]
        if not shown:
            continue
        *asked, answer = shown
        messages += asked
        number = 0
        for turn in demo.turns:
            messages += talk.turn(turn, number)
            number += len(turn.calls)
        if not (demo.turns and demo.turns[-1].ends):
            messages.append(answer)
    return tuple(messages)


def signature_of(function: Function) -> list[str]:
    """The arguments of a function as `name: type`, with `?` where one may be left out."""
    required = function.schema.get("required", ())
    return [
        f"{name}{'' if name in required else '?'}: {_type(schema)}"
        for name, schema in function.schema.get("properties", {}).items()
    ]


def argument_lines(function: Function) -> list[str]:
    """What each argument means, for those that say it."""
    properties: Mapping[str, Any] = function.schema.get("properties", {})
    return [
        f"{name}: {' '.join(schema['description'].split())}"
        for name, schema in properties.items()
        if isinstance(schema, dict) and schema.get("description")
    ]


def example_of(function: Function) -> dict[str, Any]:
    """Arguments that show how a call is written."""
    required = function.schema.get("required", ())
    properties: Mapping[str, Any] = function.schema.get("properties", {})
    return {name: _example(properties.get(name, {})) for name in required}


def _with_system(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    if not text:
        return messages
    if messages and messages[0].role == "system":
        return (Message("system", f"{messages[0].content}\n\n{text}"), *messages[1:])
    return (Message("system", text), *messages)


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kinds = schema.get("type", "any")
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    if names == ["array"] and isinstance(schema.get("items"), dict):
        return f"list of {_type(schema['items'])}"
    return " | ".join(names)


def _example(schema: Any) -> Any:
    if isinstance(schema, dict):
        for key in ("default", "const"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        kinds = schema.get("type")
        kind = kinds if isinstance(kinds, str) else (kinds or ["string"])[0]
        return {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}.get(kind, "…")
    return "…"


def _head(called: Called) -> str:
    return f"{called.tool} failed:" if called.failed else f"Result of {called.tool}:"


def _lines(block: str) -> list[Any]:
    """The JSON values in a block: one a line, or however they are written."""
    found = []
    for line in block.strip().splitlines():
        try:
            found.append(decode(line.strip().rstrip(",")))
        except NotJson:
            return values_in(block)
    return found


def _unfenced(text: str) -> str:
    return text.replace("```json", "").replace("```", "").strip()


_BLOCK = re.compile(r"```tools?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
