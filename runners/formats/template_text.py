"""A prompt template as data: messages made of literal text and places to fill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

_PLACE = re.compile(
    r"\\\{\{"
    r"|\{\{[ \t]*(?P<demos>demos)[ \t]*\}\}(?P<tail>\n*)"
    r"|\{\{[ \t]*(?P<name>.*?)[ \t]*\}\}"
)
_ROLE_LINE = re.compile(r"^---[ \t]*(system|user|assistant)[ \t]*---[ \t]*$", re.MULTILINE)

Role = Literal["system", "user", "assistant"]


class Part(msgspec.Struct, frozen=True):
    """Literal text, or a place: then `name` says what belongs there and `text` is the place as written.

    `tail` are the line breaks behind `{{ demos }}`, which go when there are none.
    """

    text: str
    name: str = ""
    tail: str = ""


class Section(msgspec.Struct, frozen=True):
    """One message of a template, or one half of it."""

    role: Role
    parts: tuple[Part, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with every known place filled, once: what stands in a value is never filled again."""
        return "".join(_filled(part, values) for part in self.parts)


@lru_cache(maxsize=256)
def split_template(text: str, inputs: tuple[str, ...]) -> tuple[tuple[Section, ...], tuple[Section, ...]]:
    """The messages before, and those from, the one with the first input.

    Where `{{ demos }}` stands in that message before the input, it is cut behind them and has a half in both.
    """
    blocks = role_blocks(text)
    for index, (role, body) in enumerate(blocks):
        first = next((match for match in _PLACE.finditer(body) if match["name"] in inputs), None)
        if first is None:
            continue
        demos = [match.end() for match in _PLACE.finditer(body, 0, first.start()) if match["demos"]]
        cut = demos[-1] if demos else 0
        fixed = [*blocks[:index], *([(role, body[:cut])] if cut else [])]
        return _sections(fixed), _sections([(role, body[cut:]), *blocks[index + 1 :]])
    return _sections(blocks), ()


def role_blocks(text: str) -> list[tuple[Role, str]]:
    """Each message's role and text without blank lines around it. Before a role line, `user` speaks."""
    pieces = _ROLE_LINE.split(text)
    blocks: list[tuple[Role, str]] = [("user", pieces[0].strip())]
    blocks.extend((_role(name), body.strip()) for name, body in zip(pieces[1::2], pieces[2::2], strict=True))
    return [(role, body) for role, body in blocks if body]


def _role(name: str) -> Role:
    if name == "system":
        return "system"
    return "assistant" if name == "assistant" else "user"


def _filled(part: Part, values: Mapping[str, str]) -> str:
    if not part.name:
        return part.text
    value = values.get(part.name, part.text)
    return value + part.tail if value else ""


def _sections(blocks: Sequence[tuple[Role, str]]) -> tuple[Section, ...]:
    return tuple(Section(role, _parts(body)) for role, body in blocks)


def _parts(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    position = 0
    for match in _PLACE.finditer(text):
        if match.start() > position:
            parts.append(Part(text[position : match.start()]))
        parts.append(_part(match))
        position = match.end()
    if position < len(text):
        parts.append(Part(text[position:]))
    return tuple(parts)


def _part(match: re.Match[str]) -> Part:
    if match["demos"]:
        return Part(match[0], "demos", match["tail"])
    return Part("{{") if match["name"] is None else Part(match[0], match["name"] or "{{ }}")
