"""Intervals, paired differences and p-values: against published and hand-worked figures, by simulation."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from promptc.runners.resampling import percentile_interval, units_of
from promptc.runners.statistics import (
    BOOTSTRAP_ROWS,
    Difference,
    Interval,
    mean_interval,
    paired_difference,
    unchanged,
    verdict,
)

shares = st.floats(0, 1, allow_nan=False)
maybe_scored = st.one_of(st.none(), shares)
clusters_of = st.one_of(st.none(), st.integers(0, 3))


def passes(count: int, n: int) -> list[float]:
    return [1.0] * count + [0.0] * (n - count)


# Pass/fail


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_pass_rates_have_the_wilson_intervals_of_newcombe_1998_table_1(count, n, low, high):
    interval = mean_interval(passes(count, n), binary=True)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.mean == count / n
    assert interval.n == n


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.8, 0.95, 0.99]),
)
@settings(deadline=None)
def test_wilson_is_what_scipy_says(counts, confidence):
    count, n = counts
    interval = mean_interval(passes(count, n), binary=True, confidence=confidence)
    expected = binomtest(count, n).proportion_ci(confidence, method="wilson")
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)


def test_twenty_of_twenty_is_not_certainty():
    interval = mean_interval(passes(20, 20), binary=True)
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.8389, abs=1e-4)


def test_clustered_pass_rates_count_rows_that_repeat_each_other_about_once():
    alone = mean_interval(passes(24, 40), binary=True)
    tripled = mean_interval(
        [s for s in passes(24, 40) for _ in range(3)],
        binary=True,
        clusters=[c for c in range(40) for _ in range(3)],
    )
    naive = mean_interval(passes(72, 120), binary=True)
    assert tripled.mean == alone.mean
    assert tripled.high - tripled.low == pytest.approx(alone.high - alone.low, rel=0.04)
    assert tripled.high - tripled.low > 1.6 * (naive.high - naive.low)


def test_the_effective_sample_size_is_the_worked_example_by_hand():
    # 6 clusters of 2 rows with 2, 2, 1, 1, 0, 0 passes: share 1/2, squared error 6/5 · 4 / 12² = 1/30,
    # nominal size
    # 1/4 · 30 = 7.5, times (t(11)/t(5))² = (2.2010/2.5706)² = 0.7331: 5.498 rows.
    scores = [1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    interval = mean_interval(scores, binary=True, clusters=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    n, z = 5.498, 1.959964
    margin = z / (1 + z * z / n) * (0.25 / n + z * z / (4 * n * n)) ** 0.5
    assert interval.high - interval.low == pytest.approx(2 * margin, abs=1e-4)


def test_clusters_that_all_passed_count_as_one_row_each():
    interval = mean_interval(passes(30, 30), binary=True, clusters=[row // 10 for row in range(30)])
    assert interval.low == pytest.approx(mean_interval(passes(3, 3), binary=True).low)
    assert interval.n == 30


# Means of other scores


def test_no_scored_row_has_no_mean():
    assert mean_interval([], binary=False) == Interval(None, None, None, 0)
    assert mean_interval([None, float("nan")], binary=True) == Interval(None, None, None, 0)


def test_one_row_says_little():
    interval = mean_interval([0.5], binary=False)
    assert interval.mean == 0.5
    assert interval.high - interval.low > 0.75


def test_equal_scores_are_not_certainty():
    few, many = (mean_interval([0.5] * n, binary=False) for n in (3, 300))
    assert few.low < 0.25 < 0.75 < few.high
    assert many.low == pytest.approx(0.5 - 0.5 * 0.01264, abs=1e-4)
    assert mean_interval([1.0] * 20, binary=False) == mean_interval([1.0] * 20, binary=True)


def test_two_rows_are_not_taken_for_the_whole_range():
    interval = mean_interval([0.3, 0.4], binary=False)
    assert (interval.low, interval.high) == (0.0, pytest.approx(0.35 + 12.7062 * 0.05))


def test_many_rows_have_the_normal_interval():
    # Standard deviation 1/4 over 10,000 rows: standard error 0.0025, times 1.96.
    interval = mean_interval([0.25, 0.75] * 5000, binary=False)
    assert interval.mean == 0.5
    assert interval.high - interval.mean == pytest.approx(1.959964 * 0.0025, rel=1e-3)
    assert interval.mean - interval.low == pytest.approx(1.959964 * 0.0025, rel=1e-3)


def test_resampling_and_the_normal_interval_meet_at_the_boundary():
    scores = np.random.default_rng(3).beta(2, 1, BOOTSTRAP_ROWS + 1)
    below, above = (mean_interval(scores[:n], binary=False) for n in (BOOTSTRAP_ROWS, BOOTSTRAP_ROWS + 1))
    assert below.high - below.low == pytest.approx(above.high - above.low, rel=0.1)


def test_resampling_agrees_with_students_interval_where_that_is_right():
    scores = np.clip(np.random.default_rng(5).normal(0.5, 0.1, 200), 0, 1)
    interval = mean_interval(scores, binary=False)
    expected = ttest_1samp(scores, 0.5).confidence_interval()
    assert interval.low == pytest.approx(expected.low, abs=0.0015)
    assert interval.high == pytest.approx(expected.high, abs=0.0015)


@pytest.mark.parametrize("n", [5, 12, 60])
def test_the_interval_covers_the_truth_as_often_as_it_promises(n):
    draw = np.random.default_rng(n)
    covered = 0
    for seed in range(600):
        kind = draw.random(n)
        scores = np.where(kind < 0.25, 0.0, np.where(kind < 0.7, 1.0, draw.beta(2, 2, n)))
        interval = mean_interval(scores, binary=False, seed=seed)
        covered += interval.low <= 0.45 + 0.3 * 0.5 <= interval.high
    assert 0.92 <= covered / 600 <= 0.985


def test_clustered_intervals_cover_where_the_others_do_not():
    draw = np.random.default_rng(11)
    clusters = [row // 10 for row in range(200)]
    covered = naive = 0
    for seed in range(300):
        difficulty = draw.beta(2, 2, 20)[clusters]
        scores = np.clip(difficulty + draw.normal(0, 0.05, 200), 0, 1)
        wide = mean_interval(scores, binary=False, clusters=clusters, seed=seed)
        narrow = mean_interval(scores, binary=False, seed=seed)
        covered += wide.low <= 0.5 <= wide.high
        naive += narrow.low <= 0.5 <= narrow.high
    assert covered / 300 >= 0.91
    assert naive / 300 <= 0.7


@given(st.lists(maybe_scored, max_size=30), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_mean_within_the_range_of_scores(scores, seed):
    interval = mean_interval(scores, binary=False, seed=seed)
    assert interval.n == sum(score is not None for score in scores)
    if interval.n:
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1


@given(st.lists(shares, min_size=1, max_size=20), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_same_seed_gives_the_same_interval_from_lists_and_arrays(scores, seed):
    assert mean_interval(scores, binary=False, seed=seed) == mean_interval(
        np.array(scores), binary=False, seed=seed
    )


@given(st.lists(shares, min_size=2, max_size=20))
@settings(max_examples=40, deadline=None)
def test_clusters_of_one_row_change_nothing(scores):
    alone = mean_interval(scores, binary=False)
    assert mean_interval(scores, binary=False, clusters=list(range(len(scores)))) == alone
    assert mean_interval(scores, binary=False, clusters=[None] * len(scores)) == alone


@given(st.lists(shares, min_size=2, max_size=12), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_repeating_every_row_within_its_cluster_changes_nothing(scores, times):
    alone = mean_interval(scores, binary=False)
    repeated = mean_interval(
        [s for s in scores for _ in range(times)],
        binary=False,
        clusters=[c for c in range(len(scores)) for _ in range(times)],
    )
    assert (repeated.low, repeated.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_the_drawn_samples_are_the_same_on_every_machine():
    # The generator's raw stream is what numpy keeps; a summary must not change with numpy's version.
    assert int(np.random.PCG64(0).random_raw()) == 11749869230777074271
    interval = mean_interval([0.0, 0.1, 0.5, 0.7, 0.9, 1.0, 0.4, 0.2], binary=False, seed=0)
    assert interval.low == pytest.approx(0.1875)
    assert interval.high == pytest.approx(0.7875)


@pytest.mark.parametrize(
    ("scores", "binary", "message"),
    [
        ([1.5], False, "the score 1.5 is not between 0 and 1"),
        ([-0.1], False, "not between 0 and 1"),
        ([0.5, 1], True, "the score 0.5 is neither pass"),
        ([float("inf")], False, "not between 0 and 1"),
    ],
)
def test_scores_outside_the_range_are_refused(scores, binary, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(scores, binary=binary)


def test_the_rounding_of_a_weighted_mean_is_no_error():
    assert mean_interval([1.0000000000000002, -1e-17], binary=True) == mean_interval([1, 0], binary=True)


def test_clusters_have_to_fit_the_rows():
    with pytest.raises(ValueError, match="2 clusters do not fit 3 rows"):
        mean_interval([1, 0, 1], binary=True, clusters=["a", "b"])


# Paired differences


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [
        (8, 2, 112 / 1024),  # 2 · (1 + 10 + 45) / 2^10
        (6, 0, 2 / 64),
        (5, 0, 2 / 32),
        (1, 0, 1.0),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (2, 9, 2 * (1 + 11 + 55) / 2048),
        (59, 121, 4.434e-06),  # the worked example of statsmodels' `mcnemar`
    ],
)
def test_pass_fail_is_compared_by_exact_mcnemar(wins, losses, p):
    before = [0] * wins + [1] * losses + [1, 0, 1]
    after = [1] * wins + [0] * losses + [1, 0, 1]
    found = paired_difference(before, after, binary=True)
    assert found.p == pytest.approx(p, rel=1e-3)
    assert (found.wins, found.ties, found.losses) == (wins, 3, losses)
    assert found.difference == pytest.approx((wins - losses) / (wins + losses + 3))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_scipys_binomial_test_of_the_rows_that_changed(rows):
    found = paired_difference([float(a) for a, _ in rows], [float(b) for _, b in rows], binary=True)
    changed = found.wins + found.losses
    assert found.p == pytest.approx(binomtest(found.wins, changed).pvalue if changed else 1.0)


def test_rows_that_one_arm_left_unscored_are_in_neither():
    found = paired_difference([0.2, None, 0.4, 0.9], [0.5, 1.0, None, 0.9], binary=False)
    assert (found.n, found.wins, found.ties, found.losses) == (2, 1, 1, 0)
    assert found.difference == pytest.approx(0.15)


def test_arms_without_a_common_row_say_nothing():
    assert paired_difference([None, 1], [1, None], binary=True) == Difference(0.0, -1.0, 1.0, 1.0, 0, 0, 0, 0)


@pytest.mark.parametrize("binary", [True, False])
def test_no_changed_row_is_no_difference_and_still_no_certainty(binary):
    found = paired_difference([1, 0, 1, 1] * 5, [1, 0, 1, 1] * 5, binary=binary)
    assert (found.difference, found.p, found.ties) == (0.0, 1.0, 20)
    assert found.ci_low == pytest.approx(-0.1611, abs=1e-4)
    assert found.ci_high == pytest.approx(0.1611, abs=1e-4)


def test_a_candidate_compared_with_itself_is_certain():
    assert unchanged(20) == Difference(0.0, 0.0, 0.0, 1.0, 20, 0, 20, 0)


def test_three_wins_of_three_do_not_exclude_chance():
    found = paired_difference([0, 0, 0], [1, 1, 1], binary=True)
    assert found.difference == 1.0
    assert found.ci_low < 0
    assert verdict(found) == "no significant change"


def test_rounding_is_no_win():
    found = paired_difference([0.1 + 0.2], [0.3], binary=False)
    assert (found.difference, found.ties) == (0.0, 1)


def test_a_thousand_rows_that_gain_a_little_are_an_improvement():
    draw = np.random.default_rng(1)
    before = draw.random(1000) * 0.9
    after = np.clip(before + draw.normal(0.01, 0.05, 1000), 0, 1)
    found = paired_difference(before, after, binary=False)
    assert found.ci_low > 0
    assert found.p < 0.01
    assert verdict(found) == "improvement"
    assert verdict(paired_difference(after, before, binary=False)) == "regression"


def test_above_the_bootstrap_the_normal_test_takes_over_smoothly():
    draw = np.random.default_rng(2)
    before = draw.random(BOOTSTRAP_ROWS + 1) * 0.9
    after = np.clip(before + draw.normal(0.002, 0.1, BOOTSTRAP_ROWS + 1), 0, 1)
    above = paired_difference(before, after, binary=False)
    below = paired_difference(before[:-1], after[:-1], binary=False)
    assert below.p == pytest.approx(above.p, abs=0.02)
    assert below.ci_low == pytest.approx(above.ci_low, abs=3e-4)
    assert ttest_1samp(after - before, 0).pvalue == pytest.approx(above.p, abs=1e-3)


@pytest.mark.parametrize("n", [8, 40])
def test_chance_alone_is_called_significant_about_one_time_in_twenty(n):
    draw = np.random.default_rng(n)
    called = 0
    for seed in range(500):
        before, after = (np.where(draw.random(n) < 0.5, 1.0, draw.beta(2, 2, n)) for _ in range(2))
        called += (
            verdict(paired_difference(before, after, binary=False, seed=seed)) != "no significant change"
        )
    assert called / 500 <= 0.08


def test_clusters_keep_repeated_rows_from_looking_like_evidence():
    before, after = [0.0] * 60, [1.0] * 40 + [0.0] * 20
    clusters = [row // 10 for row in range(60)]
    assert verdict(paired_difference(before, after, binary=True)) == "improvement"
    found = paired_difference(before, after, binary=True, clusters=clusters)
    assert found.p > 0.05 / 10
    assert found.ci_low < paired_difference(before, after, binary=True).ci_low


def test_a_single_cluster_proves_nothing():
    found = paired_difference([0.0] * 50, [0.9, 1.0] * 25, binary=False, clusters=["one"] * 50)
    assert found.p == 1.0
    assert found.ci_low < 0
    assert verdict(found) == "no significant change"


paired_rows = st.lists(st.tuples(maybe_scored, maybe_scored, clusters_of), max_size=25)


@given(paired_rows, st.booleans(), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_swapping_the_arms_turns_the_difference_round(rows, clustered, seed):
    before, after, named = ([row[i] for row in rows] for i in range(3))
    clusters = named if clustered else None
    there = paired_difference(before, after, binary=False, clusters=clusters, seed=seed)
    back = paired_difference(after, before, binary=False, clusters=clusters, seed=seed)
    assert back.difference == -there.difference
    assert (back.ci_low, back.ci_high) == (pytest.approx(-there.ci_high), pytest.approx(-there.ci_low))
    assert (back.wins, back.ties, back.losses) == (there.losses, there.ties, there.wins)
    assert back.p == there.p


@given(paired_rows, st.booleans(), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_difference_is_within_its_bounds_and_repeatable(rows, clustered, seed):
    before, after, named = ([row[i] for row in rows] for i in range(3))
    clusters = named if clustered else None
    found = paired_difference(before, after, binary=False, clusters=clusters, seed=seed)
    assert -1 <= found.ci_low <= found.difference <= found.ci_high <= 1
    assert 0 < found.p <= 1
    assert found.wins + found.ties + found.losses == found.n
    assert found == paired_difference(before, after, binary=False, clusters=clusters, seed=seed)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Difference) == found


@given(st.lists(shares, min_size=3, max_size=20), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_interval_of_negated_values_is_the_negated_interval(values, seed):
    low, high = percentile_interval(units_of(np.array(values), None), 0.95, seed)
    negated_low, negated_high = percentile_interval(units_of(-np.array(values), None), 0.95, seed)
    assert (negated_low, negated_high) == (-high, -low)


def test_arms_of_different_length_are_refused():
    with pytest.raises(ValueError, match="3 rows before and 2 after are no pairs"):
        paired_difference([1, 0, 1], [1, 0], binary=True)


@pytest.mark.parametrize(
    ("p", "low", "high", "said"),
    [
        (0.01, 0.02, 0.1, "improvement"),
        (0.01, -0.1, -0.02, "regression"),
        (0.05, 0.02, 0.1, "no significant change"),
        (0.01, -0.001, 0.1, "no significant change"),
        (0.30, 0.001, 0.1, "no significant change"),
        (0.01, 0.0, 0.1, "no significant change"),
    ],
)
def test_a_verdict_needs_both_p_and_the_interval(p, low, high, said):
    middle = (low + high) / 2
    assert verdict(Difference(middle, low, high, p, 10, 5, 3, 2)) == said


def test_intervals_narrow_as_rows_are_added():
    draw = np.random.default_rng(4)
    scores = draw.beta(2, 2, 4000)
    widths = [
        i.high - i.low for i in (mean_interval(scores[:n], binary=False) for n in (10, 100, 1000, 4000))
    ]
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))
