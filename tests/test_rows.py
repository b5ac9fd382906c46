"""Rows: what a file may hold, what each mistake in it is called, and how rows become train, dev and test."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import os
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.runners.dataset import Dataset, column_types, load_examples
from promptc.runners.json_lines import MAX_LINE_BYTES, json_lines
from promptc.runners.rows import Example, content_digest, inline_rows, read_rows
from promptc.runners.tables import typed
from promptc.spec.errors import DataError, NothingSelected, SpecError
from promptc.spec.fields import Field
from promptc.spec.model import DataSource, MetricUse, Spec, Split
from promptc.spec.plugin import Plugin

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=8
)
rows_of = st.lists(st.dictionaries(st.text().filter(lambda key: key != "id"), values, max_size=4), max_size=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, content: bytes | str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path: Path, **options: Any) -> list[Example]:
    return list(read_rows(path, **options))


def stream_rows(content: bytes) -> list[Any]:
    return list(json_lines(io.BytesIO(content), "rows.jsonl"))


# JSONL


@given(rows_of)
def test_what_is_written_is_read(rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(
        "utf-8", "surrogatepass"
    )
    assert [row for _, row in stream_rows(content)] == rows


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"a": 1}\n{"a": 2}\n', [(1, {"a": 1}), (2, {"a": 2})]),
        ('{"a": 1}\n{"a": 2}', [(1, {"a": 1}), (2, {"a": 2})]),
        ('\ufeff{"a": 1}\r\n\r\n   \n{"a": 2}\r\n', [(1, {"a": 1}), (4, {"a": 2})]),
        ('{"a": "x\u2028y\u0085z"}\n', [(1, {"a": "x\u2028y\u0085z"})]),
        ('{"a": "\\u0000\\ud83d\\ude00"}', [(1, {"a": "\0😀"})]),
        ('{"t": "a: b: c", "k:": {":": 1}}', [(1, {"t": "a: b: c", "k:": {":": 1}})]),
        (
            '{"a": 123456789012345678901234567890, "b": 1.0, "c": 1}',
            [(1, {"a": 123456789012345678901234567890, "b": 1.0, "c": 1})],
        ),
        ("", []),
        ("\n\n", []),
        ("\ufeff", []),
    ],
)
def test_lines_that_are_fine(content: str, found: list[tuple[int, dict[str, Any]]]) -> None:
    assert stream_rows(content.encode()) == found


@pytest.mark.parametrize(
    ("line", "says", "advises"),
    [
        (b'{"a": biling}', "not valid JSON: Expecting value at column 7, near '{\"a\": biling}'", ""),
        (b'{"a": 1} {"b": 2}', "Extra data at column 10", ""),
        (b'{"a": "x', "Unterminated string", ""),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes", ""),
        (b'{"a": NaN}', "holds a number that JSON does not have", ""),
        (b'{"a": [-Infinity]}', "holds a number that JSON does not have", ""),
        (b'{"a": 1e999}', "holds a number that JSON does not have", ""),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number that JSON does not have", ""),
        (b'{"a": "\\ud800"}', "holds a lone surrogate", ""),
        (b'{"\\udc00": 1}', "holds a lone surrogate", ""),
        (b'{"a": "caf\xe9"}', "not UTF-8: byte 11 of the line is 0xe9", ""),
        (b'{"a": "\x00"}', "holds a NUL byte", ""),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice", ""),
        (b'{"a": {"x": 1, "x": 1}}', "the key 'x' occurs twice", ""),
        (b'{"a": ": :", "a": 1}', "the key 'a' occurs twice", ""),
        (b'{"a": "\\u003a", "b": [{"c": 1, "\\u0063": 2}]}', "the key 'c' occurs twice", ""),
        (b'{"a": ' * 150 + b"1" + b"}" * 150, "nested more than 100 levels deep", ""),
        (b'{"a": ' * 90000, "nested more than 100 levels deep", ""),
        (b"[" * 200 + b"]" * 200, "a row must be an object, not a list", "jq -c"),
        (b'[{"a": 1}]', "a row must be an object, not a list", "jq -c '.[]'"),
        (b"{", "not valid JSON", "each row stands on one line"),
        (b'"text"', "a row must be an object, not text", ""),
        (b"null", "a row must be an object, not null", ""),
        (b"3.5", "a row must be an object, not a number", ""),
        (b"true", "a row must be an object, not true or false", ""),
        (b'{"id": ["x"]}', "the id must be text or a number", ""),
        (b'{"id": true}', "the id must be text or a number", ""),
    ],
)
def test_a_bad_line_is_an_error_with_its_place(folder: Path, line: bytes, says: str, advises: str) -> None:
    path = written(folder, b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}:3: ")
    assert says in caught.value.message
    assert advises in caught.value.hint
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a": 1}\n'.encode("utf-16"), "is UTF-16 text"),
        (b"\x1f\x8b\x08\x00rest", "is compressed with gzip"),
        (b"PAR1\x15\x04PAR1", "is a Parquet file"),
        (b"PK\x03\x04rest", "is a zip archive or a spreadsheet"),
        (b"SQLite format 3\x00", "is a SQLite database"),
    ],
)
def test_a_file_of_another_kind_is_named(folder: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(written(folder, content), on_error="skip")


def test_a_line_without_end_is_an_error_and_not_a_full_memory(folder: Path) -> None:
    path = folder / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        file.truncate(MAX_LINE_BYTES * 3)
        file.seek(0, os.SEEK_END)
        file.write(b'"}\n{"a": 2}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:2: the line is longer than 64 MiB"):
        read(path)
    skipped: list[DataError] = []
    assert [row.row for row in read(path, on_error="skip", on_skip=skipped.append)] == [{"a": 1}, {"a": 2}]
    assert len(skipped) == 1


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "socket", "device", "nul", "too long", "loop"])
def test_what_is_not_a_file_is_an_error_at_once(folder: Path, kind: str) -> None:
    path: Path | str = folder / "rows.jsonl"
    if kind == "folder":
        Path(path).mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "loop":
        Path(path).symlink_to("rows.jsonl")
    path = {"device": "/dev/zero", "nul": f"{path}\0", "too long": "x" * 5000}.get(kind, path)
    with pytest.raises(DataError):
        list(read_rows(path))


def test_a_missing_file_names_its_neighbours(folder: Path) -> None:
    written(folder, "", "tickets.jsonl")
    with pytest.raises(DataError) as caught:
        read(folder / "ticket.jsonl")
    assert "No such file" in caught.value.message
    assert caught.value.hint == "did you mean tickets.jsonl?"


def test_bad_rows_can_be_skipped_and_are_told(folder: Path) -> None:
    path = written(folder, '{"id": 1}\nnonsense\n{"id": 2}\n{"id": 1}\n[]\n{"id": 3}')
    skipped: list[DataError] = []
    found = read(path, on_error="skip", on_skip=skipped.append)
    assert [(row.id, row.index, row.line) for row in found] == [("1", 0, 1), ("2", 1, 3), ("3", 2, 6)]
    assert [error.line for error in skipped] == [2, 4, 5]


@settings(max_examples=300)
@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(list('{}[]":,\\ud8\0\n\r\xff1aNe.-'))).map(
        lambda c: "".join(c).encode("latin-1")
    )
)
def test_arbitrary_bytes_give_rows_or_data_errors(content: bytes) -> None:
    try:
        found = stream_rows(content)
    except DataError:
        return
    assert all(isinstance(row, dict | DataError) for _, row in found)
    for _, row in found:
        if isinstance(row, dict):
            content_digest(row)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["rows.csv", "rows.tsv", "rows.parquet", "rows.jsonl"]), st.binary(max_size=120))
def test_arbitrary_files_give_rows_or_data_errors(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("any"), content, name)
    try:
        found = read(path)
    except DataError:
        return
    assert all(isinstance(row.row, dict) for row in found)


def test_memory_stays_flat_while_reading(folder: Path) -> None:
    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for n in range(20_000):
            file.write(json.dumps({"n": n, "text": "x" * 1000}) + "\n")
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path, unique=False))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 1_000_000


def test_reading_stops_at_the_limit(folder: Path) -> None:
    path = written(folder, '{"a": 1}\n{"a": 2}\nnonsense\n')
    assert [row.row for row in read(path, limit=2)] == [{"a": 1}, {"a": 2}]


def test_rows_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n\nbad\n')))
    rows = read_rows("-")
    assert next(rows).where == "<stdin>:1"
    with pytest.raises(DataError, match="<stdin>:3: not valid JSON"):
        next(rows)


# Ids and digests


@pytest.mark.parametrize(
    ("rows", "id_field", "ids"),
    [
        ([{"id": "a"}, {"id": "b"}], None, ["a", "b"]),
        ([{"id": 7}, {"id": 1.5}], None, ["7", "1.5"]),
        ([{"key": "x", "id": 1}, {"key": "y", "id": 1}], "key", ["x", "y"]),
        (
            [{"id": None, "a": 1}, {"id": "", "a": 2}],
            None,
            [content_digest({"a": 1}), content_digest({"a": 2})],
        ),
        ([{"a": 1}, {"a": 1}, {"a": 2}, {"a": 1}], None, ["{0}", "{0}#2", "{1}", "{0}#3"]),
        ([{"a": 1}, {"id": "{0}#2", "a": 1}, {"a": 1}], None, ["{0}", "{0}#2", "{0}#3"]),
    ],
)
def test_a_row_is_called_by_its_id_or_its_content(
    folder: Path, rows: list[dict[str, Any]], id_field: str | None, ids: list[str]
) -> None:
    known = (content_digest({"a": 1}), content_digest({"a": 2}))
    filled = [{k: v.format(*known) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    found = read(written(folder, lines(*filled)), id_field=id_field)
    assert [row.id for row in found] == [name.format(*known) for name in ids]


@pytest.mark.parametrize(
    ("second", "id_field", "says"),
    [
        ({"id": "1"}, None, "the id '1' is already the id of line 1"),
        ({"id": 1, "a": 2}, None, "the id '1' is already the id of line 1"),
        ({"a": 2}, "id", "no id in the column `id`"),
        ({"id": None}, "id", "no id in the column `id`"),
    ],
)
def test_an_id_that_is_taken_or_missing_is_an_error(
    folder: Path, second: dict[str, Any], id_field: str | None, says: str
) -> None:
    path = written(folder, lines({"id": 1}, second))
    with pytest.raises(DataError) as caught:
        read(path, id_field=id_field)
    assert caught.value.message == f"{path}:2: {says}"


def test_endless_streams_keep_no_ids(folder: Path) -> None:
    found = read(written(folder, lines({"id": 1}, {"id": 1}, {"a": 1}, {"a": 1})), unique=False)
    assert [row.id for row in found] == ["1", "1", content_digest({"a": 1}), content_digest({"a": 1})]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}, True),
        ({"id": 1, "a": 1}, {"id": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "id": 9}, True),
        ({"id": 1}, {"id": 2}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": None}, {}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
)
def test_a_digest_is_that_of_the_content_without_its_id(
    one: dict[str, Any], other: dict[str, Any], equal: bool
) -> None:
    assert len(content_digest(one)) == 16
    assert (content_digest(one) == content_digest(other)) is equal


# Tables


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a,b\n007,x\n1e3,y\n", [(2, {"a": "007", "b": "x"}), (3, {"a": "1e3", "b": "y"})]),
        ("\ufeffa;b\r\n1,5;x\r\n", [(2, {"a": "1,5", "b": "x"})]),
        ('a,b\n"x\ny",1\n\nz,2\n', [(2, {"a": "x\ny", "b": "1"}), (5, {"a": "z", "b": "2"})]),
        ('a,b\n,""\n', [(2, {"a": None, "b": ""})]),
        ('a,b\n"say ""hi""",-\n', [(2, {"a": 'say "hi"', "b": "-"})]),
        ("a,b\n1\n", [(2, {"a": "1", "b": None})]),
        (" a , b \n1,2\n", [(2, {"a": "1", "b": "2"})]),
        ("a\nx\n", [(2, {"a": "x"})]),
        ("a,b\n", []),
        ("", []),
    ],
)
def test_csv_cells_are_text_as_they_stand(folder: Path, content: str, found: list[Any]) -> None:
    assert [(row.line, row.row) for row in read(written(folder, content, "rows.csv"))] == found


