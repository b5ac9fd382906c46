"""The argmax, or a sample: how a choice is made from scores."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.runners.models.request import Message


class Draw:
    """Decides between scored alternatives for one reply.

    At temperature 0 the best wins, the first among equals. Above, alternatives are sampled from a softmax;
    the random numbers depend on messages, temperature and rollout alone.
    """

    def __init__(self, messages: Sequence[Message], temperature: float, rollout: int) -> None:
        self.temperature = temperature
        # Hashing a long prompt takes longer than answering it, and the argmax needs no randomness.
        self.random = random.Random(_seed(messages, temperature, rollout) if temperature > 0 else 0)

    def pick(self, scores: Sequence[float], sharpness: float, skip: int = 0) -> int:
        """The index of one of the scores; with `skip`, the best ones are passed over while others remain.

        `sharpness` turns a difference of scores into a difference of log-probabilities at temperature 1.
        """
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        order = order[min(skip, len(order) - 1) :]
        if self.temperature <= 0:
            return order[0]
        best = scores[order[0]]
        weights = [math.exp((scores[index] - best) * sharpness / self.temperature) for index in order]
        return self.random.choices(order, weights)[0]


def effective_temperature(params: dict[str, Any], rollout: int) -> float:
    """The temperature that was asked for; without one, 0 for the plain request and 1 for another sample."""
    asked = params.get("temperature")
    if isinstance(asked, int | float):
        return max(0.0, float(asked))
    return 1.0 if rollout else 0.0


def _seed(messages: Sequence[Message], temperature: float, rollout: int) -> int:
    canonical = msgspec.json.encode([list(messages), temperature, rollout])
    return int.from_bytes(hashlib.blake2b(canonical, digest_size=8).digest(), "big")
