"""Ability 2: copy the span of a text whose shape and surroundings the demos show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from promptc.runners.icl.document import Document

Place = tuple[int, int, int]
"""A span: the index of its document, its first and its last token."""

_MOST_TOKENS = 16
_EPOCHS = 15
_WORK = 400
_RATE = 0.1
_MOST_CANDIDATES = 600


class Copier(msgspec.Struct, frozen=True):
    """What spans of one field look like: feature weights, and which spans come into question at all."""

    weights: Mapping[str, float]
    sizes: frozenset[int]
    first: frozenset[str]
    last: frozenset[str]
    seen: Mapping[str, int]

    def ranked(self, documents: Sequence[Document]) -> list[tuple[float, Place]]:
        """The spans that come into question, best first; 0 is the score of nothing being there."""
        found: list[tuple[float, Place]] = []
        for index, document in enumerate(documents):
            starts = [sum(self.weights.get(key, 0.0) for key in keys) for keys in document.starts]
            ends = [sum(self.weights.get(key, 0.0) for key in keys) for keys in document.ends]
            for start, end in _candidates(document, self.sizes, self.first, self.last):
                inside = document.inside(start, end, self.seen, 0)
                score = starts[start] + ends[end] + sum(self.weights.get(key, 0.0) for key in inside)
                found.append((score, (index, start, end)))
        return sorted(found, key=lambda each: -each[0])


class Shown(msgspec.Struct, frozen=True):
    """A demo's documents and where its value stands in them: no place at all when the value is null."""

    documents: Sequence[Document]
    places: frozenset[Place]


def learn_spans(shown: Sequence[Shown]) -> Copier:
    """Weights under which the demos' spans win against all other spans of their texts.

    A log-linear model over candidates, trained by plain gradient steps in the demos' order. A demo without a
    place teaches that nothing is there (score 0).
    """
    golds = [
        (each.documents[index], start, end) for each in shown for index, start, end in sorted(each.places)
    ]
    sizes = {end - start + 1 for _, start, end in golds}
    copier = Copier(
        weights={},
        sizes=frozenset(
            range(1, min(_MOST_TOKENS, max(sizes, default=0) + 1) + 1) if len(sizes) > 1 else sizes
        ),
        first=frozenset(document.shapes[start] for document, start, _ in golds),
        last=frozenset(document.shapes[end] for document, _, end in golds),
        seen=_seen(shown),
    )
    lessons = [lesson for lesson in (_lesson(each, copier) for each in shown) if any(lesson.right)]
    weights: dict[str, float] = {}
    for _ in range(max(3, min(_EPOCHS, _WORK // max(1, len(lessons))))):
        for lesson in lessons:
            _step(lesson, weights)
    return msgspec.structs.replace(copier, weights=weights)


class _Lesson(msgspec.Struct, frozen=True):
    """The candidates of one demo as feature lists, the last one for nothing at all, and which are right."""

    candidates: list[list[str]]
    right: list[bool]


def _lesson(each: Shown, copier: Copier) -> _Lesson:
    candidates: list[list[str]] = []
    right: list[bool] = []
    for index, document in enumerate(each.documents):
        for start, end in _candidates(document, copier.sizes, copier.first, copier.last):
            is_right = (index, start, end) in each.places
            if len(candidates) >= _MOST_CANDIDATES and not is_right:
                continue
            inside = document.inside(start, end, copier.seen, 1)
            candidates.append([*document.starts[start], *document.ends[end], *inside])
            right.append(is_right)
    return _Lesson([*candidates, []], [*right, not each.places])


def _step(lesson: _Lesson, weights: dict[str, float]) -> None:
    """Raise the right candidates' probability: one gradient step on its logarithm."""
    scores = [sum(weights.get(key, 0.0) for key in keys) for keys in lesson.candidates]
    best = max(scores)
    masses = [math.exp(score - best) for score in scores]
    total = sum(masses)
    right = sum(mass for mass, is_right in zip(masses, lesson.right, strict=True) if is_right) or 1.0
    for keys, mass, is_right in zip(lesson.candidates, masses, lesson.right, strict=True):
        gradient = (mass / right if is_right else 0.0) - mass / total
        if abs(gradient) > 0.01:
            for key in keys:
                weights[key] = weights.get(key, 0.0) + _RATE * gradient


def _candidates(
    document: Document, sizes: Iterable[int], first: frozenset[str], last: frozenset[str]
) -> Iterator[tuple[int, int]]:
    ordered = sorted(sizes)
    shapes = document.shapes
    for start, shape in enumerate(shapes):
        if shape in first:
            for size in ordered:
                end = start + size - 1
                if end < len(shapes) and shapes[end] in last:
                    yield start, end


def _seen(shown: Sequence[Shown]) -> dict[str, int]:
    """In how many demos each token stands: what never came before is more likely a name or a code."""
    counts: dict[str, int] = {}
    for each in shown:
        for token in dict.fromkeys(token for document in each.documents for token in document.lower):
            counts[token] = counts.get(token, 0) + 1
    return counts
