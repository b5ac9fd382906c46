"""Start beside winner: the difference per metric and slice, who pays for a better mean, and the gap to dev."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workplace import sentiment_rows

from promptc.runners.comparison import Settings, adjusted, compared, fallen_notes, gap
from promptc.runners.evaluate import RowRecord
from promptc.runners.grouping import clusters_of, independent
from promptc.runners.judging import build_judge
from promptc.runners.rows import inline_rows
from promptc.runners.statistics import paired_difference
from promptc.runners.summary import SplitSummary
from promptc.spec.load import load

SPEC = {
    "version": 1,
    "models": {"task": "embedded/icl"},
    "data": {"rows": sentiment_rows(3)},
    "signature": "text -> label",
    "metrics": ["exact_match", {"contains": {"field": "label", "weight": 0}}],
}


def judge_of(**keys):
    spec, findings = load(
        json.dumps({**SPEC, **keys}).encode(), file="spec.yaml", base=Path(), environment={}
    )
    assert spec is not None, findings
    return build_judge(spec)


def records(scores, other=None):
    return [
        RowRecord(
            id=str(index),
            index=index,
            outputs={},
            score=score,
            metrics={"exact_match": score, "contains": (other or scores)[index]},
        )
        for index, score in enumerate(scores)
    ]


def examples(**columns):
    count = len(next(iter(columns.values())))
    return tuple(inline_rows([{name: values[i] for name, values in columns.items()} for i in range(count)]))


def compare(before, after, rows, **settings):
    empty = SplitSummary(score=None, ci_low=None, ci_high=None, n=0)
    pairs = list(zip(before, after, strict=True))
    return compared(empty, empty, pairs, rows, judge_of(), Settings(**settings))


BEFORE = [0.0] * 20 + [1.0] * 12
AFTER = [1.0] * 20 + [0.0] * 12
LANGUAGES = ["en"] * 20 + ["de"] * 12


def test_each_slice_has_its_own_paired_difference_and_p_by_holm():
    found = compare(records(BEFORE), records(AFTER), examples(lang=LANGUAGES), slices=("lang",)).improvement
    english, german = (found.slices["lang"][name] for name in ("en", "de"))
    # Exact McNemar by hand: 2 / 2^20 and 2 / 2^12; the smaller is doubled, the larger stays.
    assert (english.p, german.p) == (pytest.approx(2**-19), pytest.approx(2**-11))
    assert (english.p_adjusted, german.p_adjusted) == (pytest.approx(2**-18), pytest.approx(2**-11))
    assert (english.difference, german.difference) == (1.0, -1.0)
    assert found.difference == pytest.approx(8 / 32)


def test_a_slice_that_fell_while_the_mean_rose_is_named():
    split = compare(records(BEFORE), records(AFTER), examples(lang=LANGUAGES), slices=("lang",))
    assert split.improvement.fallen_slices == 1
    assert fallen_notes("test", split) == [
        "test: lang = de fell by 1.000 on 12 rows while the mean rose (p = 0.00049 after Holm)"
    ]


def test_a_slice_that_may_have_fallen_by_chance_is_named_as_such():
    after = [*AFTER[:20], 0.0, *BEFORE[21:]]
    split = compare(records(BEFORE), records(after), examples(lang=LANGUAGES), slices=("lang",))
    assert split.improvement.fallen_slices == 0
    assert fallen_notes("dev", split) == [
        "dev: lang = de fell by 0.083 on 12 rows while the mean rose (within what chance does)"
    ]


def test_where_the_mean_fell_no_slice_is_blamed():
    split = compare(records(AFTER), records(BEFORE), examples(lang=LANGUAGES), slices=("lang",))
    assert split.improvement.difference < 0
    assert fallen_notes("test", split) == []


def test_metrics_are_compared_each_and_adjusted_together():
    before = records([0.0] * 8, [1.0] * 8)
    after = records([1.0] * 8, [1.0] * 7 + [0.0])
    found = compare(before, after, examples(text=list("abcdefgh"))).improvement
    assert found.metrics["exact_match"].p_adjusted == pytest.approx(2 * 2 / 2**8)
    assert found.metrics["contains"].p_adjusted == 1.0
    assert found.slices == {}


def test_the_same_records_are_no_difference_anywhere():
    same = records(BEFORE)
    found = compare(same, same, examples(lang=LANGUAGES), slices=("lang",)).improvement
    assert (found.difference, found.ci_low, found.ci_high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert {change.p_adjusted for change in found.slices["lang"].values()} == {1.0}


def test_rows_without_a_cluster_stand_alone():
    rows = examples(talk=["a", "a", None, None])
    assert clusters_of(rows, "talk") == ["a", "a", None, None]
    assert clusters_of(rows, None) is None


def test_clusters_count_as_one_row_of_what_a_split_can_show():
    rows = examples(talk=["a", "a", "b", None, None])
    assert independent(rows, "talk") == 4
    assert independent(rows, None) == 5


def test_holm_counts_the_comparisons_that_are_reported_together():
    one = paired_difference([0.0] * 6, [1.0] * 6, binary=True)
    found = adjusted({"first": one, "second": one, "third": one})
    assert [change.p_adjusted for change in found.values()] == pytest.approx([3 * 2 / 2**6] * 3)


def test_the_gap_has_newcombes_interval():
    # Newcombe 1998, "Interval estimation for the difference between independent proportions", table II:
    # 56 of 70 minus 48 of 80 by method 10 is 0.2000 with 0.0524 to 0.3339. Wilson's ends are those of the parts.
    dev = SplitSummary(score=0.8, ci_low=0.6918, ci_high=0.8769, n=70)
    test = SplitSummary(score=0.6, ci_low=0.4905, ci_high=0.7004, n=80)
    found = gap(dev, test)
    assert found.difference == pytest.approx(0.2)
    assert (found.ci_low, found.ci_high) == (pytest.approx(0.0524, abs=2e-4), pytest.approx(0.3339, abs=2e-4))


def test_without_held_out_rows_there_is_no_gap():
    dev = SplitSummary(score=0.8, ci_low=0.7, ci_high=0.9, n=70)
    assert gap(dev, None) is None
    assert gap(dev, SplitSummary(score=None, ci_low=None, ci_high=None, n=0)) is None
