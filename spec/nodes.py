"""A YAML document as a tree of values that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from promptc.spec.diagnostics import Position

Path = tuple[str | int, ...]
"""Where a value is in a tree: keys of mappings and indexes of lists, from the top."""

_PLAIN_KEY = re.compile(r"[\w\-/]+")
_PREFIX = re.compile(r"(?:[&!]\S*\s+)*")


class Node(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A value with its place: a scalar, a dict of nodes, or a list of nodes.

    `position` is the value's place and `key` that of the key in front of it. `raw` is the scalar as it is
    written, quotes and all, so that a place inside of it can be found.
    """

    value: Any
    position: Position
    key: Position | None = None
    raw: str = ""

    @property
    def place(self) -> Position:
        """Where to point for the value as a whole: a mapping or list is shown by its key."""
        if isinstance(self.value, dict | list) and self.key is not None:
            return self.key
        return self.position

    def inside(self, offset: int, length: int = 1) -> Position:
        """The place of some characters of a text value; the whole value where escapes make that unclear."""
        return _inside(self, offset, length)


class Document(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One parsed file."""

    file: str
    text: str
    root: Node

    @property
    def value(self) -> Any:
        """The plain value: dicts, lists and scalars."""
        return plain(self.root)

    @property
    def positions(self) -> dict[Path, Position]:
        """The place of every value."""
        return {path: node.position for path, node in walk(self.root)}

    @property
    def key_positions(self) -> dict[Path, Position]:
        """The place of every key, by the path of what it leads to."""
        return {path: node.key for path, node in walk(self.root) if node.key is not None}


def plain(node: Node) -> Any:
    """The value without places."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node below and including this one, with its path, in order."""
    yield path, node
    for part, child in children(node):
        yield from walk(child, (*path, part))


def children(node: Node) -> list[tuple[str | int, Node]]:
    """The parts of a mapping or list; none for a scalar."""
    if isinstance(node.value, dict):
        return list(node.value.items())
    if isinstance(node.value, list):
        return list(enumerate(node.value))
    return []


def find(node: Node, path: Path) -> Node | None:
    """The node at a path, None where there is none."""
    for part in path:
        below = dict(children(node))
        if part not in below:
            return None
        node = below[part]
    return node


def nearest(node: Node, path: Path) -> Node:
    """The node at a path, or the deepest one on the way to it."""
    for part in path:
        child = find(node, (part,))
        if child is None:
            return node
        node = child
    return node


def replace_at(node: Node, path: Path, new: Node | None) -> Node:
    """A tree in which the node at an existing path is another one, or is gone."""
    if not path:
        return new if new is not None else node
    part, rest = path[0], path[1:]
    changed = replace_at(node.value[part], rest, new) if rest else new
    copy = node.value.copy()
    if changed is None:
        del copy[part]
    else:
        copy[part] = changed
    return msgspec.structs.replace(node, value=copy)


def dotted(path: Path) -> str:
    """`models.task.price`; a key that holds a dot, a space or a quote is written in quotes."""
    return ".".join(_written(part) for part in path)


def split_dotted(text: str) -> Path:
    """The path that `dotted` wrote. ValueError names what is wrong."""
    parts: list[str | int] = []
    rest = text
    while True:
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"\\]|\\.)*)"', rest)
            if match is None:
                raise ValueError("a quote that is not closed")
            part: str | int = re.sub(r"\\(.)", r"\1", match[1])
            rest = rest[match.end() :]
        else:
            name, dot, _ = rest.partition(".")
            if not name:
                raise ValueError("an empty name between two dots" if parts or dot else "no name")
            part = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else name
            rest = rest[len(name) :]
        parts.append(part)
        if not rest:
            return tuple(parts)
        if not rest.startswith("."):
            raise ValueError("something behind a closing quote")
        rest = rest[1:]


def _written(part: str | int) -> str:
    text = str(part)
    if isinstance(part, int) or (_PLAIN_KEY.fullmatch(text) and not text.isdigit()):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _inside(node: Node, offset: int, length: int) -> Position:
    """Walks the written and the meant text side by side; white space matches any white space."""
    text, raw = node.value, node.raw
    if not isinstance(text, str) or not raw or (raw.endswith('"') and "\\" in raw):
        return node.position
    at = _start_of_content(raw)
    for character in text[:offset]:
        at = _next(raw, at, character) + 1
    if offset < len(text):
        at = _next(raw, at, text[offset])
    before = raw[:at]
    lines = re.split(r"\r\n|\n|\r", before)
    if at > len(raw):
        return node.position
    line = node.position.line + len(lines) - 1
    column = len(lines[-1]) + (node.position.column if len(lines) == 1 else 1)
    return Position(node.position.file, line, column, column + length)


def _start_of_content(raw: str) -> int:
    """Behind anchor, tag and opening quote, or behind the header line of a block."""
    at = _PREFIX.match(raw).end()  # type: ignore[union-attr]  # it matches everything
    if raw[at : at + 1] in ("|", ">"):
        end_of_header = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?").match(raw, at)
        return end_of_header.end() if end_of_header else at
    return at + 1 if raw[at : at + 1] in ('"', "'") else at


def _next(raw: str, at: int, character: str) -> int:
    """The first place from `at` on where the character stands; spaces stand for any white space."""
    if character.isspace():
        return at
    while at < len(raw) and raw[at] != character:
        at += 1
    return at
