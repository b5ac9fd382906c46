"""What is wrong with the tools of a spec, and what they offer, as far as that is known without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from promptc.runners.plugins import build
from promptc.runners.program import Program
from promptc.runners.tools.protocol import Function, ToolKind
from promptc.runners.tools.registry import TOOLS
from promptc.runners.tools.toolbox import described
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError, UsageError
from promptc.spec.model import Spec
from promptc.spec.suggest import did_you_mean


def known_functions(spec: Spec) -> dict[str, tuple[Function, ...] | None]:
    """What each tool offers, by the tool's name; None where only the outside knows. Raises SpecError."""
    found: dict[str, tuple[Function, ...] | None] = {}
    for name, use in spec.tools.items():
        kind: ToolKind = build(TOOLS, use.plugin)
        try:
            offered = kind.offered(use.name, Path(spec.base))
        except ValueError as error:
            raise SpecError(
                (Diagnostic(message=f"the tool {use.name}: {error}", position=use.position),)
            ) from error
        found[name] = None if offered is None else tuple(described(use, function) for function in offered)
    return found


def tool_findings(spec: Spec) -> list[Diagnostic]:
    """Tools that cannot be built, functions that are none, retrievers that nobody has declared."""
    return [*_unbuilt(spec), *_unknown_retrievers(spec)]


def refuse_without_stubs(program: Program) -> None:
    """Raise UsageError where a tool that changes something would be called, and has no stub at all."""
    known = known_functions(program.spec)
    for key in program.tools():
        use = program.spec.tools[key]
        if not use.stubs and any(function.effects == "write" for function in known[key] or ()):
            raise UsageError(
                f"the tool {use.name} changes something outside, and eval and optimize call it many times",
                "give it stubs: that answer instead, or pass --allow-effects",
            )


def _unbuilt(spec: Spec) -> Iterator[Diagnostic]:
    for name, use in spec.tools.items():
        try:
            kind: ToolKind = build(TOOLS, use.plugin)
            kind.offered(use.name, Path(spec.base))
        except SpecError as error:
            yield from error.diagnostics
        except ValueError as error:
            yield Diagnostic(
                message=f"the tool {use.name}: {error}", position=use.position, path=f"tools.{name}"
            )


def _unknown_retrievers(spec: Spec) -> Iterator[Diagnostic]:
    for name, use in spec.tools.items():
        wanted = use.plugin.params.get("name")
        if use.plugin.name == "retriever" and wanted not in spec.resolved.get("retrievers", {}):
            near = did_you_mean(str(wanted), list(spec.resolved.get("retrievers", {})))
            yield Diagnostic(
                message=f'no retriever is called "{wanted}"',
                position=use.position,
                path=f"tools.{name}",
                hint=near or "declare it under retrievers:",
            )