def test_tsv_is_cut_at_tabs(folder: Path) -> None:
    assert read(written(folder, "a\tb\n1,2\t3\n", "rows.tsv"))[0].row == {"a": "1,2", "b": "3"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,b\n1,2,3\n", "is not CSV that can be read"),
        (b'a,b\n1,"2\n3,4\n', "is not CSV that can be read"),
        (b"a,b\n\xff,2\n", "is not CSV that can be read"),
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
        (b"a,b\r1,2\r", "bare carriage return"),
    ],
)
def test_csv_that_cannot_be_read_says_why(folder: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(written(folder, content, "rows.csv"))


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("007", {"type": "string"}, "007"),
        ("007", {}, "007"),
        ("", {"type": "string"}, ""),
        ("", {"type": "integer"}, None),
        (" ", {"enum": [1, 2]}, None),
        (None, {"type": "string"}, None),
        ("12", {"type": "integer"}, 12),
        ("12.0", {"type": "integer"}, 12),
        ("12.5", {"type": "integer"}, "12.5"),
        (" -3 ", {"type": "number"}, -3),
        ("1.5e3", {"type": "number"}, 1500.0),
        ("1,234", {"type": "number"}, "1,234"),
        ("nan", {"type": "number"}, "nan"),
        ("high", {"type": "number"}, "high"),
        ("Yes", {"type": "boolean"}, True),
        ("0", {"type": "boolean"}, False),
        ("maybe", {"type": "boolean"}, "maybe"),
        ("4", {"type": ["integer", "null"]}, 4),
        ("4", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 4),
        ("4", {"enum": [3, 4]}, 4),
        ("4", {"enum": ["3", "4"]}, "4"),
        ('["a"]', {"type": "array"}, ["a"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("{broken", {"type": "object"}, "{broken"),
        ("[NaN]", {"type": "array"}, "[NaN]"),
        ("a, b", {"type": "array"}, "a, b"),
    ],
)
def test_a_cell_becomes_what_the_field_asks_for(text: str | None, schema: dict[str, Any], value: Any) -> None:
    assert repr(typed(text, schema)) == repr(value)


def test_csv_columns_take_the_types_of_fields_and_gold(folder: Path) -> None:
    spec = Spec(
        version=1,
        name="x",
        inputs=(Field(name="n", schema={"type": "integer"}),),
        outputs=(Field(name="total", schema={"type": "number"}),),
        metrics=(MetricUse(plugin=Plugin(kind="metric", name="numeric"), name="numeric", expected="right"),),
    )
    path = written(folder, "n,total,right,note\n1,2,3.5,4\n", "rows.csv")
    assert read(path, types=column_types(spec))[0].row == {"n": 1, "total": 2, "right": 3.5, "note": "4"}


def test_parquet_keeps_its_types_and_writes_times_as_text(folder: Path) -> None:
    table = {
        "day": [datetime.date(2026, 5, 1), None],
        "at": [datetime.datetime(2026, 5, 1, 12, 30), None],
        "price": [decimal.Decimal("1.50"), decimal.Decimal("2")],
        "share": [0.5, float("nan")],
        "tags": [["a", "b"], []],
        "who": [{"name": "Ann", "age": 3}, {"name": None, "age": None}],
    }
    path = folder / "rows.parquet"
    pl.DataFrame(table).write_parquet(path)
    assert [row.row for row in read(path)] == [
        {
            "day": "2026-05-01",
            "at": "2026-05-01T12:30:00",
            "price": 1.5,
            "share": 0.5,
            "tags": ["a", "b"],
            "who": {"name": "Ann", "age": 3},
        },
        {"day": None, "at": None, "price": 2, "share": None, "tags": [], "who": {"name": None, "age": None}},
    ]


def test_parquet_with_an_infinity_names_the_row(folder: Path) -> None:
    path = folder / "rows.parquet"
    pl.DataFrame({"a": [1.0, float("inf")]}).write_parquet(path)
    with pytest.raises(DataError, match=r"rows\.parquet:2: holds a number that JSON does not have"):
        read(path)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": "\ud800"}, {"\ud800": 1}])
def test_inline_rows_hold_what_json_can(value: Any) -> None:
    with pytest.raises(DataError, match=r"data\.rows:2: holds"):
        list(inline_rows(({"a": 1}, {"a": value})))


# Train, dev and test


def source_of(folder: Path, **files: list[dict[str, Any]]) -> dict[str, str]:
    return {part: str(written(folder, lines(*rows), f"{part}.jsonl")) for part, rows in files.items()}


def numbered(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"n": n, "queue": "ab"[n % 2]} for n in range(start, start + count)]


