"""The one number that a piece of text states."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation

_GROUPED = r"\d{1,3}(?P<separator>[,_'’\u00a0\u202f\u2009])\d{3}(?:(?P=separator)\d{3})*"
_NUMBER = re.compile(
    rf"""
    (?<![\w.,])
    (?P<sign>[+\-−]?) (?:[$€£¥₹]\s?)? (?P<inner_sign>[+\-−]?)
    (?P<digits> {_GROUPED} | \d+ | (?=\.\d) )
    (?P<fraction>\.\d+)?
    (?P<exponent>[eE][+\-]?\d+)?
    (?![.,:/]?\d)
    """,
    re.VERBOSE,
)
# Beside a lone number these change what it says, so its meaning is no longer clear.
_MODIFIER = re.compile(
    r"""
    (?i: \b(?: not | minus | negative | half | dozen | hundreds? | thousands? | millions? | billions? |
    trillions? | lakhs? | crores? | mio | mrd | mn | bn | tn | than | at\ least | at\ most | up\ to | or )\b |
    n['’]t\b ) | (?<!\w)[kKMB](?!\w) | [½⅓⅔¼¾⅛⅜⅝⅞‰]
    """,
    re.VERBOSE,
)
_DETACHED_SIGN = re.compile(r"[-−–—]\s*[A-Za-z]{0,3}\s?[$€£¥₹]?\s*$")
_LONGEST = 1000
_LARGEST_EXPONENT = 400


class NotANumber(ValueError):
    """Why a text does not state one number."""


def read_number(text: str, *, whole: bool = False, share: bool = False) -> int | float:
    """The number that the text states: `12`, `1,234`, `$1,234.50`, `12 apples`, `3.0`.

    `whole` asks for an integer. A percentage is its number (`45%` is 45), unless `share` says that the value
    is a fraction of one (`45%` is 0.45). Raises NotANumber when there is no number, more than one, or one
    whose meaning the words around it change (`3 million`, `less than 5`).
    """
    match = _only_match(text)
    before, after = text[: match.start()], text[match.end() :]
    sign = match["sign"] + match["inner_sign"]
    if len(sign) > 1 or (not sign and _DETACHED_SIGN.search(before)):
        raise NotANumber("its sign is unclear")
    if _MODIFIER.search(f"{before} {after}"):
        raise NotANumber("the words around the number change its meaning")
    literal = ("-" if sign in {"-", "−"} else "") + re.sub(r"\D", "", match["digits"])
    tail = (match["fraction"] or "") + (match["exponent"] or "")
    percent = share and after.lstrip().startswith("%")
    if not tail and not percent:
        return _integer(literal)
    return _decimal(literal + tail, whole=whole, percent=percent)


def _only_match(text: str) -> re.Match[str]:
    if len(text) > _LONGEST:
        raise NotANumber("it is too long to be a number")
    matches = list(_NUMBER.finditer(text))
    if not matches and not re.search(r"\d\D+\d", text):
        raise NotANumber("it holds no number")
    if len(matches) != 1 or re.search(r"\d", text[: matches[0].start()] + text[matches[0].end() :]):
        raise NotANumber("it holds more than one number")
    return matches[0]


def _integer(literal: str) -> int:
    try:
        return int(literal)
    except ValueError as error:
        raise NotANumber("it has too many digits") from error


def _decimal(literal: str, *, whole: bool, percent: bool) -> int | float:
    try:
        exact = Decimal(literal)
    except InvalidOperation as error:
        raise NotANumber("it is out of any range") from error
    if percent:
        exact /= 100
    if not exact.is_finite() or abs(exact.adjusted()) > _LARGEST_EXPONENT:
        raise NotANumber("it is out of any range")
    if not whole:
        return _finite(float(exact))
    if exact != exact.to_integral_value():
        raise NotANumber("it is not whole")
    return int(exact)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NotANumber("it is out of any range")
    return value
