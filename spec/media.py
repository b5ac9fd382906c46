"""Fields that are no plain JSON: pictures, recordings, files, a conversation so far, code.

Each is an ordinary JSON Schema whose `format` says what it is, so that lists of them and `null` beside them need
nothing of their own. An image, recording or file is the text of a path or URL; a history a list of turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Schema = dict[str, Any]
AttachmentKind = Literal["image", "audio", "file"]

ATTACHMENTS: dict[AttachmentKind, int] = {"image": 20_000_000, "audio": 25_000_000, "file": 32_000_000}
"""What is sent beside the text of a prompt, with the most bytes that one may have where the spec says nothing."""
HISTORY = "history"
CODE = "code"
REASONING = "reasoning"

TURNS: Schema = {
    "type": "array",
    "format": HISTORY,
    "items": {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": ["user", "assistant"]},
            "content": {"type": "string"},
        },
        "required": ["role", "content"],
        "additionalProperties": False,
    },
}
"""The earlier turns of a conversation, the oldest first."""


def attachment_kind(schema: Schema) -> AttachmentKind | None:
    """What a field attaches, one or a list of them; None for a field of any other type."""
    found = _format(schema)
    if found is None and isinstance(schema.get("items"), dict):
        found = _format(schema["items"])
    return found if found in ATTACHMENTS else None


def most_bytes(schema: Schema) -> int:
    """The largest file that an attachment's field allows."""
    inner = schema.get("items", schema)
    return int(inner.get("maxBytes", ATTACHMENTS[inner["format"]]))


def misplaced(schema: Schema, side: str) -> str:
    """Why a field of the `inputs` or `outputs`, or an argument of a tool, cannot have this type; "" where it can."""
    inside = [name for name, depth in _special(schema, 0) if depth > _allowed_depth(name)]
    if inside:
        return f"{_named(inside[0])} inside of another type: only a list of images, recordings or files works"
    if side in ("outputs", "arguments"):
        found = next((name for name, _ in _special(schema, 0) if name in ATTACHMENTS or name == HISTORY), "")
        if found:
            return f"{_named(found)} can only be an input: what models write is text"
    return ""


def _format(schema: Schema) -> str | None:
    found = schema.get("format")
    return found if isinstance(found, str) else None


def _allowed_depth(name: str) -> int:
    return 1 if name in ATTACHMENTS else 0


def _special(schema: Any, depth: int) -> Iterator[tuple[str, int]]:
    """The special formats in a schema, and how deep they stand; what is no item of the outermost list is deep."""
    if not isinstance(schema, dict):
        return
    name = _format(schema)
    if name in ATTACHMENTS or name == HISTORY:
        yield str(name), depth
    for key, inner in schema.items():
        if key == "items":
            yield from _special(inner, depth + 1)
        elif isinstance(inner, dict) and key in ("properties", "patternProperties"):
            for each in inner.values():
                yield from _special(each, depth + 2)
        elif isinstance(inner, dict):
            yield from _special(inner, depth + 2)
        elif isinstance(inner, list):
            for each in inner:
                yield from _special(each, depth + 2)


def _named(name: str) -> str:
    return {"image": "an image", "audio": "a recording", "file": "a file"}.get(name, f"a {name}")
