"""Agreement of raters beyond chance, against the published examples."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.runners.agreement import Coincidences, cohens_kappa, krippendorffs_alpha

RATERS = """\
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 ."""
"""Four observers, twelve things: Krippendorff 2011, section C."""

COHEN = ((88, 14, 18), (10, 40, 10), (2, 6, 12))
"""Two judges, 200 patients, three diagnoses: the example of Cohen 1968, whose unweighted kappa is 0.492."""


def krippendorffs_things():
    rows = [line.split() for line in RATERS.splitlines()]
    return [[float(row[thing]) for row in rows if row[thing] != "."] for thing in range(12)]


def counted(table):
    return {
        (float(i), float(j)): count for i, line in enumerate(table) for j, count in enumerate(line) if count
    }


def test_kappa_of_cohens_two_judges():
    # 140 of 200 agree, 0.70; chance is (120 · 100 + 60 · 60 + 20 · 40) / 200² = 0.41 of the margins.
    assert cohens_kappa(counted(COHEN)) == pytest.approx(0.492, abs=5e-4)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # By hand: (35/50 − 25/50) / (1 − 25/50).
        (((20, 5), (10, 15)), 0.4),
        (((5, 0), (0, 5)), 1.0),
        (((0, 5), (5, 0)), -1.0),
        (((25, 25), (25, 25)), 0.0),
    ],
)
def test_kappa_by_hand(table, kappa):
    assert cohens_kappa(counted(table)) == pytest.approx(kappa)


def test_raters_who_only_ever_say_one_thing_show_nothing():
    assert cohens_kappa({(1.0, 1.0): 30}) is None
    assert krippendorffs_alpha([[1.0, 1.0]] * 30) is None
    assert cohens_kappa({}) is None


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_of_krippendorffs_four_observers(level, alpha):
    assert krippendorffs_alpha(krippendorffs_things(), level) == pytest.approx(alpha, abs=5e-4)


def test_a_thing_that_one_rater_saw_says_nothing():
    things = [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    assert krippendorffs_alpha([*things, [1.0], []]) == krippendorffs_alpha(things)


def test_near_misses_weigh_less_on_a_scale():
    near, far = {(0.0, 0.25): 5, (1.0, 1.0): 5}, {(0.0, 1.0): 5, (1.0, 1.0): 5}
    assert cohens_kappa(near, "interval") > cohens_kappa(far, "interval")
    assert cohens_kappa(near, "nominal") == cohens_kappa({(0.0, 0.5): 5, (1.0, 1.0): 5}, "nominal")


ratings = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=4), max_size=8)


@given(ratings, st.randoms())
@settings(deadline=None)
def test_alpha_does_not_depend_on_any_order(things, random):
    mixed = [random.sample(values, len(values)) for values in random.sample(things, len(things))]
    for level in ("nominal", "interval"):
        assert krippendorffs_alpha(things, level) == krippendorffs_alpha(mixed, level)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_of_two_raters_alpha_and_kappa_agree_where_their_frequencies_do(pairs):
    # With equal margins kappa's chance is n² and alpha's n (n − 1/2) …: they meet as the number of things grows.
    both = [*pairs, *((other, one) for one, other in pairs)] * 200
    kappa = cohens_kappa(Counter(both))
    found = Coincidences()
    for pair in both:
        found.add(pair)
    alpha = found.alpha()
    assert (kappa is None) == (alpha is None)
    if kappa is not None:
        assert alpha == pytest.approx(kappa, abs=0.01)
