"""The labels of an enum, found in whatever way a reply writes them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

_SEPARATORS = r"[\s_\-–—/\\.,:;!?'\"’‘“”`*()\[\]{}]"
# A sign, a point or a colon before a digit carries meaning: -1 is not 1, and 1.5 is not 1 5.
_LOOSE = re.compile(rf"(?:(?![\-.,:/]\d){_SEPARATORS})+")
_DIGIT = re.compile(r"\d")


class Choices(msgspec.Struct, frozen=True, eq=False):
    """An enum's values with their spellings. A spelling that two values share belongs to neither."""

    values: tuple[Any, ...]
    exact: dict[str, Any]
    folded: dict[str, Any]
    loose: dict[str, Any]
    tight: dict[str, Any]

    def find(self, text: str) -> Any:
        """The value that the text names exactly, or but for case and punctuation; else UNSET."""
        found = self.exact.get(text, msgspec.UNSET)
        if found is not msgspec.UNSET:
            return found
        found = self.folded.get(_folded(text), msgspec.UNSET)
        if found is not msgspec.UNSET:
            return found
        found = self.loose.get(loose(text), msgspec.UNSET)
        if found is not msgspec.UNSET:
            return found
        return self.tight.get(_tight(text), msgspec.UNSET)

    def nearest(self, text: str) -> str:
        """The spelling closest to the text, or "" when nothing is close."""
        from difflib import get_close_matches

        close = get_close_matches(_folded(text[:80]), list(self.folded), n=1, cutoff=0.8)
        return spelling(self.folded[close[0]]) if close else ""


def choices_of(values: Iterable[Any]) -> Choices:
    """The tables behind an enum's values."""
    listed = tuple(values)
    exact = {json.dumps(value, ensure_ascii=False): value for value in listed}
    for value in listed:
        if isinstance(value, str):
            exact.setdefault(value, value)
    return Choices(
        values=listed,
        exact=exact,
        folded=_unambiguous(listed, _folded),
        loose=_unambiguous(listed, loose),
        tight=_unambiguous(listed, _tight),
    )


def spelling(value: Any) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def loose(text: str) -> str:
    """The text without case, and with every run of spaces and punctuation as one space."""
    return _LOOSE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _tight(text: str) -> str:
    """Without any separator; not for texts with digits, where 1 5 and 15 would meet."""
    return "" if _DIGIT.search(text) else loose(text).replace(" ", "")


def _unambiguous(values: tuple[Any, ...], spelled: Callable[[str], str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    shared: set[str] = set()
    for value in values:
        key = spelled(spelling(value))
        if key in table:
            shared.add(key)
        table[key] = value
    return {key: value for key, value in table.items() if key and key not in shared}
