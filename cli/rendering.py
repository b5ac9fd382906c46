"""Messages as text for a person, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.models.request import Message
from promptc.runners.program import CompiledProgram
from promptc.spec.errors import UsageError
from promptc.spec.fields import Field

Upstream = Mapping[str, Mapping[str, Any]]
"""By predictor what was wired into it in some run."""


def rendered_text(
    compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None, upstream: Upstream
) -> str:
    """Every message under a line that names its predictor and role."""
    parts = []
    for name, messages in _chosen(compiled, row, step, upstream).items():
        for message in messages:
            parts.append(f"--- {name}: {message.role} ---\n{message.shown()}\n")
    return "\n".join(parts)


def rendered_json(
    compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None, upstream: Upstream
) -> str:
    """A list of predictors with their messages."""
    document = [
        {"predictor": name, "messages": messages}
        for name, messages in _chosen(compiled, row, step, upstream).items()
    ]
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _chosen(
    compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None, upstream: Upstream
) -> dict[str, tuple[Message, ...]]:
    names = list(compiled.speakers)
    if step is not None:
        found = [name for name in names if name == step or compiled.speakers[name].predictor.step == step]
        if not found:
            raise UsageError(f"--step {step}: there is no such predictor", f"there are: {', '.join(names)}")
        names = found
    return {name: compiled.messages(name, _inputs(compiled, name, row, upstream)) for name in names}


def _inputs(
    compiled: CompiledProgram, name: str, row: Mapping[str, Any] | None, upstream: Upstream
) -> dict[str, Any]:
    """The row's values, and those that a run wired in; what is not known is a gap."""
    speaker = compiled.speakers[name]
    known = compiled.program.known_inputs(speaker.predictor.step, row) if row is not None else {}
    given = {**known, **upstream.get(name, {})}
    return {f.name: given[f.name] if f.name in given else _gap(f) for f in speaker.signature.inputs}


def _gap(field: Field) -> Any:
    gap = f"‹{field.name}›"
    return [{"role": "user", "content": gap}] if field.holds_turns else gap
