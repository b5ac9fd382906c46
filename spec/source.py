"""The text of a file: UTF-8, of bounded size, with a place for each character."""

from __future__ import annotations

import bisect
import re

import msgspec

from promptc.spec.diagnostics import Findings, Position

MAX_BYTES = 4 * 1024 * 1024

_NOT_YAML_RAW = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SURROGATES = re.compile(r"\\u[dD][89abAB]")
_NOT_YAML = re.compile(f"{_NOT_YAML_RAW.pattern}|{_SURROGATES.pattern}")


class Source:
    """A file's text, and the place of each character in it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def span(self, start: int, end: int) -> Position:
        """The place of the characters from `start` up to `end`, cut where the first line ends."""
        line = bisect.bisect_right(self._starts, start) - 1
        begin = self._starts[line]
        last = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text) + 1
        column = start - begin + 1
        stop = min(end, last - 1 if end >= last else end)
        return Position(self.file, line + 1, column, max(column + 1, stop - begin + 1))


def decode(text: str | bytes, file: str, findings: Findings) -> str | None:
    """UTF-8 with or without a byte order mark, and nothing else."""
    top = Position(file, 1, 1, 2)
    if len(text) > MAX_BYTES:
        findings.error(
            f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB",
            top,
            hint="put rows into a JSONL file and name it under data:",
        )
        return None
    if isinstance(text, bytes):
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            findings.error("the file is UTF-16; promptc reads UTF-8", top, hint="save it as UTF-8")
            return None
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode("utf-8")
            place = Source(file, good).span(len(good), len(good) + 1)
            findings.error(
                f"not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}",
                place,
                hint="save the file as UTF-8",
            )
            return None
    text = text.removeprefix("\ufeff")
    surrogate = re.search("[\ud800-\udfff]", text)
    if surrogate is not None:
        place = Source(file, text).span(surrogate.start(), surrogate.end())
        findings.error("a lone surrogate, which is no character", place, hint="save the file as UTF-8")
        return None
    return text


def readable_json(text: str) -> str:
    """JSON is YAML but for a few characters and escapes, which are written so that both read the same."""
    if not text.lstrip().startswith("{") or not _NOT_YAML.search(text):
        return text
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    plain_escapes = text if not _SURROGATES.search(text) else msgspec.json.encode(value).decode()
    return _NOT_YAML_RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", plain_escapes)
