"""How much several runs of the same rows differ, as part of a split's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from promptc.runners.records import RowRecord
from promptc.runners.repeats import Repeats, variance


class RepeatFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How much several runs of the same rows differ.

    `scores` is the mean of each run over all rows. `variance` is that between a row's runs, unbiased, averaged over the
    rows, and `noise` the share of the variance of the rows' scores that more runs would take away (None for reducers
    other than the mean). `unsteady` counts rows whose runs do not all score the same. `unscored` and `failures` count
    single runs.
    """

    count: int
    reduce: str
    scores: tuple[float | None, ...] = ()
    variance: float | None = None
    noise: float | None = None
    unsteady: int = 0
    unscored: int = 0
    failures: dict[str, int] = {}


def repeat_figures(records: Sequence[RowRecord], repeats: Repeats) -> RepeatFigures | None:
    """The figures of rows that were run several times each; None where each was run once."""
    if repeats.count == 1:
        return None
    rows = [record.repeats for record in records if record.repeats]
    scored = [[run.score for run in runs if run.score is not None] for runs in rows]
    within = _mean([found for scores in scored if (found := variance(scores)) is not None])
    failures = [run.failure for runs in rows for run in runs if run.failure is not None]
    return RepeatFigures(
        count=repeats.count,
        reduce=repeats.reduce,
        scores=tuple(_mean([runs[place].score for runs in rows]) for place in range(repeats.count)),
        variance=within,
        noise=_noise(scored, within, repeats) if within is not None else None,
        unsteady=sum(len(set(scores)) > 1 for scores in scored),
        unscored=sum(not failure.scored for failure in failures),
        failures=dict(sorted(Counter(failure.kind for failure in failures).items())),
    )


def _noise(scored: Sequence[Sequence[float]], within: float, repeats: Repeats) -> float | None:
    """Miller 2024, section 3.1: the variance of a mean of K runs holds that of one run divided by K."""
    whole = variance([sum(scores) / len(scores) for scores in scored if scores])
    if repeats.reduce != "mean" or not whole:
        return None
    return min(1.0, within / repeats.count / whole)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
