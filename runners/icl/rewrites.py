"""How a demo's value may differ from its span: not at all, in case, in separators, in order, as a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Any, Protocol

import msgspec

from promptc.runners.icl.document import Document

_NUMBER = re.compile(
    r"""
    (?<![\w.,]) [-−]?
    (?: \d{1,3} (?P<separator>[.,'’\u00a0\u202f\ ]) \d{3} (?:(?P=separator)\d{3}){0,5} | \d{1,18} )
    (?: [.,]\d{1,18} )? (?![.,]?\d)
    """,
    re.VERBOSE,
)
_GROUPS = re.compile(r"\d+")
_MOST_GROUPS = 4
_MOST_TOKENS = 12


class Rewrite(Protocol):
    """One way to make a value from a span."""

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """The spans of the document, as first and last token, that become the value."""
        ...

    def apply(self, piece: str) -> Any:
        """The value that a span becomes; None when it cannot become one."""
        ...


class AsItIs(msgspec.Struct, frozen=True):
    """The span, letter by letter."""

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """Where the value stands verbatim."""
        return document.occurrences(value) if isinstance(value, str) else []

    def apply(self, piece: str) -> str:
        """The span itself."""
        return piece


class Cased(msgspec.Struct, frozen=True):
    """The span in lower or in upper case."""

    upper: bool

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """Where the value stands in any case, if it has this one."""
        if not isinstance(value, str) or self.apply(value) != value:
            return []
        return [
            (start, end)
            for start, end in _windows(document, value.count(" ") + 2 * _MOST_GROUPS)
            if self.apply(document.piece(start, end)) == value
        ]

    def apply(self, piece: str) -> str:
        """The span in that case."""
        return piece.upper() if self.upper else piece.lower()


class Digits(msgspec.Struct, frozen=True):
    """The span's digits without anything between them."""

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """Spans that begin and end with a digit and have exactly the value's digits."""
        if not isinstance(value, str) or not value.isdigit():
            return []
        return [
            (start, end)
            for start, end in _windows(document, _MOST_TOKENS)
            if document.tokens[start][0].isdigit()
            and document.tokens[end][-1].isdigit()
            and self.apply(document.piece(start, end)) == value
        ]

    def apply(self, piece: str) -> str | None:
        """The digits; None when there are none."""
        return "".join(_GROUPS.findall(piece)) or None


class Regrouped(msgspec.Struct, frozen=True):
    """Groups of digits in another order with other separators: `31.12.2024` as `2024-12-31`.

    `order` says which group of the span comes where, `widths` to how many digits each is filled up,
    `separators` what stands before, between and behind them.
    """

    order: tuple[int, ...]
    widths: tuple[int, ...]
    separators: tuple[str, ...]

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """Spans of as many groups that become the value."""
        if not isinstance(value, str):
            return []
        return [
            span for span, groups in _grouped(document, len(self.order)) if self._written(groups) == value
        ]

    def apply(self, piece: str) -> str | None:
        """The groups rearranged; None when there are more or fewer."""
        groups = _GROUPS.findall(piece)
        return self._written(groups) if len(groups) == len(self.order) else None

    def _written(self, groups: list[str]) -> str:
        moved = [
            groups[index].lstrip("0").zfill(width)
            for index, width in zip(self.order, self.widths, strict=True)
        ]
        return "".join(part for pair in zip(self.separators, [*moved, ""], strict=True) for part in pair)


class AsNumber(msgspec.Struct, frozen=True):
    """The number that the span writes: `1,200.50` is 1200.5."""

    def places(self, document: Document, value: Any) -> list[tuple[int, int]]:
        """Where a number of that value is written."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return []
        starts = {start: index for index, (start, _) in enumerate(document.spans)}
        ends = {end: index for index, (_, end) in enumerate(document.spans)}
        return [
            (starts[match.start()], ends[match.end()])
            for match in _NUMBER.finditer(document.text)
            if match.start() in starts and match.end() in ends and read_number(match[0]) == value
        ]

    def apply(self, piece: str) -> float | int | None:
        """The number, whole where it is whole; None when there is none."""
        found = _NUMBER.search(piece)
        return read_number(found[0]) if found else None


def read_number(text: str) -> int | float:
    """A number with any separators.

    The last one, if a point or a comma, begins the fraction, unless three digits follow it and all are of its
    kind.
    """
    sign = -1 if text[0] in "-−" else 1
    digits = text.lstrip("-−")
    separators = re.findall(r"\D", digits)
    whole, fraction = digits, ""
    if separators and separators[-1] in ".,":
        head, _, tail = digits.rpartition(separators[-1])
        thousands = len(tail) == 3 and len(set(separators)) == 1
        if separators.count(separators[-1]) == 1 and not thousands:
            whole, fraction = head, tail
    number = int(re.sub(r"\D", "", whole))
    return sign * float(f"{number}.{fraction}") if fraction.strip("0") else sign * number


def numbers_in(text: str) -> list[int | float]:
    """All numbers that the text writes in digits, in order."""
    return [read_number(match[0]) for match in _NUMBER.finditer(text)]


def rewrites_for(values: list[Any], documents: list[tuple[Document, ...]]) -> Iterator[Rewrite]:
    """The rewrites that could explain the values, the plainest first."""
    yield AsItIs()
    yield AsNumber()
    yield Cased(upper=False)
    yield Cased(upper=True)
    yield Digits()
    for value, shown in zip(values, documents, strict=True):
        yield from dict.fromkeys(_regroupings(value, shown))


def _regroupings(value: Any, documents: tuple[Document, ...]) -> Iterator[Regrouped]:
    wanted = _GROUPS.findall(value) if isinstance(value, str) else []
    if not 2 <= len(wanted) <= _MOST_GROUPS:
        return
    separators = tuple(_GROUPS.split(str(value)))
    widths = tuple(map(len, wanted))
    for document in documents:
        for _, groups in _grouped(document, len(wanted)):
            for order in permutations(range(len(wanted))):
                if [groups[index].lstrip("0") for index in order] == [group.lstrip("0") for group in wanted]:
                    yield Regrouped(order, widths, separators)


def _grouped(document: Document, count: int) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Runs of that many groups of digits with single marks between them."""
    tokens = document.tokens
    size = 2 * count - 1
    for start in range(len(tokens) - size + 1):
        run = tokens[start : start + size]
        if all(token.isdecimal() for token in run[::2]) and not any(token.isalnum() for token in run[1::2]):
            yield (start, start + size - 1), run[::2]


def _windows(document: Document, longest: int) -> Iterator[tuple[int, int]]:
    size = len(document.tokens)
    for start in range(size):
        for end in range(start, min(size, start + longest)):
            yield start, end
