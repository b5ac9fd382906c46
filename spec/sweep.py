"""`sweep:` and `--sweep`: alternatives for keys of a spec, of which every combination is a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path as FilePath
from typing import Any

import msgspec

from promptc.spec.diagnostics import Findings, Position
from promptc.spec.files import SWEEP
from promptc.spec.nodes import Node, Path, children, dotted, plain, split_dotted
from promptc.spec.overrides import moved
from promptc.spec.tree import parse

MAX_CELLS = 1_000
"""More combinations than this are a mistake."""
FIXED = ("version", "extends", "sweep")
"""Keys that are the same in every cell."""


class Change(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One key with the value that it has in a cell; `position` is where the key is written."""

    path: Path
    value: Node
    position: Position

    @property
    def key(self) -> str:
        """The key as it is written."""
        return dotted(self.path)


Patch = tuple[Change, ...]
"""What a cell changes, or the part of it that stands together."""


class Axis(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Alternatives of which a cell takes one: the values of a key, or the lines of a file of patches."""

    title: str
    alternatives: tuple[Patch, ...]
    position: Position

    @property
    def paths(self) -> frozenset[Path]:
        """Every key that it changes."""
        return frozenset(change.path for patch in self.alternatives for change in patch)


def spec_axes(root: Node, findings: Findings) -> list[Axis]:
    """What the spec's own `sweep:` says. Notes what is wrong with it."""
    section = root.value.get("sweep") if isinstance(root.value, dict) else None
    if section is None or section.value is None:
        return []
    if not isinstance(section.value, dict):
        findings.error(
            "sweep: takes keys with lists of values",
            section.place,
            path="sweep",
            hint="such as sweep: {models.task: [openai/gpt-4.1-mini, anthropic/claude-haiku-4-5]}",
        )
        return []
    axes = []
    for key, values in section.value.items():
        place = values.key or values.position
        path = _path(str(key), place, findings)
        axis = _axis(path, values, place, findings) if path is not None else None
        axes += [axis] if axis is not None else []
    return axes


def option_axis(text: str, findings: Findings) -> Axis | None:
    """What one `--sweep` says: `key=v1,v2`, or a JSONL file of patches. Notes what is wrong with it."""
    if text.endswith((".jsonl", ".ndjson")) and ("=" not in text or os.path.exists(text)):
        return _patches(text, findings)
    left, equals, right = text.partition("=")
    place = Position(f"{SWEEP}{text}", 1, 1, max(2, len(left) + 1))
    if not equals:
        findings.error(
            "no = in it, and no .jsonl file",
            place,
            hint="write --sweep models.task=a/b,c/d, or name a JSONL file of patches",
        )
        return None
    path = _path(left.strip(), place, findings)
    if path is None:
        return None
    document, found = parse(f"[{right}]", place.file)
    findings.extend(found)
    return _axis(path, moved(document.root, place), place, findings) if document is not None else None


def joined(own: Sequence[Axis], given: Sequence[Axis], findings: Findings) -> tuple[Axis, ...]:
    """The spec's axes and those of the command line, which take the place of the spec's for the same keys."""
    replaced = frozenset(path for axis in given for path in axis.paths)
    axes = [axis for axis in own if not axis.paths & replaced] + list(given)
    for number, axis in enumerate(axes):
        for other in axes[:number]:
            for path in sorted(axis.paths & other.paths, key=dotted):
                findings.error(
                    f"{dotted(path)} is swept twice", axis.position, path=dotted(path), hint="keep one"
                )
    return tuple(axes)


def combinations(axes: Sequence[Axis], findings: Findings) -> tuple[Patch, ...]:
    """The patch of every cell, the last axis changing fastest."""
    count = 1
    for axis in axes:
        count *= len(axis.alternatives)
    if count > MAX_CELLS:
        lengths = " × ".join(str(len(axis.alternatives)) for axis in axes)
        message = f"the sweep has {lengths} = {count:,} cells, and at most {MAX_CELLS:,} are run"
        findings.error(
            message, axes[0].position, path="sweep", hint="sweep fewer values, or name patches in a file"
        )
        return ()
    if not axes:
        return ()
    return tuple(
        tuple(change for patch in chosen for change in patch)
        for chosen in product(*(axis.alternatives for axis in axes))
    )


def _path(key: str, position: Position, findings: Findings) -> Path | None:
    try:
        path = split_dotted(key)
    except ValueError as error:
        findings.error(f"{error} in the key {key!r}", position, path="sweep", hint="such as models.task")
        return None
    if path[0] in FIXED:
        findings.error(f"{path[0]}: is the same in every cell and cannot be swept", position, path="sweep")
        return None
    return path


def _axis(path: Path, values: Node, position: Position, findings: Findings) -> Axis | None:
    key = dotted(path)
    if not isinstance(values.value, list):
        findings.error(
            f"{key}: takes a list of values",
            values.place,
            path=dotted(("sweep", key)),
            hint=f"[{plain(values)}]",
        )
        return None
    if not values.value:
        findings.error(
            f"{key}: the list is empty, so no cell is left", values.place, path=dotted(("sweep", key))
        )
        return None
    seen: dict[bytes, Any] = {}
    for _, node in children(values):
        content = msgspec.json.encode(plain(node), order="deterministic")
        if content in seen:
            findings.error(f"{key}: a value stands in it twice", node.place, path=dotted(("sweep", key)))
            return None
        seen[content] = node
    patches = tuple((Change(path=path, value=node, position=position),) for node in seen.values())
    return Axis(title=key, alternatives=patches, position=position)


def _patches(name: str, findings: Findings) -> Axis | None:
    """The lines of a file, each a mapping from keys to the values that a cell has for them."""
    top = Position(name, 1, 1, 2)
    try:
        lines = FilePath(name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        findings.error(f"{SWEEP}{name} cannot be read: {reason}", None, path="sweep")
        return None
    patches = [_patch(name, number, line, findings) for number, line in enumerate(lines, 1) if line.strip()]
    if not patches:
        findings.error("the file holds no patch", top, path="sweep", hint='a line is {"models.task": "a/b"}')
    if not patches or any(patch is None for patch in patches):
        return None
    return Axis(title=name, alternatives=tuple(patch for patch in patches if patch is not None), position=top)


def _patch(name: str, number: int, line: str, findings: Findings) -> Patch | None:
    document, found = parse(line, name)
    findings.extend(msgspec.structs.replace(item, position=_on_line(item.position, number)) for item in found)
    if document is None or found:
        return None
    root = _at_line(document.root, number)
    if not isinstance(root.value, dict) or not root.value:
        findings.error(
            "a patch is an object from keys to values",
            root.place,
            path="sweep",
            hint='{"models.task": "a/b"}',
        )
        return None
    changes = [
        Change(path=path, value=node, position=node.key or node.position)
        for key, node in root.value.items()
        if (path := _path(str(key), node.key or node.position, findings)) is not None
    ]
    return tuple(changes) if len(changes) == len(root.value) else None


def _at_line(node: Node, line: int) -> Node:
    """The same tree, read from a line further down in its file."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _at_line(child, line) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_at_line(child, line) for child in value]
    place = _on_line(node.position, line) or node.position
    return msgspec.structs.replace(node, value=value, position=place, key=_on_line(node.key, line))


def _on_line(position: Position | None, line: int) -> Position | None:
    return None if position is None else msgspec.structs.replace(position, line=line + position.line - 1)


def in_words(changes: Iterable[Change]) -> tuple[tuple[str, Any], ...]:
    """Each key with its plain value. A credential's value is left out: it stands in no label and no file."""
    return tuple((change.key, _shown(change)) for change in changes)


def _shown(change: Change) -> Any:
    secret = {"api_key", "api_key_command", "headers"} & {str(part) for part in change.path}
    return "…" if secret else _without_credentials(plain(change.value))


def _without_credentials(value: Any) -> Any:
    if isinstance(value, dict):
        hidden = ("api_key", "api_key_command", "headers")
        return {key: "…" if key in hidden else _without_credentials(part) for key, part in value.items()}
    return value
