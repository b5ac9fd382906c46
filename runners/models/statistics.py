"""What a model's layers count: calls, retries, cache hits, latency, and what was really paid."""

from __future__ import annotations

import math
from collections import Counter

import msgspec

from promptc.runners.models.request import Completion, Usage

_BUCKETS_PER_DOUBLING = 8


class Latencies:
    """A histogram of seconds with eight buckets per doubling: quantiles are right within 5 %."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one latency."""
        self.count += 1
        self.total += seconds
        self._buckets[math.floor(math.log2(max(seconds, 1e-6)) * _BUCKETS_PER_DOUBLING)] += 1

    def quantile(self, share: float) -> float:
        """The latency that this share of the calls did not exceed, in seconds; 0 before the first call."""
        wanted = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return float(2 ** ((bucket + 0.5) / _BUCKETS_PER_DOUBLING))
        return 0.0


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What happened between promptc and one model. Seconds, tokens and US dollars.

    `calls` are replies that were paid; `cache_hits` and `shared` (an equal request was under way) were not.
    `attempts` counts requests sent, retries included. `unpriced` calls have no known price.
    """

    calls: int
    attempts: int
    cache_hits: int
    shared: int
    retries: dict[str, int]
    failures: dict[str, int]
    mean_latency: float
    median_latency: float
    p95_latency: float
    paid: Usage
    paid_usd: float
    unpriced: int
    served_models: dict[str, int]
    dropped_params: tuple[str, ...]


class Statistics:
    """The running counts of one model, written by its layers and read at any time."""

    def __init__(self) -> None:
        self.attempts = 0
        self.cache_hits = 0
        self.shared = 0
        self.retries: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies = Latencies()
        self.served_models: Counter[str] = Counter()
        self.dropped_params: set[str] = set()
        self.calls = 0
        self.paid_usd = 0.0
        self._input = self._output = self._cached = 0
        self._unpriced = 0

    def reply(self, completion: Completion, seconds: float) -> None:
        """Count a reply that came from the provider."""
        self.calls += 1
        self.latencies.add(seconds)
        usage = completion.usage
        self._input += usage.input_tokens
        self._output += usage.output_tokens
        self._cached += usage.cached_tokens
        if completion.cost is None:
            self._unpriced += 1
        else:
            self.paid_usd += completion.cost
        self.served_models[completion.served_model] += 1

    def figures(self) -> ModelFigures:
        """The counts so far."""
        latencies = self.latencies
        return ModelFigures(
            calls=self.calls,
            attempts=self.attempts,
            cache_hits=self.cache_hits,
            shared=self.shared,
            retries=dict(sorted(self.retries.items())),
            failures=dict(sorted(self.failures.items())),
            mean_latency=latencies.total / latencies.count if latencies.count else 0.0,
            median_latency=latencies.quantile(0.5),
            p95_latency=latencies.quantile(0.95),
            paid=Usage(self._input, self._output, self._cached),
            paid_usd=self.paid_usd,
            unpriced=self._unpriced,
            served_models=dict(sorted(self.served_models.items())),
            dropped_params=tuple(sorted(self.dropped_params)),
        )
