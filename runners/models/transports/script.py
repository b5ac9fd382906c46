r"""The script transport: a model that answers from a file, for samples and tests.

    models: {task: {model: embedded/script, params: {script: replies.jsonl}}}

Each line of the file is a rule, and the first rule that fits answers:

    {"match": "How many apples", "reply": {"answer": 12}}
    {"regex": "\\bapples?\\b", "system": "step by step", "reply": ["first sample", "second sample"]}
    {"default": "I do not know."}

`match` is a substring and `regex` a pattern of the last user message; `system` is a substring of the system
messages. A re-ask puts promptc's own words last: where no rule fits these, the rule that gave the reply
before them answers again. A list of replies is walked through by rollout and turn (how often the model was
asked again), and starts anew at its end. A reply that is an object of fields is written in the format that
the request asks for. One that calls tools says so, and perhaps something beside it:

    {"match": "Paris", "reply": [{"text": "I look it up.", "tool_calls": [{"name": "find", "arguments": {"city":
    "Paris"}}]}, {"answer": "sunny"}]}
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.models.request import CallFailed, Completion, Message, Request, ToolCall, Usage
from promptc.runners.models.transports.failures import one_line
from promptc.runners.models.transports.registry import Services
from promptc.spec.errors import DataError
from promptc.spec.model import Model

Reply = str | dict[str, Any]

_MARKER = re.compile(r"\[\[ ## (\w+) ## \]\]")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a script. A rule with neither `match` nor `regex` and a `default` fits everything."""

    match: str | None = None
    regex: str | None = None
    system: str | None = None
    reply: Reply | list[Reply] | None = None
    default: Reply | list[Reply] | None = None

    @property
    def replies(self) -> list[Reply]:
        """What it answers, one after the other."""
        reply = self.default if self.reply is None else self.reply
        return reply if isinstance(reply, list) else [reply] if reply is not None else []

    def fits(self, asked: str, system: str) -> bool:
        """Whether it answers this user message."""
        return (
            (self.match is None or self.match in asked)
            and (self.regex is None or re.search(self.regex, asked) is not None)
            and (self.system is None or self.system in system)
        )


def read_script(path: Path) -> tuple[Rule, ...]:
    """The rules of a file. Raises DataError with the line for what is not a rule, OSError as it comes."""
    rules: list[Rule] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rule = msgspec.json.decode(line, type=Rule)
            re.compile(rule.regex or "")
        except (msgspec.DecodeError, UnicodeDecodeError, re.error) as error:
            raise DataError(path, f"not a rule of a script: {error}", line=number) from None
        if (problem := _problem(rule)) is not None:
            raise DataError(path, problem, line=number)
        rules.append(rule)
    if not rules:
        raise DataError(path, "the script has no rules", hint='write lines such as {"default": "yes"}')
    return tuple(rules)


def script_digest(path: Path) -> str:
    """What stands for the script in a request's key. Raises OSError."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def script_path(model: Model, base: str) -> Path:
    """The script that a model names, relative to the spec's folder."""
    return Path(base) / str(model.params.get("script", ""))


