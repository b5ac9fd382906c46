"""What the grammar has and this version does not carry out yet: said plainly, never ignored."""

from __future__ import annotations

from promptc.spec.building import Parts
from promptc.spec.grammar import LATER, Later
from promptc.spec.nodes import Node, Path, children, dotted

_NOT_YET = "is not available yet in this version"


def refuse_later(parts: Parts) -> None:
    """Note every key and value that has to wait."""
    for later in LATER:
        for path, node in _matches(parts.root, later):
            if parts.usable(path):
                shown = (
                    f"{dotted(path)}:" if later.unless is _nothing() else f"{dotted(path)}: {_shown(node)}"
                )
                parts.findings.error(f"{shown} {_NOT_YET}", node.place, path=dotted(path))


def _nothing() -> object:
    return Later(()).unless


def _shown(node: Node) -> str:
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return str(node.value)


def _matches(root: Node, later: Later) -> list[tuple[Path, Node]]:
    """The places of a key, with `*` for any, where it asks for something."""
    found: list[tuple[Path, Node]] = [((), root)]
    for part in later.path:
        found = [
            ((*path, key), child)
            for path, node in found
            if isinstance(node.value, dict)
            for key, child in children(node)
            if part in ("*", key)
        ]
    return [(path, node) for path, node in found if later.unless is _nothing() or node.value != later.unless]
