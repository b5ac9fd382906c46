"""The mean of rows or clusters that are drawn again and again: bootstrap intervals and p-values.

Draws come from PCG64's raw output, which numpy keeps the same across versions, so that a seed gives the same
figures everywhere. Memory is bounded: samples are drawn a chunk at a time.

Sources: Efron and Tibshirani 1993, chapters 13 (percentile interval) and 16 (test of a mean, studentized);
Hesterberg 2015, "What teachers should know about the bootstrap", on the expanded percentile interval, which
keeps its promise with few rows; Miller 2024, "Adding error bars to evals", on clustered standard errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

RESAMPLES = 2000
_CHUNK = 1 << 20
"""Draws held in memory at once."""
_ROUNDING = 1e-12


class Units(msgspec.Struct, frozen=True):
    """What is drawn as one, rows or clusters of rows: of each the sum of its values and its size."""

    sums: Floats
    sizes: Floats

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(self.sums)

    @property
    def rows(self) -> int:
        """How many rows they hold together."""
        return int(self.sizes.sum())

    @property
    def mean(self) -> float:
        """The mean over all rows."""
        return float(self.sums.sum() / self.sizes.sum())

    def standard_error(self) -> float:
        """Of the mean, robust to what the rows of a unit have in common. There must be two units or more."""
        residuals = self.sums - self.sizes * self.mean
        return float((self.count / (self.count - 1) * (residuals**2).sum()) ** 0.5 / self.sizes.sum())


def units_of(values: Floats, groups: Integers | None) -> Units:
    """Each row as a unit, or the rows of each group (numbered from 0) together."""
    import numpy as np

    if groups is None:
        return Units(values, np.ones_like(values))
    sums = np.bincount(groups, weights=values).astype(np.float64)
    return Units(sums, np.bincount(groups).astype(np.float64))


def percentile_interval(units: Units, confidence: float, seed: int) -> tuple[float, float]:
    """Percentiles of the resampled means, moved outwards so that few units give as wide an interval as
    Student's.

    The two ends are mirror images: negated values have the negated interval.
    """
    import numpy as np
    from scipy.special import ndtr

    widened = (units.count / (units.count - 1)) ** 0.5 * t_quantile(confidence, units.count - 1)
    outside = int(float(ndtr(-widened)) * (RESAMPLES + 1))
    place = max(0, outside - 1)
    ordered = np.sort(np.concatenate([means for means, _ in _samples(units, seed, errors=False)]))
    return float(ordered[place]), float(ordered[RESAMPLES - 1 - place])


def bootstrap_p(units: Units, seed: int) -> float:
    """Two-sided p of "the mean is 0": how often a resampled mean is as far off the mean as that is off 0.

    Both in standard errors, each sample's own.
    """
    import numpy as np

    seen = abs(units.mean) / units.standard_error()
    extreme = 0
    for means, errors in _samples(units, seed, errors=True):
        # Not divided by the error: a sample of equal values has none, and is extreme when it is off at all.
        extreme += int((np.abs(means - units.mean) >= seen * errors - _ROUNDING).sum())
    return (extreme + 1) / (RESAMPLES + 1)


def normal_quantile(confidence: float) -> float:
    """How many standard errors a two-sided normal interval reaches."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + confidence / 2)


def t_quantile(confidence: float, degrees: int) -> float:
    """How many standard errors Student's two-sided interval reaches."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def _samples(units: Units, seed: int, *, errors: bool) -> Iterator[tuple[Floats, Floats]]:
    """Of each bootstrap sample its mean and, where wanted, its standard error; RESAMPLES in all."""
    import numpy as np

    count = units.count
    for drawn in _draws(count, seed):
        sums, sizes = units.sums[drawn], units.sizes[drawn]
        rows = sizes.sum(axis=1)
        means = sums.sum(axis=1) / rows
        if not errors:
            yield means, means
            continue
        residuals = sums - sizes * means[:, None]
        yield means, np.sqrt(count / (count - 1) * (residuals**2).sum(axis=1)) / rows


def _draws(count: int, seed: int) -> Iterator[Integers]:
    """Bootstrap samples, a chunk of them at a time: one row of `count` indices below `count` each.

    The upper 32 bits of a product map a 32-bit draw to an index; the bias is below count / 2^32.
    """
    import numpy as np

    generator = np.random.PCG64(seed)
    step = max(1, _CHUNK // count)
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        raw = generator.random_raw((rows * count + 1) // 2).astype("<u8").view("<u4")[: rows * count]
        indices = (raw.astype(np.uint64) * np.uint64(count)) >> np.uint64(32)
        yield indices.astype(np.int64).reshape(rows, count)