def loaded(folder: Path, split: Split | None = None, **files: list[dict[str, Any]]) -> Dataset:
    source = DataSource(**source_of(folder, **files), split=split or Split())
    return load_examples(source, seed=0, gold=("queue",))


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.dev), len(dataset.test)


def test_one_file_is_cut_in_three(folder: Path) -> None:
    dataset = loaded(folder, path=numbered(100))
    assert sizes(dataset) == (40, 30, 30)
    assert len({row.id for row in dataset.part("all")}) == 100
    assert dataset.held_out
    assert dataset.notes == ()


def test_the_parts_and_their_order_do_not_depend_on_the_file(folder: Path) -> None:
    one = loaded(folder, path=numbered(60))
    other = loaded(folder, path=numbered(60)[::-1])
    for part in ("train", "dev", "test"):
        assert [row.id for row in one.part(part)] == [row.id for row in other.part(part)]  # type: ignore[arg-type]
    assert one.digest == other.digest
    assert one.digests == other.digests


def test_a_prefix_of_a_part_is_a_fair_sample_of_a_sorted_file(folder: Path) -> None:
    rows = sorted(numbered(200), key=lambda row: str(row["queue"]))
    first = [row.row["queue"] for row in loaded(folder, path=rows).train[:30]]
    assert 8 <= first.count("a") <= 22


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train": 100}, (40, 30, 30)),
        ({"train": 70, "test": 20}, (40, 30, 20)),
        ({"train": 70, "dev": 20}, (40, 20, 30)),
        ({"train": 70, "dev": 20, "test": 10}, (70, 20, 10)),
        ({"dev": 20, "test": 10}, (0, 20, 10)),
        ({"test": 10}, (0, 0, 10)),
        ({"path": 70, "test": 5}, (40, 30, 5)),
    ],
)
def test_parts_without_a_file_are_cut_from_the_training_rows(
    folder: Path, files: dict[str, int], expected: tuple[int, int, int]
) -> None:
    starts = {"path": 0, "train": 1000, "dev": 2000, "test": 3000}
    assert sizes(loaded(folder, **{part: numbered(n, starts[part]) for part, n in files.items()})) == expected