class Script:
    """Answers requests by the first rule that fits; a pure function of the request."""

    def __init__(self, model: Model, services: Services) -> None:
        self.path = script_path(model, services.base)
        self._name = model.model
        self._rules = read_script(self.path)

    async def complete(self, request: Request) -> Completion:
        """The scripted reply. Raises CallFailed where no rule fits, naming the nearest."""
        rule, turn = self._rule(request)
        if rule is None:
            raise self._unscripted(request.messages)
        said = _written(rule, request, turn)
        asked = sum(len(message.content) for message in request.messages)
        length = len(said.content) + sum(len(call.arguments) for call in said.tool_calls)
        return Completion(
            text=said.content,
            finish_reason="tool_calls" if said.tool_calls else "stop",
            usage=Usage(input_tokens=asked // 4 + 1, output_tokens=length // 4 + 1),
            cost=0.0,
            served_model=self._name,
            tool_calls=said.tool_calls,
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _rule(self, request: Request) -> tuple[Rule | None, int]:
        """The rule that answers, and the turns since the message that it fits."""
        messages = request.messages
        system = "\n".join(message.content for message in messages if message.role == "system")
        turn = 0
        for index in reversed(range(len(messages))):
            turn += messages[index].role == "assistant"
            if messages[index].role != "user":
                continue
            rule = self._first(messages[index].content, system, default=False)
            # Before the last user message only what this rule itself answered is a re-ask; else it is a demo.
            if rule is not None and (not turn or _same(_written(rule, request, 0), messages[index + 1])):
                return rule, turn
        last = next((m.content for m in reversed(messages) if m.role == "user"), "")
        return self._first(last, system, default=True), 0

    def _first(self, asked: str, system: str, *, default: bool) -> Rule | None:
        fitting = (r for r in self._rules if (r.default is not None) == default and r.fits(asked, system))
        return next(fitting, None)

    def _unscripted(self, messages: tuple[Message, ...]) -> CallFailed:
        from rapidfuzz import fuzz, process

        asked = next((m.content for m in reversed(messages) if m.role == "user"), "")
        wanted = [rule.match or rule.regex or rule.system or "" for rule in self._rules]
        nearest, _, index = process.extractOne(asked, wanted, scorer=fuzz.partial_ratio)
        return CallFailed(
            f"{self._name}: no rule of {self.path.name} fits {one_line(asked)[-80:]!r}; "
            f"the nearest is rule {index + 1}, {one_line(nearest)[:80]!r}",
            hint='add a rule, or a last line {"default": "…"}',
        )


def _written(rule: Rule, request: Request, turn: int) -> Message:
    """The reply as a message; tools are called natively where the request has some, else in writing."""
    reply = rule.replies[(request.rollout + turn) % len(rule.replies)]
    if isinstance(reply, str):
        return Message("assistant", reply)
    if "tool_calls" not in reply:
        return Message("assistant", rendered(reply, request.messages))
    calls = msgspec.convert(reply["tool_calls"], list[_Call])
    said = str(reply.get("text", ""))
    if "tools" in request.params:
        native = tuple(
            ToolCall(f"scripted{n}", call.name, msgspec.json.encode(call.arguments).decode())
            for n, call in enumerate(calls)
        )
        return Message("assistant", said, tool_calls=native)
    lines = [msgspec.json.encode({"tool": call.name, "arguments": call.arguments}).decode() for call in calls]
    return Message("assistant", "\n".join([said, "```tools", *lines, "```"]).strip())


class _Call(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}


def _same(said: Message, shown: Message) -> bool:
    """Whether a message of the conversation is what was said, however it is spaced."""
    calls = [
        [(call.name, msgspec.json.decode(call.arguments)) for call in m.tool_calls] for m in (said, shown)
    ]
    return calls[0] == calls[1] and "".join(said.content.split()) == "".join(shown.content.split())


def rendered(fields: dict[str, Any], messages: tuple[Message, ...]) -> str:
    """The fields in the format that is asked for: JSON, marked sections, XML tags, or `name: value` lines."""
    prompt = "\n".join(message.content for message in messages)
    system = "\n".join(message.content for message in messages if message.role == "system")
    if "JSON object" in (system or prompt):
        return msgspec.json.encode(fields).decode()
    markers = _MARKER.findall(prompt)
    if markers:
        sections = [f"[[ ## {name} ## ]]\n{_text(value)}" for name, value in fields.items()]
        return "\n\n".join([*sections, *(["[[ ## completed ## ]]"] if "completed" in markers else [])])
    if any(f"<{name}>" in prompt for name in fields):
        return "\n".join(f"<{name}>\n{_text(value)}\n</{name}>" for name, value in fields.items())
    return "\n".join(f"{name}: {_text(value)}" for name, value in fields.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _problem(rule: Rule) -> str | None:
    if not rule.replies:
        return "a rule needs a reply (or default) that is not empty"
    if rule.reply is not None and rule.default is not None:
        return "a rule has a reply or a default, not both"
    if rule.default is not None and (rule.match is not None or rule.regex is not None):
        return "a default has no match or regex; use reply"
    for reply in rule.replies:
        if isinstance(reply, dict) and "tool_calls" in reply:
            try:
                msgspec.convert(reply["tool_calls"], list[_Call])
            except msgspec.ValidationError as error:
                return f"tool_calls: is a list of {{name, arguments}}: {error}"
    if rule.reply is not None and rule.match is None and rule.regex is None and rule.system is None:
        return "a reply needs match, regex or system; use default for everything else"
    return None
