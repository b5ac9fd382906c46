"""Words to search by: Unicode words, and for a known language their stems without its stop words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import msgspec

from promptc.runners.metrics.text import words

Language = Literal[
    "ar", "ca", "da", "de", "el", "en", "es", "eu", "fi", "fr", "ga", "hi", "hu", "hy", "id", "it", "lt",
    "ne", "nl", "no", "pt", "ro", "ru", "sr", "sv", "ta", "tr", "yi",
]  # fmt: skip

LanguageOption = Annotated[
    Language | None,
    msgspec.Meta(
        description=(
            "The documents' language, by its two letters: its stop words are left out, and words are compared by "
            "their stems. Without it every word counts as it is written."
        ),
        examples=["en"],
    ),
]

_STEMMERS = dict(
    zip(
        get_args(Language),
        (
            "arabic", "catalan", "danish", "german", "greek", "english", "spanish", "basque", "finnish",
            "french", "irish", "hindi", "hungarian", "armenian", "indonesian", "italian", "lithuanian",
            "nepali", "dutch", "norwegian", "portuguese", "romanian", "russian", "serbian", "swedish",
            "tamil", "turkish", "yiddish",
        ),
        strict=True,
    )
)  # fmt: skip
"""The name of Snowball's stemmer for each language."""

_STOP_WORDS = {
    "da": "DANISH", "de": "GERMAN", "en": "EN_PLUS", "es": "SPANISH", "fr": "FRENCH", "it": "ITALIAN",
    "nl": "DUTCH", "no": "NORWEGIAN", "pt": "PORTUGUESE", "ru": "RUSSIAN", "sv": "SWEDISH", "tr": "TURKISH",
}  # fmt: skip
"""What bm25s calls its list of a language's stop words; the other languages have none there."""

Cut = Callable[[str], list[str]]
"""Cuts a text into the words that it is searched by."""


def cutter(language: Language | None) -> Cut:
    """How texts of a language are cut; a text of nothing but stop words keeps them."""
    if language is None:
        return words
    import bm25s.stopwords
    import Stemmer

    stemmed = Stemmer.Stemmer(_STEMMERS[language]).stemWords
    listed = getattr(bm25s.stopwords, f"STOPWORDS_{_STOP_WORDS[language]}") if language in _STOP_WORDS else ()
    stop = frozenset(word for entry in listed for word in words(entry))

    def cut(text: str) -> list[str]:
        found = words(text)
        stems: list[str] = stemmed([word for word in found if word not in stop] or found)
        return stems

    return cut
