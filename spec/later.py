"""What the grammar has and this version does not carry out yet: said plainly, never ignored."""

from __future__ import annotations

from promptc.spec.building import Parts
from promptc.spec.grammar import ANNOUNCED, LATER, Later
from promptc.spec.nodes import Node, Path, children, dotted
from promptc.spec.program import short_signature

_NOT_YET = "is not available yet in this version"


def refuse_later(parts: Parts) -> bool:
    """Note every key, value and plug-in that has to wait. True when the program itself is one of them."""
    for later in LATER:
        for path, node in _matches(parts.root, later):
            if parts.usable(path):
                shown = (
                    f"{dotted(path)}:" if later.unless is _nothing() else f"{dotted(path)}: {_shown(node)}"
                )
                parts.findings.error(f"{shown} {_NOT_YET}", node.place, path=dotted(path), hint=_hint(later))
    _several_objectives(parts)
    for kind, names in ANNOUNCED.items():
        _announced(parts, kind, names)
    if "pipeline" in parts.root.value:
        _check_pipeline(parts)
        return True
    for key in ("inputs", "outputs"):
        node = parts.root.value.get(key)
        if node is not None:
            parts.findings.error(
                f"{key}: at the top belongs to a pipeline",
                node.place,
                path=key,
                hint=f"write fields: {{{key}: …}}",
            )
    return False


def _nothing() -> object:
    return Later(()).unless


def _shown(node: Node) -> str:
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return str(node.value)


def _hint(later: Later) -> str:
    if later.path == ("pipeline",):
        return "one step is written with fields: or signature:, instructions: and module:"
    return ""


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


def _several_objectives(parts: Parts) -> None:
    node = parts.whole("objective")
    if node is not None and isinstance(node.value, list) and len(node.value) > 1:
        parts.findings.error(f"an objective of several metrics {_NOT_YET}", node.place, path="objective")


def _announced(parts: Parts, kind: str, names: tuple[str, ...]) -> None:
    node = parts.root.value.get(kind)
    if node is None or not parts.sound((kind,)):
        return
    name = node.value if isinstance(node.value, str) else next(iter(node.value))
    if name in names:
        parts.findings.error(f"the {kind} {name} {_NOT_YET}", node.place, path=kind)


def _check_pipeline(parts: Parts) -> None:
    """The signatures and expressions of the steps, so that what is wrong in them shows now."""
    for path, step in parts.entries("pipeline"):
        signature = step.value.get("signature")
        if signature is not None:
            short_signature(signature, (*path, "signature"), parts.findings)
        for key in ("when", "foreach"):
            if key in step.value:
                parts.expression(step.value[key], (*path, key), None)
        for key in ("inputs", "set"):
            for name, child in children(step.value[key]) if key in step.value else []:
                parts.expression(child, (*path, key, name), None)
        for index, check in children(step.value["assert"]) if "assert" in step.value else []:
            text = check.value["check"] if isinstance(check.value, dict) else check
            parts.expression(text, (*path, "assert", index), None)
    for path, output in parts.entries("outputs"):
        parts.expression(output, path, None)
