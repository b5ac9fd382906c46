"""What an unquoted word in YAML means, by the core schema of YAML 1.2.2 (section 10.3.2).

So `no`, `on`, `12:30` and `2024-01-01` are text, `017` is seventeen, and `1_000` is text.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_LONGEST_INTEGER = 4000


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar.

    ValueError for a number that no computer number holds: an integer outside of 64 bits, a float beyond
    1.8e308.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "+-.0123456789":
        return text
    if _DECIMAL.fullmatch(text):
        return _integer(text, 10)
    if _OCTAL.fullmatch(text):
        return _integer(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return _integer(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _INFINITE.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text in _NAN else text


def _integer(digits: str, base: int) -> int:
    value = int(digits, base) if len(digits) <= _LONGEST_INTEGER else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("an integer outside of 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number beyond the largest float")
    return value
