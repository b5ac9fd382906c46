"""Texts and plain data as Python source, with nothing in it that a reader would not see."""

from __future__ import annotations

from typing import Any

from promptc.cli.untrusted import one_line

MOST_SAID = 600
"""Characters of a docstring."""
WIDTH = 100
SHORT = 90
"""Characters of a text whose line breaks may stand as `\\n`."""


def docstring(text: str) -> str:
    """The text on one line as a docstring."""
    flat = one_line(text, MOST_SAID).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if flat.endswith('"'):
        flat = f'{flat[:-1]}\\"'
    return f'"""{flat}"""'


def text_literal(text: str) -> str:
    """The text as a Python string: over several lines where it is long, with nothing in it that hides."""
    if "\n" not in text or len(text) <= SHORT:
        return _on_one_line(text)
    shown = "".join(map(_shown, text)).replace('"""', '\\"\\"\\"')
    if shown.endswith('"'):
        shown = f'{shown[:-1]}\\"'
    return f'"""\\\n{shown}"""'


def _shown(character: str) -> str:
    if character == "\n" or (character.isprintable() and character != "\\"):
        return character
    return character.encode("unicode_escape").decode()


def data_literal(value: Any, indent: int = 0) -> str:
    """Plain data as an expression; over several lines where one would be too long."""
    if isinstance(value, str):
        return _on_one_line(value)
    if not isinstance(value, dict | list | tuple) or not value:
        return repr(value)
    brackets = {dict: "{}", list: "[]", tuple: "()"}[type(value)]
    if isinstance(value, dict):
        parts = [f"{data_literal(key)}: {data_literal(item, indent + 4)}" for key, item in value.items()]
    else:
        parts = [data_literal(item, indent + 4) for item in value]
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    flat = f"{brackets[0]}{', '.join(parts)}{comma}{brackets[1]}"
    if "\n" not in flat and len(flat) + indent <= WIDTH:
        return flat
    lines = "".join(f"{' ' * (indent + 4)}{part},\n" for part in parts)
    return f"{brackets[0]}\n{lines}{' ' * indent}{brackets[1]}"


def _on_one_line(text: str) -> str:
    shown = "".join(map(_shown, text)).replace('"', '\\"').replace("\n", "\\n")
    return f'"{shown}"'
