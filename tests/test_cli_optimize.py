"""`promptc optimize` from the spec to the verdict: the same bytes however it is run, and budgets that are walls."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workplace import OPTIMIZERS, Sentiment, Workplace, open_workplace

from promptc.optimizers.registry import OPTIMIZERS as REGISTRY


def search_spec(place: Workplace, optimizer: str, **keys: object) -> None:
    place.write_spec(optimizer={optimizer: OPTIMIZERS[optimizer]}, **keys)


@pytest.fixture(scope="module", params=OPTIMIZERS)
def searched(request, shared_folder):
    """A workplace in which one optimizer ran with one worker, into `run1`."""
    model = Sentiment()
    with open_workplace(shared_folder(request.param), model, jitter=0.003) as place:
        search_spec(place, request.param, gates=["test.score >= 0.2"])
        place.model = model
        place.done = place.run("optimize", "-o", "run1", "-j", "1")
        place.asked = place.server.requests
        yield place


@pytest.fixture(scope="module")
def bootstrapped(shared_folder):
    """A workplace in which `bootstrap_random_search` ran into `run`."""
    with open_workplace(shared_folder("bootstrapped"), Sentiment()) as place:
        search_spec(place, "bootstrap_random_search")
        place.done = place.run("optimize", "-o", "run", "--json")
        assert place.done.code == 0, place.done
        yield place


def test_every_optimizer_is_in_the_table():
    assert set(OPTIMIZERS) == set(REGISTRY)


def test_workers_change_no_byte(searched):
    assert searched.done.code == 0, searched.done
    for jobs in ("7", "64"):
        assert searched.run("optimize", "-o", f"run{jobs}", "-j", jobs).code == 0
    one, seven, many = (searched.result(f"run{jobs}") for jobs in ("1", "7", "64"))
    assert one == seven == many
    assert {
        "compiled/program.json",
        "summary.json",
        "trials.jsonl",
        "candidates.jsonl",
        "rows.jsonl",
    } <= one.keys()
    assert searched.server.requests == 3 * searched.asked


def test_a_replay_asks_nothing_and_says_the_same(searched):
    before, requests = searched.result("run1"), searched.server.requests
    (searched.folder / "run1" / "manifest.json").unlink()
    done = searched.run("optimize", "-o", "run1", "-j", "16")
    assert (done.code, searched.server.requests) == (0, requests)
    assert searched.result("run1") == before
    timing = json.loads((searched.folder / "run1" / "timing.json").read_text())
    assert (timing["paid_calls"], timing["replayed"]) == (0, searched.summary("run1")["calls"])


def test_a_finished_run_says_its_verdict_again(searched):
    requests = searched.server.requests
    again = searched.run("optimize", "-o", "run1")
    assert again.code == searched.done.code
    assert again.out.split("Cost and time")[0] == searched.done.out.split("Cost and time")[0]
    assert "nothing was asked or paid this time; when it ran:" in again.out
    assert "nothing was asked" not in (searched.folder / "run1" / "report.txt").read_text()
    assert searched.server.requests == requests


def test_changed_gates_are_held_anew_without_a_call(searched):
    requests = searched.server.requests
    strict = searched.run("optimize", "-o", "run1", "--set", "gates=[test.score > 1, dev.n == 18]")
    assert strict.code == 1, strict
    score = searched.summary("run1")["test"]["score"]
    assert searched.summary("run1")["gates"] == [
        {"text": "test.score > 1", "value": score, "status": "failed", "threshold": 1.0},
        {"text": "dev.n == 18", "value": 18.0, "status": "met", "threshold": 18.0},
    ]
    assert f"missed by {1 - score:.2g}" in strict.err
    back = searched.run("optimize", "-o", "run1")
    assert (back.code, back.out.split("Cost and time")[0]) == (0, searched.done.out.split("Cost and time")[0])
    assert searched.server.requests == requests


def test_the_start_is_a_candidate_and_the_best_never_falls(searched):
    summary = searched.summary("run1")
    scores = [trial["score"] for trial in summary["trials"]]
    assert summary["trials"][0]["origin"] == "start"
    assert summary["winner"]["score"] == max(scores) == summary["dev"]["score"]
    assert summary["dev"]["start"]["score"] == scores[0] <= summary["dev"]["score"]


def test_the_test_split_is_asked_by_start_and_winner_alone(searched):
    summary = searched.summary("run1")
    rows = [json.loads(line) for line in (searched.folder / "run1" / "rows.jsonl").read_text().splitlines()]
    arms = ["start"] if summary["winner"]["number"] == 0 else ["start", "winner"]
    assert [row["candidate"] for row in rows] == [arm for arm in arms for _ in range(18)]
    test_ids = {row["id"] for row in rows}
    demos = {
        demo["row_id"]
        for line in (searched.folder / "run1" / "candidates.jsonl").read_text().splitlines()
        for demo in json.loads(line)["candidate"]["predictors"]["main"].get("demos", [])
    }
    assert len(test_ids) == 18
    assert len(summary["trials"]) > 1
    assert not demos & test_ids
    texts = [row["inputs"]["text"] for row in rows]
    assert not any(re.search(rf"\b{text}\b", asked) for asked in searched.model.asked for text in texts)


def test_the_improvement_is_the_paired_difference(bootstrapped):
    test = bootstrapped.summary("run")["test"]
    found = test["improvement"]
    assert found["difference"] == pytest.approx(test["score"] - test["start"]["score"])
    assert found["ci_low"] <= found["difference"] <= found["ci_high"]
    assert found["wins"] + found["ties"] + found["losses"] == 18


def test_json_is_the_summary(bootstrapped):
    assert bootstrapped.done.document == {**bootstrapped.summary("run"), "run_directory": "run"}


def test_the_artifact_predicts_what_was_measured(bootstrapped):
    """`eval` of the artifact on test gives the winner's score, from the same requests."""
    done = bootstrapped.run("eval", "run", "--split", "test", "-o", "again")
    assert done.code == 0, done
    assert bootstrapped.summary("again")["test"]["score"] == bootstrapped.summary("run")["test"]["score"]


