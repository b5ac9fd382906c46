"""BM25: documents ranked by the words that they share with the query, rare words first.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3; by the
library bm25s (Lù, 2024) in Lucene's variant, where a text without a word of the query scores 0.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.runners.retrievers.words import Language, cutter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX_VERSION = 1
"""Counted up when the same documents and parameters give another index."""


class Weighing(msgspec.Struct, frozen=True, kw_only=True):
    """How words are cut and weighed."""

    language: Language | None = None
    k1: float = 1.5
    b: float = 0.75


class KeywordIndex:
    """An index over texts; they are told by their places."""

    def __init__(self, weighing: Weighing, found: Any, count: int) -> None:
        self._cut = cutter(weighing.language)
        self._found = found
        self._count = count

    def scores(self, query: str) -> NDArray[np.float32]:
        """A score per text; 0 for one that shares no word with the query."""
        import numpy as np

        sought = self._cut(query)
        if self._found is None or not sought:
            return np.zeros(self._count, dtype=np.float32)
        scores: NDArray[np.float32] = self._found.get_scores(sought)
        return scores


def keyword_index(texts: Sequence[str], weighing: Weighing) -> KeywordIndex:
    """The index over these texts."""
    return KeywordIndex(weighing, _indexed(texts, weighing), len(texts))


def kept_index(texts: Sequence[str], digest: str, weighing: Weighing, folder: Path) -> KeywordIndex:
    """The index over these texts as it was kept in the folder, else made anew and kept.

    `digest` is that of the texts. What cannot be read is made anew, and what cannot be written is not kept: an index
    costs only time.
    """
    import bm25s

    parts = [INDEX_VERSION, version("bm25s"), digest, weighing]
    path = folder / hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
    if path.is_dir():
        with contextlib.suppress(OSError, ValueError, KeyError):
            return KeywordIndex(weighing, bm25s.BM25.load(path, show_progress=False), len(texts))
    found = _indexed(texts, weighing)
    if found is not None:
        with contextlib.suppress(OSError):
            _keep(found, path)
    return KeywordIndex(weighing, found, len(texts))


def _indexed(texts: Sequence[str], weighing: Weighing) -> Any:
    """The library's index; None where no text has a word."""
    import bm25s

    cut = cutter(weighing.language)
    corpus = [cut(text) for text in texts]
    if not any(corpus):
        return None
    found = bm25s.BM25(method="lucene", k1=weighing.k1, b=weighing.b)
    found.index(corpus, show_progress=False)
    return found


def _keep(found: Any, path: Path) -> None:
    """Write beside and rename: another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        found.save(beside, show_progress=False)
        if path.is_dir():  # unreadable, or another process was faster
            shutil.rmtree(path)
        os.rename(beside, path)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
