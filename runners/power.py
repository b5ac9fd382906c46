"""What so many rows can show: the smallest difference that a paired comparison finds four times out of five.

Sources: Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", whose formula
is inverted here; Miller 2024, "Adding error bars to evals", section 5, for the same on measured differences.
"""

from __future__ import annotations

from promptc.runners.resampling import normal_quantile

POWER = 0.8
"""How often a real difference of that size is found."""
CHANGED_FOR_EACH = 1.5
"""Rows that change for each that is gained: five get better for every one that gets worse."""
FEWEST_CHANGED = 0.05
"""A new prompt changes at least this share of the rows, for better or worse."""


def detectable_from_error(standard_error: float, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference that is called significant with that power, from a difference's standard error."""
    return (normal_quantile(1 - alpha) + _power_quantile(power)) * standard_error


def rows_needed(difference: float, deviation: float, *, alpha: float = 0.05, power: float = POWER) -> float:
    """How many rows show this difference when the rows' own differences have that standard deviation."""
    return (detectable_from_error(deviation, alpha=alpha, power=power) / difference) ** 2


def detectable_difference(rows: float, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest difference of pass rates that so many rows can show, before any of them has been scored.

    How many rows will change is not known yet, so it is assumed: CHANGED_FOR_EACH rows per row gained, and
    FEWEST_CHANGED of all at least. 1 where even a change of every row would be too little. `rows` are independent
    ones: of clustered rows the number of clusters.
    """
    if rows <= 0 or _power_at(1.0, rows, alpha, power) < 0:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if _power_at(middle, rows, alpha, power) < 0:
            low = middle
        else:
            high = middle
    return high


def _power_at(difference: float, rows: float, alpha: float, power: float) -> float:
    """Above 0 where the difference is found with more than that power."""
    changed = min(1.0, max(FEWEST_CHANGED, CHANGED_FOR_EACH * difference))
    needed = (
        normal_quantile(1 - alpha) * changed**0.5
        + _power_quantile(power) * max(0.0, changed - difference**2) ** 0.5
    )
    return float(difference * rows**0.5 - needed)


def _power_quantile(power: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(power)
