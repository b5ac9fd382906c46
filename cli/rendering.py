"""Messages as text for a person, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.models.request import Message
from promptc.runners.program import CompiledProgram
from promptc.spec.errors import UsageError
from promptc.spec.fields import Field


def rendered_text(compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None) -> str:
    """Every message under a line that names its predictor and role."""
    parts = []
    for name, messages in _chosen(compiled, row, step).items():
        for message in messages:
            parts.append(f"--- {name}: {message.role} ---\n{message.shown()}\n")
    return "\n".join(parts)


def rendered_json(compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None) -> str:
    """A list of predictors with their messages."""
    document = [
        {"predictor": name, "messages": messages} for name, messages in _chosen(compiled, row, step).items()
    ]
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _chosen(
    compiled: CompiledProgram, row: Mapping[str, Any] | None, step: str | None
) -> dict[str, tuple[Message, ...]]:
    names = list(compiled.speakers)
    if step is not None:
        if step not in names:
            raise UsageError(f"--step {step}: there is no such predictor", f"there are: {', '.join(names)}")
        names = [step]
    return {name: compiled.messages(name, _inputs(compiled, name, row)) for name in names}


def _inputs(compiled: CompiledProgram, name: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The row's values; what is not known is a gap."""
    fields = compiled.speakers[name].signature.inputs
    return {f.name: _gap(f) if row is None or f.name not in row else row[f.name] for f in fields}


def _gap(field: Field) -> Any:
    gap = f"‹{field.name}›"
    return [{"role": "user", "content": gap}] if field.holds_turns else gap
