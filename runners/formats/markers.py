"""The section markers `[[ ## name ## ]]`: written, escaped inside values, and found in a reply.

A value cannot forge a section. Wherever a value holds the beginning of a marker, `[[` and `#` with nothing
but blanks and backslashes between them, one backslash is put before the `#`; reading takes one away. So `[[
## x ## ]]` inside a value stands in the prompt as `[[ \\## x ## ]]`, what already has a backslash gets
another, and any text survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from promptc.runners.formats.escaping import Escaping
from promptc.spec.fields import Signature

_MARKER = re.compile(r"\[\[[ \t]*#{1,3}[ \t]*([^\[\]#\n]{1,80}?)[ \t]*#{0,3}[ \t]*\]\]?")
_LINE_LEAD = re.compile(r"[ \t]*(?:[-*>•]|#{1,6}|\d{1,3}[.)])[ \t]*")
_EMPHASIS = ("**", "__", "`")

MARKERS = Escaping(
    hint="[[",
    mark=re.compile(r"(\[\[[ \t]*)(\\*#)"),
    escaped=re.compile(r"(\[\[[ \t]*)\\(\\*#)"),
)
"""Keeps markers out of values."""


def marker(name: str) -> str:
    """The line that opens a field's section."""
    return f"[[ ## {name} ## ]]"


def end_name(signature: Signature) -> str:
    """What ends an answer: `completed`, unless a field is called that."""
    names = {field.name.casefold() for field in (*signature.inputs, *signature.outputs)}
    name = "completed"
    while name in names:
        name += "_answer"
    return name


def sections(values: Mapping[str, str]) -> str:
    """Sections one below the other, a blank line between them."""
    return "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in values.items())


def found_sections(signature: Signature, text: str) -> dict[str, str]:
    """The text of each output section of the reply's answer; empty when it has none.

    The answer is the first stretch that holds an output section; it ends at the end marker or at an input's
    marker, so that rows which a model makes up afterwards do not count. In it a field that comes more than
    once counts with its last section that is not empty, since a model that restates a field corrects it. A
    stretch that only echoes the layout (`{name}`) is passed over when another follows.
    """
    return chosen_answer(signature, _split(text))


def chosen_answer(signature: Signature, found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The output sections among all sections of a reply, by the rules of `found_sections`."""
    answers = _answers(signature, found)
    for answer in answers[:-1]:
        if any(section != f"{{{name}}}" for name, section in answer.items()):
            return answer
    return answers[-1] if answers else {}


def has_marker(text: str) -> bool:
    """Whether anything in the text reads as a marker, of whatever name."""
    return _MARKER.search(text) is not None


def without_marker(text: str, name: str) -> str:
    """The text up to the first marker of that name."""
    for match in _MARKER.finditer(text):
        if _normal(match[1]) == name:
            return text[: _span(text, match)[0]]
    return text


def _answers(signature: Signature, found: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    names = {_normal(field.name): field.name for field in signature.outputs}
    exact = {field.name for field in signature.outputs}
    ends = {_normal(field.name) for field in signature.inputs} | {end_name(signature)}
    answers: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for raw, section in found:
        name = raw if raw in exact else names.get(_normal(raw))
        if name is not None:
            if section or name not in current:
                current[name] = section
        elif _normal(raw) in ends and current:
            answers.append(current)
            current = {}
    return [*answers, current] if current else answers


def _split(text: str) -> list[tuple[str, str]]:
    """Each marker's name with the text up to the next marker."""
    matches = list(_MARKER.finditer(text))
    spans = [_span(text, match) for match in matches]
    stops = [start for start, _ in spans[1:]] + [len(text)]
    return [
        (match[1].strip(" \t*`:"), text[end:stop].strip())
        for match, (_, end), stop in zip(matches, spans, stops, strict=False)
    ]


def _span(text: str, match: re.Match[str]) -> tuple[int, int]:
    """Where the marker begins and ends, with the emphasis, bullet, heading mark and colon around it."""
    start, end = match.span()
    for mark in _EMPHASIS:
        if text.startswith(mark, end) and text.endswith(mark, 0, start):
            start, end = start - len(mark), end + len(mark)
            break
    if text.startswith(":", end):
        end += 1
    line_start = text.rfind("\n", 0, start) + 1
    if _LINE_LEAD.fullmatch(text, line_start, start):
        start = line_start
    return start, end


def _normal(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip(" \t*`:")).casefold()
