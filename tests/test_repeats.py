"""Several runs of each row: what they come to, by published and hand-worked figures, and what a run makes of them."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workplace import Sentiment, open_workplace

from promptc.runners.failures import Failure
from promptc.runners.records import RowRecord, merged
from promptc.runners.repeat_figures import repeat_figures
from promptc.runners.repeats import Repeats, pass_at_k, pass_hat_k, passes, reduced, variance

scores_of = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=9)


# What the scores of a row come to


@pytest.mark.parametrize(
    ("reduce", "scores", "one"),
    [
        ("mean", [1, 0, 1, 1], 0.75),
        ("median", [0.2, 0.9, 0.3], 0.3),
        ("median", [0.0, 1.0, 0.0, 1.0], 0.5),
        ("majority", [1, 0, 1], 1.0),
        ("majority", [0.5, 0.5, 1.0], 0.5),
        ("majority", [1, 0], 0.0),
        ("max", [0.2, 0.7, 0.1], 0.7),
        ("pass@1", [1, 0, 0, 0, 1], 0.4),
        # By hand: 1 − C(3, 2) / C(5, 2) = 1 − 3 / 10.
        ("pass@2", [1, 0, 0, 0, 1], 0.7),
        # C(3, 2) / C(5, 2) = 3 / 10.
        ("pass^2", [1, 1, 1, 0, 0], 0.3),
        ("pass^1", [1, 1, 1, 0, 0], 0.6),
        ("pass@3", [0.99, 0.5, 0.0], 0.0),
    ],
)
def test_scores_come_to_one(reduce, scores, one):
    assert reduced(reduce, scores) == pytest.approx(one)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
@settings(deadline=None)
def test_pass_at_k_is_the_share_of_draws_of_k_runs(counts):
    n, passing, k = counts
    runs = [1] * passing + [0] * (n - passing)
    draws = list(itertools.combinations(runs, k))
    assert pass_at_k(n, passing, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_hat_k(n, passing, k) == pytest.approx(sum(map(all, draws)) / len(draws))


@given(st.integers(2, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
@settings(deadline=None)
def test_pass_at_k_is_the_product_of_chen_2021(counts):
    # Section 2.1 and its figure 3: 1 − ∏ (1 − k / i) for i from n − c + 1 to n.
    n, passing, k = counts
    product = 1.0
    for i in range(n - passing + 1, n + 1):
        product *= 1 - k / i
    expected = 1.0 if n - passing < k else 1.0 - product
    assert pass_at_k(n, passing, k) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "passing", "runs", "passed"),
    [
        ("all", 5, 5, True),
        ("all", 4, 5, False),
        ("any", 1, 5, True),
        ("any", 0, 5, False),
        ("majority", 3, 5, True),
        ("majority", 2, 4, False),
        ("rate:0.8", 4, 5, True),
        ("rate:0.8", 3, 5, False),
        ("rate:0.7", 7, 10, True),
        ("rate:1", 3, 3, True),
    ],
)
def test_a_row_passes_by_its_rule(rule, passing, runs, passed):
    assert passes(rule, [1.0] * passing + [0.5] * (runs - passing)) is passed


@given(scores_of, st.sampled_from(["mean", "median", "majority", "max", "pass@1", "pass^1"]))
@settings(deadline=None)
def test_no_reducer_leaves_the_range_of_scores(scores, reduce):
    assert 0 <= reduced(reduce, scores) <= 1
    assert reduced(reduce, scores) == pytest.approx(reduced(reduce, scores[::-1]))


def test_the_variance_of_a_row_is_without_bias():
    assert variance([1.0, 0.0, 0.0, 1.0]) == pytest.approx(1 / 3)
    assert variance([0.4]) is None


# One record of several


def run(score, **rest):
    return RowRecord(
        **{
            "id": "a",
            "index": 0,
            "outputs": {"label": score},
            "score": score,
            "metrics": {"m": score},
            "input_tokens": 10,
            "output_tokens": 2,
            "cost": 0.5,
            **rest,
        }
    )


def failed(kind):
    failure = Failure(kind, "why")
    score = 0.0 if failure.scored else None
    return run(score, outputs=None, failure=failure)


def test_the_record_shows_the_run_nearest_to_the_score_and_adds_up_what_it_took():
    record = merged([run(1.0), run(0.0), run(0.6), run(0.0)], Repeats(count=4))
    assert record.score == pytest.approx(0.4)
    assert record.outputs == {"label": 0.6}
    assert (record.input_tokens, record.output_tokens, record.cost) == (40, 8, 2.0)
    assert [repeat.score for repeat in record.repeats] == [1.0, 0.0, 0.6, 0.0]


def test_of_two_runs_as_near_the_worse_is_shown():
    assert merged([run(1.0), run(0.0)], Repeats(count=2)).outputs == {"label": 0.0}


def test_a_failed_run_of_the_programs_own_counts_as_zero():
    record = merged([run(1.0), failed("parse")], Repeats(count=2, pass_rule="all"))
    assert (record.score, record.failure, record.passed) == (0.5, None, False)


def test_a_run_that_the_provider_failed_is_left_out():
    record = merged([run(1.0), failed("provider"), run(0.0)], Repeats(count=3, pass_rule="majority"))
    assert (record.score, record.failure) == (0.5, None)


@pytest.mark.parametrize(
    ("repeats", "why"),
    [(Repeats(count=3), "fewer than half"), (Repeats(count=3, reduce="pass@2"), "fewer than k")],
)
def test_with_too_few_scored_runs_the_row_has_no_score(repeats, why):
    record = merged([run(1.0), failed("provider"), failed("timeout")], repeats)
    assert (record.score, record.failure.kind, record.passed) == (None, "provider", None), why


def test_where_all_runs_fail_the_row_has_failed():
    record = merged([failed("parse"), failed("constraint")], Repeats(count=2))
    assert (record.score, record.failure.kind) == (0.0, "parse")


def test_a_run_that_the_budget_cut_off_leaves_the_row_unasked():
    record = merged([run(1.0), failed("budget")], Repeats(count=2, pass_rule="any"))
    assert (record.score, record.failure.kind, record.passed) == (None, "budget", None)


def test_what_runs_differ_by_is_worked_by_hand():
    # Rows (1, 0), (1, 1), (0, 0): variances ½, 0, 0 within, mean 1/6; of the rows' means ½, 1, 0 it is ¼, of which
    # 1/6 / 2 = 1/12 is the runs': one third.
    pairs = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0)]
    repeats = Repeats(count=2)
    figures = repeat_figures([merged([run(a), run(b)], repeats) for a, b in pairs], repeats)
    assert figures.variance == pytest.approx(1 / 6)
    assert figures.noise == pytest.approx(1 / 3)
    assert figures.scores == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert figures.unsteady == 1


def test_rows_that_are_run_once_have_no_such_figures():
    assert repeat_figures([run(1.0)], Repeats()) is None


# At the command line


def rows_of(place, directory):
    return [json.loads(line) for line in (place.folder / directory / "rows.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def repeated(shared_folder):
    """Dev, each row run five times, with 1, 8 and 64 workers."""
    with open_workplace(shared_folder("repeated"), Sentiment(clumsy=0.2), jitter=0.005) as place:
        place.write_spec(run={"cache": False, "repeat": 5, "pass_rule": "majority"})
        place.done = [place.run("eval", "-o", f"run{jobs}", "-j", str(jobs)) for jobs in (1, 8, 64)]
        yield place


def test_each_row_is_asked_again_with_a_seed_of_its_own(repeated):
    assert [done.code for done in repeated.done] == [0, 0, 0]
    seeds = {body.get("seed") for body in repeated.server.seen}
    assert seeds == {None, 1, 2, 3, 4}
    assert not any("temperature" in body for body in repeated.server.seen)


def test_the_rows_hold_every_run_and_their_mean(repeated):
    rows = rows_of(repeated, "run1")
    assert len(rows) == 18
    for row in rows:
        scores = [run["score"] for run in row["repeats"]]
        assert len(scores) == 5
        assert row["score"] == pytest.approx(sum(scores) / 5)
        assert row["passed"] == (sum(scores) > 2.5)
    assert any(len({run["score"] for run in row["repeats"]}) > 1 for row in rows)


def test_repeats_are_the_same_bytes_with_any_number_of_workers(repeated):
    one, eight, many = (repeated.result(f"run{jobs}") for jobs in (1, 8, 64))
    assert one == eight == many


def test_the_summary_tells_how_much_runs_differ_and_how_many_rows_pass(repeated):
    dev = repeated.summary("run1")["dev"]
    rows = rows_of(repeated, "run1")
    assert dev["passed"]["score"] == pytest.approx(sum(row["passed"] for row in rows) / 18)
    assert dev["repeats"]["count"] == 5
    assert dev["repeats"]["unsteady"] == sum(len({r["score"] for r in row["repeats"]}) > 1 for row in rows)
    assert dev["score"] == pytest.approx(sum(dev["repeats"]["scores"]) / 5)
    report = repeated.done[0].out
    assert "Repeats  5 runs of each row" in report
    assert "score differently from run to run" in report


def test_a_gate_may_ask_for_the_rows_that_pass(repeated):
    done = repeated.run("eval", "-o", "run1", "--set", "gates=[dev.passed.score >= 0.99]")
    assert done.code == 1
    assert "dev.passed.score" in done.err


def test_repeats_are_part_of_the_plan_and_of_the_budget(repeated):
    forecast = repeated.run("plan", "--for", "eval", "--json").document["forecasts"][0]
    assert forecast["calls"]["task"] == [90, 90]
    cut = repeated.run("eval", "--set", "budget.calls=30", "-o", "cut")
    assert cut.code == 7
    assert repeated.summary("cut")["calls"] <= 30


def test_an_optimizer_chooses_by_repeated_scores_and_learns_from_single_runs(workplace):
    workplace.write_spec(
        run={"cache": False, "repeat": 3}, optimizer={"bootstrap_few_shot": {"max_bootstrapped_demos": 2}}
    )
    done = workplace.run("optimize", "-o", "run")
    assert done.code == 0, done
    summary = workplace.summary("run")
    assert summary["test"]["repeats"]["count"] == 3
    assert summary["cost"]["task"]["calls"] >= 3 * 18
    again = workplace.run("optimize", "-o", "again", "-j", "3")
    assert again.code == 0
    assert workplace.result("run") == workplace.result("again")


def test_other_repeats_are_another_run(workplace):
    identities = set()
    for change in ("run.repeat=2", "run.reduce=max", "run.pass_rule=any"):
        workplace.run("eval", "-o", change, "--set", change, "--limit", "2")
        identities.add(workplace.summary(change)["identity"])
    assert len(identities) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("run.reduce=average", "mean, median, majority, max, or pass@3 and pass^3"),
        ("run.reduce=pass@3", "pass@3 needs 3 runs of each row, and repeat is 1"),
        ("run.pass_rule=most", "all, any, majority, or rate: and a share"),
        ("run.pass_rule=rate:1.5", "all, any, majority, or rate: and a share"),
        ("run.repeat=0", "repeat"),
    ],
)
def test_what_no_runs_can_come_to_is_refused(workplace, change, said):
    done = workplace.run("eval", "--set", change)
    assert done.code == 2, done
    assert said in " ".join(done.err.split()), done
