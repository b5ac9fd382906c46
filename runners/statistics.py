"""How sure a mean is, and whether two candidates differ: intervals, paired differences, p-values.

Everything is a function of its arguments, the seed among them. Scores lie in [0, 1]; None and NaN are
unscored rows.

Sources: Wilson 1927 (pass/fail); Korn and Graubard 1998 (how many independent rows clustered ones are worth);
McNemar 1947 in its exact, binomial form; `resampling` for the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from promptc.runners.permutation import permutation_p
from promptc.runners.power import detectable_difference, detectable_from_error
from promptc.runners.resampling import (
    Units,
    bootstrap_p,
    normal_quantile,
    percentile_interval,
    t_quantile,
    units_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Scores = Sequence[float | None] | NDArray[np.float64]

BOOTSTRAP_ROWS = 5000
"""Up to so many rows are resampled; above, the normal approximation is as good and free."""
FEW = 5
"""With fewer rows or clusters, samples hardly leave what was seen, so Student's interval is taken as well."""
_ROUNDING = 1e-9
"""How far a weighted mean may land outside [0, 1]."""
_TIE = 1e-12
"""Scores that differ by less are equal."""

Verdict = Literal["improvement", "regression", "no significant change"]


class Interval(msgspec.Struct, frozen=True):
    """A mean over `n` scored rows and where it may lie; all None where n is 0."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class Difference(msgspec.Struct, frozen=True):
    """The mean of after − before over the `n` rows that both scored, with its 95 % interval and p.

    `permutation_p` is that of the permutation test, beside. `detectable` is the smallest true difference that rows
    which vary like these show four times out of five; None where there is nothing to tell apart.
    """

    difference: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    wins: int
    ties: int
    losses: int
    permutation_p: float = 1.0
    detectable: float | None = None


def mean_interval(
    scores: Scores,
    *,
    binary: bool,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean with its interval: Wilson for pass/fail, else bootstrap up to 5,000 rows and normal above.

    `clusters` names each row's cluster (None: a cluster of its own), whose rows are not independent. Scores
    that are all equal do not make the interval a point: see `_unvaried`. Raises ValueError for a score
    outside [0, 1], and with `binary` for one that is neither 0 nor 1.
    """
    values = _checked(scores, binary=binary)
    scored = ~_missing(values)
    values, groups = values[scored], _groups(clusters, scored)
    if len(values) == 0:
        return Interval(None, None, None, 0)
    units = units_of(values, groups)
    if binary:
        low, high = _wilson(units.mean, _effective_rows(units), confidence)
    else:
        low, high = _interval(values, units, confidence, seed, lowest=0.0)
    return Interval(units.mean, min(low, units.mean), max(high, units.mean), len(values))


