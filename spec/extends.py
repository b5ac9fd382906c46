"""`extends: shared.yaml`: a spec on top of another. Maps merge, lists and everything else replace."""

from __future__ import annotations

from pathlib import Path

import msgspec

from promptc.spec.diagnostics import Findings
from promptc.spec.files import FileRefused, Folder, digest
from promptc.spec.nodes import Node
from promptc.spec.tree import parse

MAX_CHAIN = 16


def merge(lower: Node, upper: Node) -> Node:
    """The upper tree over the lower one. Each value keeps the place where it was written."""
    if not (isinstance(lower.value, dict) and isinstance(upper.value, dict)):
        return upper
    merged = dict(lower.value)
    for key, child in upper.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return msgspec.structs.replace(upper, value=merged)


class Extender:
    """Follows `extends:` from file to file. `files` collects the digest of every file that was read."""

    def __init__(self, folder: Folder, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self.files: dict[str, str] = {}

    def extend(self, root: Node, own: Path | None) -> Node:
        """The tree with what it extends below it, and without the key. `own` is the file of the tree, if it
        has one.
        """
        chain = [own] if own is not None else []
        layers = [root]
        origin = own
        node = self._without(layers, 0)
        while node is not None:
            path = self._named(node, origin, chain)
            below = self._read(path, node) if path is not None else None
            if path is None or below is None:
                break
            chain.append(path)
            layers.append(below)
            origin = path
            node = self._without(layers, len(layers) - 1)
        merged = layers[-1]
        for layer in reversed(layers[:-1]):
            merged = merge(merged, layer)
        return merged

    def _without(self, layers: list[Node], index: int) -> Node | None:
        """Takes `extends` out of a layer, and returns what it said."""
        layer = layers[index]
        if not isinstance(layer.value, dict) or "extends" not in layer.value:
            return None
        rest = {key: child for key, child in layer.value.items() if key != "extends"}
        layers[index] = msgspec.structs.replace(layer, value=rest)
        node: Node = layer.value["extends"]
        return node

    def _named(self, node: Node, origin: Path | None, chain: list[Path]) -> Path | None:
        if not isinstance(node.value, str):
            self._findings.error(
                "extends: takes the name of one file", node.place, path="extends", hint="such as shared.yaml"
            )
            return None
        try:
            path = self._folder.inside(node.value, origin=origin.parent if origin is not None else None)
        except FileRefused as error:
            self._findings.error(error.message, node.position, path="extends", hint=error.hint)
            return None
        if path in chain or len(chain) >= MAX_CHAIN:
            names = " → ".join(self._folder.name(step) for step in [*chain, path])
            self._findings.error(f"extends: goes around in a circle: {names}", node.position, path="extends")
            return None
        return path

    def _read(self, path: Path, node: Node) -> Node | None:
        try:
            content = self._folder.read(path)
        except FileRefused as error:
            self._findings.error(error.message, node.position, path="extends", hint=error.hint)
            return None
        name = self._folder.name(path)
        document, findings = parse(content, name)
        self._findings.extend(findings)
        self.files[self._folder.key(path)] = digest(content)
        if document is None:
            return None
        if not isinstance(document.root.value, dict):
            self._findings.error(f"{name} is no mapping of keys", document.root.position, path="extends")
            return None
        return document.root
