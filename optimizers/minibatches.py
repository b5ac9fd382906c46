"""The training rows in small batches."""

from __future__ import annotations

from collections import Counter

from promptc.optimizers.search import Search
from promptc.runners.rows import Example


class Minibatches:
    """Small batches of the training rows: shuffled anew in each epoch, the last one filled up with the least used."""

    def __init__(self, search: Search, size: int) -> None:
        self._search = search
        self.size = min(size, len(search.train))
        self.per_epoch = -(-len(search.train) // self.size)
        self._used: Counter[int] = Counter()
        self._epoch: list[int] = []
        self._number = 0

    def take(self) -> tuple[Example, ...]:
        """The next batch, without a row twice."""
        epoch, batch = divmod(self._number, self.per_epoch)
        if batch == 0:
            self._epoch = list(range(len(self._search.train)))
            self._search.rng("minibatches", epoch).shuffle(self._epoch)
        self._number += 1
        chosen = self._epoch[batch * self.size : (batch + 1) * self.size]
        spare = sorted(
            (place for place in self._epoch if place not in chosen), key=lambda place: self._used[place]
        )
        chosen += spare[: self.size - len(chosen)]
        self._used.update(chosen)
        return tuple(self._search.train[place] for place in chosen)