@pytest.mark.parametrize(
    ("files", "expected", "note"),
    [
        (
            {"path": 29},
            (29, 29, 0),
            "29 labelled rows are too few to cut (fewer than 30): all rows are train and dev, "
            "so there is no held-out figure",
        ),
        (
            {"path": 1},
            (1, 1, 0),
            "1 labelled row is too few to cut (fewer than 30): all rows are train and dev, "
            "so there is no held-out figure",
        ),
        (
            {"train": 20, "test": 10},
            (20, 20, 10),
            "20 labelled rows are too few to cut (fewer than 30): all rows are train and dev",
        ),
        (
            {"train": 20, "dev": 10},
            (20, 10, 0),
            "20 labelled rows are too few to cut (fewer than 30): all rows are train, "
            "so there is no held-out figure",
        ),
        ({"path": 30}, (12, 9, 9), None),
    ],
)
def test_few_labelled_rows_are_not_cut(
    folder: Path, files: dict[str, int], expected: tuple[int, int, int], note: str | None
) -> None:
    starts = {"path": 0, "train": 0, "dev": 2000, "test": 3000}
    dataset = loaded(folder, **{part: numbered(n, starts[part]) for part, n in files.items()})
    assert sizes(dataset) == expected
    assert dataset.notes == ((note,) if note else ())
    assert dataset.held_out is (expected[2] > 0)
    assert len(dataset.part("all")) == sum(files.values())


