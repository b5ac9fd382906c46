"""Judging the judge: agreement with people, answers in both orders, programs that judge, and calibration."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from workplace import MARKER, answer, open_workplace

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.protocol import Case, Score
from promptc.runners.metrics.registry import build
from promptc.runners.metrics.tally import tally_of

RUBRIC = {"rubric": "The reply names the amount."}
PASS, FAIL = {"verdict": "pass", "reason": "good"}, {"verdict": "fail", "reason": "bad"}


class Answers:
    """Services whose judge is a function of what it is shown."""

    def __init__(self, reply):
        self._reply = reply
        self.shown = []

    async def predict(self, signature, inputs, *, model="judge", rollout=0):
        self.shown.append({name: text.split("\n")[1] for name, text in inputs.items() if name != "marker"})
        return self._said(self._reply(self.shown[-1], rollout))

    async def judge(self, inputs, *, rollout=0):
        self.shown.append(dict(inputs))
        return self._said(self._reply(self.shown[-1], rollout))

    def _said(self, reply):
        if isinstance(reply, RowFailed):
            raise reply
        return reply


def scored(entry, reply, value="12", expected=UNSET, row=None, **case):
    services = Answers(reply)
    given = Case(
        value=value, expected=expected, row=row or {}, outputs={"reply": value}, field="reply", **case
    )
    return asyncio.run(build(entry).score(given, services)), services


def tallied(entry, details):
    tally = tally_of(build(entry))
    for value, one in details:
        tally.add(Case(value="x"), Score(value, details=one))
    return tally.figures()


# Agreement with people


LABELLED = {"llm_judge": {**RUBRIC, "labels": "people", "labelled": "known"}}


def by_number(shown, rollout):
    return PASS if shown["answer"].isdigit() else FAIL


def test_the_judge_also_judges_the_answer_that_people_judged():
    row = {"question": "how much?", "known": "much", "people": "pass"}
    score, services = scored(LABELLED, by_number, row=row)
    assert score.value == 1.0
    assert score.details["labelled"] == {"people": [1.0], "judge": 0.0}
    assert [shown["answer"] for shown in services.shown] == ["12", "much"]
    assert not any(
        "pass" in shown["row"] or "much" in shown["row"].split("how much?")[1] for shown in services.shown
    )


@pytest.mark.parametrize("row", [{}, {"people": None, "known": "x"}, {"people": "pass"}])
def test_a_row_that_nobody_labelled_is_judged_once(row):
    score, services = scored(LABELLED, by_number, row=row)
    assert "labelled" not in score.details
    assert len(services.shown) == 1


def test_the_expected_answer_is_the_labelled_one_where_no_other_is_named():
    entry = {"llm_judge": {**RUBRIC, "labels": "people"}}
    score, _ = scored(entry, by_number, value="x", expected="12", row={"people": False})
    assert score.details["labelled"] == {"people": [0.0], "judge": 1.0}


@pytest.mark.parametrize(
    ("label", "options", "people"),
    [
        ("pass", {}, [1.0]),
        (" Fail ", {}, [0.0]),
        (True, {}, [1.0]),
        (0, {}, [0.0]),
        (["pass", "fail", "pass"], {}, [1.0, 0.0, 1.0]),
        (4, {"scale": [1, 5]}, [0.75]),
        (4, {"scale": [1, 5], "threshold": 0.5}, [1.0]),
    ],
)
def test_people_say_pass_or_fail_or_a_grade(label, options, people):
    entry = {"llm_judge": {**RUBRIC, **options, "labels": "people", "labelled": "known"}}
    reply = {"verdict": 3} if "scale" in options else PASS
    score, _ = scored(entry, lambda *_: reply, row={"people": label, "known": "1"})
    assert score.details["labelled"]["people"] == people


@pytest.mark.parametrize("label", ["maybe", 7, ["pass", "?"], {"a": 1}])
def test_a_label_that_is_no_verdict_is_named(label):
    with pytest.raises(ValueError, match="`people` is"):
        scored(LABELLED, by_number, row={"people": label, "known": "1"})


def test_that_the_labelled_answer_cannot_be_judged_fails_no_row():
    def reply(shown, rollout):
        return PASS if shown["answer"] == "12" else RowFailed("provider", "503")

    score, _ = scored(LABELLED, reply, row={"people": "pass", "known": "x"})
    assert score.value == 1.0
    assert "503" in score.details["labelled"]["failure"]


def labelled(judge, *people, votes=()):
    details = {"labelled": {"people": list(people), **({} if judge is None else {"judge": judge})}}
    return 1.0, {**details, "votes": [{"verdicts": {"verdict": vote}} for vote in votes]}


def test_agreement_with_people_is_worked_by_hand():
    # Of 50 answers 20 pass with both, 15 fail with both, 5 and 10 differ: kappa (0.7 − 0.5) / 0.5 = 0.4. Alpha's chance
    # is without replacement: 1 − 99 · 30 / (2 · 55 · 45) = 0.4.
    pairs = [(1.0, 1.0)] * 20 + [(0.0, 1.0)] * 5 + [(1.0, 0.0)] * 10 + [(0.0, 0.0)] * 15
    figures = tallied(LABELLED, [labelled(judge, person) for judge, person in pairs])
    assert figures["labelled"] == 50
    assert figures["human_agreement"] == pytest.approx(0.7)
    assert figures["cohens_kappa"] == pytest.approx(0.4)
    assert figures["krippendorffs_alpha"] == pytest.approx(1 - 99 * 30 / (2 * 55 * 45))
    assert figures["confusion"] == {"fail": {"fail": 15, "pass": 10}, "pass": {"fail": 5, "pass": 20}}


def test_several_people_are_one_label_by_majority_and_raters_each():
    rows = [labelled(1.0, 1.0, 1.0, 0.0), labelled(0.0, 1.0, 0.0), labelled(None, 1.0, 1.0)]
    figures = tallied(LABELLED, rows)
    assert figures["labelled"] == 1
    assert figures["unjudged"] == 1
    assert "alpha_of_people" in figures


def test_grades_agree_by_how_near_they_are():
    entry = {"llm_judge": {**RUBRIC, "scale": [1, 5], "labels": "people", "labelled": "known"}}
    figures = tallied(entry, [labelled(0.5, 0.75), labelled(1.0, 1.0), labelled(0.0, 0.0)])
    assert figures["human_agreement"] == pytest.approx(1 - 0.25 / 3)
    assert figures["cohens_kappa"] > 0.9
    assert "confusion" not in figures


def test_votes_that_differ_are_counted():
    # Votes 1 1 1 and 1 0 0: variances 0 and 1/3.
    entry = {"llm_judge": {**RUBRIC, "votes": 3}}
    details = [{"votes": [{"verdicts": {"verdict": v}} for v in votes]} for votes in ((1, 1, 1), (1, 0, 0))]
    figures = tallied(entry, [(1.0, one) for one in details])
    assert figures == {"unanimous": 0.5, "vote_variance": pytest.approx(1 / 6)}


# Two answers, both orders

PAIR = {"pairwise_judge": RUBRIC}


def prefers(*better):
    """A judge to whom the earlier of these texts is better."""

    def reply(shown, rollout):
        ranks = [
            better.index(shown[place]) if shown[place] in better else len(better)
            for place in ("first", "second")
        ]
        verdict = "tie" if ranks[0] == ranks[1] else "first" if ranks[0] < ranks[1] else "second"
        return {"better": verdict, "reason": "shorter"}

    return reply


@pytest.mark.parametrize(
    ("reply", "value", "consistent", "first"),
    [
        (prefers("mine", "theirs"), 1.0, True, 0.5),
        (prefers("theirs", "mine"), 0.0, True, 0.5),
        (prefers(), 0.5, True, 0.5),
        (lambda *_: {"better": "first", "reason": "it came first"}, 0.5, False, 1.0),
        (lambda *_: {"better": "second"}, 0.5, False, 0.0),
    ],
)
def test_an_answer_wins_only_where_it_wins_in_both_orders(reply, value, consistent, first):
    score, services = scored(PAIR, reply, "mine", "theirs", {"question": "?", "reply": "theirs"})
    assert score.value == value
    assert (score.details["consistent"], score.details["first_preferred"]) == (consistent, first)
    assert [(shown["first"], shown["second"]) for shown in services.shown] == [
        ("mine", "theirs"),
        ("theirs", "mine"),
    ]
    assert all(shown["row"] == '{"question":"?"}' for shown in services.shown)


def test_a_judge_that_prefers_a_place_is_told_of():
    score, _ = scored(PAIR, lambda *_: {"better": "first"}, "mine", "theirs")
    assert score.feedback == "the judge preferred whichever answer stood first: that is a tie"


def test_the_same_answer_is_a_tie_without_a_call():
    score, services = scored(PAIR, prefers(), "same", "same")
    assert (score.value, services.shown) == (0.5, [])


def test_without_another_answer_it_abstains():
    assert scored(PAIR, prefers(), "mine")[0] is None


@pytest.mark.parametrize(
    ("kind", "fails"), [("parse", "metric"), ("provider", "provider"), ("timeout", "timeout")]
)
def test_an_order_without_a_verdict_is_no_score(kind, fails):
    def reply(shown, rollout):
        return RowFailed(kind, "no") if shown["first"] == "mine" else {"better": "tie"}

    with pytest.raises(RowFailed) as caught:
        scored(PAIR, reply, "mine", "theirs")
    assert caught.value.failure.kind == fails


def test_of_several_votes_one_may_fail():
    def reply(shown, rollout):
        return {"better": "both"} if rollout == 0 else prefers("mine")(shown, rollout)

    entry = {"pairwise_judge": {**RUBRIC, "votes": 2}}
    assert scored(entry, reply, "mine", "theirs")[0].value == 1.0
    assert build(entry).calls() == 4


def test_wins_and_the_weight_of_the_place_are_counted():
    rows = [
        (1.0, {"consistent": True, "first_preferred": 0.5}),
        (0.5, {"consistent": False, "first_preferred": 1.0}),
        (0.5, {}),
    ]
    assert tallied(PAIR, rows) == {
        "wins": 1, "ties": 2, "losses": 0, "consistent": 0.5, "first_preferred": 0.75,
    }  # fmt: skip


# Calibration


def calibrated(rows, **options):
    metric = build({"calibration": options})
    tally = tally_of(metric)
    for value, truth in rows:
        tally.add(Case(value=value, expected=truth), Score(0.0))
    return tally.figures()


def test_the_brier_score_of_scikit_learns_example():
    # The example of sklearn.metrics.brier_score_loss.
    figures = calibrated([(0.1, 0), (0.9, 1), (0.8, 1), (0.3, 0)])
    assert figures["brier"] == pytest.approx(0.0375)


def test_the_calibration_error_is_worked_by_hand():
    # Bins of two rows at 0.9, of which one came true, and of two at 0.15 and 0.05, of which none did:
    # (2 · 0.4 + 1 · 0.15 + 1 · 0.05) / 4 = 0.25.
    figures = calibrated([(0.9, True), (0.9, False), (0.15, False), (0.05, False)])
    assert figures["ece"] == pytest.approx(0.25)
    assert figures["overconfidence"] == pytest.approx((0.9 + 0.9 + 0.15 + 0.05 - 1) / 4)
    assert figures["bins"] == [
        {"low": 0.0, "high": 0.1, "rows": 1, "probability": 0.05, "came_true": 0.0},
        {"low": 0.1, "high": 0.2, "rows": 1, "probability": 0.15, "came_true": 0.0},
        {"low": 0.9, "high": 1.0, "rows": 2, "probability": 0.9, "came_true": 0.5},
    ]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None)
def test_every_row_falls_into_one_bin_and_the_error_stays_in_bounds(rows):
    figures = calibrated(rows)
    assert sum(one["rows"] for one in figures["bins"]) == len(rows)
    assert 0 <= abs(figures["overconfidence"]) <= figures["ece"] + 1e-12
    assert figures["ece"] <= 1


@pytest.mark.parametrize(
    ("value", "expected", "score"),
    [
        (0.9, True, 0.99),
        (0.9, False, 0.19),
        (0.5, "yes", 0.75),
        (1, 1, 1.0),
        (0.2, 0.2, 1.0),
        ("high", True, 0.0),
    ],
)
def test_a_probability_is_scored_by_its_squared_distance(value, expected, score):
    case = Case(value=value, expected=expected)
    assert asyncio.run(build("calibration").score(case, None)).value == pytest.approx(score)


def test_confidence_in_another_output_is_held_against_its_gold():
    metric = build({"calibration": {"of": "queue"}})
    right = Case(value=0.9, row={"queue": "a"}, outputs={"queue": "a"}, field="confidence")
    wrong = Case(value=0.9, row={"queue": "b"}, outputs={"queue": "a"}, field="confidence")
    scores = [asyncio.run(metric.score(case, None)) for case in (right, wrong, Case(value=0.9))]
    assert [score and round(score.value, 6) for score in scores] == [0.99, 0.19, None]
    assert scores[1].feedback == "said 0.9, and `queue` is wrong"
    assert not metric.reads_gold


def test_what_came_true_has_to_be_an_answer():
    with pytest.raises(ValueError, match="neither true nor false"):
        asyncio.run(build("calibration").score(Case(value=0.5, expected="perhaps"), None))


# At the command line: a judge that is a program of its own

JUDGE = {
    "version": 1,
    "name": "judge",
    "models": {"task": "embedded/icl"},
    "data": {"rows": [{"question": "q", "reply": "r", "verdict": "pass"}]},
    "signature": "question, reply -> verdict: Literal['pass', 'fail'], reason",
    "instructions": "Say whether the reply answers the question.",
    "metrics": [{"classification": {"field": "verdict"}}],
}


class Helpdesk:
    """Answers questions at length, and as a judge passes what is polite, or brief once it was told so."""

    def __call__(self, body):
        content = body["messages"][-1]["content"]
        if not any("verdict" in message["content"] for message in body["messages"]):
            number = content.split(MARKER.format("question"))[1].split()[1]
            return answer(reply=f"please wait {number}" if int(number) % 3 else f"wait {number}")
        reply = content.split(MARKER.format("reply") + "\n", 1)[1].split("\n\n", 1)[0]
        brief = "brief" in body["messages"][0]["content"]
        passed = len(reply) < 10 if brief else "please" in reply
        return answer(verdict="pass" if passed else "fail", reason="so it is")


@pytest.fixture
def desk(tmp_path):
    with open_workplace(tmp_path, Helpdesk()) as place:
        rows = [
            {
                "id": f"q{n:02d}",
                "question": f"question {n}",
                "known": "please hold" if n % 2 else "no",
                "people": "pass" if n % 2 or n == 4 else "fail",
            }
            for n in range(40)
        ]
        place.write("rows.jsonl", rows)
        place.write("judge/spec.yaml", JUDGE)
        place.write_spec(signature="question -> reply", metrics=judged_by(), instructions="Answer.")
        yield place


def judged_by(**options):
    return [{"llm_judge": {"program": "judge/spec.yaml", "field": "reply", **options}}]


def dev(place, run="run"):
    return place.summary(run)["dev"]


def test_a_program_judges_and_its_calls_are_the_judges(desk):
    done = desk.run("eval", "-o", "run")
    assert done.code == 0, done
    rows = [json.loads(line) for line in (desk.folder / "run" / "rows.jsonl").read_text().splitlines()]
    assert all(row["score"] == ("please" in row["outputs"]["reply"]) for row in rows)
    assert rows[0]["feedback"]["llm_judge"].endswith("so it is")
    cost = desk.summary("run")["cost"]
    assert cost["judge"]["calls"] == cost["task"]["calls"] == len(rows)
    asked = [body["messages"][0]["content"] for body in desk.server.seen]
    assert sum("Say whether the reply answers" in text for text in asked) == len(rows)


def test_its_agreement_with_people_is_a_figure_of_the_run(desk):
    desk.write_spec(
        signature="question -> reply",
        metrics=judged_by(labels="people", labelled="known"),
        instructions="Answer.",
    )
    done = desk.run(
        "eval", "--split", "all", "-o", "run", "--set", "gates=[all.tallies.llm_judge.cohens_kappa > 0.9]"
    )
    assert done.code == 0, done
    figures = desk.summary("run")["all"]["tallies"]["llm_judge"]
    assert figures["labelled"] == 40
    assert figures["human_agreement"] == pytest.approx(39 / 40)
    assert figures["confusion"] == {"fail": {"fail": 19}, "pass": {"fail": 1, "pass": 20}}
    assert "Cohen's kappa" in done.out


def test_a_judge_that_was_optimized_is_named_by_its_artifact(desk):
    tree = {
        **JUDGE,
        "models": desk.spec()["models"],
        "run": {"cache": False},
        "optimizer": "labeled_few_shot",
    }
    rows = [
        {
            "question": f"q {n}",
            "reply": "please hold" if n % 2 else "no",
            "verdict": "pass" if n % 2 else "fail",
        }
        for n in range(40)
    ]
    desk.write("judge/rows.jsonl", rows)
    desk.write("judge/spec.yaml", {**tree, "data": {"path": "rows.jsonl"}})
    found = desk.run("optimize", "judge/spec.yaml", "-o", "judge/best")
    assert found.code == 0, found
    assert desk.summary("judge/best")["test"]["tallies"]["classification"]["cohens_kappa"] == 1.0
    edited = desk.folder / "judge" / "best" / "compiled" / "program.json"
    edited.write_text(edited.read_text().replace("Say whether", "Be brief. Say whether"))
    done = desk.run("eval", "-o", "run", "--set", "metrics.0.llm_judge.program=judge/best")
    assert done.code == 0, done
    rows = [json.loads(line) for line in (desk.folder / "run" / "rows.jsonl").read_text().splitlines()]
    assert all(row["score"] == (len(row["outputs"]["reply"]) < 10) for row in rows)


def test_another_judge_is_another_run_and_another_scoring(desk):
    desk.run("eval", "-o", "one", "--save-baseline", "baseline.json")
    desk.write("judge/spec.yaml", {**JUDGE, "instructions": "Be brief."})
    desk.run("eval", "-o", "two")
    assert desk.summary("one")["identity"] != desk.summary("two")["identity"]
    done = desk.run("eval", "--baseline", "baseline.json", "-o", "two")
    assert done.code == 2
    assert "was scored otherwise" in done.err


def test_after_a_change_of_the_judge_only_the_judge_is_asked(desk):
    desk.run("eval", "-o", "one")
    requests = desk.server.requests
    desk.write("judge/spec.yaml", {**JUDGE, "instructions": "Be brief."})
    done = desk.run("eval", "--from", "one", "-o", "two")
    assert done.code == 0, done
    assert desk.server.requests == requests + len(dev(desk, "two")["metrics"]) * dev(desk, "two")["n"]


def test_a_judging_program_changes_nothing_with_the_number_of_workers(desk):
    for jobs in ("1", "8", "64"):
        assert desk.run("eval", "-j", jobs, "-o", f"run{jobs}").code == 0
    one, eight, many = (desk.result(f"run{jobs}") for jobs in ("1", "8", "64"))
    assert one == eight == many


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"signature": "question, reply -> mark: Literal['good', 'bad']"},
            "can be something else than a verdict",
        ),
        ({"signature": "question, reply -> a, b", "metrics": None}, "has no output `verdict` (it has a, b)"),
        ({"signature": "question, reply -> verdict: int", "metrics": None}, "something else than a verdict"),
        ({"instructionz": "x"}, "did you mean"),
    ],
)
def test_a_program_that_gives_no_verdict_is_refused(desk, change, said):
    tree = {**JUDGE, "metrics": [{"exact_match": {"field": "mark"}}], **change}
    desk.write("judge/spec.yaml", {key: value for key, value in tree.items() if value is not None})
    done = desk.run("validate")
    assert done.code == 2, done
    assert said in " ".join(done.err.split()) + " ".join(done.out.split()), done


def test_a_program_that_is_not_there_is_named(desk):
    done = desk.run("validate", "--set", "metrics.0.llm_judge.program=judge/gone.yaml")
    assert done.code == 2
    assert "gone.yaml" in done.out + done.err


def test_the_resolved_spec_holds_the_judge_and_reads_back(desk):
    desk.run("eval", "-o", "run")
    resolved = desk.folder / "run" / "spec.resolved.yaml"
    assert "Say whether the reply answers the question." in resolved.read_text()
    (desk.folder / "judge" / "spec.yaml").unlink()
    (desk.folder / "again.yaml").write_bytes(resolved.read_bytes())
    done = desk.run("eval", "again.yaml", "-o", "again")
    assert done.code == 0, done
    assert dev(desk, "again")["score"] == dev(desk)["score"]


def test_an_enum_that_is_matched_exactly_has_a_confusion_matrix(workplace):
    done = workplace.run("eval", "-o", "run")
    figures = workplace.summary("run")["dev"]["tallies"]["exact_match"]
    assert sum(sum(row.values()) for row in figures["confusion"].values()) == 18
    assert "Labels  exact_match on dev" in done.out


def test_a_probability_field_is_calibrated_in_summary_and_report(tmp_path):
    def reply(body):
        text = body["messages"][-1]["content"].split(MARKER.format("text") + "\n", 1)[1].split("\n\n", 1)[0]
        number = int(text.split()[-1])
        return answer(label="positive", confidence="0.9" if number % 2 else "0.6")

    with open_workplace(tmp_path, reply) as place:
        place.write_spec(
            signature="text -> label: Literal['negative', 'neutral', 'positive'], confidence: float",
            metrics=[
                {"exact_match": {"field": "label"}},
                {"calibration": {"field": "confidence", "of": "label", "weight": 0}},
            ],
        )
        done = place.run("eval", "--split", "all", "-o", "run")
        assert done.code == 0, done
        figures = place.summary("run")["all"]["tallies"]["calibration"]
        assert [one["rows"] for one in figures["bins"]] == [30, 30]
        assert figures["ece"] == pytest.approx((0.6 - 1 / 3 + 0.9 - 1 / 3) / 2)
        assert "Calibration  calibration on all" in done.out
        wrong = place.run("validate", "--set", "metrics.1.calibration.of=lable")
        assert 'did you mean "label"?' in wrong.out + wrong.err
