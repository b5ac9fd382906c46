"""The targets of `promptc export`, by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from promptc.cli.exports.subject import Export

TARGETS: Mapping[str, str] = {
    "messages": "promptc.cli.exports.messages:messages",
    "markdown": "promptc.cli.exports.markdown:markdown",
    "spec": "promptc.cli.exports.spec_file:spec_file",
    "python": "promptc.cli.exports.python_file:python_file",
    "dspy": "promptc.cli.exports.dspy_state:dspy_state",
    "promptfoo": "promptc.cli.exports.promptfoo:promptfoo",
}


def export_to(target: str) -> Export:
    """The function that writes for a target."""
    module, _, name = TARGETS[target].partition(":")
    found: Export = getattr(import_module(module), name)
    return found
