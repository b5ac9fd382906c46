"""Baselines: the verdict on a change, what may be compared, and the file that is kept in a repository."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from workplace import Sentiment, open_workplace

from promptc.cli.document_schemas import schema_bytes
from promptc.runners.baselines import (
    Allowance,
    Baseline,
    BaselineRow,
    baseline_bytes,
    baseline_verdict,
    compared_with,
)
from promptc.runners.finished_run import ScoredRow
from promptc.runners.statistics import Difference, paired_difference


def rows(scores, digest="d"):
    return [ScoredRow(id=f"r{n}", digest=digest, score=score) for n, score in enumerate(scores)]


def baseline(scores):
    return Baseline(rows=tuple(BaselineRow(f"r{n}", "d", score) for n, score in enumerate(scores)))


# The verdict


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (-0.09, -0.03, 0.001, "regression"),
        (-0.05, 0.01, 0.2, "not enough data"),
        (-0.09, 0.09, 0.9, "not enough data"),
        (-0.019, 0.05, 0.4, "tie"),
        (-0.018, -0.002, 0.01, "tie"),
        (-0.03, -0.002, 0.02, "not enough data"),
        (0.01, 0.05, 0.001, "improvement"),
        (0.01, 0.05, 0.06, "tie"),
    ],
)
def test_a_difference_is_judged_by_its_interval_and_by_what_is_allowed(low, high, p, verdict):
    found = Difference((low + high) / 2, low, high, p, 100, 5, 90, 5)
    assert baseline_verdict(found, Allowance(max_drop=0.02)) == verdict


def test_rows_that_all_score_the_same_are_a_tie_however_few():
    found = paired_difference([1.0, 0.0], [1.0, 0.0], binary=True)
    assert baseline_verdict(found, Allowance()) == "tie"


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60), st.floats(0, 0.5))
@settings(deadline=None)
def test_no_run_is_a_regression_against_itself(scores, max_drop):
    found = compared_with(baseline(scores), rows(scores), Allowance(max_drop), source="b")
    assert (found.verdict, found.difference) == ("tie", 0.0)


def test_ten_lost_rows_of_a_hundred_are_a_regression_where_two_points_are_allowed_and_not_where_twenty_are():
    before, after = [1.0] * 80 + [0.0] * 20, [1.0] * 70 + [0.0] * 30
    strict = compared_with(baseline(before), rows(after), Allowance(0.02, 0.05), source="b")
    assert (strict.verdict, strict.losses, strict.before, strict.after) == ("regression", 10, 0.8, 0.7)
    assert strict.p == pytest.approx(2 / 2**10)
    assert compared_with(baseline(before), rows(after), Allowance(0.2), source="b").verdict == "tie"


def test_a_stricter_alpha_asks_for_more_evidence():
    before, after = [1.0] * 60, [1.0] * 53 + [0.0] * 7  # exact McNemar: p = 2 / 2^7 = 0.0156
    assert (
        compared_with(baseline(before), rows(after), Allowance(0, 0.05), source="b").verdict == "regression"
    )
    assert (
        compared_with(baseline(before), rows(after), Allowance(0, 0.01), source="b").verdict != "regression"
    )


def test_only_the_rows_that_are_the_same_and_scored_twice_are_compared():
    known = Baseline(
        rows=(
            BaselineRow("r0", "d", 1.0),
            BaselineRow("r1", "old", 1.0),
            BaselineRow("r2", "d", None),
            BaselineRow("gone", "d", 0.0),
        )
    )
    found = compared_with(known, rows([0.0, 0.0, 1.0, 1.0]), Allowance(), source="b")
    assert (found.n, found.changed, found.new, found.missing) == (1, 1, 1, 1)
    assert found.difference == -1.0


def test_clusters_count_as_one():
    before, after = [1.0] * 40, [1.0] * 30 + [0.0] * 10
    clusters = {f"r{n}": n // 10 for n in range(40)}
    alone = compared_with(baseline(before), rows(after), Allowance(), source="b")
    together = compared_with(baseline(before), rows(after), Allowance(), source="b", clusters=clusters)
    assert (alone.verdict, together.verdict) == ("regression", "not enough data")


def test_nothing_in_common_tells_nothing():
    found = compared_with(baseline([1.0]), rows([None]), Allowance(), source="b")
    assert (found.n, found.before, found.verdict) == (0, None, "not enough data")


def test_the_file_has_a_row_a_line_and_reads_back():
    known = Baseline(name="n", split="dev", scoring="s", score=0.5, rows=baseline([1.0, None, 0.25]).rows)
    content = baseline_bytes(known)
    assert len(content.splitlines()) == 1 + 3 + 1
    tree = json.loads(content)
    assert tree["rows"][1] == {"id": "r1", "digest": "d", "score": None}
    Draft202012Validator(json.loads(schema_bytes("baseline"))).validate(tree)


def test_a_baseline_of_no_rows_is_a_document_too():
    assert json.loads(baseline_bytes(Baseline()))["rows"] == []


# At the command line

WORSE = ("--set", "instructions=Be careless.")


class Careless(Sentiment):
    """Always right, unless it is told to be careless: then it knows two of three moods."""

    def __call__(self, body):
        from workplace import LABELS, WORDS, answer

        text = body["messages"][-1]["content"]
        right = next(label for label in LABELS if WORDS[label] in text)
        careless = "careless" in body["messages"][0]["content"]
        return answer(label="positive" if careless and right == "neutral" else right)


@pytest.fixture(scope="module")
def kept(shared_folder):
    """A workplace with a saved baseline of all rows, which are all right."""
    with open_workplace(shared_folder("kept"), Careless()) as place:
        place.done = place.run("eval", "--split", "all", "--save-baseline", "baseline.json", "-o", "first")
        assert place.done.code == 0, place.done
        yield place


def test_a_baseline_holds_every_row_and_fits_its_schema(kept):
    tree = json.loads((kept.folder / "baseline.json").read_text())
    assert (len(tree["rows"]), tree["score"], tree["split"]) == (60, 1.0, "all")
    schema = kept.run("schema", "baseline").document
    Draft202012Validator(schema).validate(tree)
    assert "the scores of 60 rows" in kept.done.err


def test_a_fall_is_a_regression_and_fails(kept):
    done = kept.run("eval", "--split", "all", "--baseline", "baseline.json", "-o", "worse", *WORSE)
    assert done.code == 1, done
    assert "regression against baseline.json: -0.333" in done.err
    assert "Baseline  baseline.json" in done.out
    found = kept.summary("worse")["baseline"]
    assert (found["verdict"], found["losses"], found["n"]) == ("regression", 20, 60)
    assert kept.summary("worse")["exit_code"] == 1


def test_a_run_may_be_the_baseline_and_more_may_be_allowed(kept):
    done = kept.run(
        "eval", "--split", "all", "--baseline", "first", "--max-drop", "0.5", "-o", "worse", *WORSE
    )
    assert done.code == 0, done
    assert kept.summary("worse")["baseline"]["verdict"] == "tie"


def test_a_finished_run_is_held_against_a_baseline_without_a_call(kept):
    requests = kept.server.requests
    done = kept.run("eval", "--split", "all", "--baseline", "baseline.json", "-o", "first")
    assert done.code == 0
    assert kept.summary("first")["baseline"]["verdict"] == "tie"
    assert kept.server.requests == requests
    kept.run("eval", "--split", "all", "-o", "first")
    assert kept.summary("first")["baseline"] is None


def test_a_gate_may_ask_that_a_fall_is_ruled_out(kept):
    gate = ("--set", "gates=[baseline.ci_low >= -0.01]")
    done = kept.run("eval", "--split", "all", "--baseline", "baseline.json", "-o", "first", *gate)
    assert done.code == 1
    assert "baseline.ci_low >= -0.01" in done.err


def test_a_few_rows_do_not_tell(kept):
    done = kept.run(
        "eval", "--rows", "r001,r002", "--split", "all", "--baseline", "first", "-o", "few", *WORSE
    )
    assert done.code == 0
    assert kept.summary("few")["baseline"]["verdict"] == "not enough data"
    assert kept.summary("few")["baseline"]["missing"] == 58


def test_changed_rows_are_left_out_and_counted(shared_folder):
    with open_workplace(shared_folder("changed"), Careless()) as place:
        place.run("eval", "--split", "all", "--save-baseline", "baseline.json", "-q")
        path = place.folder / "rows.jsonl"
        path.write_text(path.read_text().replace("lovely day 2", "lovely morning 2", 1))
        done = place.run("eval", "--split", "all", "--baseline", "baseline.json", "-o", "run")
        assert done.code == 0, done
        assert place.summary("run")["baseline"]["changed"] == 1
        assert "rows left out: 1 changed" in done.out


def test_a_regression_does_not_become_the_baseline(kept):
    before = (kept.folder / "baseline.json").read_bytes()
    both = ("--baseline", "baseline.json", "--save-baseline", "baseline.json")
    done = kept.run("eval", "--split", "all", *both, "-o", "worse", *WORSE)
    assert done.code == 1
    assert "was not written: the run is a regression" in done.err
    assert (kept.folder / "baseline.json").read_bytes() == before


def test_a_run_cut_short_is_no_baseline(kept):
    done = kept.run(
        "eval", "--split", "all", "--save-baseline", "cut.json", "--set", "budget.calls=5", "-o", "cut"
    )
    assert done.code == 7
    assert not (kept.folder / "cut.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--baseline", "gone.json"], 2, "the baseline gone.json cannot be read"),
        (["--baseline", "rows.jsonl"], 4, "not a baseline"),
        (["--baseline", "."], 2, ". is not a run's directory"),
        (["--max-drop", "0.1"], 2, "name one"),
        (["--baseline", "baseline.json", "--alpha", "0"], 2, "0<x<1"),
        (["--save-baseline", "no/where.json"], 2, "name a file in a folder that exists"),
        (["--baseline", "baseline.json", "--set", "metrics=[f1]"], 2, "was scored otherwise"),
        (["--baseline", "baseline.json", "--set", "data=other.jsonl"], 2, "not one of these 12 rows"),
    ],
)
def test_what_cannot_be_compared_is_said_before_any_call(kept, arguments, code, said):
    kept.write("other.jsonl", [{"text": f"lovely evening {n}", "label": "positive"} for n in range(40)])
    requests = kept.server.requests
    done = kept.run("eval", *arguments)
    assert done.code == code, done
    assert said in " ".join(done.err.split()), done
    assert kept.server.requests == requests
