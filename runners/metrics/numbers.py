"""Reading numbers out of text, exactly: every number is a fraction, so that tolerances mean what they say."""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import msgspec

Decimals = Literal[".", ","]

_LARGEST = Fraction(10**300)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUPERSCRIPT_RUN = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")
_GROUPED_BY_SPACE = re.compile("(?<=\\d)[\u00a0\u2009\u202f'\u2019](?=\\d{3}(?!\\d))")
_PRICE_GROUPED_BY_SPACE = re.compile(r"(?<=[$€£¥₹])\d{1,3}(?: \d{3})+(?!\d)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_LATEX_MARKS = re.compile(r"\\([$%,!;])|\{,\}")
_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2044": "/",
        "\u2215": "/",
        "\u066a": "%",
        "\u066b": ".",
        "\u066c": ",",
        "\u00d7": "x",
        "\u00b7": "x",
    }
)
_SWAP = str.maketrans(".,", ",.")

_NUMBER = re.compile(
    r"""
    (?:
        10 (?:\^|\*\*) \{?(?P<power>[+-]?\d{1,4})\}?
      |
        (?<![\d.,/]) (?:(?P<whole>\d{1,40})[ ])? (?P<over>\d{1,40}) / (?P<under>\d{1,40}) (?![\d/]|[.,]\d)
      |
        (?P<digits>
            (?: (?:\d{1,3}(?:,\d{3})+ | \d{1,2}(?:,\d{2})+,\d{3}) (?!\d) | \d+ ) (?:\.\d+)?
          | (?<![\w.])\.\d+
        )
        (?:
            [eE] (?P<exponent>[+-]?\d{1,4}) (?!\w)
          | \s? [x*] \s? 10 (?:\^|\*\*) \{?(?P<times>[+-]?\d{1,4})\}?
        )?
    )
    (?P<percent> \s?% | \s(?:percent|per\scent)\b )?
    """,
    re.VERBOSE,
)
_CURRENCY = re.compile(r"(?:\b(?:[A-Z]{3}|Rs\.?|[A-Z]{1,2}(?=\$))\s?)?[$€£¥₹₩₽₺฿]?\s?$")
_CODE = re.compile(r"\b(?:[A-Z]{3}|Rs)$")
_EXPONENT = re.compile(r"\^\{?[+-]?$")
_PLAIN = re.compile(r"[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")


class Number(msgspec.Struct, frozen=True):
    """A number found in a text, and how it was written there."""

    value: Fraction
    percent: bool
    written: str


def find_numbers(text: str, decimal: Decimals = ".") -> list[Number]:
    """All numbers of a text, in order.

    Reads 1,234.5 and 12,34,567, 1 234 (no-break or thin space, or a plain one after a currency sign) and
    1'234, signs, percent, 1.5e-3, 1.5×10³, 3/4, 1 1/2, ½, \\frac{3}{4}, and the digits of every script.
    `decimal` says which mark parts the decimals. Digits that belong to a word (CO2, B12) or are an exponent
    (m²) are no numbers, and number words are not read. Numbers of 10^300 and beyond are left out.
    """
    uniform = _uniform(text, decimal)
    found: list[Number] = []
    for match in _NUMBER.finditer(uniform):
        before = uniform[max(0, match.start() - 24) : match.start()]
        if _EXPONENT.search(before) or _in_word(before):
            continue
        for index, magnitude in enumerate(_magnitudes(match)):
            value = -magnitude if index == 0 and _negative(before) else magnitude
            if magnitude < _LARGEST:
                found.append(Number(value, match["percent"] is not None, match[0].strip()))
    return found


def exact(value: Any) -> Fraction | None:
    """A JSON number as a fraction; None for everything else, true, false and the huge included.

    Floats count to 15 significant digits, which is what they hold: 0.1 + 0.2 is 0.3.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = Fraction(value) if isinstance(value, int) else Fraction(Decimal(format(value, ".15g")))
    return number if abs(number) < _LARGEST else None


def whole_number(value: Any) -> Fraction | None:
    """The number that a JSON number is, or that a whole text spells; None for everything else."""
    if not isinstance(value, str):
        return exact(value)
    text = value.strip()
    if not any(char.isdecimal() for char in text) or _PLAIN.fullmatch(_uniform(text, ".")) is None:
        return None
    return _parse(_uniform(text, "."))


def plain(value: Fraction) -> int | float:
    """The fraction as a JSON number."""
    return value.numerator if value.denominator == 1 else float(value)


def _uniform(text: str, decimal: Decimals) -> str:
    """The text in one spelling: ASCII digits and signs, a stop for decimals, `^` before exponents."""
    text = _SUPERSCRIPT_RUN.sub(lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    text = _VULGAR.sub(lambda m: f" {unicodedata.normalize('NFKC', m[0])}", text)
    text = _GROUPED_BY_SPACE.sub("", text)
    text = _PRICE_GROUPED_BY_SPACE.sub(lambda m: m[0].replace(" ", ""), text)
    text = _LATEX_FRACTION.sub(r" \1/\2", text)
    text = _LATEX_MARKS.sub(lambda m: m[1] if m[1] in ("$", "%") else "," if m[1] is None else "", text)
    text = unicodedata.normalize("NFKC", text)
    if decimal == ",":
        text = text.translate(_SWAP)
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return text.translate(_SIGNS)


def _magnitudes(match: re.Match[str]) -> list[Fraction]:
    """What the match says: mostly one number, none when out of range, two for `5 48/2`."""
    if match["power"] is not None:
        return _listed(_power(match["power"]))
    if match["over"] is not None:
        over, under = int(match["over"]), int(match["under"])
        whole = [Fraction(int(match["whole"]))] if match["whole"] else []
        if under == 0:
            return [*whole, Fraction(over), Fraction(0)]
        fraction = Fraction(over, under)
        return [sum(whole, fraction)] if fraction < 1 else [*whole, fraction]
    mantissa = _parse(match["digits"])
    scale = match["exponent"] or match["times"]
    factor = _power(scale) if scale else Fraction(1)
    return [mantissa * factor] if mantissa is not None and factor is not None else []


def _listed(value: Fraction | None) -> list[Fraction]:
    return [] if value is None else [value]


def _power(exponent: str) -> Fraction | None:
    """Ten to that power; None beyond all that a double holds."""
    return Fraction(10) ** int(exponent) if abs(int(exponent)) <= 400 else None


def _parse(digits: str) -> Fraction | None:
    if len(digits) > 320:
        return None
    mantissa, _, exponent = digits.replace(",", "").lower().partition("e")
    factor = _power(exponent) if exponent else Fraction(1)
    return Fraction(Decimal(mantissa)) * factor if factor is not None else None


def _in_word(before: str) -> bool:
    """True for digits right after a letter: CO2, B12. Not so after a multiplication sign (3x5) or a currency
    (USD5).

    Letters without case (Chinese, Arabic …) stand beside numbers without a space.
    """
    last = before[-1:]
    if not last.isalpha() or last.lower() == last.upper():
        return False
    return not (last in "xX" and before[-2:-1].isdigit()) and _CODE.search(before) is None


def _negative(before: str) -> bool:
    """True when a minus opens the number: after a space or an opening mark, not after a digit or a letter."""
    currency = _CURRENCY.search(before)
    rest = before[: currency.start()] if currency and currency[0].strip() else before
    if not rest.endswith("-"):
        return False
    return len(rest) == 1 or rest[-2].isspace() or rest[-2] in "(=[{:$€£¥*/<>,;`"
