"""What `promptc compare` finds, as data: runs beside each other, the first of which is the reference."""

from __future__ import annotations

from typing import Any

import msgspec

from promptc.runners.baselines import BaselineVerdict

COMPARISON_VERSION = 1


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One of the runs: where it is, how it scored alone, and what its program costs."""

    letter: str
    path: str
    name: str
    command: str
    identity: str
    score: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    usd_per_1000_rows: float | None = None
    tokens_per_row: float | None = None
    median_latency: float | None = None
    calls: int = 0
    usd: float = 0.0


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Means before and after on the rows that both runs scored, and the paired difference.

    `p_adjusted` is Holm's, over all parts of a kind (the metrics, or the slices).
    """

    before: float | None
    after: float | None
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_adjusted: float
    n: int
    wins: int
    ties: int
    losses: int


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What one run made of a row: its score, and its outputs or why there are none."""

    score: float | None
    outputs: dict[str, Any] | None = None
    failure: str = ""


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose score changed, with what both runs answered."""

    id: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    before: Answered
    after: Answered


class RunDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One run against the reference, on the rows that both scored.

    `p_adjusted` is Holm's, over all runs beside the reference; it decides the verdict. `only_before` and `only_after`
    rows are in one of them alone, `other_content` rows have the same id and other content: none of them is compared.
    `flips` are the rows that changed most, losses first.
    """

    letter: str
    verdict: BaselineVerdict
    whole: Part
    detectable: float | None = None
    only_before: int = 0
    only_after: int = 0
    other_content: int = 0
    metrics: dict[str, Part] = {}
    slices: dict[str, dict[str, Part]] = {}
    flips: tuple[Flip, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What `promptc compare` found: the runs, the first of them the reference, and how the others differ from it."""

    version: int = COMPARISON_VERSION
    split: str
    max_drop: float
    alpha: float
    runs: tuple[ComparedRun, ...]
    differences: tuple[RunDifference, ...]
