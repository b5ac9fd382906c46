"""promptfoo's files: the configuration, prompts and tests that lie in its folder. What is code is named, never run."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.imports.imported import read_bytes
from promptc.spec.errors import DataError, SpecError, UsageError
from promptc.spec.nodes import plain
from promptc.spec.tree import parse

MOST_FILES = 1000
"""Files that one pattern may name."""
TEXT_SUFFIXES = (".txt", ".md", ".j2", ".json", ".yaml", ".yml", ".jsonl")
_CODE = (".js", ".cjs", ".mjs", ".ts", ".mts", ".cts", ".py", ".rb", ".go", ".sh")
_EXPECTED = re.compile(
    r"(?P<kind>not-[\w-]+|[a-z][\w:-]*?)(?:\((?P<threshold>[\d.]+)\))?(?:\s*:\s*(?P<value>.*))?", re.S
)


class Left(Exception):
    """Something cannot be carried over; the sentence says what."""


class Folder(msgspec.Struct, frozen=True):
    """The folder of a configuration. Nothing outside of it is read: an import must not carry off other files."""

    path: Path

    def find(self, reference: str) -> list[Path]:
        """The files that `file://…`, a path or a pattern names. Raises Left."""
        named = reference.removeprefix("file://")
        name = re.sub(r":[A-Za-z_]\w*$", "", named)
        if Path(name).suffix in _CODE:
            raise Left(f"{reference}, which is code")
        try:
            found = (
                sorted(self.path.glob(name))[:MOST_FILES]
                if re.search(r"[*?\[]", name)
                else [self.path / name]
            )
        except (ValueError, NotImplementedError) as error:
            raise Left(f"{reference}: {error}") from error
        for path in found:
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise Left(f"{reference}, which lies outside of the configuration's folder")
            if not path.is_file():
                raise Left(f"{reference}, which is not there")
        if not found:
            raise Left(f"{reference}, which names no file")
        return found

    def text(self, path: Path) -> str:
        """A file's text. Raises Left."""
        try:
            return read_bytes(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Left(f"{path.name}, which is no text in UTF-8") from error

    def data(self, path: Path) -> Any:
        """The data in a YAML or JSON file. Raises Left."""
        try:
            return read_tree(path)
        except SpecError as error:
            raise Left(f"{path.name}: {error.diagnostics[0].message}") from error


def read_tree(path: Path) -> Any:
    """A YAML or JSON file as plain data. Raises UsageError, DataError, and SpecError with places."""
    if path.suffix in _CODE:
        raise UsageError(
            f"{path} is code, which promptc never runs", "write the configuration as YAML or JSON first"
        )
    document, findings = parse(read_bytes(path), str(path))
    if document is None:
        raise SpecError(tuple(findings))
    return plain(document.root)


def read_config(path: Path) -> Mapping[str, Any]:
    """A configuration. Raises UsageError, DataError, SpecError."""
    config = read_tree(path)
    if not isinstance(config, dict) or "prompts" not in config:
        raise DataError(path, "not a configuration of promptfoo's: it has no prompts")
    return config


def tests_of(written: Any, folder: Folder, lost: list[str]) -> Iterator[Mapping[str, Any]]:
    """Every test: written in the configuration, or in the files that it names. What cannot be read is noted."""
    for entry in written if isinstance(written, list) else [written] if written else []:
        if isinstance(entry, dict) and "path" not in entry:
            yield entry
            continue
        reference = entry["path"] if isinstance(entry, dict) else entry
        try:
            if not isinstance(reference, str) or "://" in reference.removeprefix("file://"):
                raise Left(f"{str(reference)[:80]}")
            for path in folder.find(reference):
                yield from _tests_in(path, folder)
        except Left as left:
            lost.append(f"tests: {left}")


def _tests_in(path: Path, folder: Folder) -> Iterator[Mapping[str, Any]]:
    """The tests of one file. Raises Left."""
    if path.suffix == ".csv":
        yield from map(_from_csv, csv.DictReader(io.StringIO(folder.text(path))))
        return
    if path.suffix == ".jsonl":
        try:
            found: Any = [
                msgspec.json.decode(line) for line in folder.text(path).splitlines() if line.strip()
            ]
        except (msgspec.DecodeError, RecursionError) as error:
            raise Left(f"{path.name}: {error}") from error
    elif path.suffix in (".json", ".yaml", ".yml"):
        found = folder.data(path)
    else:
        raise Left(f"{path.name}, whose kind is not known here")
    for test in found if isinstance(found, list) else [found]:
        if not isinstance(test, dict):
            raise Left(f"{path.name}: a test is a mapping")
        yield test


def _from_csv(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of a table: columns are vars, `__expected` columns are assertions."""
    known = {name: value for name, value in row.items() if isinstance(name, str) and value is not None}
    texts = [value for name, value in known.items() if re.fullmatch(r"__expected\d*", name) and value.strip()]
    description = known.get("__description", "")
    return {
        "vars": {name: value for name, value in known.items() if not name.startswith("__")},
        "assert": [expected(text) for text in texts],
        **({"description": description} if description else {}),
    }


def expected(text: str) -> dict[str, Any]:
    """promptfoo's short form of an assertion, `type(threshold): value`; a text without a type is equals."""
    found = _EXPECTED.fullmatch(text.strip())
    kind = found["kind"] if found is not None else ""
    if kind in ("fn", "eval"):
        return {"type": "javascript", "value": text}
    if found is None or (found["value"] is None and kind not in ("is-json", "contains-json", "is-refusal")):
        return {"type": "equals", "value": text}
    value: Any = (found["value"] or "").strip()
    if kind.endswith(("-any", "-all")):
        value = [part.strip() for part in next(csv.reader([value]))] if value else []
    threshold = {"threshold": float(found["threshold"])} if found["threshold"] else {}
    return {"type": kind, "value": value, **threshold}


def as_text(value: Any) -> str:
    """A variable's value as promptfoo puts it into a prompt."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