def test_scoring_an_artifact_on_rows_that_it_was_chosen_on_is_noted(bootstrapped):
    for split, count in (("dev", 18), ("train", 24), ("test", 0)):
        done = bootstrapped.run(
            "eval", "run", "--split", split, "--limit", "24", "--json", "-o", f"on-{split}"
        )
        notes = " ".join(done.document.get("notes", []))
        assert (f"{count} of these rows" in notes) == bool(count)


def test_a_search_may_start_from_a_run_or_an_edited_candidate(bootstrapped):
    winner = bootstrapped.summary("run")["winner"]
    for start in ("run", "run/compiled/program.json", "run/compiled/candidate.yaml"):
        done = bootstrapped.run(
            "optimize", "--start", start, "--optimizer", "labeled_few_shot", "-o", "from", "--force", "--json"
        )
        assert done.code == 0, done
        first = done.document["trials"][0]
        assert (first["candidate"], first["score"]) == (winner["candidate"], winner["score"])


def test_an_optimizer_of_the_command_line_takes_the_specs_place(bootstrapped):
    done = bootstrapped.run("optimize", "--optimizer", "labeled_few_shot", "--json", "-o", "labelled")
    assert done.document["optimizer"] == "labeled_few_shot"
    assert [trial["origin"] for trial in done.document["trials"]] == ["start", "16 labelled demos"]
    unknown = bootstrapped.run("optimize", "--optimizer", "labelled_few_shot")
    assert (unknown.code, "labeled_few_shot" in unknown.err) == (2, True)


def test_data_that_is_too_small_has_no_held_out_figure(workplace):
    workplace.write(
        "rows.jsonl", [{"id": f"r{i}", "text": f"lovely {i}", "label": "positive"} for i in range(9)]
    )
    search_spec(workplace, "labeled_few_shot", gates=["test.score >= 0"])
    done = workplace.run("optimize", "--json")
    assert done.document["test"] is None
    assert done.code == 1, done
    assert "there are no held-out rows" in done.err
    assert "no held-out figure" in done.document["verdict"] + " ".join(done.document["notes"])


def test_a_metric_that_cannot_tell_right_from_wrong_is_refused_before_any_call(workplace):
    workplace.write_spec(metrics=[{"exact_match": {"field": "label", "negate": True}}])
    done = workplace.run("optimize")
    assert done.code == 2, done
    assert "cannot tell right from wrong" in done.err
    assert "--skip-metric-check" in done.err
    assert workplace.server.requests == 0
    assert workplace.run("optimize", "--skip-metric-check", "--optimizer", "labeled_few_shot").code == 0


