"""A row, and the demos beside it, in every form that the estimators look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from promptc.runners.icl.document import Document, documents, plain_text
from promptc.runners.icl.memory import Memory, Space, Vector, remember, space_of
from promptc.runners.icl.prompt import Worked
from promptc.runners.icl.text import features, words


class Lessons:
    """What all output fields learn from: the demos' texts, as vectors and as documents."""

    def __init__(self, demos: Sequence[Worked], prose: Sequence[str], known: frozenset[str]) -> None:
        self.demos = tuple(demos)
        counted = [features(whole_text(demo.inputs), known) for demo in self.demos]
        self.space: Space = space_of([*counted, *(features(line, known) for line in prose)], known)
        self.memory: Memory = remember(map(self.space.weighted, counted))

    @cached_property
    def documents(self) -> tuple[tuple[Document, ...], ...]:
        """Each demo's inputs as documents."""
        return tuple(documents(demo.inputs) for demo in self.demos)


class Case:
    """One row to answer for."""

    def __init__(self, inputs: Mapping[str, str], lessons: Lessons) -> None:
        self.inputs = inputs
        self._lessons = lessons
        self.text = whole_text(inputs)

    @cached_property
    def vector(self) -> Vector:
        """The row's features, weighted as the demos' are."""
        return self._lessons.space.vector(self.text)

    @cached_property
    def similarities(self) -> list[float]:
        """How alike each demo is, 0 to 1."""
        return self._lessons.memory.similarities(self.vector)

    @cached_property
    def words(self) -> list[str]:
        """The words of all inputs."""
        return words(self.text)

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        """The row's inputs as documents."""
        return documents(self.inputs)

    def nearest(self, count: int) -> list[int]:
        """The most similar demos, best first, the earlier one among equals."""
        found = self.similarities
        return sorted(range(len(found)), key=lambda index: -found[index])[:count]


def whole_text(inputs: Mapping[str, str]) -> str:
    """All inputs, one below the other."""
    return "\n".join(plain_text(text) for text in inputs.values())
