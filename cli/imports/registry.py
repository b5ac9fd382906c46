"""Where `promptc import` can import from, by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from promptc.cli.imports.imported import Import

ORIGINS: Mapping[str, str] = {
    "dspy": "promptc.cli.imports.dspy_state:from_dspy",
    "promptfoo": "promptc.cli.imports.promptfoo:from_promptfoo",
}


def import_from(origin: str) -> Import:
    """The function that reads what an origin has."""
    module, _, name = ORIGINS[origin].partition(":")
    found: Import = getattr(import_module(module), name)
    return found
