"""From a reply's text to output values, in the order of ways that a format prefers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from promptc.runners.formats.choices import loose
from promptc.runners.formats.json_text import NotJson, decode, unfenced, values_in
from promptc.runners.formats.markers import MARKERS, end_name, found_sections, has_marker, without_marker
from promptc.runners.formats.problems import expectation, quote
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.shapes import shape_of
from promptc.spec.fields import Field, Signature

Way = Callable[[Signature, str], dict[str, Any] | None]
"""One way to read a reply: None when the reply is not written that way, ParseError when it is, wrongly."""

_CODE = frozenset("{[(\"'")


def parse_reply(
    signature: Signature, text: str, ways: Sequence[Way], nothing: Callable[[str], str]
) -> dict[str, Any]:
    """The outputs, read in the first way that applies; ParseError with `nothing(text)` when none does."""
    text = answer_part(text)
    if not text:
        raise ParseError("The reply is empty.")
    for way in ways:
        values = way(signature, text)
        if values is not None:
            return values
    raise ParseError(f"{nothing(text)}; it begins {quote(text)}.")


def read_markers(signature: Signature, text: str) -> dict[str, Any] | None:
    """Sections under `[[ ## name ## ]]`; see `found_sections` for what counts when there are several."""
    found = found_sections(signature, unfenced(text))
    return filled(signature, found, MARKERS.from_text) if found else None


def read_json(signature: Signature, text: str) -> dict[str, Any] | None:
    """A JSON object with the output names as keys, alone, fenced or inside prose. Other keys do not count."""
    if "{" not in text:
        return None
    names = {loose(field.name): field.name for field in signature.outputs}
    found = [_named(names, value) for value in _json_values(text) if isinstance(value, dict)]
    answers = [each for each in found if each]
    if not answers:
        return None
    if any(each != answers[0] for each in answers):
        raise ParseError("The reply holds several objects with different outputs, expected one.")
    return filled(signature, answers[0], MARKERS.from_json)


def read_lines(signature: Signature, text: str) -> dict[str, Any] | None:
    """Lines that begin with `name:`; a value goes on until the next name.

    Every required output must be there. A lone string output counts only when the reply begins with its name,
    since any text may hold a colon.
    """
    found, begins = _named_lines(signature, unfenced(text))
    if not found or any(field.required and field.name not in found for field in signature.outputs):
        return None
    if not begins and len(signature.outputs) == 1 and shape_of(signature.outputs[0].schema).text:
        return None
    return filled(signature, found, MARKERS.from_text)


def read_bare(signature: Signature, text: str) -> dict[str, Any] | None:
    """The whole reply as the value of the only output.

    Free text has to be the only output of all; any other type only has to be the only one without a default.
    A reply with a marker in it is not taken for a value, nor is JSON with the output's name that could not be
    read.
    """
    field = _only_output(signature)
    whole = without_marker(text, end_name(signature)).strip()
    if field is None or not whole or has_marker(whole) or _is_broken_json(field, whole):
        return None
    return filled(signature, {field.name: whole}, MARKERS.from_text)


def filled(
    signature: Signature, found: Mapping[str, Any], read: Callable[[Field, Any], Any]
) -> dict[str, Any]:
    """Each output read from what was found, or its default. ParseError with every problem at once."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    for field in signature.outputs:
        came = found.get(field.name)
        if field.name not in found and field.required:
            errors.append(f"`{field.name}`: missing, expected {expectation(field.schema)}.")
            continue
        try:
            values[field.name] = read(field, came) if field.name in found else field.default
        except ParseError as error:
            if field.required or came not in ("", None):
                errors.append(str(error))
            else:
                values[field.name] = field.default
    if errors:
        raise ParseError(" ".join(errors))
    return values


def answer_part(text: str) -> str:
    """The reply without a reasoning model's `<think>` part."""
    text = text.strip()
    for opening, closing in (("<think>", "</think>"), ("<thinking>", "</thinking>")):
        if text.startswith(opening):
            text = text.partition(closing)[2].strip()
        elif closing in text and text[0] not in "[{`<":
            # Some servers put the opening tag into the prompt, so that only the closing one is in the reply.
            text = text.partition(closing)[2].strip()
    return text


def _only_output(signature: Signature) -> Field | None:
    required = [field for field in signature.outputs if field.required]
    if len(signature.outputs) == 1:
        return signature.outputs[0]
    return required[0] if len(required) == 1 and not _is_free_text(required[0]) else None


def _is_free_text(field: Field) -> bool:
    shape = shape_of(field.schema)
    return shape.choices is None and "string" in shape.kinds


def _is_broken_json(field: Field, text: str) -> bool:
    return unfenced(text).lstrip().startswith("{") and f'"{field.name}"' in text


def _json_values(text: str) -> list[Any]:
    try:
        values = [decode(unfenced(text).strip())]
    except NotJson:
        values = values_in(text)
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def _named(names: Mapping[str, str], value: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are outputs, under their fields' names; an exact key goes before a similar one."""
    found = {names[loose(key)]: item for key, item in value.items() if loose(key) in names}
    return {**found, **{name: value[name] for name in names.values() if name in value}}


def _named_lines(signature: Signature, text: str) -> tuple[dict[str, str], bool]:
    """The text behind each output's name (the last counts), and whether the text begins with a name."""
    names = {loose(field.name): field.name for field in signature.outputs}
    found: dict[str, str] = {}
    name = ""
    lines = text.strip().splitlines()
    for line in lines:
        named, tail = _line_name(names, line)
        if named:
            name = named
            found[name] = tail
        elif name:
            found[name] += f"\n{line}"
    begins = bool(lines) and bool(_line_name(names, lines[0])[0])
    return {key: section.strip() for key, section in found.items()}, begins


def _line_name(names: Mapping[str, str], line: str) -> tuple[str, str]:
    head, colon, tail = line.partition(":")
    head = head.strip().lstrip("#>-•0123456789.) ")
    name = names.get(loose(head), "") if colon and not _CODE & set(head) else ""
    # `**Queue:** billing` closes its emphasis behind the colon.
    return name, tail.lstrip("*_` ") if head.startswith(("*", "_", "`")) else tail
