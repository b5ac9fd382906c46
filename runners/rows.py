"""Data rows: read one by one from JSONL, CSV or Parquet, and named.

JSONL is read line by line, so memory does not grow with the file (but for the ids, about 100 bytes a row,
unless `unique` is off). A key that an object has twice is an error, not the last one wins.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from promptc.runners.json_lines import Parsed, check_value, json_lines
from promptc.spec.errors import DataError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".pq"})
"""Files that polars reads; every other name is taken for JSONL."""

OnError = Literal["fail", "skip"]


class Example(msgspec.Struct, frozen=True):
    """One data row.

    `id` is its `id` column (or `data.id`) as text, else its content digest, with `#2`, `#3` … for repeats.
    `digest` is 16 hex digits over the content without the id column, whatever the order of the keys: equal
    digests are duplicates. `index` counts the rows of its file from 0; `file` (a name without folders) and
    `line` (from 1) say where it stands.
    """

    id: str
    index: int
    row: dict[str, Any]
    digest: str
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """Its place for a person: `tickets.jsonl:17`."""
        return f"{self.file}:{self.line}"


def read_rows(
    path: str | Path,
    *,
    id_field: str | None = None,
    on_error: OnError = "fail",
    limit: int | None = None,
    unique: bool = True,
    types: Mapping[str, Mapping[str, Any]] | None = None,
    on_skip: Callable[[DataError], None] | None = None,
) -> Iterator[Example]:
    """The rows of a file in its order; `-` is standard input.

    `types` maps columns to JSON Schemas and matters for CSV alone, whose cells are text. With
    `on_error="skip"` a bad row is told to `on_skip` and left out. `unique=False` keeps no ids: repeats get no
    `#2`, and two rows may share one. Raises DataError with file and line.
    """
    named = str(path)
    rows = _identified(named, _parsed(named, types or {}), id_field, unique)
    return islice(_or_skip(rows, on_error, on_skip), limit)


def inline_rows(rows: tuple[dict[str, Any], ...], *, id_field: str | None = None) -> Iterator[Example]:
    """Rows that stand in the spec itself, counted from 1 as `data.rows:1`."""
    parsed = ((number, _checked("data.rows", number, row)) for number, row in enumerate(rows, 1))
    return _or_skip(_identified("data.rows", parsed, id_field, True), "fail", None)


def content_digest(row: Mapping[str, Any], id_field: str | None = None) -> str:
    """16 hex digits over a row's content, whatever the order of its keys, without its id column."""
    column = id_field or "id"
    content = {key: value for key, value in row.items() if key != column} or row
    return hashlib.blake2b(msgspec.json.encode(content, order="deterministic"), digest_size=8).hexdigest()


def _or_skip(
    rows: Iterator[Example | DataError], on_error: OnError, on_skip: Callable[[DataError], None] | None
) -> Iterator[Example]:
    for row in rows:
        if isinstance(row, Example):
            yield row
        elif on_error == "fail":
            raise row
        elif on_skip is not None:
            on_skip(row)


def _parsed(path: str, types: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[int, Parsed]]:
    if path == "-":
        yield from json_lines(sys.stdin.buffer, "<stdin>")
        return
    with open_rows(path) as stream:
        if Path(path).suffix.lower() in TABLE_SUFFIXES:
            from promptc.runners.tables import table_rows

            yield from table_rows(stream, path, types)
        else:
            yield from json_lines(stream, path)


def _identified(
    path: str, rows: Iterator[tuple[int, Parsed]], id_field: str | None, unique: bool
) -> Iterator[Example | DataError]:
    """Give every row its id; a row whose id is bad or taken becomes the error that says so."""
    name = "<stdin>" if path == "-" else Path(path).name
    lines: dict[str, int] = {}
    repeats: dict[str, int] = {}
    index = 0
    for line, row in rows:
        if isinstance(row, DataError):
            yield row
            continue
        digest = content_digest(row, id_field)
        own = _own_id(path, line, row, id_field)
        if isinstance(own, DataError):
            yield own
            continue
        if unique and own is not None and own in lines:
            yield DataError(path, f"the id {own!r} is already the id of line {lines[own]}", line=line)
            continue
        row_id = own if own is not None else digest
        if unique:
            while row_id in lines:
                repeats[digest] = repeats.get(digest, 1) + 1
                row_id = f"{digest}#{repeats[digest]}"
            lines[row_id] = line
        yield Example(id=row_id, index=index, row=row, digest=digest, file=name, line=line)
        index += 1


def _own_id(path: str, line: int, row: Mapping[str, Any], id_field: str | None) -> str | DataError | None:
    """The row's id column as text; None where the usual `id` column is missing or empty."""
    value = row.get(id_field or "id")
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return msgspec.json.encode(value).decode()
    if value is None or value == "":
        if id_field is None:
            return None
        columns = ", ".join(list(row)[:12])
        return DataError(path, f"no id in the column `{id_field}`", line=line, hint=f"the row has: {columns}")
    return DataError(path, f"the id must be text or a number, not {value!r:.40}", line=line)


def _checked(path: str, line: int, row: dict[str, Any]) -> Parsed:
    fault = check_value(row)
    return DataError(path, fault, line=line) if fault else row


def open_rows(path: str) -> BinaryIO:
    """The open file. DataError for what is not an ordinary, readable file; a pipe could block for ever."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(path, "is a folder, not a file of rows")
        if not stat.S_ISREG(mode):
            hint = "write the rows to a file, or give `-` where standard input is allowed"
            raise DataError(path, "is not an ordinary file (a pipe, a socket or a device)", hint=hint)
        return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(path, f"cannot be read: {reason}", hint=_similar(path)) from error


def _similar(path: str) -> str:
    """The files beside it whose names come close."""
    from difflib import get_close_matches

    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in islice(entries, 2000))
    except (OSError, ValueError):
        return ""
    close = [other for other in get_close_matches(name, names) if other != name]
    return f"did you mean {' or '.join(close)}?" if close else ""