def test_rows_without_gold_count_as_rows_but_not_as_labelled(folder: Path) -> None:
    dataset = loaded(folder, path=[*numbered(29), *({"n": n} for n in range(100, 200))])
    assert sizes(dataset) == (129, 129, 0)
    assert dataset.notes[0] == "100 of 129 rows have no gold (queue)"


def test_the_spec_chooses_shares_seed_strata_and_groups(folder: Path) -> None:
    rows = numbered(100)
    assert sizes(loaded(folder, Split(train=8, dev=1, test=1), path=rows)) == (80, 10, 10)
    ids = {seed: [r.id for r in loaded(folder, Split(seed=seed), path=rows).train] for seed in (None, 0, 1)}
    assert ids[None] == ids[0] != ids[1]
    even = loaded(folder, Split(stratify="queue"), path=rows)
    assert sum(row.row["queue"] == "a" for row in even.train) == 20
    whole = loaded(folder, Split(group="queue"), path=rows)
    assert sorted(sizes(whole)) == [0, 50, 50] or sorted(sizes(whole)) == [0, 0, 100]


def test_a_part_that_stays_empty_is_said(folder: Path) -> None:
    grouped = loaded(folder, Split(group="all"), path=[{**row, "all": 1} for row in numbered(50)])
    assert sum("the 1 groups" in note or "cannot be cut so" in note for note in grouped.notes) == 2
    no_test = loaded(folder, Split(test=0), path=numbered(70))
    assert sizes(no_test) == (40, 30, 0)
    assert no_test.notes == ("split.test is 0: test is empty, so there is no held-out figure",)


