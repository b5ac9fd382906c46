"""What judges say as numbers, how several votes make one, and what people said of the same answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.failures import FailureKind, RowFailed
from promptc.runners.metrics.judge_prompt import Scale

REASONS = ("reason", "reasoning", "feedback")
"""Outputs of a judge that say why, and not what."""
_WORDS = {"pass": 1.0, "fail": 0.0}
_NOBODYS_FAULT: frozenset[str] = frozenset({"provider", "timeout"})


class Vote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply of the judge: the verdict of each criterion from 0 to 1, or why there is none."""

    verdicts: dict[str, float] = {}
    reason: str = ""
    failure: str = ""
    kind: str = ""


def verdict_name(outputs: Collection[str]) -> str | None:
    """Which output of a judging program is its verdict: `verdict`, or the only one that is no reason."""
    if "verdict" in outputs:
        return "verdict"
    rest = [name for name in outputs if name not in REASONS]
    return rest[0] if len(rest) == 1 else None


def said(value: Any, scale: Scale | None) -> float | None:
    """A judge's verdict from 0 to 1; None for anything but a clear one."""
    if scale is None:
        return _WORDS.get(value) if isinstance(value, str) else None
    return _grade(value, scale)


def found(value: Any, scale: Scale | None) -> float | None:
    """The same of a program or a person, who may also say true or false, or a number from 0 to 1."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().casefold())
    if isinstance(value, bool):
        return float(value)
    if scale is not None:
        return _grade(value, scale)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _grade(value: Any, scale: Scale) -> float | None:
    low, high = scale
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return None
    return (value - low) / (high - low) if value == int(value) else None


def labels(value: Any, scale: Scale | None, column: str) -> tuple[float, ...]:
    """What people said of an answer, one or several of them. Raises ValueError for what is no verdict."""
    given = value if isinstance(value, list) else [value]
    numbers = [found(one, scale) for one in given]
    if any(number is None for number in numbers):
        wanted = "pass or fail" if scale is None else f"a grade from {scale[0]} to {scale[1]}"
        raise ValueError(f"`{column}` is {value!r}, and a label is {wanted}")
    return tuple(number for number in numbers if number is not None)


def agreement(votes: Sequence[Vote]) -> float:
    """The share of votes that say the same as the most frequent one."""
    counts = Counter(tuple(vote.verdicts.values()) for vote in votes)
    return counts.most_common(1)[0][1] / len(votes)


def clear_votes(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that have a verdict. Raises RowFailed where most of them have none."""
    valid = [vote for vote in votes if not vote.failure]
    if 2 * len(valid) >= len(votes) and valid:
        return valid
    failed = [vote for vote in votes if vote.failure]
    kinds = {vote.kind for vote in failed}
    kind: FailureKind = "metric"
    # It is the provider's failure only where each failing vote failed so.
    if len(kinds) == 1 and kinds <= _NOBODYS_FAULT:
        kind = "timeout" if "timeout" in kinds else "provider"
    why = f"{len(failed)} of {len(votes)} votes of the judge have no verdict: {failed[0].failure}"
    raise RowFailed(kind, why)


def overall(vote: Mapping[str, Any]) -> float | None:
    """A vote's verdict as a whole, from the details that are kept of it; None where it has none."""
    verdicts = vote.get("verdicts") or {}
    return sum(verdicts.values()) / len(verdicts) if verdicts else None
