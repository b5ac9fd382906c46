"""Cross-validation for small data: every row held out once, the budget shared, the artifact from all rows."""

from __future__ import annotations

import json
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workplace import Sentiment, open_workplace, sentiment_rows, wait_until

from promptc.optimizers.folds import _share
from promptc.runners.dataset import load_examples
from promptc.runners.ledger import Amount, Ledger
from promptc.runners.models.request import Completion, Usage
from promptc.spec.errors import SpecError
from promptc.spec.model import Budget, DataSource, RoleBudget, Split

SPLIT = {"path": "rows.jsonl", "split": {"folds": 4}}


def source(rows, **split):
    return DataSource(rows=tuple(rows), split=Split(**split))


def lines(place, name, run="run"):
    return [json.loads(line) for line in (place.folder / run / name).read_text().splitlines()]


# How rows are cut


@given(st.integers(2, 8), st.integers(8, 70), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_each_row_is_held_out_once_and_never_searched_there(count, rows, seed):
    data = load_examples(source(sentiment_rows(rows), folds=count), seed=seed, gold=["label"])
    held_out = [e.id for fold in data.folds for e in fold.test]
    assert sorted(held_out) == sorted(e.id for e in data.part("all"))
    assert len(set(held_out)) == rows
    for fold in data.folds:
        searched = {e.id for e in (*fold.train, *fold.dev)}
        assert searched | {e.id for e in fold.test} == set(held_out)
        assert not searched & {e.id for e in fold.test}
        assert abs(len(fold.test) - rows / count) < 1


def test_folds_keep_groups_together_and_spread_strata():
    rows = [{**row, "talk": f"t{n // 3}"} for n, row in enumerate(sentiment_rows(60))]
    data = load_examples(source(rows, folds=5, group="talk"), seed=0, gold=["label"])
    for fold in data.folds:
        assert not {e.row["talk"] for e in fold.test} & {e.row["talk"] for e in (*fold.train, *fold.dev)}
    even = load_examples(source(sentiment_rows(60), folds=5, stratify="label"), seed=0, gold=["label"])
    assert all([e.row["label"] for e in fold.test].count("neutral") == 4 for fold in even.folds)


def test_few_rows_are_train_and_dev_of_each_search():
    data = load_examples(source(sentiment_rows(20), folds=4), seed=0, gold=["label"])
    assert data.train == data.dev
    assert all(fold.train == fold.dev and len(fold.train) == 15 for fold in data.folds)
    assert not data.test


def test_another_seed_makes_other_folds_and_another_digest():
    one, other = (
        load_examples(source(sentiment_rows(24), folds=3, seed=s), seed=0, gold=["label"]) for s in (1, 2)
    )
    assert one.digest != other.digest


@pytest.mark.parametrize(("rows", "split"), [(3, {"folds": 5}), (12, {"folds": 3, "group": "label"})])
def test_a_fold_without_rows_is_an_error(rows, split):
    given_rows = (
        [{**row, "label": "neutral"} for row in sentiment_rows(rows)]
        if "group" in split
        else sentiment_rows(rows)
    )
    with pytest.raises(SpecError) as caught:
        load_examples(source(given_rows, **split), seed=0, gold=["label"])
    assert "cannot be cut into" in caught.value.diagnostics[0].message


# How the budget is shared


def spend(ledger, calls, role="task"):
    for _ in range(calls):
        ledger.settle(role, Completion(text="", usage=Usage(1, 1), cost=0.1), reask=False)


def test_each_search_may_spend_its_part_and_what_it_leaves_goes_to_the_others():
    ledger = Ledger(Budget(calls=120))
    with _share(ledger, 1 / 3):
        assert ledger.room().calls == pytest.approx(40)
        spend(ledger, 10)
    with _share(ledger, 1 / 2):
        assert ledger.room().calls == pytest.approx(55)
    assert ledger.room().calls == 110


def test_a_role_with_its_own_wall_is_shared_too_and_what_has_no_wall_is_not():
    ledger = Ledger(Budget(usd=10.0, roles={"proposer": RoleBudget(calls=60, usd=4.0)}))
    with _share(ledger, 1 / 4):
        assert ledger.role_room("proposer").calls == pytest.approx(15)
        assert ledger.role_room("proposer").usd == pytest.approx(1.0)
        assert ledger.room().usd == pytest.approx(2.5)
        assert ledger.fits({"task": Amount(10_000, 0, 1.0)})
    assert ledger.role_room("proposer").calls == 60


def test_a_part_of_no_wall_is_no_wall():
    ledger = Ledger(Budget())
    with _share(ledger, 1 / 5):
        assert ledger.fits({"task": Amount(1e9, 1e9, 1e9)})


# At the command line


@pytest.fixture(scope="module")
def folded(shared_folder):
    """A search with four folds, with 1, 8 and 64 workers."""
    with open_workplace(shared_folder("folded"), Sentiment(clumsy=0.05), jitter=0.003) as place:
        place.write_spec(data=SPLIT, optimizer={"bootstrap_random_search": {"candidates": 3}})
        place.done = [place.run("optimize", "-o", f"run{jobs}", "-j", str(jobs)) for jobs in (1, 8, 64)]
        yield place


def test_all_rows_are_compared_on_searches_that_never_saw_them(folded):
    assert [done.code for done in folded.done] == [0, 0, 0], folded.done[0]
    summary = folded.summary("run1")
    assert summary["test"]["n"] == 60
    assert [fold["fold"] for fold in summary["folds"]] == [1, 2, 3, 4]
    assert sum(fold["rows"] for fold in summary["folds"]) == 60
    rows = lines(folded, "rows.jsonl", "run1")
    for name, key in (("start", "start_score"), ("winner", "score")):
        for fold in summary["folds"]:
            scores = [r["score"] for r in rows if r["candidate"] == name and r["fold"] == fold["fold"]]
            assert fold[key] == pytest.approx(sum(scores) / len(scores))
    winner = [r["score"] for r in rows if r["candidate"] == "winner"]
    assert summary["test"]["score"] == pytest.approx(sum(winner) / 60)
    found = summary["test"]["improvement"]
    assert found["wins"] + found["ties"] + found["losses"] == 60


def test_the_trials_of_every_search_are_written_down(folded):
    trials = lines(folded, "trials.jsonl", "run1")
    assert [trial.get("fold") for trial in trials] == sorted(
        (trial.get("fold") for trial in trials), key=lambda fold: fold or 0
    )
    assert {trial.get("fold") for trial in trials} == {None, 1, 2, 3, 4}
    own = [trial for trial in trials if "fold" not in trial]
    assert [trial["number"] for trial in own] == [
        trial["number"] for trial in folded.summary("run1")["trials"]
    ]


def test_cross_validation_is_the_same_bytes_with_any_number_of_workers(folded):
    one, eight, many = (folded.result(f"run{jobs}") for jobs in (1, 8, 64))
    assert one == eight == many


def test_the_report_tells_of_the_folds_and_what_the_artifact_is(folded):
    report = folded.done[0].out
    assert "Folds  each row held out once" in report
    assert "the compiled program comes from the search on all rows" in " ".join(report.split())


def test_an_interrupted_cross_validation_goes_on(shared_folder, folded):
    with open_workplace(shared_folder("interrupted"), Sentiment(clumsy=0.05), latency=0.01) as place:
        place.write_spec(data=SPLIT, optimizer={"bootstrap_random_search": {"candidates": 3}})
        running = place.start("optimize", "-o", "run")
        wait_until(lambda: place.server.requests > 150 or running.process.poll() is not None)
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
        assert place.run("optimize", "-o", "run").code == 0
        assert place.result("run")["rows.jsonl"] == folded.result("run1")["rows.jsonl"]
        assert place.server.repaid == 0


def test_a_wall_holds_over_all_searches(workplace):
    workplace.write_spec(
        data=SPLIT, optimizer={"bootstrap_random_search": {"candidates": 8}}, budget={"calls": 700}
    )
    done = workplace.run("optimize", "-o", "run")
    assert done.code == 0, done
    summary = workplace.summary("run")
    assert summary["calls"] <= 700
    assert summary["test"]["n"] == 60
    assert all(fold["trials"] >= 1 for fold in summary["folds"])


def test_the_plan_counts_every_search(workplace):
    workplace.write_spec(data=SPLIT, optimizer="labeled_few_shot")
    plan = workplace.run("plan", "--for", "optimize", "--json").document
    data = load_examples(source(sentiment_rows(), folds=4), seed=0, gold=["label"])
    dev = len(data.dev) + sum(len(fold.dev) for fold in data.folds)
    assert plan["forecasts"][0]["calls"]["task"] == [2 * dev + 60, 2 * dev + 120]
    said = workplace.run("plan", "--for", "optimize").out
    assert "in 4 folds: 15 + 15 + 15 + 15" in said
    assert "5 searches share the budget" in said


def test_a_budget_too_small_for_all_searches_is_refused(workplace):
    workplace.write_spec(data=SPLIT, optimizer="labeled_few_shot", budget={"calls": 100})
    done = workplace.run("optimize")
    assert done.code == 2
    assert "one trial needs" in " ".join(done.err.split())
    assert workplace.server.requests == 0


def test_eval_scores_all_rows_and_each_fold(workplace):
    workplace.write_spec(data=SPLIT)
    done = workplace.run("eval", "-o", "run", "--set", "gates=[all.slices.fold.3.n == 15]")
    assert done.code == 0, done
    figures = workplace.summary("run")["all"]
    assert figures["n"] == 60
    assert [figure["n"] for figure in figures["slices"]["fold"].values()] == [15, 15, 15, 15]
    assert "By fold  on all" in done.out


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"path": "rows.jsonl", "split": {"folds": 3, "test": 0.3}}, 2, "here is split.test: too"),
        ({"train": "rows.jsonl", "test": "rows.jsonl", "split": {"folds": 3}}, 2, "here is test: too"),
        ({"path": "rows.jsonl", "split": {"folds": 1}}, 2, "folds"),
        ({"path": "rows.jsonl", "split": {"folds": 99}}, 2, "cannot be cut into 99 folds"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(workplace, change, code, said):
    workplace.write_spec(data=change)
    done = workplace.run("eval")
    assert done.code == code, done
    assert said in " ".join(done.err.split()), done


def test_test_alone_cannot_be_scored_with_folds(workplace):
    workplace.write_spec(data=SPLIT)
    done = workplace.run("eval", "--split", "test")
    assert done.code == 5
    assert "holds each row out once" in " ".join(done.err.split())
