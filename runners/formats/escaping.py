"""Values in a prompt and out of a reply, with a backslash in whatever could be taken for the prompt's own marks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from promptc.runners.formats.json_text import NotJson, decode, dumps, unfenced
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.shapes import shape_of
from promptc.runners.formats.values import coerce, conform, reads_back
from promptc.spec.fields import Field


class Escaping(msgspec.Struct, frozen=True):
    """How a format's own marks are kept out of values.

    `mark` matches what looks like the beginning of a mark, in two groups between which a backslash is put; `escaped`
    matches what has one there. A text without `hint` has neither.
    """

    hint: str
    mark: re.Pattern[str]
    escaped: re.Pattern[str]

    def escape(self, text: str) -> str:
        """The text with one backslash more in whatever looks like the beginning of a mark."""
        return self.mark.sub(r"\1\\\2", text) if self.hint in text else text

    def unescape(self, text: str) -> str:
        """What `escape` was given."""
        return self.escaped.sub(r"\1\2", text) if self.hint in text else text

    def as_text(self, value: Any) -> str:
        """A value in a prompt: strings as they are, everything else as JSON; without marks."""
        return self.escape(value) if isinstance(value, str) else self.as_json(value)

    def as_json(self, value: Any) -> str:
        """A value as JSON without marks."""
        text = dumps(value)
        return dumps(map_strings(value, self.escape)) if self.hint in text else text

    def as_answer(self, field: Field, value: Any) -> str:
        """An output value as a model should write it: a string as it is, unless that would be read otherwise."""
        plain_string = isinstance(value, str) and (
            shape_of(field.schema).text or reads_back(field, value, value)
        )
        return self.as_text(value) if plain_string else self.as_json(value)

    def from_text(self, field: Field, text: str) -> Any:
        """The value in a section's text. Raises ParseError."""
        if self.hint not in text:
            return coerce(field, text)
        value = msgspec.UNSET if shape_of(field.schema).text else self._from_escaped_json(field, text)
        return coerce(field, self.unescape(text)) if value is msgspec.UNSET else value

    def from_json(self, field: Field, value: Any) -> Any:
        """The value that a JSON value stands for, its escapes taken off. Raises ParseError."""
        return conform(field, map_strings(value, self.unescape) if self._in(value) else value)

    def _from_escaped_json(self, field: Field, text: str) -> Any:
        try:
            return conform(field, map_strings(decode(unfenced(text).strip()), self.unescape))
        except (NotJson, ParseError):
            return msgspec.UNSET

    def _in(self, value: Any) -> bool:
        return self.hint in (value if isinstance(value, str) else dumps(value))


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every string in it, keys included, changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {map_strings(key, change): map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    return value
