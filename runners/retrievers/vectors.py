"""Texts as vectors, by an embedding model or hashed, and the likeness of two texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.models.request import CallFailed, Message
from promptc.runners.models.vectors import unpacked
from promptc.runners.phase import BudgetDenied, Lane
from promptc.runners.retrievers.hashed import HashedVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBED = "embed"
"""The role of models that make vectors."""

TEXTS_AT_ONCE = 64
"""Texts in one request, unless the spec says otherwise."""


class Vectorizing(msgspec.Struct, frozen=True, kw_only=True):
    """How texts become vectors: by this model, so many texts a request; without one, hashed into dimensions."""

    model: str | None = None
    batch: int = TEXTS_AT_ONCE
    dimensions: int = 2048
    seed: int = 0


class Vectorizer:
    """Makes vectors of queries. Hashed ones weigh a word by how rare it is among the texts that are searched."""

    def __init__(self, how: Vectorizing, texts: Sequence[str] = ()) -> None:
        self.how = how
        self._hashed = (
            HashedVectors(texts, dimensions=how.dimensions, seed=how.seed) if how.model is None else None
        )

    async def vectors(self, lane: Lane, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row per text, of length 1, or 0 for a text without words. Raises RowFailed."""
        return self.hashed(texts) if self._hashed is not None else await embedded(lane, texts, self.how)

    def hashed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same where no model is asked."""
        assert self._hashed is not None
        return self._hashed.vectors(texts)


class VectorIndex:
    """Vectors of texts beside what makes one of a query. The texts are told by their places."""

    def __init__(self, vectorizer: Vectorizer, matrix: NDArray[np.float32]) -> None:
        self._vectorizer = vectorizer
        self._matrix = matrix

    async def scores(self, lane: Lane, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """Per query the cosine with each text. Raises RowFailed."""
        return self._compared(await self._vectorizer.vectors(lane, queries))

    def hashed_scores(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """The same where no model is asked."""
        return self._compared(self._vectorizer.hashed(queries))

    def _compared(self, vectors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if vectors.shape[1] != self._matrix.shape[1]:
            lengths = f"{self._matrix.shape[1]} and of {vectors.shape[1]} dimensions"
            raise RowFailed("provider", f"{self._vectorizer.how.model} gave vectors of {lengths}")
        # One by one: a product of matrices may add up in another order than a row of it alone.
        return [self._matrix @ vector for vector in vectors]


async def vector_index(lane: Lane, texts: Sequence[str], how: Vectorizing) -> VectorIndex:
    """The index over these texts. Raises RowFailed."""
    vectorizer = Vectorizer(how, texts)
    return VectorIndex(vectorizer, await vectorizer.vectors(lane, texts))


def hashed_index(texts: Sequence[str], how: Vectorizing) -> VectorIndex:
    """The index over these texts where no model is asked."""
    vectorizer = Vectorizer(how, texts)
    return VectorIndex(vectorizer, vectorizer.hashed(texts))


async def embedded(lane: Lane, texts: Sequence[str], how: Vectorizing) -> NDArray[np.float32]:
    """The model's vector per text, of length 1; 0 for a blank text, which no model takes. Raises RowFailed."""
    import numpy as np

    told = [(place, text) for place, text in enumerate(texts) if text.strip()]
    parts = [told[start : start + how.batch] for start in range(0, len(told), how.batch)]
    found = await lane.together([_request([text for _, text in part], how) for part in parts])
    vectors = [vector for part in found for vector in part]
    if len({len(vector) for vector in vectors}) > 1:
        raise RowFailed("provider", f"{how.model} gave vectors of different lengths")
    matrix = np.zeros((len(texts), len(vectors[0]) if vectors else 1), dtype=np.float32)
    for (place, _), vector in zip(told, vectors, strict=True):
        length = float(np.sqrt(np.sum(vector.astype(np.float64) ** 2)))
        matrix[place] = vector / length if length else 0
    return matrix


def _request(
    texts: Sequence[str], how: Vectorizing
) -> Callable[[Lane], Awaitable[list[NDArray[np.float32]]]]:
    async def ask(lane: Lane) -> list[NDArray[np.float32]]:
        model = how.model or EMBED
        messages = tuple(Message("user", text) for text in texts)
        request = lane.phase.effects.models.request(model, messages)
        try:
            completion = await lane.complete(request, model=model, role=EMBED)
        except CallFailed as error:
            raise RowFailed(error.kind, error.message) from error
        except BudgetDenied as error:
            raise RowFailed("budget", "the budget ended before this text was embedded") from error
        vectors = _read(completion.text, how)
        if len(vectors) != len(texts):
            raise RowFailed("provider", f"{how.model} gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    return ask


def _read(text: str, how: Vectorizing) -> list[NDArray[np.float32]]:
    try:
        return unpacked(text)
    except ValueError as error:
        raise RowFailed("provider", f"{how.model} replied, but not with vectors") from error