def test_a_start_whose_rows_fail_ends_the_search(shared_folder):
    with open_workplace(shared_folder("down"), Sentiment(), faults={"503": 1.0}) as place:
        search_spec(place, "labeled_few_shot", run={"retries": 0, "cache": False})
        done = place.run("optimize", "-o", "run")
        assert done.code == 6, done
        assert "overloaded" in done.err
        assert place.server.requests == 18


def test_trials_without_enough_scores_are_invalid_not_bad(shared_folder):
    """The server fails for every prompt with a demonstration: the start wins, and says that it could not be beaten."""

    def plan(number, body):
        return "503" if len(body["messages"]) > 2 else None

    with open_workplace(shared_folder("invalid"), Sentiment(clumsy=0), plan=plan) as place:
        search_spec(place, "labeled_few_shot", run={"retries": 0, "cache": False})
        done = place.run("optimize", "--json")
        assert [trial["score"] is None for trial in done.document["trials"]] == [False, True]
        assert done.document["winner"]["number"] == 0
        assert done.document["test"]["improvement"]["p"] == 1
        assert done.code == 0, done


# ── budgets ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def purse(shared_folder):
    """A workplace for tests of budgets: replies have a price, one in four must be asked for again."""
    with open_workplace(shared_folder("purse"), Sentiment(clumsy=0.25), keep=1) as place:
        yield place


def spend(
    place: Workplace, command: str, out: str, jobs: int, *sets: str, **keys: object
) -> tuple[object, dict]:
    """Run with settings; the outcome with what the server saw."""
    place.server.reset()
    flags = [flag for each in sets for flag in ("--set", each)]
    done = place.run(command, "-o", out, "-j", str(jobs), "--fresh", "--force", "--json", *flags)
    return done, place.server.stats


BUDGETS = st.fixed_dictionaries(
    {},
    optional={
        "calls": st.integers(1, 90),
        "tokens": st.integers(2_000, 60_000),
        "usd": st.floats(0.0005, 0.05),
        "roles": st.fixed_dictionaries({"task": st.fixed_dictionaries({"calls": st.integers(1, 90)})}),
    },
).filter(bool)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=BUDGETS, jobs=st.sampled_from([2, 7, 64]))
def test_an_eval_stays_within_its_budget_whatever_the_workers(purse, budget, jobs):
    purse.write_spec(
        model={"price": {"input": 1.0, "output": 2.0}, "params": {"max_tokens": 60}}, budget=budget
    )
    outcomes = []
    for workers in (1, jobs):
        done, stats = spend(purse, "eval", f"run{workers}", workers, "data.split={train: 0, dev: 1, test: 0}")
        document = done.document
        assert stats["requests"] == document.get("calls", 0) <= budget.get("calls", 999)
        assert stats["requests"] <= budget.get("roles", {}).get("task", {}).get("calls", 999)
        assert document.get("tokens", 0) <= budget.get("tokens", 10**9)
        assert document.get("usd", 0) <= budget.get("usd", 10**9) + 1e-12
        cut = document["dev"].get("failures", {}).get("budget", 0)
        assert done.code == (7 if cut else 0), done
        assert document["dev"]["n"] + cut == 60
        outcomes.append((purse.result(f"run{workers}"), done.code))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.integers(72, 260),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    tokens=st.none() | st.integers(20_000, 200_000),
    jobs=st.sampled_from([3, 64]),
)
def test_a_search_stays_within_its_budget_and_keeps_the_test_passes(purse, calls, optimizer, tokens, jobs):
    budget = {"calls": calls} | ({} if tokens is None else {"tokens": tokens})
    search_spec(purse, optimizer, budget=budget)
    outcomes = []
    for workers in (1, jobs):
        done, stats = spend(purse, "optimize", f"search{workers}", workers)
        if done.code == 2:
            assert stats["requests"] == 0
            assert "one trial needs" in done.err
            outcomes.append(done.err)
            continue
        document = done.document
        assert stats["requests"] == document["calls"] <= calls
        assert tokens is None or document["tokens"] <= tokens
        assert document["test"]["rows"] == 18
        if tokens is None:
            assert document["test"]["n"] == 18
            assert done.code == 0, done
        assert document["stop_reason"] in ("finished", "budget")
        outcomes.append((purse.result(f"search{workers}"), done.code))
    assert outcomes[0] == outcomes[1]


