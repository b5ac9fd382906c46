"""How a spec names a plug-in: a module, metric, optimizer, format, retriever or tool, as data."""

from __future__ import annotations

from typing import Any

import msgspec

from promptc.spec.diagnostics import Position


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """`name`, or `{name: {parameter: value}}`: which plug-in, and its parameters as they stand in the spec."""

    kind: str
    name: str
    params: dict[str, Any] = {}
    position: Position | None = None
