"""Gates: promises about figures, held against summary.json and timing.json. All are evaluated, all are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.summary import GateResult
from promptc.spec.model import Gate

SPLITS = ("train", "dev", "test", "all")

_COMPARE = {
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def held_against(
    gates: Sequence[Gate], summary: Mapping[str, Any], timing: Mapping[str, Any]
) -> list[GateResult]:
    """The result of each gate, in order. Unrounded figures decide.

    A figure of a split that was not scored, or of another command, makes a gate `not applicable`; a figure that a
    scored split should have and has not (the budget ended, a slice has no rows) makes it `missing`. Without held-out
    rows, gates on test fail.
    """
    return [msgspec.structs.replace(_held(gate, summary, timing), threshold=gate.value) for gate in gates]


def _held(gate: Gate, summary: Mapping[str, Any], timing: Mapping[str, Any]) -> GateResult:
    value = look_up(summary, gate.path)
    if value is None:
        value = look_up(timing, gate.path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        split = gate.path.split(".", 1)[0]
        scored = summary.get(split) if split in SPLITS else None
        if scored is None and split == "test" and summary.get("command") == "optimize":
            return GateResult(text=gate.text, value=None, status="failed")
        promised = isinstance(scored, Mapping) and not _of_a_search(gate.path)
        return GateResult(text=gate.text, value=None, status="missing" if promised else "not applicable")
    met = _COMPARE[gate.operator](float(value), gate.value)
    return GateResult(text=gate.text, value=float(value), status="met" if met else "failed")


def _of_a_search(path: str) -> bool:
    """True for the figures of a split that only `optimize` has."""
    return path.split(".")[1:2] in (["improvement"], ["start"])


def look_up(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path. A key that itself holds dots is found too, the longest match first."""
    parts = path.split(".")
    return _descend(tree, parts)


def _descend(node: Any, parts: list[str]) -> Any:
    if not parts:
        return None if isinstance(node, Mapping) else node
    if not isinstance(node, Mapping):
        return None
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in node:
            found = _descend(node[key], parts[length:])
            if found is not None:
                return found
    return None
