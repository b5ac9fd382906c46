"""Messages as text for a person, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.models.prices import PriceMap
from promptc.runners.models.request import Message
from promptc.runners.models.settings import calls_tools
from promptc.runners.program import CompiledProgram
from promptc.runners.tools.protocol import Function
from promptc.spec.errors import UsageError
from promptc.spec.fields import Field

Upstream = Mapping[str, Mapping[str, Any]]
"""By predictor what was wired into it in some run."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What `render` shows: a program, perhaps on a row, with what a run wired in and which tools there are."""

    compiled: CompiledProgram
    row: Mapping[str, Any] | None = None
    step: str | None = None
    upstream: Upstream = {}
    functions: Mapping[str, Sequence[Function]] = {}


class Rendered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one predictor is sent first. `tools` are those that its provider is told of."""

    predictor: str
    messages: tuple[Message, ...]
    tools: tuple[Any, ...] = ()


def rendered_text(view: View) -> str:
    """Every message under a line that names its predictor and role."""
    parts = []
    for one in _rendered(view):
        parts += [f"--- {one.predictor}: {m.role} ---\n{m.shown()}\n" for m in one.messages]
        if one.tools:
            shown = "\n".join(msgspec.json.encode(tool["function"]).decode() for tool in one.tools)
            parts.append(f"--- {one.predictor}: tools ---\n{shown}\n")
    return "\n".join(parts)


def rendered_json(view: View) -> str:
    """A list of predictors with their messages."""
    return msgspec.json.format(msgspec.json.encode(list(_rendered(view))), indent=2).decode() + "\n"


def _rendered(view: View) -> Iterator[Rendered]:
    compiled = view.compiled
    prices = PriceMap()
    for name in _chosen(compiled, view.step):
        predictor = compiled.speakers[name].predictor
        spec = compiled.program.spec
        native = calls_tools(spec.model_named(predictor.model), prices, spec.base)
        talk = compiled.talk(name, view.functions, native=native)
        params = talk.params(final=False) if talk is not None else {}
        messages = compiled.messages(name, _inputs(view, name), talk)
        yield Rendered(predictor=name, messages=messages, tools=tuple(params.get("tools", ())))


def _chosen(compiled: CompiledProgram, step: str | None) -> list[str]:
    names = list(compiled.speakers)
    if step is None:
        return names
    found = [name for name in names if name == step or compiled.speakers[name].predictor.step == step]
    if not found:
        raise UsageError(f"--step {step}: there is no such predictor", f"there are: {', '.join(names)}")
    return found


def _inputs(view: View, name: str) -> dict[str, Any]:
    """The row's values, and those that a run wired in; what is not known is a gap."""
    speaker = view.compiled.speakers[name]
    known = (
        view.compiled.program.known_inputs(speaker.predictor.step, view.row) if view.row is not None else {}
    )
    given = {**known, **view.upstream.get(name, {})}
    return {f.name: given[f.name] if f.name in given else _gap(f) for f in speaker.signature.inputs}


def _gap(field: Field) -> Any:
    gap = f"‹{field.name}›"
    return [{"role": "user", "content": gap}] if field.holds_turns else gap
