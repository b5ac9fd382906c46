"""Examples as a proposal request shows them: read from blocks of `name: value` lines, headings or JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.runners.icl.text import name_words

Role = Literal["input", "expected", "given", "feedback"]


class Seen(msgspec.Struct, frozen=True):
    """One example: the texts that went in, what should have come out, and what did, by field."""

    text: str
    expected: dict[str, str]
    given: dict[str, str]

    def wrong(self, field: str) -> bool:
        """Whether the answer that was given for the field is known and not the expected one."""
        return field in self.given and self.given[field] != self.expected.get(field)


class _Entry(msgspec.Struct, frozen=True):
    """A name and its value; `begins` where an example begins with it in any case."""

    name: str
    role: Role
    value: str
    begins: bool


_EXPECTED = frozenset({"expected", "gold", "correct", "target", "desired", "truth"})
_GIVEN = frozenset({
    "given", "got", "predicted", "prediction", "output", "outputs", "generated", "actual", "response",
})  # fmt: skip
_FEEDBACK = frozenset({"feedback", "comment", "critique"})
_FILLER = frozenset({"input", "inputs", "the", "value", "assistant", "s", "model"})
_HEADING = re.compile(r"^\s{0,3}(?:#{1,6}\s*(.+?)|\*\*([^*]+)\*\*)\s*:?\s*$")
_NUMBERED = re.compile(r"^\W*(?:\w+\s+)?#?\d+\W*$")
_PAIR = re.compile(
    r"^\s*(?:[-*]\s+)?[`*\"]*([^\W\d][\w .-]{0,40}?)[`*\"]*\s*(\([\w ]+\))?[`*\"]*\s*:(?:\s(.*)|)$"
)
_SAID = r"\s*:?\s+[`'\"“‘]?([^`'\"”’,;.\n]+)"
_SAID_EXPECTED = re.compile(r"\b(?:expected|should be|correct (?:is|answer is))" + _SAID, re.IGNORECASE)
_SAID_GIVEN = re.compile(r"\b(?:got|given|answered|predicted)" + _SAID, re.IGNORECASE)


def read_examples(texts: Sequence[str]) -> list[Seen]:
    """All examples in the texts, in order; those without an expected value are left out."""
    return [seen for text in texts for entries in _blocks(text) if (seen := _seen(entries)) is not None]


def _blocks(text: str) -> Iterator[list[_Entry]]:
    """The entries of each example."""
    objects = list(_json_objects(text))
    if objects:
        yield from ([*_flattened(each, "", "input")] for each in objects)
        return
    block: list[_Entry] = []
    for entry in _entries(text):
        repeated = any((entry.name, entry.role) == (other.name, other.role) for other in block)
        if block and (entry.begins or repeated):
            yield block
            block = []
        if entry.name or entry.role != "input":
            block.append(entry)
    if block:
        yield block


def _entries(text: str) -> Iterator[_Entry]:
    """Every named value; lines that begin with no known name go on with the value before."""
    lines = text.split("\n")
    known = _known_names(lines)
    name, role, section = "", "input", "input"
    value: list[str] = []
    for line in [*lines, "# 0"]:
        heading, pair = _HEADING.match(line), _PAIR.match(line)
        if not heading and (pair is None or pair[1].strip().casefold() not in known):
            value.append(line)
            continue
        if name and any(map(str.strip, value)):
            yield _Entry(name, _as_role(role), "\n".join(value).strip(), False)
        value, name = [], ""
        if pair and not heading:
            name, role = _named(pair[1], pair[2] or "", section)
            value.append(pair[3] or "")
        elif heading:
            title = (heading[1] or heading[2]).strip()
            if _NUMBERED.match(title):
                section = "input"
                yield _Entry("", "input", "", True)
            else:
                name, role = _named(title, "", section)
                section = role


def _known_names(lines: Sequence[str]) -> set[str]:
    """Names that come about as often as examples do, so that a colon inside a text does not make a name."""
    counts: Counter[str] = Counter()
    for line in lines:
        match = _PAIR.match(line)
        if match and not _HEADING.match(line):
            counts[match[1].strip().casefold()] += 1
    most = max(counts.values(), default=0)
    return {name for name, count in counts.items() if 2 * count >= most or _role(name) != "input"}


def _named(name: str, note: str, section: str) -> tuple[str, str]:
    """The field's own name and the role that the name, a note in brackets or the heading above give it."""
    role = _role(note) if note else _role(name)
    bare = "_".join(word for word in name_words(name) if word not in _EXPECTED | _GIVEN | _FILLER)
    return bare or role, role if role != "input" else section


def _role(words: str) -> str:
    found = set(name_words(words))
    if found & _FEEDBACK:
        return "feedback"
    if found & _EXPECTED:
        return "expected"
    return "given" if found & _GIVEN else "input"


def _as_role(role: str) -> Role:
    return (
        "expected"
        if role == "expected"
        else "given"
        if role == "given"
        else "feedback"
        if role == "feedback"
        else "input"
    )


def _seen(entries: Sequence[_Entry]) -> Seen | None:
    values: dict[Role, dict[str, str]] = {"input": {}, "expected": {}, "given": {}, "feedback": {}}
    for entry in entries:
        values[entry.role][entry.name] = entry.value.strip().strip("`")
    said = "\n".join(values["feedback"].values())
    expected, given = values["expected"], values["given"]
    if not expected and (match := _SAID_EXPECTED.search(said)):
        name = next(iter(given), "answer")
        expected = {name: match[1].strip()}
        if not given and (other := _SAID_GIVEN.search(said)):
            given = {name: other[1].strip()}
    if not expected:
        return None
    text = "\n".join(value for name, value in values["input"].items() if name not in expected)
    return Seen(text, expected, _renamed(given, expected))


def _renamed(given: dict[str, str], expected: dict[str, str]) -> dict[str, str]:
    """A lone answer under a name of its own belongs to the only field that is expected."""
    if len(given) == len(expected) == 1 and not given.keys() & expected.keys():
        return {next(iter(expected)): next(iter(given.values()))}
    return given


def _json_objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a text that is JSON, JSON lines, or holds them in fences."""
    decoder = json.JSONDecoder()
    place = re.search(r"^\s*[\[{]", text, re.MULTILINE)
    while place is not None:
        start = place.end() - 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return
        yield from (
            item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)
        )
        place = re.compile(r"^\s*[\[{]", re.MULTILINE).search(text, end)


def _flattened(value: Mapping[str, Any], name: str, role: str) -> Iterator[_Entry]:
    for key, item in value.items():
        inner, found = _named(str(key), "", role)
        if isinstance(item, Mapping):
            yield from _flattened(item, inner, found)
        else:
            text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            yield _Entry(
                name if inner in {"expected", "given"} and name else inner, _as_role(found), text, False
            )
