"""Several runs of one row: how they make one score, when the row counts as passed, and how much they differ.

A repeat is a run of the whole program with replies of its own; it passes where its score is 1.

Sources: Chen et al. 2021, "Evaluating large language models trained on code", section 2.1 (unbiased pass@k); Yao et al.
2024, "τ-bench", section 3 (pass^k); Miller 2024, "Adding error bars to evals", section 3.1 (resampling answers).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import comb
from statistics import median

import msgspec

REDUCERS = ("mean", "median", "majority", "max", "pass@k", "pass^k")
PASS_RULES = ("all", "any", "majority", "rate:0.8")
_OF_K = re.compile(r"pass([@^])([1-9][0-9]*)")
_FULL = 1.0 - 1e-9


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """How often each row is run (`count`), how the scores become one (`reduce`), and what `passed` asks for.

    `reduce` is one of REDUCERS with a number for k; `pass_rule` one of PASS_RULES, "" for none.
    """

    count: int = 1
    reduce: str = "mean"
    pass_rule: str = ""

    @property
    def keeps_binary(self) -> bool:
        """True where scores of 0 and 1 come to a score of 0 or 1."""
        return self.count == 1 or self.reduce in ("majority", "max")

    @property
    def fewest(self) -> int:
        """How many repeats of a row must have a score, for the row to have one: half of them, and k for pass@k."""
        found = _OF_K.fullmatch(self.reduce)
        return max((self.count + 1) // 2, int(found[2]) if found is not None else 1)

    def score(self, scores: Sequence[float]) -> float | None:
        """One score of a row's scores; None where too few of its repeats have one."""
        if len(scores) < self.fewest:
            return None
        return reduced(self.reduce, scores)

    def passed(self, scores: Sequence[float]) -> bool | None:
        """Whether the row counts as passed; None without a rule, or where too few of its repeats have a score."""
        if not self.pass_rule or len(scores) < self.fewest:
            return None
        return passes(self.pass_rule, scores)


def reduced(reduce: str, scores: Sequence[float]) -> float:
    """The scores of a row's repeats as one. Of the most frequent scores the lowest is the majority's."""
    found = _OF_K.fullmatch(reduce)
    if found is not None:
        estimate = pass_at_k if found[1] == "@" else pass_hat_k
        return estimate(len(scores), _passing(scores), int(found[2]))
    if reduce == "majority":
        counts = Counter(scores)
        most = max(counts.values())
        return min(score for score, times in counts.items() if times == most)
    if reduce == "max":
        return max(scores)
    return median(scores) if reduce == "median" else sum(scores) / len(scores)


def passes(rule: str, scores: Sequence[float]) -> bool:
    """Whether a row passes by a rule; half of the repeats are no majority."""
    passing = _passing(scores)
    if rule in ("all", "any"):
        return passing == len(scores) if rule == "all" else passing > 0
    if rule == "majority":
        return 2 * passing > len(scores)
    return passing >= float(rule.removeprefix("rate:")) * len(scores) - 1e-9


def pass_at_k(n: int, passing: int, k: int) -> float:
    """The chance that at least one of k runs passes, without bias from n ≥ k runs of which so many passed."""
    return 1.0 - comb(n - passing, k) / comb(n, k)


def pass_hat_k(n: int, passing: int, k: int) -> float:
    """The chance that all of k runs pass, without bias from n ≥ k runs of which so many passed."""
    return comb(passing, k) / comb(n, k)


def variance(scores: Sequence[float]) -> float | None:
    """The unbiased variance of one row's repeats; None for fewer than two."""
    if len(scores) < 2:
        return None
    mean = sum(scores) / len(scores)
    return sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)


def _passing(scores: Sequence[float]) -> int:
    return sum(score >= _FULL for score in scores)
