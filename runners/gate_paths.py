"""Which figures a gate may name: the numbers in summary.json and timing.json, found in their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from promptc.runners.summary import Summary
from promptc.runners.timing import Timing
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.model import Gate, Spec
from promptc.spec.suggest import did_you_mean

_NAMED_BY_THE_SPEC = ("metrics", "slices", "tallies")


def gate_findings(spec: Spec) -> list[Diagnostic]:
    """Gates whose figure does not exist in any command's result."""
    return [finding for gate in spec.gates if (finding := _finding(gate, spec)) is not None]


def _finding(gate: Gate, spec: Spec) -> Diagnostic | None:
    parts = gate.path.split(".")
    problems = [_walk(kind, parts, spec) for kind in (Summary, Timing)]
    if not all(problems):
        return None
    hint = _without_part(parts, spec) or _hint(problems, parts[0])
    return Diagnostic(
        message=f"no run has the figure `{gate.path}`",
        position=gate.position,
        path="gates",
        hint=hint or "such as test.score, test.improvement.ci_low, test.metrics.NAME.score, usd",
    )


def _hint(problems: Sequence[tuple[str, str] | None], first: str) -> str:
    """What may be meant; where the path starts as one of a summary's does, only what a summary says of it."""
    summary, timing = get_type_hints(Summary), get_type_hints(Timing)
    if first not in summary and first not in timing:
        return did_you_mean(first, [*summary, *timing])
    problem = problems[0 if first in summary else 1]
    return problem[1] if problem else ""


def _without_part(parts: Sequence[str], spec: Spec) -> str:
    """The path without one part, where that is a figure: `dev.ci_low` for `dev.score.ci_low`."""
    for index in range(1, len(parts) - 1):
        shorter = [*parts[:index], *parts[index + 1 :]]
        if _walk(Summary, shorter, spec) is None:
            return ".".join(shorter)
    return ""


def _walk(kind: Any, parts: Sequence[str], spec: Spec) -> tuple[str, str] | None:
    """What is wrong with a path into a type, with a suggestion; None when it ends at a number."""
    kind = _required(kind)
    if kind is Any:
        return None
    if not parts:
        return None if kind in (int, float) else ("not a number", "")
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = get_type_hints(kind)
        if parts[0] not in fields:
            return ("unknown", did_you_mean(parts[0], list(fields)))
        if parts[0] in _NAMED_BY_THE_SPEC and len(parts) > 1:
            return _below(parts[0], fields[parts[0]], parts[1:], spec)
        return _walk(fields[parts[0]], parts[1:], spec)
    if get_origin(kind) is dict:
        return _walk(get_args(kind)[1], parts[1:], spec)
    return ("not a number", "")


def _below(name: str, kind: Any, parts: Sequence[str], spec: Spec) -> tuple[str, str] | None:
    """A path below metrics, tallies or slices, whose first key is a name that the spec gives. Names may hold dots."""
    known = list(spec.sliced) if name == "slices" else [metric.name for metric in spec.metrics]
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in known:
            inner = get_args(kind)[1]
            if name == "slices":
                return _last(inner, parts[length:], spec)
            return _walk(inner, parts[length:], spec)
    return ("unknown", did_you_mean(parts[0], known))


def _last(kind: Any, parts: Sequence[str], spec: Spec) -> tuple[str, str] | None:
    """A slice's value may hold dots, so only the figure at the end can be checked."""
    if len(parts) < 2:
        return ("not a number", "")
    return _walk(get_args(kind)[1], parts[-1:], spec)


def _required(kind: Any) -> Any:
    """The type without `| None`."""
    arguments = [a for a in get_args(kind) if a is not type(None)]
    if len(arguments) == 1 and type(None) in get_args(kind):
        return arguments[0]
    return kind
