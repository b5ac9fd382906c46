"""JSON on stdout, as every program and every terminal can take it."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def json_text(document: Any) -> str:
    """The document, indented, with all but ASCII escaped: nothing in it can be obeyed by a terminal."""
    return json.dumps(msgspec.to_builtins(document), indent=2, ensure_ascii=True, allow_nan=False) + "\n"
