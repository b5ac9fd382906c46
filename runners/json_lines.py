"""JSONL, line by line: each line is an object, or the error that says what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import msgspec

from promptc.spec.errors import DataError

Parsed = dict[str, Any] | DataError
"""A row, or why there is none."""

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is an error: it is a file without line ends far more often than a row."""

MAX_DEPTH = 100
"""Deeper nesting is an error, so that nothing later runs out of stack."""

_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"
_BAD_NUMBER = (
    "holds a number that JSON does not have: NaN, an infinity, or one out of range (null means no value)"
)

_SIGNATURES = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PAR1": "a Parquet file without the suffix .parquet",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"SQLite format 3": "a SQLite database",
}


def json_lines(stream: BinaryIO, path: str) -> Iterator[tuple[int, Parsed]]:
    """Line numbers (from 1) and rows. Blank lines, a byte-order mark and CRLF are fine.

    Raises DataError only for what concerns the whole file: another encoding or format, a failing disk.
    """
    number, line = 0, _next_line(stream, path)
    foreign = next((name for magic, name in _SIGNATURES.items() if line.startswith(magic)), None)
    if foreign:
        raise DataError(
            path, f"is {foreign}, not JSONL", hint="write it as UTF-8, one JSON object on each line"
        )
    line = line.removeprefix(b"\xef\xbb\xbf")
    while line:
        number += 1
        if len(line) > MAX_LINE_BYTES:
            size = MAX_LINE_BYTES // 2**20
            yield number, DataError(path, f"the line is longer than {size} MiB", line=number)
            while line and not line.endswith(b"\n"):
                line = _next_line(stream, path)
        elif text := line.strip(b" \t\r\n"):
            yield number, _row(text, path, number)
        line = _next_line(stream, path)


def check_value(value: Any, depth: int = 0) -> str:
    """Why a value that did not come from JSON cannot be a row's: "" when it can."""
    if depth > MAX_DEPTH:
        return _TOO_DEEP
    if isinstance(value, float) and not math.isfinite(value):
        return _BAD_NUMBER
    if isinstance(value, str):
        return "" if _encodable(value) else "holds a lone surrogate, which is no valid text"
    if isinstance(value, dict):
        parts: Iterable[Any] = chain(value, value.values())
    else:
        parts = value if isinstance(value, list | tuple) else ()
    faults = (check_value(part, depth + 1) for part in parts)
    return next((fault for fault in faults if fault), "")


def _next_line(stream: BinaryIO, path: str) -> bytes:
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error


def _row(text: bytes, path: str, number: int) -> Parsed:
    try:
        row = msgspec.json.decode(text)
        if not isinstance(row, dict):
            return DataError(
                path, f"a row must be an object, not {_kind(row)}", line=number, hint=_array_hint(text)
            )
        # Every key has its colon: where there are no others, no key can have been swallowed.
        repeated = _repeated_key(text) if text.count(b":") != _count_keys(row) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _TooDeep):
        return DataError(path, _fault(text), line=number, hint=_array_hint(text))
    if repeated is not None:
        return DataError(path, f"the key {repeated!r} occurs twice in one object", line=number)
    return row


class _TooDeep(Exception):
    """A row that nests beyond MAX_DEPTH."""


def _count_keys(value: Any, depth: int = 0) -> int:
    """How many keys all objects in the value have together."""
    if depth > MAX_DEPTH:
        raise _TooDeep
    if isinstance(value, dict):
        return len(value) + sum(
            _count_keys(v, depth + 1) for v in value.values() if isinstance(v, dict | list)
        )
    return sum(_count_keys(v, depth + 1) for v in value if isinstance(v, dict | list))


def _repeated_key(text: bytes) -> str | None:
    """The first key that an object has twice."""
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    json.loads(text, object_pairs_hook=collect)
    return repeated[0] if repeated else None


def _fault(text: bytes) -> str:
    """What is wrong with a line that did not parse, in words: slower than parsing, and exact."""
    try:
        line = text.decode("utf-8")
        value = json.loads(line, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {error.start + 1} of the line is 0x{text[error.start]:02x}"
    except json.JSONDecodeError as error:
        if "\0" in line:
            return "holds a NUL byte; is it UTF-16?"
        return f"not valid JSON: {error.msg} at column {error.colno}, near {_excerpt(line, error.pos)}"
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return _BAD_NUMBER
    return check_value(value) or _BAD_NUMBER


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _excerpt(line: str, place: int) -> str:
    start, end = max(0, place - 15), place + 15
    return repr(("…" if start else "") + line[start:end] + ("…" if end < len(line) else ""))


def _array_hint(text: bytes) -> str:
    if text.startswith(b"["):
        return "a JSON array becomes JSONL with: jq -c '.[]' rows.json > rows.jsonl"
    if text == b"{":
        return "each row stands on one line; laid-out JSON becomes JSONL with: jq -c . rows.json > rows.jsonl"
    return ""


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
