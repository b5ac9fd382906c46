"""A prompt as the learner sees it: instructions, what is asked for, demos and the row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec

from promptc.runners.formats.json_text import NotJson, decode
from promptc.runners.icl.wanted import Label, Leaf, Node, Wanted, label_value, read_outline, read_type
from promptc.runners.models.request import Message

Style = Literal["markers", "tags", "json", "lines", "value"]


class Worked(msgspec.Struct, frozen=True):
    """A demo: the texts that went in, and the values that came out."""

    inputs: dict[str, str]
    outputs: dict[str, Any]


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a request that is the same for every row.

    `style` and `end` say how an answer is written. `prose` is the instructions and all else that is neither
    demo nor label.
    """

    instructions: str
    outputs: tuple[Wanted, ...]
    inputs: tuple[str, ...] = ()
    demos: tuple[Worked, ...] = ()
    style: Style = "markers"
    end: str = "completed"
    prose: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The part that differs: the texts to work on, and what became of earlier answers to them."""

    inputs: dict[str, str]
    refusals: tuple[str, ...] = ()


_MARKER_LINE = re.compile(r"^\[\[ ?## ?([^\]\n]+?) ?## ?\]\][ \t]*$", re.MULTILINE)
_TAGGED = re.compile(r"^<(\w+)>\n(.*?)\n</\1>[ \t]*$", re.MULTILINE | re.DOTALL)
_END = re.compile(r"end with `\[\[ ?## ?([^\]\n`]+?) ?## ?\]\]`")
_HEADING = re.compile(r"^(?:the|your) (input|output) fields are:[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FIELD = re.compile(r"^\d+\. `([^`\n]+)`(?: \((.*?)\))?(?:: (.*))?$")
_REMINDER = re.compile(r"(?:\A|\n)Answer with [^\n]*`[^\n]*\Z")


def row_index(messages: Sequence[Message]) -> int:
    """Where the row stands: the last user message with input sections, else the last user message."""
    users = [index for index in reversed(range(len(messages))) if messages[index].role == "user"]
    marked = (index for index in users if "" not in sections(messages[index].content))
    return next(marked, users[0] if users else len(messages))


def is_fielded(messages: Sequence[Message]) -> bool:
    """Whether a system message lists output fields, as the `chat`, `json` and `xml` formats do."""
    return any(
        heading[1].lower() == "output"
        for message in messages
        if message.role == "system"
        for heading in _HEADING.finditer(message.content)
    )


def read_fielded(prefix: Sequence[Message]) -> Prompt:
    """The prompt in the messages before the row, written in the `chat`, the `json` or the `xml` format."""
    system = "\n\n".join(message.content for message in prefix if message.role == "system")
    headings = list(_HEADING.finditer(system))
    output = next(heading for heading in reversed(headings) if heading[1].lower() == "output")
    before = [heading for heading in headings if heading.start() < output.start()]
    start = before[-1].start() if before else output.start()
    listed, rest = _field_lines(system[output.end() :])
    outputs = tuple(_field(lines) for lines in listed)
    given, _ = _field_lines(system[before[-1].end() : output.start()]) if before else ([], "")
    layout = [name for name in _MARKER_LINE.findall(rest) if name not in {wanted.name for wanted in outputs}]
    return Prompt(
        instructions=system[:start].strip(),
        outputs=outputs,
        inputs=tuple(_field(lines).name for lines in given),
        demos=tuple(worked_demos(prefix, outputs)),
        style="json" if "JSON object" in rest else "markers" if layout else "tags",
        end=layout[-1] if layout and "JSON object" not in rest else "completed",
        prose=f"{system[: output.start()]}\n{rest}",
    )


def read_row(messages: Sequence[Message]) -> Row:
    """The row from its message on; what follows are answers that were refused, and why."""
    inputs = sections(_REMINDER.sub("", messages[0].content)) if messages else {}
    refusals = tuple(message.content for message in messages[1:] if message.role == "user")
    return Row(inputs=inputs, refusals=refusals)


def worked_demos(messages: Sequence[Message], outputs: Sequence[Wanted]) -> list[Worked]:
    """The pairs of a user and an assistant message, in order."""
    demos: list[Worked] = []
    for asked, answered in pairwise(messages):
        if (asked.role, answered.role) == ("user", "assistant"):
            inputs = sections(_REMINDER.sub("", asked.content))
            demos.append(Worked(inputs, _answer(answered.content, outputs)))
    return demos


def sections(text: str) -> dict[str, str]:
    """The text under each marker line, or else in each tag; a text without either is one nameless section."""
    matches = list(_MARKER_LINE.finditer(text))
    if not matches:
        return {name: value.strip() for name, value in _TAGGED.findall(text)} or {"": text.strip()}
    ends = [*(match.start() for match in matches[1:]), len(text)]
    return {match[1]: text[match.end() : end].strip() for match, end in zip(matches, ends, strict=True)}


def read_value(node: Node, text: str) -> Any:
    """The value that a demo's text gives for a field of that kind."""
    if isinstance(node, Leaf) and node.kind in {"text", "label"} and not node.nullable:
        return text
    try:
        value = decode(text)
    except NotJson:
        return text
    if isinstance(node, Leaf) and node.kind in {"text", "label"} and not isinstance(value, str | None):
        return text
    return value


def _answer(text: str, outputs: Sequence[Wanted]) -> dict[str, Any]:
    found = sections(text)
    nodes = {wanted.name: wanted.node for wanted in outputs}
    if "" not in found:
        return {name: read_value(nodes[name], value) for name, value in found.items() if name in nodes}
    try:
        values = decode(text)
    except NotJson:
        return {}
    return {name: values[name] for name in nodes if name in values} if isinstance(values, Mapping) else {}


def _field_lines(text: str) -> tuple[list[list[str]], str]:
    """The lines of each numbered field, its indented details included, and the text behind the list."""
    listed: list[list[str]] = []
    lines = text.lstrip("\n").split("\n")
    for index, line in enumerate(lines):
        if _FIELD.match(line):
            listed.append([line])
        elif line.startswith(" ") and listed:
            listed[-1].append(line)
        elif line.strip():
            return listed, "\n".join(lines[index:])
    return listed, ""


def _field(lines: Sequence[str]) -> Wanted:
    match = _FIELD.match(lines[0])
    name, words, description = match.groups() if match else ("", "", "")
    details = [line.strip() for line in lines[1:] if line.strip()]
    return Wanted(name, _node(words or "string", details), description or "")


def _node(words: str, details: Sequence[str]) -> Node:
    if details and all(line.startswith("- ") for line in details):
        labels = tuple(_label(line[2:]) for line in details)
        return Leaf(
            kind="label",
            labels=tuple(label for label in labels if label.name != "null"),
            nullable=any(label.name == "null" for label in labels),
        )
    return read_outline(details) if details else read_type(words)


def _label(text: str) -> Label:
    if text.startswith('"'):
        try:
            _, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            end = 0
        if end:
            return Label(label_value(text[:end]), text[end:].lstrip(": "))
    name, _, description = text.partition(": ")
    return Label(name, description)
