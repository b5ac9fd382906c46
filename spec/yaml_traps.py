"""Turns the YAML parser's terse complaints into sentences that name the mistake people make there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from promptc.spec.diagnostics import Diagnostic, Position

Span = Callable[[int, int], Position]

_KEY_AND_VALUE = re.compile(r"\s*(?:- +)*([\w.$-]+)\s*:\s+\S")
_CANNOT_START = {
    "@": "quote text that starts with `@`",
    "`": "quote text that starts with a backtick",
    "%": "quote text that starts with `%`",
}


def explain(error: Any, text: str, span: Span) -> Diagnostic:
    """A diagnostic for a parser error of PyYAML on this text."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _unreadable_character(error, text, span)
    at = min(mark.index, len(text))
    message, hint, start = _sentence(error, text, at)
    if start == at == len(text):
        start = max(text.rfind("["), text.rfind("{"), 0)
    return Diagnostic(message=message, hint=hint, position=span(start, start + 1))


def _unreadable_character(error: Any, text: str, span: Span) -> Diagnostic:
    """Control characters, which YAML has no place for. libyaml counts bytes here, so they are looked for
    again.
    """
    match = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]", text)
    at = match.start() if match else 0
    code = ord(match[0]) if match else getattr(error, "character", 0)
    return Diagnostic(
        message=f"the character U+{code:04X} is not allowed in YAML",
        hint='in text, write it with an escape in double quotes: "\\x1b"',
        position=span(at, at + 1),
    )


def _sentence(error: Any, text: str, at: int) -> tuple[str, str, int]:
    """Message, hint, and the offset to point at."""
    problem = error.problem or ""
    context = error.context or ""
    here = text[at : at + 1]
    line = text[_line_start(text, at) : at]
    if here == "\t" or (not line.strip() and "\t" in line):
        return "a tab: YAML is indented with spaces", "replace the tab by spaces", at
    if "${" in text[max(0, at - 2) : at + 2]:
        start = text.rfind("$", 0, at + 1)
        return "`${…}` in braces has to be quoted", 'quote this: "${env:NAME}"', start
    if "?" in text[max(0, at - 1) : at + 1] and "flow" in context:
        start = text.rfind("?", 0, at + 1)
        return 'text cannot start with "?" in braces or brackets', "quote this", start
    if "mapping values are not allowed" in problem:
        return _stray_colon(text, at)
    if "quoted scalar" in context:
        start = error.context_mark.index
        return (
            "a quote is opened here and never closed",
            "close the quote, or double it inside of text",
            start,
        )
    if "anchor" in context or "alias" in context:
        return (
            f"`{text[error.context_mark.index : at + 1]}` is not a name",
            "quote text that starts with * or &",
            at,
        )
    if "cannot start any token" in problem:
        hint = _CANNOT_START.get(here, "quote this text")
        return f"text cannot start with {here!r} here", hint, at
    if "flow mapping" in context or "flow sequence" in context:
        return _unclosed(error, text, at)
    if "expected key" in problem and text[at - 1 : at] in ("'", '"'):
        return "text behind a closing quote", "inside of quoted text, write a quote twice", at
    return _by_problem(problem, context, here, at)


def _stray_colon(text: str, at: int) -> tuple[str, str, int]:
    """A second `: ` in a line, or a line that is indented below a value."""
    start = _line_start(text, at)
    match = _KEY_AND_VALUE.match(text, start, at)
    if match is not None:
        value_at = match.end() - 1
        if match[1] == "signature":
            return "a signature with types has to be quoted", 'quote this: signature: "a: int -> b"', value_at
        return (
            "this text holds a colon followed by a space, which starts a mapping",
            f"quote this: the value of {match[1]}",
            value_at,
        )
    return (
        "a key stands below a value, or is indented too far",
        "indent it like the keys above, or quote text that holds a colon",
        at,
    )


def _unclosed(error: Any, text: str, at: int) -> tuple[str, str, int]:
    opened = error.context_mark.index
    bracket = text[opened : opened + 1]
    kind, close = ("mapping", "}") if bracket == "{" else ("list", "]")
    if at >= len(text.rstrip()):
        return f"this {kind} is never closed", f"add the missing `{close}`", opened
    return (
        f"a comma or `{close}` was expected in this {kind}",
        "quote text that holds one of , : { } [ ] inside of braces or brackets",
        at,
    )


def _by_problem(problem: str, context: str, here: str, at: int) -> tuple[str, str, int]:
    if "flow node" in context and not here:
        return "this list or mapping is never closed", "add the missing bracket", at
    if "flow node" in context:
        return "a value was expected here", "remove the extra comma, or quote the text", at
    if "unexpected ':'" in problem:
        return "a colon needs a space behind it", "write `key: value`, or quote the text", at
    if "block sequence entries" in problem:
        return "a list cannot start on the line of its key", "start the list on the next line", at
    if "expected '-'" in problem:
        return "a list and a mapping are mixed at this indentation", "indent one of them", at
    if "<document start>" in problem:
        return (
            "text behind the end of the document, or indented less than its first line",
            "check the indentation",
            at,
        )
    if "expected key" in problem:
        return "a key was expected here", "check the indentation and the brackets", at
    if "simple key" in context:
        return "a key without a colon", "write `key: value`, or quote the text", at
    reason = problem or context or "not YAML"
    return f"not YAML: {reason}", f"check what stands around {here!r}" if here.strip() else "", at


def _line_start(text: str, at: int) -> int:
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
