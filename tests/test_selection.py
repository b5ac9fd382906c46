"""Which rows `eval` scores, and whose replies it scores: --where, --sample, --last-failed, --from."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workplace import Sentiment, answer, open_workplace, sentiment_rows

from promptc.cli.selection import drawn
from promptc.runners.rows import inline_rows


def rows_of(place, directory="run"):
    return [json.loads(line) for line in (place.folder / directory / "rows.jsonl").read_text().splitlines()]


def ids_of(place, directory="run"):
    return {row["id"] for row in rows_of(place, directory)}


@pytest.fixture(scope="module")
def place(shared_folder):
    with open_workplace(shared_folder("selection"), Sentiment(clumsy=0)) as opened:
        rows = sentiment_rows()
        for number, row in enumerate(rows):
            row["length"] = len(row["text"])
            if number % 2:
                row["language"] = "de" if number % 4 == 1 else "en"
        opened.write("rows.jsonl", rows)
        opened.rows = {row["id"]: row for row in rows}
        yield opened


# By expression and by lot


def test_where_keeps_the_rows_for_which_it_is_true(place):
    done = place.run(
        "eval", "--split", "all", "--where", "row.label == 'neutral' && row.length < 12", "-o", "run"
    )
    assert done.code == 0, done
    expected = {r["id"] for r in place.rows.values() if r["label"] == "neutral" and r["length"] < 12}
    assert ids_of(place) == expected


def test_rows_that_lack_the_column_are_left_out_and_counted(place):
    done = place.run("eval", "--split", "all", "--where", "row.language == 'de'", "-o", "run")
    assert ids_of(place) == {r["id"] for r in place.rows.values() if r.get("language") == "de"}
    assert "30 of 60 rows left out" in " ".join(done.err.split())


def test_where_may_ask_whether_the_column_is_there(place):
    done = place.run("eval", "--split", "all", "--where", "!has(row.language)", "-o", "run")
    assert len(ids_of(place)) == 30
    assert "left out" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--where", "row.label =="], 2, "--where row.label ==: not an expression"),
        (["--where", "rows.label == 'x'"], 2, 'unknown name "rows"'),
        (["--where", "row.lable == 'x'"], 2, "cannot be decided for any row"),
        (["--where", "row.label == 'sad'"], 5, "is true for none of 18 rows"),
        (["--sample", "0"], 2, "0 is not in the range"),
        (["--from", "nowhere"], 2, "nowhere is not a run's directory"),
        (["--last-failed", "--set", "name=fresh"], 2, "there is no earlier evaluation of fresh"),
    ],
)
def test_what_selects_nothing_is_said(place, arguments, code, said):
    requests = place.server.requests
    done = place.run("eval", *arguments)
    assert done.code == code, done
    assert said in " ".join(done.err.split()), done
    assert place.server.requests == requests


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another(place):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        place.run("eval", "--split", "all", "--sample", "20", "-o", name, "--set", f"run.seed={seed}")
    assert len(ids_of(place, "one")) == 20
    assert ids_of(place, "one") == ids_of(place, "again") != ids_of(place, "other")


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 9))
@settings(deadline=None)
def test_a_row_is_drawn_whatever_the_order_of_the_others(rows, count, seed):
    examples = tuple(inline_rows([{"text": f"row {number}"} for number in range(rows)]))
    there, back = drawn(examples, count, seed), drawn(examples[::-1], count, seed)
    assert len(there) == min(rows, count)
    assert there == back[::-1]
    assert list(there) == [example for example in examples if example in there]


def test_a_larger_sample_holds_the_smaller_one():
    examples = tuple(inline_rows([{"text": f"row {number}"} for number in range(50)]))
    assert {e.id for e in drawn(examples, 10, 3)} <= {e.id for e in drawn(examples, 20, 3)}


def test_other_rows_are_another_run_and_the_whole_split_is_the_plain_one(place):
    identities = []
    for arguments in ([], ["--where", "true"], ["--where", "row.length < 12"], ["--sample", "5"]):
        place.run("eval", "-o", "run", *arguments)
        identities.append(place.summary("run")["identity"])
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


# What went wrong before


def test_last_failed_scores_what_went_wrong_and_then_what_still_does(workplace):
    workplace.run("eval", "-q")
    first = rows_of(workplace, "runs/mood-eval-latest")
    wrong = {row["id"] for row in first if row["score"] < 1}
    assert 0 < len(wrong) < len(first)
    workplace.run("eval", "-q", "--last-failed", "--set", "instructions=Say it again.")
    assert ids_of(workplace, "runs/mood-eval-latest") == wrong
    workplace.run("eval", "-q", "--last-failed", "--set", "instructions=Say it thrice.")
    still = rows_of(workplace, "runs/mood-eval-latest")
    assert {row["id"] for row in still} <= wrong


def test_where_nothing_went_wrong_there_is_nothing_to_score(shared_folder):
    with open_workplace(shared_folder("perfect"), Sentiment(clumsy=0, skill=1)) as place:
        place.run("eval", "-q")
        done = place.run("eval", "--last-failed")
    assert done.code == 5
    assert "scored full marks" in done.err


def test_last_failed_stays_on_the_split_of_that_run(workplace):
    workplace.run("eval", "-q", "--split", "test")
    workplace.run("eval", "-q", "--last-failed", "--set", "instructions=Say it again.")
    assert {row["split"] for row in rows_of(workplace, "runs/mood-eval-latest")} == {"test"}


# Another run's replies


def test_after_a_change_of_a_metric_nothing_is_asked(workplace):
    workplace.run("eval", "-o", "first", "--split", "test")
    requests = workplace.server.requests
    done = workplace.run("eval", "--from", "first", "-o", "second", "--set", "metrics=[f1]")
    assert done.code == 0, done
    assert workplace.server.requests == requests
    before, after = rows_of(workplace, "first"), rows_of(workplace, "second")
    assert [row["outputs"] for row in before] == [row["outputs"] for row in after]
    assert {row["split"] for row in after} == {"test"}
    assert list(after[0]["metrics"]) == ["f1"]
    assert json.loads((workplace.folder / "second" / "timing.json").read_text())["paid_calls"] == 0


def test_only_the_judge_is_asked(workplace):
    workplace.run("eval", "-o", "first")
    requests = workplace.server.requests
    workplace.server.reply = lambda body: answer(reason="It is so.", verdict="pass")
    judged = [{"llm_judge": {"rubric": "The mood is named.", "field": "label"}}]
    done = workplace.run("eval", "--from", "first", "-o", "second", "--set", f"metrics={json.dumps(judged)}")
    assert done.code == 0, done
    assert workplace.server.requests == requests + 18
    assert workplace.summary("second")["cost"]["judge"]["calls"] == 18
    assert workplace.summary("second")["dev"]["score"] == 1.0


def test_a_selection_of_that_runs_rows_is_scored(workplace):
    workplace.run("eval", "-o", "first")
    requests = workplace.server.requests
    done = workplace.run("eval", "--from", "first", "-o", "few", "--sample", "4", "--set", "metrics=[f1]")
    assert done.code == 0, done
    assert (len(ids_of(workplace, "few")), workplace.server.requests) == (4, requests)


def test_a_changed_program_has_no_replies_there(workplace):
    workplace.run("eval", "-o", "first")
    requests = workplace.server.requests
    done = workplace.run("eval", "--from", "first", "-o", "other", "--set", "instructions=Guess.")
    assert done.code == 6
    assert "not recorded in first" in done.err
    assert "score it without --from" in " ".join(done.err.split())
    assert workplace.server.requests == requests


def test_the_winner_of_a_search_is_scored_from_its_journal(workplace):
    workplace.write_spec(optimizer="labeled_few_shot")
    assert workplace.run("optimize", "-o", "found").code == 0
    requests = workplace.server.requests
    done = workplace.run("eval", "found", "--from", "found", "-o", "again", "--set", "metrics=[f1]")
    assert done.code == 0, done
    assert workplace.server.requests == requests
    assert {row["split"] for row in rows_of(workplace, "again")} == {"test"}


def test_a_run_that_kept_no_journal_cannot_be_answered_from(workplace):
    workplace.run("eval", "-o", "first", "--set", "run.journal=memory")
    done = workplace.run("eval", "--from", "first", "-o", "second")
    assert done.code == 2
    assert "kept no journal" in done.err
