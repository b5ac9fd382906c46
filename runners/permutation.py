"""The permutation test of a paired difference: how often would signs drawn by lot bring as large a mean?

Where nothing differs, each row's (or cluster's) change could as well have had the other sign. Sources: Fisher 1935,
"The Design of Experiments", section 21 (every assignment of signs); Phipson and Smyth 2010, "Permutation p-values
should never be zero" (the seen one counts among those that are drawn).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptc.runners.resampling import Units

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT_UNITS = 16
"""Up to so many changed rows or clusters every assignment of signs is counted: 65,536 of them."""
DRAWS = 10_000
"""Assignments that are drawn where there are more."""
_CHUNK = 1 << 20
_ROUNDING = 1e-9


def permutation_p(units: Units, seed: int) -> float:
    """Two-sided p of "the mean change is 0" by turning the signs of the units' changes; exact for few units.

    With one value of change (pass/fail in independent rows) it is McNemar's exact p up to EXACT_UNITS changed rows.
    """
    changes = units.sums[units.sums != 0]
    if not len(changes):
        return 1.0
    if len(changes) <= EXACT_UNITS:
        return _exact(changes)
    return _drawn(changes, seed)


def _exact(changes: Floats) -> float:
    """The share of all assignments of signs whose sum is as far from 0 as the seen one."""
    import numpy as np

    sums = np.zeros(1)
    for change in changes:
        sums = np.concatenate([sums + change, sums - change])
    return float(_extreme(sums, changes) / len(sums))


def _drawn(changes: Floats, seed: int) -> float:
    """The same for assignments drawn from PCG64's raw bits, which numpy keeps the same across versions."""
    import numpy as np

    generator = np.random.PCG64(seed)
    count = len(changes)
    words = (count + 63) // 64
    step = max(1, _CHUNK // count)
    extreme = 0
    for start in range(0, DRAWS, step):
        rows = min(step, DRAWS - start)
        raw = generator.random_raw(rows * words).astype("<u8").view(np.uint8).reshape(rows, words * 8)
        signs = np.unpackbits(raw, axis=1, count=count, bitorder="little")
        # Turning a sign takes its change twice from the sum: no matrix of signs is needed.
        extreme += _extreme(changes.sum() - 2.0 * (signs @ changes), changes)
    return (extreme + 1) / (DRAWS + 1)


def _extreme(sums: Floats, changes: Floats) -> int:
    import numpy as np

    seen = abs(float(changes.sum()))
    slack = _ROUNDING * float(np.abs(changes).sum())
    return int((np.abs(sums) >= seen - slack).sum())
