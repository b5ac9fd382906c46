"""`--set a.b=c`: keys that the command line writes over the file."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from promptc.spec.diagnostics import Diagnostic, Findings, Position
from promptc.spec.files import FLAGS, OVERRIDE
from promptc.spec.nodes import Node, Path, dotted, split_dotted
from promptc.spec.tree import parse


def override_all(root: Node, overrides: Sequence[str], findings: Findings) -> Node:
    """The tree with the overrides in it, the last one winning. What is wrong with one leaves it out."""
    for text in overrides:
        root = _override(root, text, findings)
    return root


def named(diagnostic: Diagnostic) -> Diagnostic:
    """A finding about what a flag says names the flag instead of a place in a file."""
    position = diagnostic.position
    if position is None or not position.file.startswith(FLAGS):
        return diagnostic
    message = f"{position.file}: {diagnostic.message}"
    return msgspec.structs.replace(diagnostic, message=message, position=None)


def changed(root: Node, path: Path, value: Node, position: Position, findings: Findings) -> Node:
    """The tree with a value at a path. What stands in its way is noted at `position`, and leaves the tree as it is."""
    try:
        return _put(root, path, value, position)
    except LookupError as error:
        findings.error(str(error.args[0]), position, path=dotted(path))
        return root


def _override(root: Node, text: str, findings: Findings) -> Node:
    left, equals, right = text.partition("=")
    position = Position(f"{OVERRIDE}{text}", 1, 1, max(2, len(left) + 1))
    if not equals:
        findings.error("no = in it", position, hint="write --set key=value, such as --set run.seed=1")
        return root
    try:
        path = split_dotted(left.strip())
    except ValueError as error:
        findings.error(f"{error} in front of the =", position, hint="write --set models.task.timeout=30")
        return root
    value = _value(right, position, findings)
    if value is None:
        return root
    return changed(root, path, value, position, findings)


def _value(text: str, position: Position, findings: Findings) -> Node | None:
    """The value as YAML; nothing behind the `=` is null."""
    if not text.strip():
        return Node(value=None, position=position)
    document, found = parse(text, position.file)
    findings.extend(found)
    if document is None:
        return None
    return moved(document.root, position)


def moved(node: Node, position: Position) -> Node:
    """The same tree, all of it standing at the flag."""
    value = node.value
    if isinstance(value, dict):
        value = {key: moved(child, position) for key, child in value.items()}
    elif isinstance(value, list):
        value = [moved(child, position) for child in value]
    return Node(value=value, position=position, key=position)


def _put(node: Node, path: Path, value: Node, position: Position, walked: Path = ()) -> Node:
    """A tree with the value at the path; mappings on the way are made where there are none."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(node.value, list):
        if not isinstance(part, int) or part >= len(node.value):
            raise LookupError(f"there is no entry {part} in a list of {len(node.value)}")
        changed = list(node.value)
        changed[part] = _put(changed[part], rest, value, position, (*walked, part))
        return msgspec.structs.replace(node, value=changed)
    entries = _entries(node, walked)
    name = str(part)
    below = entries.get(name, Node(value=None, position=position, key=position))
    entries[name] = _put(below, rest, value, position, (*walked, part))
    if isinstance(node.value, dict):
        return msgspec.structs.replace(node, value=entries)
    return Node(value=entries, position=position, key=position)


def _entries(node: Node, walked: Path) -> dict[str, Node]:
    """The keys that an override adds to. What was written in short counts as its long form."""
    if isinstance(node.value, dict):
        return dict(node.value)
    if isinstance(node.value, str) and len(walked) == 2 and walked[0] == "models":
        return {"model": node}
    if isinstance(node.value, str) and walked == ("data",):
        return {"path": node}
    return {}
