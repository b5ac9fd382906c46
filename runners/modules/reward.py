"""What a run is worth to `best_of_n` and `refine`: the assertions that hold, or a metric that needs no gold."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from promptc.runners.metrics.protocol import Metric
from promptc.runners.metrics.registry import build

Reward = Annotated[
    str | dict[str, Any] | None,
    msgspec.Meta(
        description="The metric that says what a run is worth, one that needs no gold. Without it, the share of the "
        "step's assertions that hold.",
        examples=[{"contains": {"field": "reply", "texts": ["refund"]}}],
    ),
]


def build_reward(entry: Reward) -> Metric | None:
    """The metric as a spec writes it, None where there is none. Raises ValueError that says what is wrong."""
    if entry is None:
        return None
    metric = build({"all": {"metrics": [entry]}})
    if metric.reads_gold:
        name = entry if isinstance(entry, str) else next(iter(entry))
        raise ValueError(f"`{name}` compares with gold, which a program does not have while it runs")
    return metric


def rewarded_calls(reward: Metric | None, runs: int) -> int:
    """Model calls of the reward, for so many runs."""
    return reward.calls() * runs if reward is not None else 0
