"""Regular expressions with Unicode categories and a time limit, by `regex`, imported late and only here."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

Replace = Callable[[re.Match[str]], str]


@functools.cache
def compiled(pattern: str, *, verbose: bool = False) -> Any:
    """One of this package's own patterns, with nested sets and set operations."""
    import regex

    return regex.compile(pattern, regex.VERSION1 | (regex.VERBOSE if verbose else 0))


def compile_foreign(pattern: str, *, ignore_case: bool, multiline: bool, dot_all: bool) -> Any:
    """A pattern from a spec or a data row, in the dialect of Python's `re`. Raises ValueError where it is
    none.

    Its `search` and `fullmatch` take `timeout=` in seconds and raise TimeoutError: a pattern can take
    exponential time, and a text that a model wrote may be the one that shows it.
    """
    import regex

    flags = regex.VERSION0
    flags |= regex.IGNORECASE if ignore_case else 0
    flags |= regex.MULTILINE if multiline else 0
    flags |= regex.DOTALL if dot_all else 0
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from error