def paired_difference(
    before: Scores,
    after: Scores,
    *,
    binary: bool,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """What changed from `before` to `after` on the same rows, which stand in the same order.

    A row that either left unscored is in neither. The p-value is exact McNemar's for pass/fail in independent
    rows, else the studentized paired bootstrap's (by clusters where there are some), and above 5,000 rows the
    z-test's. The interval is by paired bootstrap up to 5,000 rows and normal above. Where no row changed the
    difference is 0 with p 1, and the interval says how rare a change may still be. No common row: 0 between
    −1 and 1, with p 1.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} rows before and {len(after)} after are no pairs")
    first, second = _checked(before, binary=binary), _checked(after, binary=binary)
    common = ~(_missing(first) | _missing(second))
    changes = (second - first)[common]
    changes[abs(changes) < _TIE] = 0.0
    groups = _groups(clusters, common)
    n = len(changes)
    if n == 0:
        return Difference(0.0, -1.0, 1.0, 1.0, 0, 0, 0, 0)
    units = units_of(changes, groups)
    wins, losses = int((changes > 0).sum()), int((changes < 0).sum())
    low, high = _interval(changes, units, confidence, seed, lowest=-1.0)
    p = _mcnemar(wins, losses) if binary and groups is None else _p_value(units, seed)
    mean = units.mean
    return Difference(
        difference=mean,
        ci_low=min(low, mean),
        ci_high=max(high, mean),
        p=p,
        n=n,
        wins=wins,
        ties=n - wins - losses,
        losses=losses,
        permutation_p=permutation_p(units, seed) if units.count > 1 else 1.0,
        detectable=_detectable(units, 1 - confidence),
    )


def unchanged(n: int) -> Difference:
    """The difference of a candidate to itself: 0, and nothing uncertain about it."""
    return Difference(0.0, 0.0, 0.0, 1.0, n, 0, n, 0)


def verdict(difference: Difference, alpha: float = 0.05) -> Verdict:
    """The difference in words. Significant is what p and the interval both call so."""
    if difference.p >= alpha or difference.ci_low <= 0 <= difference.ci_high:
        return "no significant change"
    return "improvement" if difference.difference > 0 else "regression"


def _detectable(units: Units, alpha: float) -> float:
    """From how much the units' changes vary; where none varies, what so many units can show at all."""
    error = units.standard_error() if units.count > 1 else 0.0
    if error == 0:
        return detectable_difference(units.count, alpha=alpha)
    return min(1.0, detectable_from_error(error, alpha=alpha))


def _checked(scores: Scores, *, binary: bool) -> Floats:
    """The scores as an array, unscored ones as NaN."""
    import numpy as np

    values = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    scored = values[~np.isnan(values)]
    outside = scored[(scored < -_ROUNDING) | (scored > 1 + _ROUNDING)]
    if len(outside):
        raise ValueError(f"the score {outside[0]:g} is not between 0 and 1")
    values = np.clip(values, 0.0, 1.0)
    between = scored[(scored > _ROUNDING) & (scored < 1 - _ROUNDING)]
    if binary and len(between):
        raise ValueError(f"the score {between[0]:g} is neither pass (1) nor fail (0)")
    return np.round(values) if binary else values


def _missing(values: Floats) -> Flags:
    import numpy as np

    return np.isnan(values)


def _groups(clusters: Sequence[Hashable] | None, kept: Flags) -> Integers | None:
    """The number, from 0, of each kept row's cluster; None where every row stands alone."""
    import numpy as np

    if clusters is None:
        return None
    if len(clusters) != len(kept):
        raise ValueError(f"{len(clusters)} clusters do not fit {len(kept)} rows")
    numbers: dict[Hashable, int] = {}
    named = [(row, name) for row, name in enumerate(clusters) if kept[row]]
    groups = [numbers.setdefault(row if name is None else (name,), len(numbers)) for row, name in named]
    return None if len(numbers) == len(groups) else np.array(groups, dtype=np.int64)


def _interval(
    values: Floats, units: Units, confidence: float, seed: int, *, lowest: float
) -> tuple[float, float]:
    """The interval of a mean of values in [lowest, 1]."""
    import numpy as np

    if units.count == 1 or np.ptp(values) == 0:
        return _unvaried(units.mean, units.count, confidence, lowest)
    error = units.standard_error()
    if units.rows > BOOTSTRAP_ROWS:
        return _symmetric(units.mean, normal_quantile(confidence) * error, lowest)
    low, high = percentile_interval(units, confidence, seed)
    if units.count < FEW:
        student = _symmetric(units.mean, t_quantile(confidence, units.count - 1) * error, lowest)
        return min(low, student[0]), max(high, student[1])
    return low, high


def _symmetric(mean: float, margin: float, lowest: float) -> tuple[float, float]:
    return max(lowest, mean - margin), min(1.0, mean + margin)


def _unvaried(value: float, n: int, confidence: float, lowest: float) -> tuple[float, float]:
    """The interval where all `n` rows say the same, or there is one cluster, and resampling would claim
    certainty.

    Of 0 exceptions in n Wilson's upper limit is q: up to that share of the rows to come may differ from what
    was seen, and then lie anywhere between `lowest` and 1.
    """
    _, rare = _wilson(0.0, n, confidence)
    return value - rare * (value - lowest), value + rare * (1.0 - value)


def _wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` independent rows; `n` need not be whole."""
    z = normal_quantile(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    margin = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low = 0.0 if share == 0 else max(0.0, centre - margin)
    high = 1.0 if share == 1 else min(1.0, centre + margin)
    return low, high


def _effective_rows(units: Units) -> float:
    """How many independent rows these are worth: Korn and Graubard's effective sample size, at most all of
    them.

    All passed or all failed shows nothing of how alike the rows of a cluster are, so the worst is assumed:
    each cluster is one row.
    """
    share = units.mean
    if units.count == units.rows:
        return float(units.rows)
    if share in (0.0, 1.0) or units.count == 1:
        return float(units.count)
    error = units.standard_error()
    if error == 0:
        return float(units.rows)
    fewer = (t_quantile(0.95, units.rows - 1) / t_quantile(0.95, units.count - 1)) ** 2
    return min(float(units.rows), max(1.0, share * (1 - share) / error**2 * fewer))


def _p_value(units: Units, seed: int) -> float:
    """Two-sided p of "the mean change is 0"."""
    from scipy.special import ndtr

    if units.mean == 0 or units.count == 1:
        return 1.0
    error = units.standard_error()
    if error == 0:
        return _mcnemar(units.count, 0)
    if units.rows > BOOTSTRAP_ROWS:
        return float(2 * ndtr(-abs(units.mean) / error))
    return bootstrap_p(units, seed)


def _mcnemar(wins: int, losses: int) -> float:
    """Exact and two-sided: a fair coin for each row that changed."""
    from scipy.special import bdtr

    if wins == losses:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))
