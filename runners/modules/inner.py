"""Modules inside modules: how one is written, built and asked whether it fits a step."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from promptc.runners.modules.protocol import Choosy, Module
from promptc.runners.modules.registry import MODULES
from promptc.runners.plugins import build
from promptc.spec.errors import SpecError
from promptc.spec.fields import Signature
from promptc.spec.plugin import Plugin

Inner = Annotated[
    str | dict[str, Any],
    msgspec.Meta(
        description="The module that is run: its name, or a mapping from its name to its parameters.",
        examples=["chain_of_thought"],
    ),
]


def build_inner(entry: str | dict[str, Any]) -> Module:
    """The module as a spec writes it. Raises ValueError that says what is wrong."""
    name, params = _split(entry)
    try:
        module: Module = build(MODULES, Plugin(kind="module", name=name, params=params))
    except SpecError as error:
        found = error.diagnostics[0]
        raise ValueError(f"{found.message}; {found.hint}" if found.hint else found.message) from error
    return module


def unfit(module: Module, signature: Signature, checks: int) -> str:
    """Why the module cannot carry out a step with this signature and so many assertions; "" where it can."""
    return module.unfit(signature, checks) if isinstance(module, Choosy) else ""


def _split(entry: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise ValueError(f"a module is one name, or one name with parameters; here are {len(entry)} keys")
    [(name, params)] = entry.items()
    if params is not None and not isinstance(params, dict):
        raise ValueError(f"module `{name}`: its parameters must be a mapping, not {params!r}")
    return name, params or {}
