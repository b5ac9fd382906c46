"""What an import comes to, and how files from elsewhere are read: bounded, and never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.untrusted import one_line
from promptc.spec.dump import dump_tree
from promptc.spec.errors import DataError, UsageError

Tree = dict[str, Any]

DEFAULT_FILE = "promptc.yaml"
LARGEST = 64 << 20
"""Bytes of a file that is read."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed: the file, and what it does not say itself.

    `signature` is `FILE.py` or `FILE.py:Class`; `outputs` names output fields; `model` a model; `data` the rows.
    """

    file: Path
    signature: str | None = None
    outputs: tuple[str, ...] = ()
    model: str | None = None
    data: Path | None = None
    folder: Path = Path()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One spec as plain data, in the order in which it is written."""

    tree: Tree
    file: str = DEFAULT_FILE


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Specs, further files by name, what was guessed, and what could not be carried over."""

    drafts: tuple[Draft, ...]
    files: Mapping[str, bytes] = {}
    guessed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


Import = Callable[[Wanted], Imported]


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises UsageError where it is missing, DataError where it is too large or unreadable."""
    if not path.exists():
        raise UsageError(f"there is no {path}")
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(path, f"larger than {LARGEST >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """A JSON file's value. Raises DataError."""
    try:
        return msgspec.json.decode(read_bytes(path))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(path, f"not JSON: {error}") from error


def spec_bytes(draft: Draft, source: Path, imported: Imported) -> bytes:
    """A spec's file: where it comes from and what is missing as comments, then the spec."""
    lines = [f"# Imported by `promptc import` from {one_line(source.name)}."]
    for title, sentences in (("Guessed", imported.guessed), ("Not carried over", imported.lost)):
        if sentences:
            lines += [f"# {title}:", *(f"#   - {one_line(sentence, 300)}" for sentence in sentences)]
    return ("\n".join(lines) + "\n" + dump_tree(draft.tree)).encode()
