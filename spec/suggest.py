"""Guesses at what somebody meant to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, None when none is like it."""
    words = list(known)
    folded = {_folded(candidate): candidate for candidate in reversed(words)}
    meant = _folded(word[:100])
    swapped = [candidate for candidate in folded if sorted(candidate) == sorted(meant)]
    found = swapped or difflib.get_close_matches(meant, folded, n=1, cutoff=0.65)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the closest word, else the list of what exists."""
    words = list(known)
    near = closest(word, words)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"one of: {listed(words)}" if words else ""


def listed(words: Iterable[str], limit: int = 24) -> str:
    """`a, b, c`, cut after so many words."""
    all_words = list(words)
    shown = ", ".join(all_words[:limit])
    return f"{shown}, …" if len(all_words) > limit else shown


def _folded(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")
