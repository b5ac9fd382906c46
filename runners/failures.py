"""A failed row is data, with a kind."""

from __future__ import annotations

from typing import Literal

import msgspec

FailureKind = Literal[
    "parse", "constraint", "truncated", "refused", "context",
    "provider", "timeout", "metric", "hook", "tool", "data", "budget",
]  # fmt: skip

SCORED_AS_ZERO: frozenset[str] = frozenset({"parse", "constraint", "truncated", "refused", "context"})
"""Kinds that are the candidate's doing. The others leave the row unscored."""


class Failure(msgspec.Struct, frozen=True):
    """Why a row has no prediction, or no score."""

    kind: FailureKind
    message: str

    @property
    def scored(self) -> bool:
        """True when the row counts as 0; False when it is left out."""
        return self.kind in SCORED_AS_ZERO


class RowFailed(Exception):
    """Ends the work on one row. Caught where the row's record is written, and by modules that try again."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message)
