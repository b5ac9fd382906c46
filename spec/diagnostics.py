"""What is wrong with a spec, and exactly where; and how that is shown."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a text file. Lines and columns count from 1; `end_column` is one past the last character."""

    file: str
    line: int
    column: int
    end_column: int


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about a spec: what is wrong, where, and what to do.

    `position` is None only for what has no place in a file (an override of the command line names itself in
    the message). `path` is the dotted path of the key, e.g. `models.task.price`. With `secret`, what stands
    at the position is a credential and is masked wherever the line is shown.
    """

    message: str
    position: Position | None = None
    path: str = ""
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    secret: bool = False


class Findings:
    """Collects diagnostics while a spec is read, so that all of them are shown at once."""

    def __init__(self) -> None:
        self._items: list[Diagnostic] = []

    def error(
        self, message: str, position: Position | None, *, path: str = "", hint: str = "", secret: bool = False
    ) -> None:
        """Note something that stops a run."""
        self._items.append(
            Diagnostic(message=message, position=position, path=path, hint=hint, secret=secret)
        )

    def warning(self, message: str, position: Position | None, *, path: str = "", hint: str = "") -> None:
        """Note something that is worth a look, and stops nothing."""
        self._items.append(
            Diagnostic(message=message, position=position, path=path, hint=hint, severity="warning")
        )

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take over findings made elsewhere."""
        self._items.extend(diagnostics)

    @property
    def failed(self) -> bool:
        """True as soon as one of them is an error."""
        return any(item.severity == "error" for item in self._items)

    def arranged(self) -> tuple[Diagnostic, ...]:
        """All findings in the order in which they are shown."""
        return arrange(self._items)


def arrange(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by position, those without one first; equal findings once."""
    unique = dict.fromkeys(diagnostics)
    nowhere = Position("", 0, 0, 0)
    return tuple(sorted(unique, key=lambda item: (item.position or nowhere, item.severity, item.message)))


Segment = tuple[Literal["place", "error", "warning", "message", "source", "caret", "hint"], str]
"""A piece of a rendered diagnostic with its role; the console decides which role has which colour."""

_MIN_EXCERPT = 20
_KEY = re.compile(
    r"\b(?:sk-|pk-|sk_live_|rk_live_|gsk_|xai-|hf_|r8_|gh[pousr]_|github_pat_|glpat-|AIza|AKIA|ya29\.)"
    r"(?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{15,}"
)

_CREDENTIAL = re.compile(
    r"(?i)(?:api[-_]?key|authorization|token|secret|password)[\"']?\s*[:=]\s*[\"']?"
    r"(?!\$)(?P<value>[^\s,}\"'][^,}\"']{11,})"
)


def looks_like_key(text: str) -> bool:
    """True when the text holds what providers hand out as credentials (`sk-…`, `hf_…`, `AKIA…`)."""
    return _KEY.search(text) is not None


def render(diagnostic: Diagnostic, source_text: str, width: int = 80) -> str:
    """The finding as a good compiler shows it: place, message, the line with a caret, and the hint.

    `source_text` is the text of the position's file, "" where it is not at hand. `width` is in terminal
    cells.
    """
    return "".join(text for _, text in segments(diagnostic, source_text, width))


def render_all(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], width: int = 80) -> str:
    """All findings in order, with `sources` mapping a position's file to its text."""
    shown = []
    for diagnostic in arrange(diagnostics):
        text = sources.get(diagnostic.position.file, "") if diagnostic.position else ""
        shown.append(render(diagnostic, text, width))
    return "\n".join(shown)


def segments(diagnostic: Diagnostic, source_text: str, width: int = 80) -> tuple[Segment, ...]:
    """The pieces of `render`, each with its role. They end with a line feed."""
    position = diagnostic.position
    pieces: list[Segment] = []
    if position is not None:
        pieces.append(("place", f"{_visible(position.file)}:{position.line}:{position.column}: "))
    pieces.append((diagnostic.severity, f"{diagnostic.severity}: "))
    pieces.append(("message", _visible(diagnostic.message) + "\n"))
    line = _line(source_text, position.line) if position is not None else ""
    if position is not None and line:
        excerpt, caret = _excerpt(line, position, width, diagnostic.secret)
        pieces.append(("source", f"{excerpt}\n"))
        pieces.append(("caret", f"{caret}\n"))
    if diagnostic.hint:
        wrapped = textwrap.wrap(
            f"hint: {_visible(diagnostic.hint)}",
            max(width, _MIN_EXCERPT),
            initial_indent="  ",
            subsequent_indent="        ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        pieces.append(("hint", "\n".join(wrapped) + "\n"))
    return tuple(pieces)


def _line(source_text: str, number: int) -> str:
    """The line of that number without its end, "" when there is none. Only CR, LF and CRLF end a line."""
    lines = re.split(r"\r\n|\n|\r", source_text.removeprefix("\ufeff"))
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _excerpt(line: str, position: Position, width: int, secret: bool) -> tuple[str, str]:
    """The source line and the line below it that underlines the position, both within the width."""
    start = min(position.column - 1, len(line))
    end = max(start + 1, min(position.end_column - 1, len(line)))
    masked = _KEY.sub(lambda match: "*" * len(match[0]), line)
    for match in _CREDENTIAL.finditer(masked):
        first, last = match.span("value")
        masked = masked[:first] + "*" * (last - first) + masked[last:]
    if secret:
        masked = masked[:start] + "*" * (end - start) + masked[end:]
    cells = [_cell(character) for character in masked]
    gutter = f"{position.line:>5} | "
    room = max(width - len(gutter), _MIN_EXCERPT)
    first, last = _window([size for _, size in cells], start, end, room)
    before = "…" if first else ""
    after = "…" if last < len(cells) else ""
    shown = before + "".join(text for text, _ in cells[first:last]) + after
    indent = len(before) + sum(size for _, size in cells[first:start])
    marked = sum(size for _, size in cells[start : min(end, last)]) or 1
    return gutter + shown, " " * (len(gutter) - 2) + "| " + " " * indent + "^" + "~" * (marked - 1)


def _window(sizes: list[int], start: int, end: int, room: int) -> tuple[int, int]:
    """First and last index of what fits into the room and shows the start, with some of what stands before
    it.
    """
    if sum(sizes) <= room:
        return 0, len(sizes)
    room -= 2
    first, used = start, 0
    while first > 0 and used + sizes[first - 1] <= room // 3:
        first -= 1
        used += sizes[first]
    last = first
    used = 0
    while last < len(sizes) and used + sizes[last] <= room:
        used += sizes[last]
        last += 1
    if last == len(sizes):
        while first > 0 and used + sizes[first - 1] <= room:
            first -= 1
            used += sizes[first]
    return first, last


def _cell(character: str) -> tuple[str, int]:
    """A character as it may be shown and how many terminal cells it takes."""
    if character == "\t":
        return "    ", 4
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"):
        return "\ufffd", 1
    if category in ("Mn", "Me"):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _visible(text: str) -> str:
    """The text on one line, with what a terminal would obey written out, and credentials masked."""
    masked = _KEY.sub("***", text)
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in masked
    )
