"""From click's parameters to the objects that commands work with."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptc.cli.console import Terminal, open_terminal
from promptc.spec.errors import UsageError

if TYPE_CHECKING:
    from promptc.cli.opening import Choices

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def open_view(typed: Mapping[str, Any]) -> Terminal:
    """The terminal as the view options want it."""
    verbosity = -1 if typed.get("quiet") else int(typed.get("verbose") or 0)
    return open_terminal(
        sys.stdout, sys.stderr, os.environ, color=typed.get("color", "auto"), verbosity=verbosity
    )


def choices_of(typed: Mapping[str, Any]) -> Choices:
    """The run options."""
    from promptc.cli.opening import Choices

    return Choices(
        output=typed["output"],
        force=typed["force"],
        fresh=typed["fresh"],
        max_age=seconds(typed["max_age"]) if typed["max_age"] else None,
        offline=typed["offline"],
        retry_failed=typed["retry_failed"],
        jobs=typed["jobs"],
        allow_code=typed["allow_code"],
        allow_effects=typed["allow_effects"],
        candidate=typed.get("candidate") or typed.get("start"),
        source=typed.get("source"),
        depfile=typed["depfile"],
        skip_if_no_key=typed["skip_if_no_key"],
    )


def seconds(age: str) -> float:
    """`90s`, `12h`, `7d` in seconds. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", age)
    if not found:
        raise UsageError(f"--max-age {age}: expected a number with s, m, h, d or w, e.g. 7d")
    return float(found[1]) * _UNITS[found[2]]
