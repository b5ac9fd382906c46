"""What a prompt asks for: the output fields, read from the words that describe them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

Kind = Literal["label", "flag", "text", "integer", "number", "any"]


class Label(msgspec.Struct, frozen=True):
    """One value to choose from, as it is written in a reply, and what the prompt says about it."""

    name: str
    description: str = ""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A single value. `low` and `high` bound a number; `pattern` is a regular expression for a text."""

    kind: Kind = "text"
    labels: tuple[Label, ...] = ()
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    pattern: str = ""


class Listing(msgspec.Struct, frozen=True):
    """A list of `item`, between `low` and `high` of them."""

    item: Node
    low: int = 0
    high: int | None = None


class Record(msgspec.Struct, frozen=True):
    """An object with named members."""

    members: dict[str, Node]
    nullable: bool = False


Node = Leaf | Listing | Record


class Wanted(msgspec.Struct, frozen=True):
    """One output field."""

    name: str
    node: Node = Leaf()
    description: str = ""


_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_FROM_TO = re.compile(rf"from ({_NUMBER}) to ({_NUMBER})")
_AT_LEAST = re.compile(rf"(?:at least|more than) ({_NUMBER})")
_AT_MOST = re.compile(rf"(?:at most|less than) ({_NUMBER})")
_MULTIPLE = re.compile(rf"multiple of ({_NUMBER})")
_PATTERN = re.compile(r"matching the regular expression `(.*)`")
_ITEMS = re.compile(r"(?:, )?(?:(\d+) to (\d+)|(exactly|at least|at most) (\d+)) items?")
_NULL = re.compile(r"^null or | or null$")
_LISTED = re.compile(r"list of (\w+?)s\b|list, each item: (.*)", re.DOTALL)


def read_type(words: str) -> Node:
    """The type that a field's words state, such as `integer from 1 to 5`; text for unknown words."""
    words = words.strip().removesuffix(", as JSON")
    listed = _LISTED.match(words)
    if words == "list" or words.startswith("list, ") or listed:
        inner = (listed[1] or listed[2] or "any") if listed else "any"
        return Listing(read_type(_ITEMS.sub("", inner)), *_item_range(words))
    bare = _NULL.sub("", words)
    nullable = bare != words
    labels = _listed_labels(bare)
    if labels:
        return Leaf(kind="label", labels=labels, nullable=nullable)
    pattern = _PATTERN.search(bare)
    low, high = _bounds(bare)
    return Leaf(
        kind=_kind(bare),
        nullable=nullable,
        low=low,
        high=high,
        step=_found(_MULTIPLE, bare),
        pattern=pattern[1] if pattern else "",
    )


def read_outline(lines: Sequence[str]) -> Node:
    """The node that an outline of a JSON value draws: braces, brackets, and one line per member."""
    return _read_value("", iter([line.strip() for line in lines if line.strip()]))


def label_value(name: str) -> str:
    """A label as listed in a prompt: in JSON quotes where it would be misread without."""
    if len(name) > 1 and name[0] == name[-1] == '"':
        try:
            decoded = json.loads(name)
        except (ValueError, RecursionError):
            return name
        return str(decoded)
    return name


def _read_value(first: str, rest: Iterator[str]) -> Node:
    head = (first or next(rest, "")).partition("  # ")[0].rstrip(", ")
    if head.endswith("{"):
        return Record(_read_members(rest), nullable="null" in head)
    if head.endswith("["):
        return _read_items(rest)
    return read_type(head)


def _read_members(rest: Iterator[str]) -> dict[str, Node]:
    members: dict[str, Node] = {}
    for line in rest:
        if line.startswith("}"):
            break
        name, colon, value = _member(line)
        if colon:
            members[name] = _read_value(value, rest)
    return members


def _read_items(rest: Iterator[str]) -> Node:
    item = _read_value("", rest)
    closing = next((line for line in rest if line.startswith("]")), "]")
    return Listing(item, *_item_range(closing))


def _member(line: str) -> tuple[str, str, str]:
    try:
        name, end = json.JSONDecoder().raw_decode(line)
    except (ValueError, RecursionError):
        name, colon, value = line.partition(":")
        return name.strip(), colon, value.strip()
    return str(name), line[end : end + 1], line[end + 1 :].strip()


def _kind(words: str) -> Kind:
    first = re.split(r"[\s,:]", words, maxsplit=1)[0].casefold()
    kinds: dict[str, Kind] = {
        "integer": "integer", "int": "integer", "number": "number", "float": "number",
        "boolean": "flag", "bool": "flag", "any": "any", "object": "any",
    }  # fmt: skip
    return kinds.get(first, "text")


def _listed_labels(words: str) -> tuple[Label, ...]:
    """The labels in `one of "a", "b"` or `exactly "a"`."""
    match = re.match(r"(?:one of|exactly) (?=[\"\[{\d-]|true|false|null)", words)
    if not match:
        return ()
    try:
        values = json.loads(f"[{words[match.end() :]}]")
    except (ValueError, RecursionError):
        return ()
    names = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)
    return tuple(Label(name) for name in names)


def _item_range(words: str) -> tuple[int, int | None]:
    matches = list(_ITEMS.finditer(words))
    if not matches:
        return 0, None
    low, high, bound, count = matches[-1].groups()
    if low:
        return int(low), int(high)
    return (0 if bound == "at most" else int(count)), (None if bound == "at least" else int(count))


def _bounds(words: str) -> tuple[float | None, float | None]:
    both = _FROM_TO.search(words)
    if both:
        return _finite(both[1]), _finite(both[2])
    return _found(_AT_LEAST, words), _found(_AT_MOST, words)


def _found(pattern: re.Pattern[str], words: str) -> float | None:
    match = pattern.search(words)
    return _finite(match[1]) if match else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
