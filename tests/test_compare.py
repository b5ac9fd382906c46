"""`promptc compare`: runs held against each other, row by row, with a verdict on each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_cases import HOSTILE, OBEYED, SGR, put_on_screen
from test_sweep import Ladder
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli.document_schemas import schema_bytes
from promptc.cli.reports.comparison import comparison_report, comparison_verdict
from promptc.cli.reports.files import text_of
from promptc.runners.comparison_document import Answered, ComparedRun, Comparison, Flip, Part, RunDifference

GOLDEN = Path(__file__).parent / "golden" / "comparisons"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"


@pytest.fixture(scope="module")
def place(shared_folder):
    """A workplace in which a weak and a good model were evaluated on all rows, each into a folder of its name."""
    with open_workplace(shared_folder("compared"), Ladder()) as opened:
        opened.write_spec(
            slices=["label"], metrics=["exact_match", {"exact_match": {"name": "twice", "weight": 0}}]
        )
        for name in ("weak", "good"):
            done = opened.run("eval", "--split", "all", "--model", f"openai/{name}", "-o", name)
            assert done.code == 0, done
        yield opened


def found(place: Workplace, *arguments: str) -> Any:
    done = place.run("compare", *arguments, "--json")
    assert done.code == 0, done
    return done.document


def scores(place: Workplace, run: str) -> dict[str, float]:
    rows = [json.loads(line) for line in (place.folder / run / "rows.jsonl").read_text().splitlines()]
    return {row["id"]: row["score"] for row in rows}


def test_rows_are_compared_one_by_one(place):
    document = found(place, "weak", "good")
    before, after = scores(place, "weak"), scores(place, "good")
    (one,) = document["differences"]
    whole = one["whole"]
    assert (document["split"], whole["n"]) == ("all", 60)
    assert whole["wins"] == sum(after[name] > before[name] for name in before)
    assert whole["losses"] == sum(after[name] < before[name] for name in before)
    assert whole["wins"] + whole["ties"] + whole["losses"] == 60
    assert whole["difference"] == pytest.approx((sum(after.values()) - sum(before.values())) / 60)
    assert (one["verdict"], whole["p"]) == ("improvement", whole["p_adjusted"])
    assert [run["path"] for run in document["runs"]] == ["weak", "good"]


def test_the_other_way_round_it_is_a_regression(place):
    one = found(place, "good", "weak")["differences"][0]
    assert one["verdict"] == "regression"
    assert place.run("compare", "good", "weak").code == 0
    done = place.run("compare", "good", "weak", "--fail-on-regression")
    assert (done.code, "B: worse than A" in done.err) == (1, True)
    assert place.run("compare", "weak", "good", "--fail-on-regression").code == 0


def test_a_run_ties_with_its_like(place):
    place.run("eval", "--split", "all", "--model", "openai/good", "-o", "again", "--set", "description=again")
    one = found(place, "good", "again")["differences"][0]
    assert (one["verdict"], one["whole"]["p"], one["flips"]) == ("tie", 1.0, [])


def test_few_rows_cannot_tell(place):
    place.run("eval", "--split", "all", "--model", "openai/weak", "--limit", "3", "-o", "few")
    one = found(place, "few", "good")["differences"][0]
    assert one["verdict"] == "not enough data"
    assert (one["whole"]["n"], one["only_before"], one["only_after"]) == (3, 0, 57)


def test_metrics_and_slices_have_differences_of_their_own(place):
    one = found(place, "weak", "good")["differences"][0]
    assert list(one["metrics"]) == ["exact_match", "twice"]
    assert set(one["slices"]["label"]) == {"negative", "neutral", "positive"}
    assert sum(part["n"] for part in one["slices"]["label"].values()) == 60
    assert all(part["p_adjusted"] >= part["p"] for part in one["slices"]["label"].values())


def test_flipped_rows_come_with_both_answers_losses_first(place):
    one = found(place, "weak", "good", "--rows", "100")["differences"][0]
    assert len(one["flips"]) == one["whole"]["wins"] + one["whole"]["losses"]
    moves = [flip["after"]["score"] - flip["before"]["score"] for flip in one["flips"]]
    assert moves == sorted(moves)
    for flip in one["flips"]:
        assert flip["before"]["outputs"] != flip["after"]["outputs"]
        assert flip["expected"]["label"] in ("negative", "neutral", "positive")
    assert found(place, "weak", "good", "--rows", "0")["differences"][0]["flips"] == []


def test_of_several_runs_p_is_adjusted(place):
    place.run("eval", "--split", "all", "--model", "openai/fair", "-o", "fair")
    document = found(place, "weak", "good", "fair")
    assert [run["letter"] for run in document["runs"]] == ["A", "B", "C"]
    assert all(one["whole"]["p_adjusted"] >= one["whole"]["p"] for one in document["differences"])
    smallest = min(document["differences"], key=lambda one: one["whole"]["p"])["whole"]
    assert smallest["p_adjusted"] == pytest.approx(2 * smallest["p"])


def test_a_sweep_stands_for_its_cells_the_best_first(place):
    place.run("eval", "--sweep", "models.task.model=openai/weak,openai/good", "-o", "sweep")
    document = found(place, "sweep")
    assert [run["path"] for run in document["runs"]] == [
        "models.task.model=openai/good", "models.task.model=openai/weak",
    ]  # fmt: skip
    assert document["differences"][0]["verdict"] in ("regression", "not enough data")
    assert [run["path"] for run in found(place, "sweep/best", "sweep")["runs"]] == [
        "sweep/best", "models.task.model=openai/weak",
    ]  # fmt: skip


def test_the_document_is_what_its_schema_says(place):
    schema = json.loads(schema_bytes("comparison"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found(place, "weak", "good"), schema)


def test_searches_are_compared_on_test_and_on_dev_where_that_is_all(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(optimizer={"labeled_few_shot": {"k": 6}})
        place.run("eval", "--split", "test", "-o", "start")
        place.run("eval", "-o", "dev")
        assert place.run("optimize", "-o", "found").code == 0
        summary = place.summary("found")
        one = found(place, "start", "found")
        assert one["split"] == "test"
        for name in ("difference", "wins", "ties", "losses", "p"):
            assert one["differences"][0]["whole"][name] == pytest.approx(summary["test"]["improvement"][name])
        assert found(place, "start", "found/compiled/program.json") == one
        on_dev = found(place, "dev", "found")
        assert on_dev["split"] == "dev"
        assert on_dev["differences"][0]["whole"]["difference"] == pytest.approx(
            summary["dev"]["improvement"]["difference"]
        )
        done = place.run("compare", "start", "dev")
        assert done.code == 2
        assert "the runs were scored on different splits: start scored test; dev scored dev" in " ".join(
            done.err.split()
        )


def test_rows_that_changed_are_left_out_and_counted(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.run("eval", "--split", "all", "-o", "before")
        rows = [json.loads(line) for line in (place.folder / "rows.jsonl").read_text().splitlines()]
        rows[3]["text"] += " and more"
        place.write("rows.jsonl", rows)
        place.run("eval", "--split", "all", "-o", "after")
        one = found(place, "before", "after")["differences"][0]
        assert (one["other_content"], one["whole"]["n"]) == (1, 59)
        shown = place.run("compare", "before", "after").out
        assert "rows left out: 1 with other content" in shown
        place.write("rows.jsonl", [{**row, "text": row["text"] + "!"} for row in rows])
        place.run("eval", "--split", "all", "-o", "others")
        done = place.run("compare", "before", "others")
        assert done.code == 5
        assert "no row is in both before and others with the same content" in done.err


def test_scores_of_other_metrics_are_not_compared(place):
    place.write("other.yaml", place.spec(metrics=[{"contains": {"field": "label"}}]))
    assert (
        place.run("eval", "other.yaml", "--model", "openai/good", "--split", "all", "-o", "other").code == 0
    )
    done = place.run("compare", "weak", "other")
    assert done.code == 2
    assert "other was scored otherwise than weak" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["weak"], 2, "one run alone compares to nothing"),
        (["weak", "weak"], 2, "weak is the same run as weak"),
        (["weak", "none"], 2, "there is no none"),
        (["weak", "spec.yaml"], 2, "spec.yaml is a file, and runs are compared"),
        (["weak", "apart.json"], 2, "apart.json is a compiled program: it holds no scores"),
        (["weak", "empty"], 2, "empty is not a run's directory"),
        (["weak", "half"], 2, "the run in half is not complete"),
        (["weak", "good", "--split", "test"], 2, "not every run scored test"),
        (["weak", "good", "--alpha", "1"], 2, "--alpha"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_usage_is_said_with_what_to_do(place, arguments, code, said):
    (place.folder / "empty").mkdir(exist_ok=True)
    if not (place.folder / "half").exists():
        place.run("eval", "--split", "all", "--model", "openai/good", "--limit", "3", "-o", "half")
        (place.folder / "half" / "manifest.json").unlink()
    place.write("apart.json", (place.folder / "good" / "compiled" / "program.json").read_bytes())
    done = place.run("compare", *arguments)
    assert done.code == code, done
    assert said in " ".join(done.err.split())


# What a person reads


def part(before: float, after: float, p: float, n: int = 110) -> Part:
    difference = after - before
    return Part(
        before=before, after=after, difference=difference, ci_low=difference - 0.08, ci_high=difference + 0.07, p=p,
        p_adjusted=min(1.0, 2 * p), n=n, wins=14, ties=n - 20, losses=6,
    )  # fmt: skip


def run(letter: str, path: str, score: float, **rest: Any) -> ComparedRun:
    return ComparedRun(
        letter=letter, path=path, name="support-triage", command="eval", identity=letter * 32, score=score,
        ci_low=score - 0.08, ci_high=score + 0.07, n=110, calls=110, **rest,
    )  # fmt: skip


FLIP = Flip(
    id="t002",
    inputs={
        "message": "Is it possible to get the invoice on the 20th rather than the 1st? My pension arrives then."
    },
    expected={"queue": "billing"},
    before=Answered(score=1.0, outputs={"queue": "billing"}),
    after=Answered(score=0.0, outputs=None, failure="parse: no queue in the reply"),
)


def one_other() -> Comparison:
    return Comparison(
        split="test", max_drop=0.02, alpha=0.05,
        runs=(
            run("A", "runs/support-triage-eval-0123456789ab", 0.71, usd_per_1000_rows=0.21, tokens_per_row=512,
                usd=0.02),
            run("B", "runs/support-triage-eval-ba9876543210", 0.61, usd_per_1000_rows=1.4, tokens_per_row=2480,
                median_latency=1.24, usd=0.15),
        ),
        differences=(
            RunDifference(
                letter="B", verdict="regression", whole=part(0.71, 0.61, 0.004), detectable=0.05, only_after=12,
                other_content=3, metrics={"exact_match": part(0.71, 0.61, 0.004), "polite": part(0.9, 0.94, 0.4)},
                slices={"language": {"de": part(0.5, 0.7, 0.1, 24), "en": part(0.8, 0.6, 0.001, 54)}}, flips=(FLIP,),
            ),
        ),
    )  # fmt: skip


def two_others() -> Comparison:
    plain = one_other()
    third = RunDifference(letter="C", verdict="not enough data", whole=part(0.71, 0.72, 0.8), detectable=0.06)
    return Comparison(
        split="dev", max_drop=0.02, alpha=0.05, runs=(*plain.runs, run("C", "models.task=ollama/llama3.2", 0.72)),
        differences=(plain.differences[0], third),
    )  # fmt: skip


CASES = {"one_other": one_other, "two_others": two_others}
FORMS = {
    "80.txt": lambda case: text_of(comparison_report(case), 80),
    "120.txt": lambda case: text_of(comparison_report(case), 120),
    "80.terminal.txt": lambda case: put_on_screen(comparison_report(case), 80, {"NO_COLOR": "1"}),
    "80.ascii.txt": lambda case: put_on_screen(
        comparison_report(case), 80, {"NO_COLOR": "1"}, encoding="ascii"
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_the_report_is_as_it_was(case, form):
    path = GOLDEN / f"{case}.{form}"
    shown = FORMS[form](CASES[case]())
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8", newline="")
    assert shown == path.read_bytes().decode()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [60, 80, 100, 160, 240])
def test_no_line_is_wider_than_the_window(case, width):
    shown = put_on_screen(comparison_report(CASES[case]()), width, {})
    assert max(len(line) for line in SGR.sub("", shown).splitlines()) <= width


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_others_text_is_never_more_than_text(payload):
    said = Answered(score=0.0, outputs={payload: payload}, failure=payload)
    flip = Flip(id=payload, inputs={payload: payload}, expected={payload: payload}, before=said, after=said)
    one = RunDifference(
        letter="B", verdict="tie", whole=part(0.5, 0.5, 1.0), metrics={payload: part(0.5, 0.5, 1.0)},
        slices={payload: {payload: part(0.5, 0.5, 1.0)}}, flips=(flip,),
    )  # fmt: skip
    hostile = Comparison(
        split="dev",
        max_drop=0.02,
        alpha=0.05,
        runs=(run("A", payload, 0.5), run("B", payload, 0.5)),
        differences=(one,),
    )
    shown = SGR.sub("", put_on_screen(comparison_report(hostile), 80, {}))
    assert OBEYED.search(shown) is None
    assert len(shown) < 30_000


def test_the_verdict_says_what_it_rests_on():
    assert comparison_verdict(one_other()).sentence == (
        "B is a regression from A: 0.710 → 0.610, -0.100 (95 % CI -0.18 to -0.03, p = 0.008), 110 rows; "
        "a fall of more than 2 points that is no chance"
    )
    assert comparison_verdict(two_others()).sentence == "Against A: B: regression; C: not enough data"
