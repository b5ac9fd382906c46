"""Vectors without a model: words and the parts of words, hashed into so many dimensions.

Words that share a stem or a typing error share parts, and so directions; nothing knows what a word means. Source:
Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009, section 3, over character n-grams as in
Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017, section 3.2.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptc.runners.metrics.text import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_LENGTHS = range(3, 6)
"""Characters in a part of a word, whose beginning and end count as characters."""

PARTS_WEIGHT = 2.0
"""What the parts of a word count together, beside 1 for the word itself."""


class HashedVectors:
    """A vectorizer fitted on texts: words that are rare among them count more.

    The same texts, seed and dimensions give the same vectors on every machine. Vectors have length 1, or 0 for a text
    without words.
    """

    def __init__(self, texts: Sequence[str], *, dimensions: int, seed: int) -> None:
        self._dimensions = dimensions
        self._key = seed.to_bytes(8, "big", signed=True)
        self._known: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        self._holding = Counter(word for text in texts for word in set(words(text)))
        self._texts = len(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row per text."""
        import numpy as np

        found = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            for word, count in Counter(words(text)).items():
                places, values = self._directions(word)
                row[places] += values * np.float32((1 + math.log(count)) * self._rarity(word))
            length = float(np.sqrt(np.sum(row.astype(np.float64) ** 2)))
            if length:
                row /= length
        return found

    def _rarity(self, word: str) -> float:
        return math.log(1 + (self._texts - self._holding[word] + 0.5) / (self._holding[word] + 0.5))

    def _directions(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Where a word points: its dimensions, each once, and how far."""
        known = self._known.get(word)
        if known is None:
            known = self._known[word] = self._hashed(word)
        return known

    def _hashed(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        import numpy as np

        whole = f"<{word}>"
        parts = [whole[i : i + n] for n in PART_LENGTHS for i in range(len(whole) - n + 1)]
        sums: dict[int, float] = {}
        for feature, weight in [(word, 1.0), *((f"#{part}", PARTS_WEIGHT / len(parts)) for part in parts)]:
            digest = hashlib.blake2b(feature.encode(), digest_size=8, key=self._key).digest()
            number = int.from_bytes(digest, "big")
            place = (number >> 1) % self._dimensions
            sums[place] = sums.get(place, 0.0) + (weight if number & 1 else -weight)
        return np.array(list(sums), dtype=np.int64), np.array(list(sums.values()), dtype=np.float32)
