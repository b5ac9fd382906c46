"""Text that others wrote (models, rows, error bodies), made safe to show to a person.

Whatever a terminal or a browser would obey or hide is written out (`\\x1b`, `\\u202e`), so that it is seen
and does nothing. All else stays as it is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

TAB = "    "
LONGEST_PATH = 4096

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 (ESC, BEL, CR, NUL), DEL and C1 (CSI, OSC); tab and line feed apart
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff"  # no characters: not even legal in UTF-8 or XML
    "\U000e0000-\U000e007f"  # tags: a second, invisible alphabet
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_SPACE = re.compile(r"[ \t\r\n\v\f\u0085\u00a0\u2028\u2029]+")
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u20d0-\u20f0\ufe20-\ufe2f]{4})[\u0300-\u036f\u20d0-\u20f0\ufe20-\ufe2f]+"
)


def visible(text: str) -> str:
    """The text with control, invisible and direction characters written out.

    Line feeds stay, also for CRLF; tabs become spaces; towers of combining marks are cut at four.
    """
    escaped = _OBEYED.sub(_escape, text.replace("\r\n", "\n").replace("\t", TAB))
    return _MARKS.sub(r"\1", escaped)


def one_line(text: str, limit: int = 200) -> str:
    """At most `limit` characters of the text on one line, runs of white space as one space, visibly cut."""
    # Cut twice: before the work, since a text can be megabytes long, and after, since escapes lengthen it.
    head = text[: 4 * limit + 64]
    flat = visible(_SPACE.sub(" ", head)).strip()
    if len(flat) <= limit and len(head) == len(text):
        return flat
    return flat[: max(limit - 1, 0)].rstrip() + "…"


def path_line(path: str) -> str:
    """A path on one line, its spaces as they are."""
    return visible(path[:LONGEST_PATH]).replace("\n", "\\n")


def excerpt(value: Any, limit: int = 200) -> str:
    """A value of a row on one line: strings as they are, other things as JSON."""
    if isinstance(value, str):
        return one_line(value, limit)
    return one_line(json.dumps(value, ensure_ascii=False, default=str), limit)


def plain(text: str, style: str = "") -> Text:
    """The text for a terminal: visible, in one style, and never read as markup."""
    from rich.text import Text

    return Text(visible(text), style=style)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
