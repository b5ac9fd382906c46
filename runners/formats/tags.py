"""Tags `<name>…</name>` around values: written, escaped inside values, and found in a reply.

A value cannot forge a tag. Wherever a value holds the beginning of a tag with a field's name, one backslash is put
before the name (`<\\answer>`); reading takes one away. Nothing else is escaped, and `&` and `<` stand for themselves.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from promptc.runners.formats.escaping import Escaping
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.shapes import Shape, shape_of
from promptc.runners.formats.values import coerce, conform
from promptc.spec.fields import Field, Signature

_CDATA = re.compile(r"\A<!\[CDATA\[(.*)\]\]>\Z", re.DOTALL)
_DEEPEST = 12


class Tags(msgspec.Struct, frozen=True, eq=False):
    """The tags of one signature's fields."""

    escaping: Escaping
    pattern: re.Pattern[str]

    def found(self, text: str, *, complete: bool) -> Iterator[tuple[str, str]]:
        """Each field's tag in order with the text inside it.

        A value that is never closed ends at the next field's tag, or with the text; with `complete` False the latter
        does not count. An opening tag that is opened again before it is closed was only spoken of.
        """
        marks = list(self.pattern.finditer(text))
        at = 0
        while at < len(marks):
            mark = marks[at]
            rest = marks[at + 1 :]
            if mark[1]:
                at += 1
            elif mark[3]:
                yield mark[2], ""
                at += 1
            else:
                closing = next((n for n, other in enumerate(rest) if _same(mark, other) and other[1]), None)
                opening = next((n for n, other in enumerate(rest) if not other[1]), None)
                if closing is None:
                    if opening is not None or complete:
                        yield (
                            mark[2],
                            text[mark.end() : len(text) if opening is None else rest[opening].start()],
                        )
                    at += 1 + (len(rest) if opening is None else opening)
                elif any(_same(mark, other) and not other[1] for other in rest[:closing]):
                    at += 1
                else:
                    yield mark[2], text[mark.end() : rest[closing].start()]
                    at += closing + 2

    def read(self, field: Field, text: str) -> Any:
        """The value in a tag: text, JSON, or tags within for objects and lists. Raises ParseError."""
        cdata = _CDATA.match(text)
        text = cdata[1] if cdata else text
        shape = shape_of(field.schema)
        nests = bool(shape.kinds & {"object", "array"})
        if nests and "&quot;" in text and '"' not in text:
            text = html.unescape(text)
        try:
            return self.escaping.from_text(field, text)
        except ParseError:
            if nests and "<" in text:
                return conform(field, nested(shape, text))
            if "&" in text and html.unescape(text) != text:
                return coerce(field, html.unescape(text))
            raise


def tags_of(signature: Signature) -> Tags:
    """The tags of a signature's fields."""
    return _tags(tuple(field.name for field in (*signature.inputs, *signature.outputs)))


def tagged(values: Mapping[str, str]) -> str:
    """Values in their tags, one below the other."""
    return "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in values.items())


def nested(shape: Shape, text: str, depth: int = 0) -> Any:
    """What tags within a value say: the properties of an object, the entries of a list, a text otherwise."""
    properties = shape.schema.get("properties")
    if depth < _DEEPEST and isinstance(properties, dict) and "object" in shape.kinds:
        inside = _tags(tuple(properties)).found(text, complete=True)
        return {
            name: nested(shape_of(properties[name]), part.strip(), depth + 1)
            for name, part in _by_property(properties, inside)
        }
    if depth < _DEEPEST and "array" in shape.kinds and "<" in text:
        items = shape_of(shape.schema.get("items", {}))
        return [nested(items, part.strip(), depth + 1) for part in _children(text)]
    return html.unescape(text)


@lru_cache(maxsize=512)
def _tags(names: Sequence[str]) -> Tags:
    spelled = (
        "|".join(re.escape(name).replace("_", "[_-]") for name in sorted(names, key=len, reverse=True))
        or r"(?!)"
    )
    return Tags(
        escaping=Escaping(
            hint="<",
            mark=re.compile(rf"(</?)(\\*(?:{spelled})(?=[\s/>]))", re.IGNORECASE),
            escaped=re.compile(rf"(</?)\\(\\*(?:{spelled})(?=[\s/>]))", re.IGNORECASE),
        ),
        pattern=re.compile(rf"<(/?)({spelled})(?:\s[^<>]*?)?(/?)>", re.IGNORECASE),
    )


def _same(one: re.Match[str], other: re.Match[str]) -> bool:
    return _normal(one[2]) == _normal(other[2]) and not other[3]


def _normal(name: str) -> str:
    return name.replace("-", "_").casefold()


def _by_property(
    properties: Mapping[str, Any], found: Iterator[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    names = {_normal(name): name for name in properties}
    for tag, part in found:
        yield names[_normal(tag)], part


def _children(text: str) -> Iterator[str]:
    """The inside of each outermost tag, whatever its name."""
    at = 0
    while match := _ANY.search(text, at):
        depth = 0
        for mark in re.finditer(rf"<(/?){re.escape(match[1])}(?:\s[^<>]*?)?>", text[match.start() :]):
            depth += -1 if mark[1] else 1
            if not depth:
                yield text[match.end() : match.start() + mark.start()]
                at = match.start() + mark.end()
                break
        else:
            return


_ANY = re.compile(r"<([^\s<>/!]+)(?:\s[^<>]*?)?>")
