"""`{file: path}`: long texts and demos that stand in files of their own beside the spec."""

from __future__ import annotations

from typing import Any

import msgspec

from promptc.spec.diagnostics import Findings, Position
from promptc.spec.files import FileRefused, Folder, digest
from promptc.spec.nodes import Node, Path, children, dotted

PLUGINS = ("module", "format", "optimizer", "metrics")


class Includer:
    """Reads what a spec includes.

    `files` collects the digest of every file that was read, `failed` the paths of what could not be.
    """

    def __init__(self, folder: Folder, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self.files: dict[str, str] = {}
        self.failed: set[Path] = set()

    def include(self, root: Node, broken: frozenset[Path]) -> Node:
        """The tree with every `{file: …}` replaced by the text, and that of `demos` by the rows.

        What `keep:` says beside a file is added to the top-level `keep`. `broken` holds the paths that are
        wrong.
        """
        return self._step(root, (), broken)

    def _step(self, root: Node, prefix: Path, broken: frozenset[Path]) -> Node:
        """The same for one step, whose path is `prefix`, and for those of a loop in it."""
        entries = dict(root.value)
        for key in list(entries):
            path: Path = (*prefix, key)
            if path in broken:
                continue
            if key == "instructions":
                self._instructions(entries, path)
            elif key == "description" and is_include(entries[key]):
                entries[key] = self._text(entries[key], path)
            elif key == "demos" and is_include(entries[key]):
                entries[key] = self._rows(entries[key], path)
            elif key in PLUGINS:
                entries[key] = self._within(entries[key], path, depth=0)
            elif key == "pipeline":
                entries[key] = self._steps(entries[key], path, broken)
            elif key == "loop" and isinstance(entries[key].value, dict) and "steps" in entries[key].value:
                loop = entries[key]
                steps = self._steps(loop.value["steps"], (*path, "steps"), broken)
                entries[key] = msgspec.structs.replace(loop, value={**loop.value, "steps": steps})
        kept = {key: node for key, node in entries.items() if node is not None}
        return msgspec.structs.replace(root, value=kept)

    def _steps(self, node: Node, path: Path, broken: frozenset[Path]) -> Node:
        if not isinstance(node.value, list):
            return node
        steps = [
            self._step(child, (*path, index), broken)
            if isinstance(child.value, dict) and (*path, index) not in broken
            else child
            for index, child in children(node)
        ]
        return msgspec.structs.replace(node, value=steps)

    def _instructions(self, entries: dict[str, Any], path: Path) -> None:
        node = entries["instructions"]
        if not is_include(node):
            return
        entries["instructions"] = self._text(node, path)
        if "keep" in node.value:
            own = entries["keep"].value if "keep" in entries else []
            keep: Node = node.value["keep"]
            if isinstance(own, list) and isinstance(keep.value, list):
                entries["keep"] = msgspec.structs.replace(keep, value=[*own, *keep.value])

    def _within(self, node: Node, path: Path, depth: int) -> Node:
        """Includes in the parameters of plug-ins, one of which may itself be called `file`."""
        if depth >= (2 if path[0] != "metrics" else 3) and is_include(node):
            return self._text(node, path) or node
        if isinstance(node.value, dict):
            value: Any = {
                key: self._within(child, (*path, key), depth + 1) for key, child in node.value.items()
            }
        elif isinstance(node.value, list):
            value = [self._within(child, (*path, index), depth + 1) for index, child in children(node)]
        else:
            return node
        return msgspec.structs.replace(node, value=value)

    def _read(self, node: Node, path: Path) -> tuple[str, str] | None:
        named: Node = node.value["file"]
        try:
            file = self._folder.inside(named.value, origin=self._folder.origin(named.position.file))
            text = self._folder.read_text(file)
        except FileRefused as error:
            self._findings.error(error.message, named.position, path=dotted((*path, "file")), hint=error.hint)
            self.failed.add(path)
            return None
        name = self._folder.name(file)
        self.files[self._folder.key(file)] = digest(text.encode())
        return text, name

    def _text(self, node: Node, path: Path) -> Node | None:
        read = self._read(node, path)
        if read is None:
            return None
        text, name = read
        return Node(value=text.strip("\n"), position=Position(name, 1, 1, 2), key=node.key)

    def _rows(self, node: Node, path: Path) -> Node | None:
        """Rows out of a JSONL file, each standing at its line."""
        read = self._read(node, path)
        if read is None:
            return None
        text, name = read
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            position = Position(name, number, 1, len(line) + 1)
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                self._findings.error(f"not JSON: {error}", position, path=dotted(path))
                continue
            if not isinstance(row, dict):
                self._findings.error(
                    "a row is an object with a key for each field", position, path=dotted(path)
                )
                continue
            rows.append(_node(row, position))
        return Node(value=rows, position=Position(name, 1, 1, 2), key=node.key)


def is_include(node: Node | None) -> bool:
    """True for `{file: …}`."""
    if node is None or not isinstance(node.value, dict) or "file" not in node.value:
        return False
    return node.value.keys() <= {"file", "keep"} and isinstance(node.value["file"].value, str)


def _node(value: Any, position: Position) -> Node:
    if isinstance(value, dict):
        return Node(value={key: _node(child, position) for key, child in value.items()}, position=position)
    if isinstance(value, list):
        return Node(value=[_node(child, position) for child in value], position=position)
    return Node(value=value, position=position)
