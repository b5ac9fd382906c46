"""Text as metrics see it: Unicode words, normalization, and short quotations for feedback."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec

from promptc.runners.metrics import patterns

Language = Literal["en"]

IgnoreCase = Annotated[
    bool,
    msgspec.Meta(
        description="Treat upper and lower case alike, in every script that has them.", examples=[True]
    ),
]
Normalize = Annotated[
    bool,
    msgspec.Meta(
        description=(
            "Compare words rather than characters: case, width, punctuation, spacing and the digits' script "
            "make no difference."
        ),
        examples=[True],
    ),
]
LanguageOption = Annotated[
    Language | None,
    msgspec.Meta(
        description="Language whose articles are left out (`en`: a, an, the). Without it every word counts.",
        examples=["en"],
    ),
]

_ARTICLES: dict[str, frozenset[str]] = {"en": frozenset({"a", "an", "the"})}
_SAME_MARK = str.maketrans({"\u2212": "-", "\u2044": "/", "\u2215": "/"})
_ACRONYM = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SILENT = r"[\p{Cf}'\u2019\u02bc`\u00b4\ufe00-\ufe0f]"
# Scripts written without spaces between words: each character (with its marks) is a word of its own, as in
# the
# scoring of Chinese answers in MLQA (Lewis et al. 2020).
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORD = rf"""
    [\p{{L}}&&{_UNSPACED}][\p{{M}}\u30fc]*
  | (?:(?<=^|[\s(=$€£¥])-(?=\d))?
    [[\p{{L}}\p{{N}}]--{_UNSPACED}]
    (?:[[\p{{L}}\p{{N}}\p{{M}}]--{_UNSPACED}] | (?<=\d)[.:/\-](?=\d))*
  | \p{{So}}
"""


def fold(text: str) -> str:
    """The text without differences of width, case, composition and digits' script (NFKC and casefold)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if folded.isascii():
        return folded
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in folded).translate(_SAME_MARK)


def words(text: str, language: Language | None = None) -> list[str]:
    """The Unicode words of a text, folded, without punctuation.

    Punctuation and symbols part words, with exceptions that keep a meaning: `.:/-` between two digits stay
    (3.5, 12:30), so does a minus that opens a number; thousands commas, apostrophes and the stops of acronyms
    vanish (1,234 is 1234, don't, U.S.). An emoji is a word. Articles of `language` are left out unless
    nothing else is there; text of symbols alone (a label such as `+`) is kept as it is.
    """
    folded = _ACRONYM.sub(_without(".", ""), fold(text))
    folded = patterns.compiled(_SILENT).sub("", _THOUSANDS.sub(_without(",", ""), folded))
    found: list[str] = patterns.compiled(_WORD, verbose=True).findall(folded)
    if not found:
        return fold(text).split()
    articles = _ARTICLES.get(language or "", frozenset())
    return [word for word in found if word not in articles] or found


def normalize(text: str, language: Language | None = None) -> str:
    """The words of the text, one space between them; texts that differ only in form become equal."""
    return " ".join(words(text, language))


def as_text(value: Any) -> str:
    """A JSON value as text: text as it is, null as nothing, the rest as JSON with sorted keys."""
    if isinstance(value, str):
        return value
    return "" if value is None else as_json(value)


def as_json(value: Any) -> str:
    """Compact JSON with sorted keys, so that equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def quote(value: Any, limit: int = 80) -> str:
    """A value in backticks for a sentence: text on one line, the rest as JSON, shortened in the middle."""
    text = value if isinstance(value, str) else as_json(value)
    return f"`{shorten(' '.join(text.split()), limit)}`"


def quote_all(values: Iterable[Any], limit: int = 5) -> str:
    """Several values in a sentence: `a`, `b` and 3 more."""
    listed = list(values)
    shown = ", ".join(quote(value) for value in listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters: the beginning, an ellipsis and the end."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1].rstrip()}…{text[len(text) - tail :].lstrip()}"


def word_difference(got: Iterable[str], expected: Iterable[str]) -> str:
    """Which words are missing and which are extra, with their multiplicity; "" when neither."""
    got_counts, expected_counts = Counter(got), Counter(expected)
    missing = list((expected_counts - got_counts).elements())
    extra = list((got_counts - expected_counts).elements())
    parts = [f"missing {quote_all(missing, 12)}"] if missing else []
    parts += [f"extra {quote_all(extra, 12)}"] if extra else []
    return "; ".join(parts)


def _without(mark: str, replacement: str) -> patterns.Replace:
    return lambda match: match[0].replace(mark, replacement)


def text_rule(ignore_case: bool, normalized: bool, language: Language | None) -> Callable[[str], str]:
    """What the options do to a text before it is compared; the space around it never counts."""
    if normalized:
        return lambda text: normalize(text, language)
    return (lambda text: text.strip().casefold()) if ignore_case else str.strip
