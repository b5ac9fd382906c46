"""`$ref: schema.json#/Defs/Address`: field types out of files in the spec's folder."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from promptc.spec.diagnostics import Position
from promptc.spec.files import FileRefused, Folder, digest
from promptc.spec.nodes import Node, plain
from promptc.spec.suggest import did_you_mean
from promptc.spec.tree import parse

MAX_TRAIL = 32

Trail = tuple[tuple[Path, str], ...]
"""The references on the way here, each a file and a pointer into it."""


class ReferenceRefused(FileRefused):
    """A reference that leads nowhere, around in a circle, or to what is no schema."""


class References:
    """Follows references. `files` collects the digest of every file that was read."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._documents: dict[Path, Any] = {}
        self.files: dict[str, str] = {}

    def target(self, node: Node, trail: Trail) -> tuple[Node, Trail]:
        """The schema that a `$ref` names, and the trail with this reference at its end."""
        name, _, fragment = node.value.partition("#")
        if name:
            origin = trail[-1][0].parent if trail else self._folder.origin(node.position.file)
            path = self._inside(name, origin)
        elif trail:
            path = trail[-1][0]
        else:
            raise ReferenceRefused("a reference names a file first", "such as schema.json#/Defs/Address")
        shown = f"{self._folder.name(path)}#{fragment}"
        if (path, fragment) in trail or len(trail) >= MAX_TRAIL:
            raise ReferenceRefused(f"{shown} leads back to itself", "a type cannot hold itself")
        schema = _pointed(self._document(path), fragment, shown)
        _check(schema, shown)
        return _node(schema, node.position), (*trail, (path, fragment))

    def _inside(self, name: str, origin: Path | None) -> Path:
        try:
            return self._folder.inside(name, origin=origin)
        except FileRefused as error:
            raise ReferenceRefused(error.message, error.hint) from error

    def _document(self, path: Path) -> Any:
        if path in self._documents:
            return self._documents[path]
        try:
            content = self._folder.read(path)
        except FileRefused as error:
            raise ReferenceRefused(error.message, error.hint) from error
        value = _read_json(content) if path.suffix == ".json" else _read_yaml(content)
        self.files[self._folder.key(path)] = digest(content)
        self._documents[path] = value
        return value


def _read_json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ReferenceRefused(f"not JSON: {error}") from error


def _read_yaml(content: bytes) -> Any:
    document, findings = parse(content, "")
    if document is None or findings:
        line = findings[0].position.line if findings[0].position else 1
        raise ReferenceRefused(f"line {line}: {findings[0].message}", findings[0].hint)
    return plain(document.root)


def _pointed(document: Any, fragment: str, shown: str) -> Any:
    """The value at a JSON pointer (RFC 6901)."""
    if fragment and not fragment.startswith("/"):
        raise ReferenceRefused(f"{shown} is not a JSON pointer", "write #/Defs/Name")
    value = document
    for part in urllib.parse.unquote(fragment).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            known = list(value) if isinstance(value, dict) else []
            raise ReferenceRefused(f'{shown}: there is no "{key}"', did_you_mean(key, known))
    return value


def _check(schema: Any, shown: str) -> None:
    """Refuse what is no JSON Schema, before its parts are taken for what they should be."""
    import jsonschema

    if not isinstance(schema, dict | bool):
        raise ReferenceRefused(f"{shown} is not a schema", "a schema is a mapping")
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    error = jsonschema.exceptions.best_match(meta.iter_errors(schema))
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path)
        raise ReferenceRefused(f"{shown} is not a JSON Schema: at /{where}: {error.message[:200]}")


def _node(value: Any, position: Position) -> Node:
    """A plain value as a tree in which everything stands at the reference."""
    if isinstance(value, dict):
        return Node(value={key: _node(child, position) for key, child in value.items()}, position=position)
    if isinstance(value, list):
        return Node(value=[_node(child, position) for child in value], position=position)
    return Node(value=value, position=position)