def test_shares_of_nothing_are_an_error_of_the_spec(folder: Path) -> None:
    with pytest.raises(SpecError):
        loaded(folder, Split(train=0, dev=0, test=1), train=numbered(40), test=numbered(5, 100))


def test_rows_that_two_files_share_are_a_warning_with_their_number(folder: Path) -> None:
    dataset = loaded(folder, train=numbered(60), test=[*numbered(3), *numbered(5, 100)])
    overlaps = [note for note in dataset.notes if "same content" in note]
    assert sum(int(note.split()[0]) for note in overlaps) == 3
    assert all("flatters the result" in note for note in overlaps)


def test_duplicates_never_fall_into_two_parts(folder: Path) -> None:
    rows = [{"id": n, "text": f"t{n // 3}", "queue": "a"} for n in range(120)]
    digests = loaded(folder, path=rows).digests
    assert not set(digests["train"]) & set(digests["dev"])
    assert not set(digests["train"]) & set(digests["test"])
    assert not set(digests["dev"]) & set(digests["test"])


def test_skipped_rows_are_counted_in_a_note(folder: Path) -> None:
    path = written(folder, lines(*numbered(40)) + "bad\n[]\n")
    dataset = load_examples(DataSource(path=str(path), on_error="skip"), seed=0)
    assert dataset.notes[0].startswith(
        "2 rows were skipped because of data.on_error; the first: rows.jsonl:41: not valid JSON"
    )


@pytest.mark.parametrize("content", ["", "\n\n", "nonsense\n"])
def test_no_rows_at_all_are_nothing_selected(folder: Path, content: str) -> None:
    path = written(folder, content)
    with pytest.raises(NothingSelected, match=r"there are no rows in rows\.jsonl"):
        load_examples(DataSource(path=str(path), on_error="skip"), seed=0)


def test_rows_may_stand_in_the_spec() -> None:
    dataset = load_examples(DataSource(rows=tuple(numbered(40))), seed=0)
    assert sizes(dataset) == (16, 12, 12)
    assert {row.file for row in dataset.train} == {"data.rows"}


def test_the_identity_changes_with_every_content(folder: Path) -> None:
    rows = numbered(40)
    digests = {
        loaded(folder, path=rows).digest,
        loaded(folder, path=rows[:-1]).digest,
        loaded(folder, path=[*rows[:-1], {**rows[-1], "queue": "z"}]).digest,
        loaded(folder, path=[{**row, "id": n} for n, row in enumerate(rows)]).digest,
        loaded(folder, Split(seed=5), path=rows).digest,
    }
    assert len(digests) == 5


def test_reading_jsonl_loads_no_table_library(folder: Path) -> None:
    path = written(folder, lines(*numbered(40)))
    code = (
        "import sys; from promptc.runners.dataset import load_examples;"
        "from promptc.spec.model import DataSource;"
        f"load_examples(DataSource(path={str(path)!r}), seed=0); print('polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
