"""Resolves a plug-in's name to its class, late, and its parameters to an object."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import msgspec

from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.plugin import Plugin


def load_class(target: str) -> Any:
    """The class behind `"module:Class"`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def build(registry: Mapping[str, str], plugin: Plugin) -> Any:
    """The plug-in as an object with its parameters. Raises SpecError at the plug-in's position."""
    if plugin.name not in registry:
        known = ", ".join(sorted(registry))
        raise SpecError((Diagnostic(message=f"unknown {plugin.kind} `{plugin.name}`", position=plugin.position,
                                    hint=f"there are: {known}"),))  # fmt: skip
    cls = load_class(registry[plugin.name])
    try:
        return msgspec.convert(plugin.params, cls)
    except msgspec.ValidationError as error:
        finding = Diagnostic(message=f"{plugin.kind} `{plugin.name}`: {error}", position=plugin.position)
        raise SpecError((finding,)) from error
