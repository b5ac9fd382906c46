"""Start beside winner on the same rows: the difference as a whole, per metric and per slice, and what fell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import msgspec

from promptc.runners.corrections import holm
from promptc.runners.evaluate import RowRecord
from promptc.runners.grouping import by_value, clusters_of
from promptc.runners.judging import Judge
from promptc.runners.rows import Example
from promptc.runners.statistics import Difference, paired_difference, unchanged, verdict
from promptc.runners.summary import Change, Gap, Improvement, SplitSummary

ALPHA = 0.05

Key = TypeVar("Key", bound=Hashable)
Pair = tuple[RowRecord, RowRecord]
Value = Callable[[RowRecord], float | None]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison needs to know beside the rows: the columns of slices and clusters, and the seed."""

    slices: tuple[str, ...] = ()
    cluster: str | None = None
    seed: int = 0


def compared(
    winner: SplitSummary,
    start: SplitSummary,
    pairs: Sequence[Pair],
    examples: Sequence[Example],
    judge: Judge,
    settings: Settings,
) -> SplitSummary:
    """The winner's figures with the start's and the paired differences beside them; pairs are (start, winner).

    The p-values of the metrics are adjusted together by Holm's method, and so are those of all slices.
    """
    rows = list(zip(pairs, examples, strict=True))

    def difference(chosen: Sequence[tuple[Pair, Example]], value: Value, binary: bool) -> Difference:
        if all(one is other for (one, other), _ in chosen):
            return unchanged(sum(value(one) is not None for (one, _), _ in chosen))
        return paired_difference(
            [value(one) for (one, _), _ in chosen],
            [value(other) for (_, other), _ in chosen],
            binary=binary,
            clusters=clusters_of((example for _, example in chosen), settings.cluster),
            seed=settings.seed,
        )

    metrics = {
        m.use.name: difference(rows, _metric_value(m.use.name), judge.binary_metric(m)) for m in judge.metrics
    }
    slices = {
        (column, value): difference(chosen, _score, judge.binary_rows)
        for column in settings.slices
        for value, chosen in by_value(rows, column).items()
    }
    found = _improvement(
        difference(rows, _score, judge.binary_rows),
        adjusted(metrics) if len(metrics) > 1 else {},
        adjusted(slices),
    )
    return msgspec.structs.replace(winner, start=start, improvement=found)


def adjusted(differences: Mapping[Key, Difference]) -> dict[Key, Change]:
    """Differences that are reported together, with their p-values adjusted for how many they are."""
    p_values = holm([found.p for found in differences.values()])
    return {
        key: Change(
            difference=found.difference,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            p=found.p,
            p_adjusted=p,
            n=found.n,
            wins=found.wins,
            ties=found.ties,
            losses=found.losses,
        )
        for (key, found), p in zip(differences.items(), p_values, strict=True)
    }


def fell(change: Change) -> bool:
    """True for a loss that stays significant though several comparisons were made."""
    return change.difference < 0 and change.p_adjusted < ALPHA and change.ci_high < 0


def gap(dev: SplitSummary | None, test: SplitSummary | None) -> Gap | None:
    """How far dev, on which the winner was chosen, lies above test; None where one of them has no figure.

    The interval joins those of the two means, which rest on different rows. Source: Newcombe 1998, "Interval
    estimation for the difference between independent proportions", method 10; Zou and Donner 2008 for any mean.
    """
    if dev is None or test is None:
        return None
    ends = (dev.score, dev.ci_low, dev.ci_high, test.score, test.ci_low, test.ci_high)
    if any(end is None for end in ends):
        return None
    one, one_low, one_high, other, other_low, other_high = (float(end or 0.0) for end in ends)
    difference = one - other
    return Gap(
        difference=difference,
        ci_low=difference - ((one - one_low) ** 2 + (other_high - other) ** 2) ** 0.5,
        ci_high=difference + ((one_high - one) ** 2 + (other - other_low) ** 2) ** 0.5,
    )


def fallen_notes(name: str, split: SplitSummary) -> list[str]:
    """A sentence for each slice that fell while the mean rose: a mean hides who pays for it."""
    found = split.improvement
    if found is None or found.difference <= 0:
        return []
    lost = [
        (change.difference, column, value, change)
        for column, values in found.slices.items()
        for value, change in values.items()
        if change.difference < 0
    ]
    return [_fallen(name, column, value, change) for _, column, value, change in sorted(lost, key=_place)]


def _place(entry: tuple[float, str, str, Change]) -> tuple[float, str, str]:
    return entry[:3]


def _fallen(name: str, column: str, value: str, change: Change) -> str:
    rows = "1 row" if change.n == 1 else f"{change.n} rows"
    sure = f"p = {change.p_adjusted:.2g} after Holm" if fell(change) else "within what chance does"
    return (
        f"{name}: {column} = {value} fell by {-change.difference:.3f} on {rows} while the mean rose ({sure})"
    )


def _improvement(
    found: Difference, metrics: dict[str, Change], slices: Mapping[tuple[str, str], Change]
) -> Improvement:
    nested: dict[str, dict[str, Change]] = {}
    for (column, value), change in slices.items():
        nested.setdefault(column, {})[value] = change
    return Improvement(
        difference=found.difference,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        permutation_p=found.permutation_p,
        detectable=found.detectable,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        verdict=verdict(found),
        fallen_slices=sum(map(fell, slices.values())),
        metrics=metrics,
        slices=nested,
    )


def _score(record: RowRecord) -> float | None:
    return record.score


def _metric_value(name: str) -> Value:
    return lambda record: record.metrics.get(name)
