"""timing.json: everything about a run that depends on the moment, kept apart from what it found out."""

from __future__ import annotations

import msgspec

from promptc.runners.models.statistics import ModelFigures


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Wall seconds, speed, and what was really paid in this session (replayed and cached replies cost nothing)."""

    seconds: float
    rows: int
    rows_per_second: float
    calls: int
    replayed: int
    cache_hits: int
    paid_calls: int
    paid_usd: float
    retries: int
    warnings: tuple[str, ...] = ()
    models: dict[str, ModelFigures] = {}
