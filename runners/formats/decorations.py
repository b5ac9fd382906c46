"""Marks that a reply puts around a value: quotes, emphasis, fences, headings, bullets, a final stop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptc.runners.formats.json_text import unfenced

_PAIRS = (
    ("***", "***"), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"),
    ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"),
)  # fmt: skip
_BOXED = re.compile(r"\A\$*\\boxed\{(?:\\text\{)?([^{}]*)\}?\}\$*\Z")
# A dash before a digit may be a minus, so only a dash before a word is taken for a bullet.
_LEAD = re.compile(r"\A(?:#{1,6}|>|[-*•](?=\s+[^\W\d]))\s+")
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+(\S.*)")
_DEEPEST = 8


def undecorated(text: str) -> str:
    """The text without anything of this kind around it."""
    text = text.strip()
    for _ in range(_DEEPEST):
        bare = _LEAD.sub("", unfenced(text).strip())
        boxed = _BOXED.match(bare)
        bare = _unpaired(boxed[1] if boxed else bare)
        bare = bare.rstrip(".!,;。 \t\n") or bare
        if bare == text:
            break
        text = bare.strip()
    return text


def less_decorated(text: str) -> Iterator[str]:
    """The text with one mark after the other taken off, for a string that is only valid without them."""
    text = text.strip()
    for _ in range(_DEEPEST):
        bare = _unpaired(unfenced(text).strip())
        if bare == text:
            bare = text[:-1].rstrip() if text.endswith((".", "。")) else text
        if bare == text:
            return
        text = bare
        yield text


def bullet_items(text: str) -> list[str]:
    """The items of a list that has a bullet or a number on every line; empty when it is not one."""
    matches = [_BULLET.fullmatch(line) for line in text.splitlines() if line.strip()]
    items = [match[1].strip() for match in matches if match]
    return items if len(items) == len(matches) else []


def _unpaired(text: str) -> str:
    for opening, closing in _PAIRS:
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            return text if opening in inner or closing in inner else inner.strip()
    return text
