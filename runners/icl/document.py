"""A text as tokens, with what surrounds each: the material that spans are described with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from promptc.runners.formats.json_text import NotJson, decode, dumps
from promptc.runners.icl.text import word_weight, words

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_SENTENCE_END = re.compile(r"[.!?…。]")
_NEAR = 4
_LONGEST = 4000


class Document:
    """The tokens of one input with the features of every place where a span may begin or end.

    `echoes` are the words of the row's other inputs: the sentence that repeats most of a question holds its
    answer.
    """

    def __init__(self, name: str, text: str, echoes: Sequence[str] = ()) -> None:
        self.name = name
        self.text = text
        self.spans = [match.span() for match in _TOKEN.finditer(text)][:_LONGEST]
        self.tokens = [text[start:end] for start, end in self.spans]
        self.lower = [token.casefold() for token in self.tokens]
        self.shapes = [shape(token) for token in self.tokens]
        self.lines, self.first, self.last = self._lines()
        self._echoes = frozenset(echoes)
        overlaps = self._overlaps() if echoes else [""] * len(self.tokens)
        self.starts = [self._start(index, overlaps[index]) for index in range(len(self.tokens))]
        self.ends = [self._end(index) for index in range(len(self.tokens))]

    def piece(self, start: int, end: int) -> str:
        """The text from the first token to the last one."""
        return self.text[self.spans[start][0] : self.spans[end][1]]

    def occurrences(self, value: str) -> list[tuple[int, int]]:
        """Where the value stands, as first and last token; only where it begins and ends with tokens."""
        begins = {start: index for index, (start, _) in enumerate(self.spans)}
        ends = {end: index for index, (_, end) in enumerate(self.spans)}
        found: list[tuple[int, int]] = []
        place = self.text.find(value) if value else -1
        while place >= 0:
            if place in begins and place + len(value) in ends:
                found.append((begins[place], ends[place + len(value)]))
            place = self.text.find(value, place + 1)
        return found

    def inside(self, start: int, end: int, seen: Mapping[str, int], less: int) -> list[str]:
        """Features of the span itself.

        `seen` counts the demos that have a token; `less` of them are this document.
        """
        lower, shapes = self.lower, self.shapes
        found = [
            f"shape {' '.join(shapes[start : end + 1])}",
            f"begins {shapes[start]}",
            f"ends {shapes[end]}",
            f"size {min(end - start, 6)}",
            f"first {lower[start]}",
            f"last {lower[end]}",
            f"tail {lower[end][-3:]}",
            f"first known {min(seen.get(lower[start], 0) - less, 2)} {shapes[start]}",
            f"last known {min(seen.get(lower[end], 0) - less, 2)} {shapes[end]}",
        ]
        piece = self.piece(start, end)
        if any(character.isdigit() for character in piece):
            found.append(f"form {_form(piece)}")
        if self.lines[start] != self.lines[end]:
            found.append("breaks")
        if self._echoes:
            found.append(f"echoed {lower[start] in self._echoes} {lower[end] in self._echoes}")
        return found

    def _start(self, index: int, overlap: str) -> list[str]:
        lower = self.lower
        before = "^" if index == 0 else "/" if self.first[index] else lower[index - 1]
        word = next((lower[i] for i in range(index - 1, -1, -1) if lower[i].isalnum()), "^")
        found = [
            f"< {before}",
            f"<< {lower[index - 2] if index > 1 else '^'} {before}",
            f"<word {word}",
            f"<shape {self.shapes[index - 1] if index else '^'}",
            f"line {min(self.lines[index], 2)}",
            f"line from end {min(self.lines[-1] - self.lines[index], 2)}",
            f"part {4 * index // len(lower)}",
            f"in {self.name}",
        ]
        found.extend(f"<near {token}" for token in lower[max(0, index - _NEAR) : index] if token.isalpha())
        if overlap:
            found.append(f"overlap {overlap}")
        return found

    def _end(self, index: int) -> list[str]:
        lower, size = self.lower, len(self.lower)
        after = "$" if index + 1 == size else "/" if self.last[index] else lower[index + 1]
        place = next((i for i in range(index + 1, size) if lower[i].isalnum()), size)
        found = [
            f"> {after}",
            f">> {after} {lower[index + 2] if index + 2 < size else '$'}",
            f">word {lower[place] if place < size else '$'}",
            f">shape {self.shapes[place] if place < size else '$'}",
        ]
        found.extend(f">near {token}" for token in lower[index + 1 : index + _NEAR] if token.isalpha())
        return found

    def _lines(self) -> tuple[list[int], list[bool], list[bool]]:
        """Per token its line, whether it begins one, whether it ends one."""
        numbers: list[int] = []
        line = position = 0
        for start, end in self.spans:
            line += "\n" in self.text[position:start] and position > 0
            numbers.append(line)
            position = end
        size = len(numbers)
        first = [index == 0 or numbers[index] != numbers[index - 1] for index in range(size)]
        last = [index + 1 == size or numbers[index] != numbers[index + 1] for index in range(size)]
        return numbers, first, last

    def _overlaps(self) -> list[str]:
        """Per token the rank of its sentence by the weight of the words that the other inputs have too."""
        numbers: list[int] = []
        sentence = 0
        for index, token in enumerate(self.tokens):
            numbers.append(sentence)
            sentence += self.last[index] or _SENTENCE_END.match(token) is not None
        shared: dict[int, set[str]] = {}
        for number, word in zip(numbers, self.lower, strict=True):
            if word in self._echoes:
                shared.setdefault(number, set()).add(word)
        weights = {number: sum(map(word_weight, sorted(found))) for number, found in shared.items()}
        ranking = sorted(weights, key=lambda number: -weights[number])
        ranks = {number: str(rank) if rank < 3 else "low" for rank, number in enumerate(ranking)}
        return [ranks.get(number, "none") for number in numbers]


def documents(inputs: Mapping[str, str]) -> tuple[Document, ...]:
    """A document per input of a row."""
    plain = {name: plain_text(text) for name, text in inputs.items()}
    return tuple(
        Document(name, text, [w for other, t in plain.items() if other != name for w in words(t)])
        for name, text in plain.items()
    )


def plain_text(text: str) -> str:
    """The text of an input; of a list or an object in JSON, the texts in it, a line each."""
    if not text.startswith(("[", "{")):
        return text
    try:
        value = decode(text)
    except NotJson:
        return text
    return "\n".join(_strings(value))


def _strings(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value if isinstance(value, str) else dumps(value)]


@lru_cache(maxsize=20_000)
def shape(token: str) -> str:
    """The kinds of characters in a token, repeats once: `Xx` for a capitalized word, `d` for digits."""
    return re.sub(r"(.)\1+", r"\1", _form(token))


def _form(text: str) -> str:
    return "".join(map(_kind, text))


def _kind(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    if character.isspace():
        return " "
    return "$" if unicodedata.category(character) == "Sc" else character
