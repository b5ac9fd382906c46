"""The demos that a row sees when it sees those that are most like it.

Source: Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022, section 2: the nearest neighbours of a row
among the training rows, the most similar one next to it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.runners.candidate import Demo, Nearest
from promptc.runners.extras import lacking
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.phase import Lane
from promptc.runners.retrievers.keywords import KeywordIndex, Weighing, keyword_index
from promptc.runners.retrievers.ranking import best
from promptc.runners.retrievers.vectors import VectorIndex, Vectorizing, hashed_index, vector_index
from promptc.spec.errors import UsageError
from promptc.spec.fields import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def lacking_package(by: str, language: str | None) -> str:
    """What to install to choose demos by their words; "" when nothing is missing."""
    if by != "bm25":
        return ""
    return lacking(
        "choosing demonstrations by their words", ("bm25s", "Stemmer") if language else ("bm25s",), "bm25"
    )


class Pool:
    """Demos of one predictor, of which each row sees a few.

    `embedding` names the model that makes vectors of them; None hashes their words. Raises UsageError where a package
    is missing.
    """

    def __init__(
        self,
        signature: Signature,
        demos: Sequence[Demo],
        nearest: Nearest,
        *,
        embedding: str | None = None,
        seed: int = 0,
    ) -> None:
        problem = lacking_package(nearest.by, nearest.language)
        if problem:
            raise UsageError(problem)
        self.demos = demos
        self.nearest = nearest
        self._signature = signature
        self._how = Vectorizing(model=embedding, seed=seed)

    @functools.cached_property
    def key(self) -> bytes:
        """Equal for pools that show every row the same."""
        parts = (self.demos, self.nearest, self._how, [field.name for field in self._signature.inputs])
        return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).digest()

    async def chosen(self, lane: Lane, inputs: Mapping[str, Any]) -> tuple[Demo, ...]:
        """The demos that are most like these inputs, the most similar one last. Raises RowFailed."""
        indexed = await lane.once(self.key, self._indexed)
        scores = await indexed.scores(lane, inputs)
        return indexed.nearest(inputs, scores, self.nearest.k, lane.row_id)

    def chosen_here(self, inputs: Mapping[str, Any]) -> tuple[Demo, ...] | None:
        """The same without a run, to be looked at; None where a model would have to be asked."""
        if self.asks_a_model:
            return None
        indexed = _Indexed(self._signature, self._shown(), self.nearest.fields)
        indexed.index = self._index_here(indexed.texts)
        return indexed.nearest(inputs, indexed.scores_here(inputs), self.nearest.k)

    @property
    def asks_a_model(self) -> bool:
        """True where a row's text, and once those of all demos, are sent to an embedding model."""
        return self.nearest.by == "dense" and self._how.model is not None

    def longest(self) -> tuple[Demo, ...]:
        """As many demos as a row sees, the longest ones."""
        sizes = [len(msgspec.json.encode((demo.inputs, demo.outputs))) for demo in self.demos]
        order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
        return tuple(self.demos[place] for place in order[: self.nearest.k])

    def _shown(self) -> list[Demo]:
        """The demos that a prompt would show."""
        return [demo for demo in self.demos if next(shown_demos(self._signature, (demo,)), None) is not None]

    def _index_here(self, texts: Sequence[str]) -> KeywordIndex | VectorIndex:
        if self.nearest.by == "bm25":
            return keyword_index(texts, Weighing(language=self.nearest.language))
        return hashed_index(texts, self._how)

    async def _indexed(self, lane: Lane) -> _Indexed:
        indexed = _Indexed(self._signature, self._shown(), self.nearest.fields)
        if self.asks_a_model:
            indexed.index = await vector_index(lane, indexed.texts, self._how)
        else:
            indexed.index = self._index_here(indexed.texts)
        return indexed


class _Indexed:
    """Demos that can be shown, with the index over them and their places by their inputs."""

    def __init__(self, signature: Signature, demos: Sequence[Demo], compared: Sequence[str]) -> None:
        names = [field.name for field in signature.inputs]
        self._compared = [name for name in names if name in compared] if compared else names
        self._demos = demos
        self._places: dict[tuple[str, ...], dict[bytes, list[int]]] = {}
        self._of_rows: dict[str, list[int]] = {}
        for place, demo in enumerate(demos):
            if demo.row_id:
                self._of_rows.setdefault(demo.row_id, []).append(place)
            given = tuple(name for name in names if name in demo.inputs)
            own = _encoded(demo.inputs, given)
            self._places.setdefault(given, {}).setdefault(own, []).append(place)
        self.texts = [_text(demo.inputs, self._compared) for demo in demos]
        self.index: KeywordIndex | VectorIndex

    async def scores(self, lane: Lane, inputs: Mapping[str, Any]) -> NDArray[np.float32]:
        """How like each demo is to the inputs. Raises RowFailed."""
        if isinstance(self.index, VectorIndex):
            return (await self.index.scores(lane, [_text(inputs, self._compared)]))[0]
        return self.scores_here(inputs)

    def scores_here(self, inputs: Mapping[str, Any]) -> NDArray[np.float32]:
        """The same where no model is asked."""
        text = _text(inputs, self._compared)
        if isinstance(self.index, VectorIndex):
            return self.index.hashed_scores([text])[0]
        return self.index.scores(text)

    def nearest(
        self, inputs: Mapping[str, Any], scores: NDArray[np.float32], k: int, row_id: str = ""
    ) -> tuple[Demo, ...]:
        """The best `k` demos, the best one last. Where too few are like the row, the first of the others fill up.

        Left out are those of the row itself: made of it, or with its inputs.
        """
        import numpy as np

        among = np.ones(len(self._demos), dtype=np.bool_)
        among[self._of_rows.get(row_id, [])] = False
        for given, places in self._places.items():
            if all(name in inputs for name in given):
                among[places.get(_encoded(inputs, given), [])] = False
        found = best(scores, k, among=among, above=float("-inf"))
        return tuple(self._demos[place] for place, _ in reversed(found))


def _encoded(inputs: Mapping[str, Any], names: Sequence[str]) -> bytes:
    return msgspec.json.encode([inputs[name] for name in names], order="deterministic")


def _text(inputs: Mapping[str, Any], names: Sequence[str]) -> str:
    """What is compared: the values one below the other, those that are no text as JSON."""
    values = (inputs.get(name) for name in names)
    return "\n".join(
        value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for value in values
        if value is not None
    )
