"""CSV and Parquet, read by polars; the only file that reads tables, and that turns text cells into values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from promptc.runners.json_lines import Parsed, check_value
from promptc.spec.errors import DataError

if TYPE_CHECKING:
    import polars

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER = re.compile(r"[+-]?\d{1,300}(\.0+)?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


def table_rows(
    stream: BinaryIO, path: str, types: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[int, Parsed]]:
    """Line numbers (of Parquet: row numbers) and rows. The whole table is held in memory.

    Raises DataError for what concerns the whole file.
    """
    if Path(path).suffix.lower() in {".csv", ".tsv"}:
        yield from _csv_rows(stream, path, types)
    else:
        yield from _parquet_rows(stream, path)


def typed(text: str | None, schema: Mapping[str, Any]) -> Any:
    """A CSV cell as the value that a field's schema asks for; the text itself where it cannot be read as
    that.

    Without a type that says otherwise a cell stays text, so that `007` keeps its zeros. An empty cell is
    null, except that `""` is an empty text where text is asked for. Integers and numbers are decimal,
    booleans are true/false, yes/no or 1/0, arrays and objects are JSON."""
    kinds = _kinds(schema)
    if text is None or (not text.strip() and "string" not in kinds):
        return None
    word = text.strip()
    if "boolean" in kinds and word.lower() in _BOOLEANS:
        return _BOOLEANS[word.lower()]
    if kinds & {"integer", "number"} and _INTEGER.fullmatch(word):
        return int(word.partition(".")[0])
    if "number" in kinds and _NUMBER.fullmatch(word):
        return float(word)
    if kinds & {"array", "object"} and word[:1] in {"[", "{"}:
        return _json_or_text(text)
    return text


def _csv_rows(
    stream: BinaryIO, path: str, types: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[int, Parsed]]:
    head = stream.readline(2**20)
    separator = "\t" if path.lower().endswith(".tsv") else _separator(head)
    stream.seek(0)
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        return
    if b"\0" in head:
        raise DataError(path, "is not UTF-8 text (UTF-16?)", hint="save it as UTF-8")
    columns = _columns(_read_csv(stream, path, separator, header=False, rows=1).row(0), path)
    stream.seek(0)
    table = _read_csv(stream, path, separator, header=True, rows=None)
    line = 2 + sum(column.count("\n") for column in columns)
    for cells in table.iter_rows():
        if any(cell is not None for cell in cells):
            yield (
                line,
                {name: typed(cell, types.get(name, {})) for name, cell in zip(columns, cells, strict=True)},
            )
        line += 1 + sum(cell.count("\n") for cell in cells if cell)


def _parquet_rows(stream: BinaryIO, path: str) -> Iterator[tuple[int, Parsed]]:
    """Types stay; dates and times become ISO text, decimals numbers, bytes base64, NaN null."""
    import polars as pl

    try:
        table = pl.read_parquet(stream)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(path, f"is not a Parquet file that can be read: {_first_line(error)}") from error
    for number, row in enumerate(table.iter_rows(named=True), 1):
        value = _plain(row)
        fault = check_value(value)
        yield number, (DataError(path, fault, line=number) if fault else value)


def distinct_texts(values: Sequence[str]) -> list[str]:
    """Each value once, sorted."""
    import polars as pl

    return pl.Series(values, dtype=pl.String).unique().sort().to_list()


def _read_csv(
    stream: BinaryIO, path: str, separator: str, *, header: bool, rows: int | None
) -> polars.DataFrame:
    import polars as pl

    try:
        return pl.read_csv(stream, separator=separator, has_header=header, n_rows=rows, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        hint = "is it UTF-8, with every quote closed and as many cells in each line as the first has?"
        raise DataError(path, f"is not CSV that can be read: {_first_line(error)}", hint=hint) from error


def _columns(header: Sequence[str | None], path: str) -> list[str]:
    """The names in the first line. Errors: an empty name, a name that occurs twice."""
    names = [(name or "").strip() for name in header]
    for place, name in enumerate(names, 1):
        if not name:
            raise DataError(
                path, f"column {place} has no name", line=1, hint="the first line must name every column"
            )
        if names.index(name) + 1 != place:
            raise DataError(path, f"two columns are called {name!r}", line=1)
        if "\r" in name:
            raise DataError(
                path, "its lines end in a bare carriage return", hint="save it with Unix line ends"
            )
    return names


def _separator(head: bytes) -> str:
    """The one of comma, semicolon, tab and bar that the first line has most of."""
    return max(",;\t|", key=lambda mark: head.count(mark.encode()))


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema allows, as far as it says; "string" where it says nothing."""
    declared = schema.get("type")
    if declared is not None:
        return {declared} if isinstance(declared, str) else set(declared)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return set().union(*(_kinds(option) for option in schema[key]))
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {_kind(value) for value in values} or {"string"}


def _kind(value: Any) -> str:
    kinds = {
        bool: "boolean",
        int: "integer",
        float: "number",
        list: "array",
        dict: "object",
        type(None): "null",
    }
    return kinds.get(type(value), "string")


def _json_or_text(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if check_value(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return msgspec.to_builtins(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
