"""Gates: `test.score >= 0.80`, a promise about one figure."""

from __future__ import annotations

import math
import re
from typing import Literal, cast

from promptc.spec.diagnostics import Position
from promptc.spec.model import Gate
from promptc.spec.nodes import split_dotted
from promptc.spec.type_text import TypeTextError

Operator = Literal[">=", ">", "<=", "<", "==", "!="]

_COMPARISON = re.compile(
    r"(?P<path>(?:\"(?:[^\"\\]|\\.)*\"|[^\"<>=!])*)(?P<operator>>=|<=|==|!=|>|<|=)(?P<value>.*)", re.S
)
_PART = re.compile(r"[^\W]?[\w\-]+", re.UNICODE)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
MAX_TEXT = 500


def parse_gate(text: str, position: Position | None = None) -> Gate:
    """The gate in a text, its path without quotes; TypeTextError says what is wrong and where."""
    if len(text) > MAX_TEXT:
        raise TypeTextError(f"longer than {MAX_TEXT} characters", 0)
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise TypeTextError(
            "a gate compares a figure with a number", 0, len(text), "such as test.score >= 0.80"
        )
    if match["operator"] == "=":
        raise TypeTextError("`=` compares nothing", match.start("operator"), 1, "write == or >=")
    path = _path(match["path"], match.start("path"))
    return Gate(
        text=text.strip(),
        path=path,
        operator=cast(Operator, match["operator"]),
        value=_number(match["value"], match.start("value")),
        position=position,
    )


def _path(written: str, offset: int) -> str:
    text = written.strip()
    start = offset + len(written) - len(written.lstrip())
    if not text:
        raise TypeTextError("a figure is missing", offset, hint="such as test.score >= 0.80")
    try:
        parts = split_dotted(text)
    except ValueError as error:
        raise TypeTextError(f"{error} in the path of the figure", start, len(text)) from error
    for part in re.sub(r'"(?:[^"\\]|\\.)*"', "x", text).split("."):
        if not _PART.fullmatch(part):
            raise TypeTextError(
                f"`{part}` is no name in the path of a figure", start, len(text), f'quote it: "{part}"'
            )
    if len(parts) > 12:
        raise TypeTextError("the path has more than 12 names", start, len(text))
    return ".".join(str(part) for part in parts)


def _number(written: str, offset: int) -> float:
    text = written.strip()
    start = offset + len(written) - len(written.lstrip())
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1].strip()):
        share = float(text[:-1]) / 100
        raise TypeTextError("figures are shares, not per cent", start, len(text), f"write {share:g}")
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise TypeTextError(f"`{text}` is not a number", start, len(text), "such as test.score >= 0.80")
    return float(text)