def test_a_search_that_ends_on_its_budget_is_done(purse):
    search_spec(purse, "bootstrap_random_search", budget={"calls": 130})
    done, stats = spend(purse, "optimize", "ended", 8)
    assert done.code == 0, done
    assert done.document["stop_reason"] == "budget"
    assert len(done.document["trials"]) > 1
    assert done.document["test"]["n"] == 18
    assert stats["requests"] <= 130


def test_an_eval_that_was_cut_is_exit_7(purse):
    purse.write_spec(budget={"calls": 10})
    done, stats = spend(purse, "eval", "cut", 8)
    assert done.code == 7, done
    assert stats["requests"] <= 10
    assert "the budget ended" in done.err
    assert any(verdict["code"] == 7 for verdict in done.document["verdicts"])


@pytest.mark.parametrize(
    ("budget", "where"),
    [
        ({"calls": 71}, '"calls": 71'),
        ({"roles": {"task": {"calls": 71}}}, '"calls": 71'),
        ({"tokens": 3_000}, '"tokens": 3000'),
        ({"usd": 0.0001}, '"usd": 0.0001'),
    ],
)
def test_a_budget_that_cannot_hold_one_trial_is_refused_with_its_place(purse, budget, where):
    search_spec(purse, "labeled_few_shot", budget=budget, model={"price": {"input": 1.0, "output": 2.0}})
    done, stats = spend(purse, "optimize", "poor", 8)
    assert done.code == 2, done
    assert stats["requests"] == 0
    line = next(line for line in (purse.folder / "spec.yaml").read_text().splitlines() if where in line)
    [diagnostic] = done.document["error"]["diagnostics"]
    assert diagnostic["line"] == (purse.folder / "spec.yaml").read_text().splitlines().index(line) + 1
    assert "one trial needs" in diagnostic["message"]


def test_dollars_for_a_model_without_a_price_are_refused(purse):
    search_spec(purse, "labeled_few_shot", budget={"usd": 5})
    for command in ("optimize", "eval"):
        done, stats = spend(purse, command, "priceless", 8)
        assert (done.code, stats["requests"]) == (2, 0), done
        assert "no known price" in done.err


def test_without_a_budget_the_wall_is_printed(purse):
    search_spec(purse, "labeled_few_shot")
    done, stats = spend(purse, "optimize", "wall", 8)
    assert done.code == 0
    assert "no budget: the wall is 216 calls" in " ".join(done.err.split())
    assert stats["requests"] <= 216


def test_minutes_end_a_search_and_a_replay_ends_it_at_the_same_place(shared_folder):
    with open_workplace(shared_folder("minutes"), Sentiment(), latency=0.12) as place:
        search_spec(place, "bootstrap_random_search", budget={"minutes": 0.004})
        done = place.run("optimize", "-o", "run", "-j", "64", "--json")
        assert done.document["stop_reason"] == "minutes", done
        assert done.code == (7 if (done.document["test"] or {"n": 0})["n"] < 18 else 0)
        before, requests = place.result("run"), place.server.requests
        (place.folder / "run" / "manifest.json").unlink()
        place.server.latency = 0.0
        again = place.run("optimize", "-o", "run", "-j", "5", "--json")
        assert again.document == done.document
        assert (place.result("run"), place.server.requests) == (before, requests)


def test_a_stop_file_ends_a_search_with_what_it_has(tmp_path: Path):
    def plan(number, body):
        if number == 40:
            (tmp_path / "run" / "stop").touch()

    with open_workplace(tmp_path, Sentiment(), plan=plan) as place:
        search_spec(place, "bootstrap_random_search")
        done = place.run("optimize", "-o", "run", "-j", "4", "--json")
        assert done.code == 0, done
        assert done.document["stop_reason"] == "stop_file"
        assert 1 < len(done.document["trials"]) < 7
        assert done.document["test"]["n"] == 18
        before, requests = place.result("run"), place.server.requests
        (tmp_path / "run" / "stop").unlink()
        (tmp_path / "run" / "manifest.json").unlink()
        again = place.run("optimize", "-o", "run", "--json")
        assert again.document == done.document
        assert (place.result("run"), place.server.requests) == (before, requests)
