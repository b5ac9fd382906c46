"""Several comparisons at once, the permutation test, and what so many rows can show: against published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, permutation_test

from promptc.runners.corrections import holm
from promptc.runners.permutation import EXACT_UNITS, permutation_p
from promptc.runners.power import detectable_difference, detectable_from_error, rows_needed
from promptc.runners.resampling import units_of
from promptc.runners.statistics import paired_difference

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Crossed minus self-fertilized maize in eighths of an inch: Fisher 1935, "The Design of Experiments", table 3."""

p_values = st.lists(st.floats(0, 1, allow_nan=False), max_size=12)


@pytest.mark.parametrize(
    ("given_p", "adjusted"),
    [
        # By hand: sorted .005 .01 .03 .04, times 4, 3, 2, 1 is .02 .03 .06 .04, and never falling.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        # The example of R's manual page of p.adjust, worked by hand: three equal ones are all times 3.
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_adjusts_by_rank(given_p, adjusted):
    assert holm(given_p) == pytest.approx(adjusted)


@given(p_values)
@settings(deadline=None)
def test_holm_keeps_the_order_and_never_makes_p_smaller(given_p):
    adjusted = holm(given_p)
    assert all(before <= after <= 1 for before, after in zip(given_p, adjusted, strict=True))
    places = sorted(range(len(given_p)), key=given_p.__getitem__)
    assert [adjusted[place] for place in places] == sorted(adjusted)


@given(p_values)
@settings(deadline=None)
def test_holm_never_asks_more_than_bonferroni(given_p):
    assert all(
        after <= min(1.0, before * len(given_p)) + 1e-12
        for before, after in zip(given_p, holm(given_p), strict=True)
    )


def test_fishers_permutation_of_darwins_maize():
    # Fisher 1935, section 21: 863 of the 32,768 assignments have a sum of 314 or more; two-sided 1,726.
    units = units_of(np.array(DARWIN, dtype=float), None)
    assert permutation_p(units, seed=0) == pytest.approx(1726 / 32768, abs=1e-12)


def test_changes_that_are_drawn_come_near_the_exact_share():
    doubled = DARWIN * 2
    assert len(doubled) > EXACT_UNITS
    assert permutation_p(units_of(np.array(doubled, dtype=float), None), seed=3) == pytest.approx(
        share_as_extreme(doubled), abs=0.004
    )


def share_as_extreme(changes: list[int]) -> float:
    """The exact share of sign assignments whose sum is as far from 0, by counting how often each sum occurs."""
    counts = {0: 1}
    for change in changes:
        following: dict[int, int] = {}
        for total, times in counts.items():
            for turned in (total + change, total - change):
                following[turned] = following.get(turned, 0) + times
        counts = following
    seen = abs(sum(changes))
    return sum(times for total, times in counts.items() if abs(total) >= seen) / 2 ** len(changes)


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_few_changes_are_counted_as_scipy_counts_them(changes):
    values = np.array(changes, dtype=float)
    expected = 1.0
    if values.any():
        expected = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=2000).pvalue
    assert permutation_p(units_of(values, None), seed=0) == pytest.approx(min(1.0, expected))


@given(st.integers(0, 8), st.integers(0, 8))
@settings(deadline=None)
def test_of_pass_and_fail_the_permutation_is_mcnemars_exact_test(wins, losses):
    before, after = [0.0] * wins + [1.0] * losses + [1.0], [1.0] * wins + [0.0] * losses + [1.0]
    found = paired_difference(before, after, binary=True)
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert found.permutation_p == pytest.approx(expected)
    assert found.p == pytest.approx(expected)


def test_clusters_are_turned_as_one():
    # Three clusters of ten rows that all gained: of the 8 assignments of signs two are as extreme.
    found = paired_difference([0.0] * 30, [1.0] * 30, binary=True, clusters=[row // 10 for row in range(30)])
    assert found.permutation_p == pytest.approx(2 / 8)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_permutation_has_no_direction_and_is_repeatable(changes, seed):
    units, turned = (units_of(np.array(changes) * sign, None) for sign in (1, -1))
    assert permutation_p(units, seed) == permutation_p(turned, seed) == permutation_p(units, seed)
    assert 0 < permutation_p(units, seed) <= 1


def test_the_example_of_miller_2024_needs_969_questions():
    # Section 5: three points at 80 % power, the questions' differences with variance 1/9.
    assert round(rows_needed(0.03, (1 / 9) ** 0.5)) == 969
    assert detectable_from_error((1 / 9 / 969) ** 0.5) == pytest.approx(0.03, abs=1e-5)


@pytest.mark.parametrize(("rows", "points"), [(38, 29), (90, 13), (300, 4), (1000, 2), (3000, 1)])
def test_three_hundred_rows_can_show_four_points_and_38_cannot_show_three(rows, points):
    assert round(100 * detectable_difference(rows)) == points


@pytest.mark.parametrize("rows", [60, 300, 2000])
def test_the_assumed_difference_is_found_four_times_out_of_five(rows):
    # Connor's formula, held against the binomial: of n rows `changed` change, wins among them with share w.
    found = detectable_difference(rows)
    changed = max(0.05, 1.5 * found)
    spread = (changed - found**2) ** 0.5
    power = norm.cdf((found * rows**0.5 - 1.959964 * changed**0.5) / spread)
    assert power == pytest.approx(0.8, abs=1e-3)


def test_more_rows_show_smaller_differences_and_almost_none_show_nothing():
    shown = [detectable_difference(rows) for rows in (0, 3, 10, 40, 100, 1000, 100_000)]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == shown[1] == 1.0


def test_a_comparison_says_what_it_could_have_shown():
    # Ten rows gained and ten lost of 100: standard error √(0.2 / 99) of the mean difference, times 2.8016.
    before, after = [0.0] * 10 + [1.0] * 90, [1.0] * 10 + [0.0] * 10 + [1.0] * 80
    found = paired_difference(before, after, binary=True)
    assert found.detectable == pytest.approx(2.801585 * (0.2 / 99) ** 0.5, rel=1e-4)
    equal = paired_difference(before, before, binary=True)
    assert equal.detectable == detectable_difference(100)
