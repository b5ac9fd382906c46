"""Text and JSON into values that are valid for a field: tolerant where the meaning is clear, else strict.

- A string without an enum is taken as it stands, without the white space around it. Only if that breaks the
  field's pattern, length or format are quotes, fences, emphasis and a final stop taken off.
- Code comes without the fence around it, and without the prose around its only fence.
- A label counts in any case and with other punctuation, when only one label can be meant.
- A number may come with thousands separators, a currency, a unit or a sentence around it, when it is the only
  one and nothing beside it (`million`, `less than`) changes it. `45%` is 45, or 0.45 where the schema's
  maximum is 1 or less.
- Objects and lists may be JSON with the usual slips. What was cut off, or elided with dots, is not mended.
- Every value is then validated against the schema, `format` included; NaN and infinity never pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from promptc.runners.formats.choices import Choices, loose, spelling
from promptc.runners.formats.decorations import bullet_items, less_decorated, undecorated
from promptc.runners.formats.json_text import NotJson, code_in, decode, unfenced, values_in
from promptc.runners.formats.number_text import NotANumber, read_number
from promptc.runners.formats.problems import expectation, is_valid, problems, quote
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.shapes import Shape, shape_of
from promptc.spec.fields import Field
from promptc.spec.media import CODE

_TRUTH = {
    "true": True, "yes": True, "y": True, "t": True, "1": True,
    "false": False, "no": False, "n": False, "f": False, "0": False,
}  # fmt: skip
_TRUTH_WORDS = {word: truth for word, truth in _TRUTH.items() if len(word) > 1}
_NOTHING = frozenset({"null", "none", "n/a", "nil"})
_LABEL_END = re.compile(r"[:)]\s")
_ANSWER_WORDS = frozenset({"label", "answer", "value", "result", "output", "final answer", "the answer is"})


def coerce(field: Field, text: str) -> Any:
    """The value that a piece of text states for the field. Raises ParseError: what was expected and came."""
    shape = shape_of(field.schema)
    value = _read(shape, field.name, text)
    return value if shape.plain else _checked(shape, field.name, value)


def conform(field: Field, value: Any) -> Any:
    """A JSON value made valid for the field: labels respelled, numbers out of strings. Raises ParseError."""
    shape = shape_of(field.schema)
    return _checked(shape, field.name, _settled(shape, field.name, value))


def check(field: Field, value: Any) -> None:
    """Raise ParseError, with every problem, unless the value is valid as it is."""
    _checked(shape_of(field.schema), field.name, value)


def reads_back(field: Field, text: str, value: Any) -> bool:
    """Whether the text states exactly this value."""
    try:
        found = coerce(field, text)
    except ParseError:
        return False
    return type(found) is type(value) and bool(found == value)


def _checked(shape: Shape, path: str, value: Any) -> Any:
    found = problems(shape.validator, path, value)
    if found:
        raise ParseError(" ".join(found))
    return value


def _read(shape: Shape, path: str, text: str) -> Any:
    text = text.strip()
    if shape.text:
        return _read_string(shape, text)
    if shape.choices is not None:
        return _read_choice(shape, shape.choices, path, text)
    if "null" in shape.kinds and _is_nothing(shape, text):
        return None
    if "string" in shape.kinds:
        return _read_open(shape, text)
    return _read_typed(shape, path, text) if text else _unexpected(shape, path, text, "")


def _is_nothing(shape: Shape, text: str) -> bool:
    if "string" in shape.kinds:
        return not text.startswith('"') and undecorated(text).casefold() in _NOTHING
    return not text or undecorated(text).casefold() in _NOTHING


def _read_string(shape: Shape, text: str) -> str:
    if shape.schema.get("format") == CODE:
        return code_in(text)
    if shape.plain or is_valid(shape.validator, text):
        return text
    return next((each for each in less_decorated(text) if is_valid(shape.validator, each)), text)


def _read_open(shape: Shape, text: str) -> Any:
    """For a field that admits strings and something else: JSON when that is valid, else the text."""
    try:
        value = decode(unfenced(text))
    except NotJson:
        return _read_string(shape, text)
    return value if is_valid(shape.validator, value) else _read_string(shape, text)


def _read_choice(shape: Shape, choices: Choices, path: str, text: str) -> Any:
    found = _read_word(path, text, choices.find)
    if found is not msgspec.UNSET:
        return found
    head = _LABEL_END.split(undecorated(text), maxsplit=1)[0]
    if "\n" not in text:
        # The label with its description or a reason behind it: `cards: lost cards`, `B) Paris`.
        found = choices.find(undecorated(head))
    if found is msgspec.UNSET and None in choices.values and undecorated(text).casefold() in _NOTHING:
        return None
    if found is msgspec.UNSET:
        near = choices.nearest(undecorated(text))
        return _unexpected(shape, path, text, f"did you mean {near}?" if near else "")
    return found


def _read_typed(shape: Shape, path: str, text: str) -> Any:
    """For numbers, booleans, lists and objects: the first reading that the schema accepts."""
    readers = [read for kinds, read in _READERS if kinds & shape.kinds]
    reasons: list[str] = []
    readings: list[Any] = []
    for read in readers if len(readers) == 1 else (_read_json, *readers):
        try:
            value = read(shape, path, text)
        except ValueError as error:
            reasons.append(str(error))
            continue
        if shape.plain or is_valid(shape.validator, value):
            return value
        readings.append(value)
    if readings:
        return readings[-1]
    return _unexpected(shape, path, text, reasons[0] if len(reasons) == 1 else "")


def _read_json(shape: Shape, path: str, text: str) -> Any:
    return decode(unfenced(text))


def _read_number(shape: Shape, path: str, text: str) -> int | float:
    if text.isascii() and text.isdigit():
        return read_number(text)
    reason = NotANumber("")
    for each in _spellings(path, text):
        try:
            return read_number(each, whole="number" not in shape.kinds, share=_is_share(shape.schema))
        except NotANumber as error:
            reason = error
    raise reason


def _read_boolean(shape: Shape, path: str, text: str) -> bool:
    # On one line of several, a single character may as well number the line.
    words = _TRUTH if "\n" not in text else _TRUTH_WORDS
    found = _read_word(path, text, lambda each: words.get(loose(each), msgspec.UNSET))
    if found is msgspec.UNSET:
        raise ValueError
    return bool(found)


def _read_container(shape: Shape, path: str, text: str) -> Any:
    bare = unfenced(text).strip()
    try:
        decoded = [decode(bare)]
    except NotJson:
        decoded = values_in(bare)
    kinds = tuple(kind for name, kind in (("object", dict), ("array", list)) if name in shape.kinds)
    found = [_settled(shape, path, value) for value in decoded if isinstance(value, kinds)]
    inner = _only_member(path, bare)
    if isinstance(inner, kinds):
        found.append(_settled(shape, path, inner))
    if not found and list in kinds and bullet_items(bare):
        return _settled(shape, path, bullet_items(bare))
    valid = [value for value in found if is_valid(shape.validator, value)]
    if valid and all(value == valid[0] for value in valid):
        return valid[0]
    if len(found) == 1:
        return found[0]
    raise ValueError("it holds more than one" if found else "it is not complete JSON of that kind")


_READERS: tuple[tuple[frozenset[str], Callable[[Shape, str, str], Any]], ...] = (
    (frozenset({"integer", "number"}), _read_number),
    (frozenset({"boolean"}), _read_boolean),
    (frozenset({"array", "object"}), _read_container),
)


def _read_word(path: str, text: str, find: Callable[[str], Any]) -> Any:
    """What `find` knows of the text as a whole, behind `name:`, as a member of that name, or on one line."""
    for each in _spellings(path, text):
        found = find(each)
        if found is not msgspec.UNSET:
            return found
    inner = _only_member(path, text)
    if inner is not msgspec.UNSET:
        return find(spelling(inner))
    lines = [find(undecorated(line)) for line in text.splitlines()]
    named = [value for value in lines if value is not msgspec.UNSET]
    return named[0] if named and all(value == named[0] for value in named) else msgspec.UNSET


def _spellings(path: str, text: str) -> Iterator[str]:
    yield text
    bare = undecorated(text)
    if bare != text:
        yield bare
    head, colon, tail = bare.partition(":")
    if colon and loose(head) in _ANSWER_WORDS | {loose(path.rpartition(".")[2])}:
        yield undecorated(tail)


def _only_member(path: str, text: str) -> Any:
    """The value in `{"name": value}`, for a field of that name; else UNSET."""
    if "{" not in text:
        return msgspec.UNSET
    for value in values_in(text):
        if isinstance(value, dict) and len(value) == 1 and loose(next(iter(value))) == loose(path):
            return next(iter(value.values()))
    return msgspec.UNSET


def _is_share(schema: dict[str, Any]) -> bool:
    highest = schema.get("maximum", schema.get("exclusiveMaximum"))
    return isinstance(highest, int | float) and highest <= 1


def _unexpected(shape: Shape, path: str, text: str, reason: str) -> Any:
    came = quote(text) if text else "nothing"
    raise ParseError(
        f"`{path}`: expected {expectation(shape.schema)}, got {came}{f' ({reason})' if reason else ''}."
    )


def _settled(shape: Shape, path: str, value: Any) -> Any:
    """The value with what is clearly meant put right, at any depth; the validator judges what stays wrong."""
    schema = shape.schema
    if isinstance(value, dict) and "properties" in schema:
        return _settled_object(shape, path, value)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        inner = shape_of(schema["items"])
        return [_settled(inner, f"{path}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, str) and schema.get("format") == CODE:
        return code_in(value)
    if is_valid(shape.validator, value):
        return int(value) if isinstance(value, float) and "number" not in shape.kinds else value
    if isinstance(value, str):
        return _settled_string(shape, path, value)
    if isinstance(value, int) and not isinstance(value, bool) and "string" in shape.kinds:
        return _settled_string(shape, path, str(value))
    return _settled_union(shape, path, value)


def _settled_string(shape: Shape, path: str, value: str) -> Any:
    try:
        return _read(shape, path, value)
    except ParseError:
        return value


def _settled_union(shape: Shape, path: str, value: Any) -> Any:
    for branch in shape.schema.get("anyOf") or shape.schema.get("oneOf") or ():
        inner = shape_of(branch)
        settled = _settled(inner, path, value)
        if is_valid(inner.validator, settled):
            return settled
    return value


def _settled_object(shape: Shape, path: str, value: dict[str, Any]) -> dict[str, Any]:
    properties = shape.schema["properties"]
    required = shape.schema.get("required", ())
    spellings = {loose(name): name for name in properties}
    settled: dict[str, Any] = {}
    for key, item in value.items():
        name = key if key in properties else spellings.get(loose(key), key)
        name = key if name in value else name
        if name not in properties:
            settled[name] = item
            continue
        inner = shape_of(properties[name])
        # A strict response format makes optional properties nullable: null says that there is none.
        if item is not None or name in required or "null" in inner.kinds:
            settled[name] = _settled(inner, f"{path}.{name}", item)
    return settled
