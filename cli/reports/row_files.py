"""Rows as a table for other programs: CSV and Parquet, with a column for each field, metric and gold."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from promptc.cli.reports.row_lines import RowLine, row_lines

if TYPE_CHECKING:
    import polars

PIECE, BATCH = 500, 50_000
"""Rows of CSV that are handed on together, and rows of Parquet that are held at once."""

Kind = Literal["text", "integer", "number", "boolean"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula; the last four are their full-width twins."""
HEAD = ("id", "split", "candidate", "score")
TAIL = ("failure", "failure_message", "reasks", "input_tokens", "output_tokens", "cost")
_TYPES: dict[str, Kind] = {
    "score": "number", "reasks": "integer", "input_tokens": "integer", "output_tokens": "integer", "cost": "number",
}  # fmt: skip


def columns(run: Path) -> dict[str, Kind]:
    """The columns of a run's rows and what they hold; what is nested or mixed is text. Reads every row once."""
    groups: dict[str, dict[str, Kind]] = {
        "metric": {},
        "input": {},
        "expected": {},
        "output": {},
        "feedback": {},
    }
    empty: dict[str, dict[str, Kind]] = {}
    ruled = False
    for line in row_lines(run):
        ruled = ruled or line.passed is not None
        for group, found in _groups(line).items():
            known = groups[group]
            for name, value in found.items():
                kind = _kind(value)
                if kind is not None:
                    known[name] = kind if known.get(name, kind) == kind else _wider(known[name], kind)
                else:
                    empty.setdefault(group, {})[name] = "number" if group == "metric" else "text"
    every: dict[str, Kind] = {name: _TYPES.get(name, "text") for name in HEAD}
    for group, found_columns in groups.items():
        whole = empty.get(group, {}) | found_columns
        every |= {f"{group}.{name}": kind for name, kind in whole.items()}
    if ruled:
        every["passed"] = "boolean"
    return every | {name: _TYPES.get(name, "text") for name in TAIL}


class _Lines:
    """Takes the lines of a csv writer, each in one piece, and gives them Unix line ends.

    With its own `\n` the writer would leave a bare carriage return in a cell unquoted.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Take one."""
        self._lines.append(line.removesuffix("\r\n") + "\n")

    def taken(self) -> str:
        """All since the last time."""
        text = "".join(self._lines)
        self._lines.clear()
        return text


def csv_parts(run: Path) -> Iterator[str]:
    """The rows as CSV, in pieces. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    kinds = columns(run)
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow(map(_harmless, kinds))
    for number, line in enumerate(row_lines(run), start=1):
        cells = _cells(line)
        writer.writerow([_csv_cell(cells.get(name)) for name in kinds])
        if number % PIECE == 0:
            yield lines.taken()
    yield lines.taken()


def write_parquet(run: Path, target: Path) -> None:
    """The rows as Parquet, by polars, without holding them all. Nested values are JSON text."""
    import tempfile

    import polars as pl

    kinds = columns(run)
    schema = {name: _dtype(kind) for name, kind in kinds.items()}
    lines = row_lines(run)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".promptc-") as folder:
        whole = Path(folder) / target.name
        parts: list[Path] = []
        while batch := [_record(line, kinds) for line in islice(lines, BATCH)]:
            parts.append(Path(folder) / f"part-{len(parts):06d}.parquet")
            pl.DataFrame(batch, schema=schema, orient="row").write_parquet(parts[-1])
        if parts:
            pl.scan_parquet(parts).sink_parquet(whole)
        else:
            pl.DataFrame(schema=schema).write_parquet(whole)
        whole.replace(target)


def _record(line: RowLine, kinds: Mapping[str, Kind]) -> tuple[Any, ...]:
    cells = _cells(line)
    return tuple(_fitting(cells.get(name), kind) for name, kind in kinds.items())


def _groups(line: RowLine) -> dict[str, dict[str, Any]]:
    return {
        "metric": dict(line.metrics),
        "input": _object(line.inputs),
        "expected": _object(line.expected),
        "output": _object(line.outputs),
        "feedback": dict(line.feedback) if line.failure is None else {},
    }


def _cells(line: RowLine) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "id": line.id, "split": line.split, "candidate": line.candidate, "score": line.score,
        "passed": line.passed,
        "failure": line.failure.kind if line.failure is not None else None,
        "failure_message": line.failure.message if line.failure is not None else None,
        "reasks": line.reasks, "input_tokens": line.tokens.get("input"), "output_tokens": line.tokens.get("output"),
        "cost": line.cost,
    }  # fmt: skip
    for group, found in _groups(line).items():
        cells |= {f"{group}.{name}": value for name, value in found.items()}
    return cells


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else {}


def _kind(value: Any) -> Kind | None:
    """What a column has to hold for this value; None for null, which every column holds."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "text"
    return "number" if isinstance(value, float) else "text"


def _wider(one: Kind, other: Kind) -> Kind:
    return "number" if {one, other} == {"integer", "number"} else "text"


def _fitting(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "number":
        return float(value)
    return value if kind != "text" or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _dtype(kind: Kind) -> polars.DataType:
    import polars as pl

    return {"text": pl.String(), "integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean()}[kind]


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _harmless(value)
    if isinstance(value, float) or type(value) is int:
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    """The text, with an apostrophe where a spreadsheet would calculate it, and without NUL, which none reads."""
    if text[:1].isalnum() and "\0" not in text:
        return text
    plain = text.replace("\0", "")
    return f"'{plain}" if plain.lstrip(" ").startswith(FORMULA) else plain
