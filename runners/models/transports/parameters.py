"""Which parameters a model takes, learned from its refusals."""

from __future__ import annotations

from typing import Any

from promptc.runners.models.request import CallFailed
from promptc.runners.models.statistics import Statistics
from promptc.runners.models.transports.failures import ErrorBody, unsupported_param
from promptc.spec.model import Model

LARGEST_SEED = 2**31
"""Servers store a seed in 32 bits with sign."""

_RENAMED = {"max_tokens": "max_completion_tokens"}


def seeded(params: dict[str, Any], rollout: int) -> dict[str, Any]:
    """The parameters with a seed of its own for every rollout but the plain request."""
    if not rollout:
        return params
    seed = params.get("seed")
    return {**params, "seed": ((seed if isinstance(seed, int) else 0) + rollout) % LARGEST_SEED}


class Parameters:
    """Turns a request's parameters into what the model takes.

    A parameter that the model refuses is dropped when the spec says so (`on_unsupported: drop`), renamed
    when the model names its successor, and else an error. A seed is always dropped: promptc adds it to a
    rollout, and a model that takes none still gives other samples.
    """

    def __init__(self, model: Model, statistics: Statistics) -> None:
        self._model = model.model
        self._drops = model.on_unsupported == "drop"
        self._statistics = statistics
        self._dropped: set[str] = set()
        self._renamed: dict[str, str] = {}

    def adapted(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters as this model is known to take them."""
        if not self._dropped and not self._renamed:
            return params
        return {self._renamed.get(k, k): v for k, v in params.items() if k not in self._dropped}

    def learn(self, status: int, error: ErrorBody, sent: dict[str, Any]) -> bool:
        """Read in an error which parameter the model does not take; True when it is worth asking again."""
        name = unsupported_param(status, error, sent)
        if not name:
            return False
        other = _RENAMED.get(name)
        if other is not None and other in error.message and other not in sent:
            self._renamed[name] = other
            return True
        if self._drops or name == "seed":
            self.drop(name)
            return True
        return False

    def drop(self, name: str) -> None:
        """Never send this parameter again."""
        self._dropped.add(name)
        self._statistics.dropped_params.add(name)

    def refused(self, status: int, error: ErrorBody, sent: dict[str, Any]) -> CallFailed | None:
        """The failure when the error is about a parameter; None when it is about something else."""
        name = unsupported_param(status, error, sent)
        if not name:
            return None
        return CallFailed(
            f"{self._model} does not take the parameter {name}: {error.message}",
            fatal=True,
            status=status,
            hint=f"remove params.{name}, or set on_unsupported: drop for this model",
        )
