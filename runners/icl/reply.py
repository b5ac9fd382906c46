"""Answers written in the way that the prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptc.runners.formats.json_text import dumps
from promptc.runners.icl.prompt import Prompt


def written(prompt: Prompt, values: Mapping[str, Any]) -> str:
    """The values in order: marked sections, tags, a JSON object, `name: value` lines, or the only value bare."""
    if prompt.style == "json":
        return dumps(dict(values))
    texts = {name: as_text(value) for name, value in values.items()}
    if prompt.style == "markers":
        sections = [f"[[ ## {name} ## ]]\n{text}" for name, text in texts.items()]
        return "\n\n".join([*sections, f"[[ ## {prompt.end} ## ]]"])
    if prompt.style == "tags":
        return "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in texts.items())
    if prompt.style == "lines":
        return "\n".join(f"{name}: {text}" for name, text in texts.items())
    return "\n".join(texts.values())


def as_text(value: Any) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else dumps(value)
