"""sweep.json as data: the cells of a sweep beside each other. `ranking` makes it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from promptc.runners.summary import Change, Figure, Improvement, VerdictLine

SWEEP_VERSION = 1
CostMeasure = Literal["usd_per_1000_rows", "tokens_per_row"]


class OnTest(msgspec.Struct, frozen=True, kw_only=True):
    """What a cell reached on test, beside its own start; `p_adjusted` is Holm's, over all cells that were tested."""

    score: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    start: Figure | None = None
    improvement: Improvement | None = None
    p_adjusted: float | None = None


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: what it changes, how it scored on the sweep's split, and what that cost.

    `directory` is its folder within the sweep's. `rank` is None where a cell failed or cannot be trusted.
    `usd_per_1000_rows` and `tokens_per_row` are those of the program itself, at recorded prices; `usd`, `calls` and
    `tokens` those of the whole run. On the `frontier` no other cell scores higher for less.
    """

    number: int
    directory: str
    values: dict[str, Any]
    rank: int | None = None
    identity: str = ""
    exit_code: int = 0
    error: str = ""
    score: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    start: Figure | None = None
    to_best: Change | None = None
    usd_per_1000_rows: float | None = None
    tokens_per_row: float | None = None
    frontier: bool = False
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    prompt_characters: int | None = None
    test: OnTest | None = None


class Leaderboard(msgspec.Struct, frozen=True, kw_only=True):
    """sweep.json: everything that a sweep found out, best cell first, those without a rank last.

    `keys` are what is swept, `share` is each cell's part of the budget, by wall. It holds no time: equal on replay.
    """

    version: int = SWEEP_VERSION
    command: str
    name: str
    identity: str
    split: str
    keys: tuple[str, ...]
    share: dict[str, float] = {}
    complete: bool
    cost_measure: CostMeasure
    best: str | None
    cells: tuple[CellResult, ...]
    exit_code: int = 0
    verdicts: tuple[VerdictLine, ...] = ()
    notes: tuple[str, ...] = ()
