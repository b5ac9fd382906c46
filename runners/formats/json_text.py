"""JSON the way language models write it: fenced, inside prose, with trailing commas, in Python's dialect."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_DEEPEST = 100
_LONGEST_REPAIR = 50_000
_MOST_VALUES = 20
_CLOSERS = {"{": "}", "[": "]"}
_FENCE = re.compile(r"\A\s*(```+|~~~+)[\w+.-]*[ \t]*\n(?P<inner>.*?)\n?[ \t]*\1\s*\Z", re.DOTALL)
_FENCE_LINE = re.compile(r"^(?:```|~~~)", re.MULTILINE)
_BLOCK = re.compile(r"^```[\w+.-]*[ \t]*\n(.*?)\n?^```[ \t]*$", re.DOTALL | re.MULTILINE)
# What json_repair would quietly turn into something that the text does not say.
_UNREPAIRABLE = re.compile(r"\.\.\.|…|(?<![\w.+-])[+-]?0\d|\b(?:nan|infinity|undefined)\b", re.IGNORECASE)


class NotJson(ValueError):
    """Why a text is not JSON, even with good will."""


def dumps(value: Any) -> str:
    """One line of JSON with real letters instead of escapes; dates and the like as their text."""
    return _ENCODER.encode(value)


def unfenced(text: str) -> str:
    """The inside of a code fence that encloses the whole text, else the text."""
    if "```" not in text and "~~~" not in text:
        return text
    match = _FENCE.match(text)
    return match["inner"] if match else text


def code_in(text: str) -> str:
    """The code in a text: the inside of its only fence, else the text."""
    whole = unfenced(text)
    if whole is not text and not _FENCE_LINE.search(whole):
        return whole
    blocks = _BLOCK.findall(text) if len(_FENCE_LINE.findall(text)) == 2 else []
    return blocks[0] if len(blocks) == 1 else text


def decode(text: str) -> Any:
    """Strict JSON, but strings may hold raw line breaks. Raises NotJson, also for NaN and infinity."""
    _guard_depth(text)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return _sound(text, value)


def values_in(text: str) -> list[Any]:
    """The outermost objects and arrays in the text, in order, each strict or repaired; the first twenty."""
    found: list[Any] = []
    start = _next_opening(text, 0)
    while start is not None and len(found) < _MOST_VALUES:
        end, value = _value_at(text, start)
        if value is not None:
            found.append(value)
        start = _next_opening(text, end)
    return found


def _value_at(text: str, start: int) -> tuple[int, Any]:
    """Where the value that opens at `start` ends, and the value, or None when it cannot be read."""
    strict = _strict_at(text, start)
    if strict is not None:
        return strict
    closed = _skeleton(text, start)
    if closed is None:
        return len(text), None
    end, skeleton = closed
    return end, None if _UNREPAIRABLE.search(skeleton) else _repaired(text[start:end])


def _strict_at(text: str, start: int) -> tuple[int, Any] | None:
    try:
        _guard_depth(text[start:])
        value, end = _DECODER.raw_decode(text, start)
        return end, _sound(text[start:end], value)
    except (ValueError, RecursionError):
        return None


def _repaired(text: str) -> Any:
    if len(text) > _LONGEST_REPAIR:
        return None
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
        return _sound("\\u", value)
    except (ValueError, LookupError, RecursionError):
        return None


def _skeleton(text: str, start: int) -> tuple[int, str] | None:
    """The end of the bracket that opens at `start`, and the text up to it without its strings.

    None when it never closes: a reply that was cut off is not mended by guessing.
    """
    expected: list[str] = []
    kept: list[str] = []
    position = start
    while position < len(text):
        character = text[position]
        if character == '"' or (character == "'" and _last(kept) in "{[,:("):
            position = _string_end(text, position)
            kept.append('"')
            continue
        kept.append(character)
        if character in _CLOSERS:
            expected.append(_CLOSERS[character])
        elif expected and character == expected[-1]:
            expected.pop()
        position += 1
        if not expected:
            return position, "".join(kept)
        if len(expected) > _DEEPEST:
            return None
    return None


def _string_end(text: str, start: int) -> int:
    """One past the string that opens at `start`: a quotation mark counts only where a value can end."""
    quote = text[start]
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == quote and _AFTER_STRING.match(text, position + 1):
            return position + 1
        position += 1
    return len(text)


def _last(kept: list[str]) -> str:
    return next((character for character in reversed(kept) if not character.isspace()), "{")


def _next_opening(text: str, start: int) -> int | None:
    match = _OPENING.search(text, start)
    return match.start() if match else None


def _guard_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth = 0
    for character in _BRACKETS.findall(_STRING.sub("", text)):
        depth += 1 if character in _CLOSERS else -1
        if depth > _DEEPEST:
            raise NotJson(f"it is nested deeper than {_DEEPEST} levels")


def _sound(text: str, value: Any) -> Any:
    """The value, unless a lone surrogate in it could never be written to a file."""
    if "\\u" in text:
        try:
            dumps(value).encode()
        except UnicodeEncodeError as error:
            raise NotJson("it holds half of a surrogate pair") from error
    return value


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJson(f"{text[:20]} is out of any range")
    return value


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
_OPENING = re.compile(r"[\[{]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_AFTER_STRING = re.compile(r"\s*(?:[,:}\])]|\Z|//|#|[\"'])")
