"""`eval` and `optimize` over every combination of a sweep: one directory, one leaderboard, nothing paid twice."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_resume import Trap
from workplace import Done, Sentiment, Workplace, open_workplace, result_of

from promptc.cli.document_schemas import schema_bytes

SKILLS = {"weak": 0.3, "fair": 0.6, "good": 0.95}
LADDER = {"models.task.model": [f"openai/{name}" for name in SKILLS]}


class Ladder:
    """Models that differ in how much they know: `weak`, `fair` and `good`. The judge finds everything excellent."""

    def __init__(self) -> None:
        self.models = {name: Sentiment(skill=skill, clumsy=0.05) for name, skill in SKILLS.items()}
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> str:
        name = body["model"].rpartition("/")[2]
        self.asked[name] += 1
        return self.models[name](body)


@pytest.fixture
def place(tmp_path):
    ladder = Ladder()
    with open_workplace(tmp_path, ladder, rows=60) as opened:
        opened.ladder = ladder
        opened.write_spec(sweep=LADDER)
        yield opened


@pytest.fixture(scope="module")
def swept(shared_folder):
    """A workplace in which three models were evaluated, into `sweep`."""
    ladder = Ladder()
    with open_workplace(shared_folder("swept"), ladder) as opened:
        opened.ladder = ladder
        opened.write_spec(sweep=LADDER, slices=["label"], model={"price": {"input": 1.0, "output": 4.0}})
        opened.done = opened.run("eval", "-o", "sweep")
        assert opened.done.code == 0, opened.done
        yield opened


def board_of(place: Workplace, sweep: str = "sweep") -> Any:
    return json.loads((place.folder / sweep / "sweep.json").read_bytes())


def models_of(board: Any) -> list[str]:
    return [cell["values"]["models.task.model"] for cell in board["cells"]]


def bytes_of(sweep: Path) -> dict[str, dict[str, bytes]]:
    """What must be the same for any number of workers: the board, the rows, and the results of every cell."""
    cells = {
        cell.name: result_of(cell)
        for cell in sorted(sweep.iterdir())
        if cell.is_dir() and not cell.is_symlink()
    }
    return {"": {name: (sweep / name).read_bytes() for name in ("sweep.json", "rows.jsonl")}, **cells}


def test_every_cell_is_a_run_of_its_own_below_one_directory(swept):
    board = board_of(swept)
    for cell in board["cells"]:
        run = swept.folder / "sweep" / cell["directory"]
        summary = json.loads((run / "summary.json").read_bytes())
        assert (run / "manifest.json").exists()
        assert summary["identity"] == cell["identity"]
        assert summary["dev"]["score"] == cell["score"]
        assert "sweep" not in (run / "spec.resolved.yaml").read_text()


def test_cells_are_ranked_by_score_with_their_distance_from_the_best(swept):
    board = board_of(swept)
    assert models_of(board) == ["openai/good", "openai/fair", "openai/weak"]
    assert [cell["rank"] for cell in board["cells"]] == [1, 2, 3]
    best, *others = board["cells"]
    assert best["to_best"] is None
    for cell in others:
        distance = cell["to_best"]
        assert distance["difference"] == pytest.approx(cell["score"] - best["score"])
        assert distance["p_adjusted"] >= distance["p"]
        assert distance["wins"] + distance["ties"] + distance["losses"] == distance["n"] == 18
    assert board["best"] == best["directory"]
    assert (swept.folder / "sweep" / "best").resolve().name == best["directory"]


def test_what_a_row_costs_stands_beside_the_score(swept):
    board = board_of(swept)
    assert board["cost_measure"] == "usd_per_1000_rows"
    for cell in board["cells"]:
        summary = swept.summary(f"sweep/{cell['directory']}")
        assert cell["usd"] == summary["usd"] > 0
        assert cell["usd_per_1000_rows"] == pytest.approx(1000 * summary["dev"]["cost"] / 18)
    assert [cell["frontier"] for cell in board["cells"]].count(True) >= 1


def test_rows_stand_side_by_side(swept):
    board = board_of(swept)
    lines = [json.loads(line) for line in (swept.folder / "sweep" / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == 18
    for line in lines:
        assert list(line["cells"]) == [cell["directory"] for cell in board["cells"]]
        assert set(line["inputs"]) == {"text"}
    best = [line["cells"][board["best"]]["score"] for line in lines]
    assert sum(best) / len(best) == pytest.approx(board["cells"][0]["score"])


def test_the_document_is_what_its_schema_says(swept):
    schema = json.loads(schema_bytes("sweep"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(board_of(swept), schema)
    printed = swept.run("eval", "-o", "sweep", "--json")
    jsonschema.validate(printed.document, schema)
    assert printed.document["run_directory"] == "sweep"


def test_the_board_holds_no_time(swept):
    assert "latency" not in (swept.folder / "sweep" / "sweep.json").read_text()
    timing = json.loads((swept.folder / "sweep" / "timing.json").read_bytes())
    assert set(timing["cells"]) == {cell["directory"] for cell in board_of(swept)["cells"]}
    assert all(cell["median_latency"] > 0 for cell in timing["cells"].values())


def test_a_finished_sweep_says_its_verdict_again_and_asks_nothing(swept):
    before, requests = bytes_of(swept.folder / "sweep"), swept.server.requests
    times = {
        path: path.stat().st_mtime_ns
        for path in (swept.folder / "sweep").iterdir()
        if path.name not in ("timing.json", ".lock")
    }
    again = swept.run("eval", "-o", "sweep", "-j", "3")
    assert (again.code, again.out, swept.server.requests) == (0, swept.done.out, requests)
    assert "this sweep was finished before" in again.err
    assert bytes_of(swept.folder / "sweep") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize("jobs", ["2", "8", "64"])
def test_workers_change_no_byte(swept, jobs):
    assert swept.run("eval", "-o", f"jobs{jobs}", "-j", jobs).code == 0
    assert bytes_of(swept.folder / f"jobs{jobs}") == bytes_of(swept.folder / "sweep")


def test_gates_of_a_finished_sweep_are_held_anew(swept):
    requests = swept.server.requests
    done = swept.run("eval", "-o", "sweep", "--fail-under", "0.5")
    assert done.code == 1
    assert "models.task.model=openai/weak: gate failed: dev.score >= 0.5" in done.err
    assert "models.task.model=openai/good: gate failed" not in done.err
    assert swept.server.requests == requests
    assert swept.run("eval", "-o", "sweep").code == 0


def test_a_cell_that_is_missing_is_run_again_and_no_other(swept):
    sweep, requests = swept.folder / "sweep", swept.server.requests
    before = bytes_of(sweep)
    cell = sweep / board_of(swept)["cells"][1]["directory"]
    (cell / "manifest.json").unlink()
    (cell / "calls.sqlite").unlink()
    assert swept.run("eval", "-o", "sweep").code == 0
    assert swept.server.requests > requests
    assert swept.server.requests - requests <= 18 * 2
    assert bytes_of(sweep) == before


def test_options_sweep_where_the_spec_does_not(place):
    place.write_spec()
    done = place.run(
        "eval", "--sweep", "models.task.model=openai/good,openai/weak", "-o", "sweep", "--limit", "6"
    )
    assert done.code == 0, done
    assert models_of(board_of(place)) == ["openai/good", "openai/weak"]
    assert board_of(place)["cells"][0]["n"] == 6


def test_patches_in_a_file_are_cells(place):
    place.write_spec()
    place.write(
        "patches.jsonl",
        [
            {"models.task.model": "openai/good", "module": "chain_of_thought"},
            {"models.task.model": "openai/weak"},
        ],
    )
    done = place.run("eval", "--sweep", "patches.jsonl", "-o", "sweep", "--json")
    assert [cell["values"] for cell in sorted(done.document["cells"], key=lambda cell: cell["number"])] == [
        {"models.task.model": "openai/good", "module": "chain_of_thought"},
        {"models.task.model": "openai/weak"},
    ]


def test_no_sweep_runs_the_spec_alone(place):
    done = place.run("eval", "--no-sweep", "--model", "openai/good", "--json")
    assert (done.code, done.document["command"]) == (0, "eval")
    assert list(place.ladder.asked) == ["good"]


def test_directories_have_names_that_a_person_finds(place):
    place.run("eval", "--limit", "3")
    runs = sorted(path.name for path in (place.folder / "runs").iterdir() if path.name != ".gitignore")
    assert len(runs) == 2
    assert runs[1] == "mood-eval-sweep-latest"
    folders = [path.name for path in (place.folder / "runs" / runs[0]).iterdir() if path.is_dir()]
    assert sorted(name.rpartition("-")[0] for name in folders) == [
        "",
        *(f"openai-{n}" for n in sorted(SKILLS)),
    ]


def search_spec(place: Workplace, **keys: Any) -> None:
    search = {"optimizer": {"labeled_few_shot": {"k": 6}}, "gates": ["test.score >= 0.1"], "sweep": LADDER}
    place.write_spec(**{**search, **keys})


def models_tested(place: Workplace, sweep: str) -> list[str]:
    """The models of the cells whose summary has a figure on test."""
    found = []
    for cell in board_of(place, sweep)["cells"]:
        path = place.folder / sweep / cell["directory"] / "summary.json"
        if path.exists() and json.loads(path.read_bytes())["test"] is not None:
            found.append(cell["values"]["models.task.model"])
    return found


def test_test_is_scored_for_the_best_cell_and_its_own_start_alone(place):
    search_spec(place)
    done = place.run("optimize", "-o", "sweep", "-j", "2")
    assert done.code == 0, done
    board = board_of(place)
    assert models_of(board)[0] == "openai/good"
    assert models_tested(place, "sweep") == ["openai/good"]
    best = board["cells"][0]
    assert best["test"]["n"] == 18
    assert best["test"]["improvement"]["p"] == best["test"]["p_adjusted"]
    assert [cell["test"] for cell in board["cells"][1:]] == [None, None]
    gates = [place.summary(f"sweep/{cell['directory']}")["gates"] for cell in board["cells"]]
    assert [len(held) for held in gates] == [1, 0, 0]


def test_all_are_tested_on_demand_and_p_is_corrected(place):
    search_spec(place)
    assert place.run("optimize", "-o", "sweep").code == 0
    requests = place.server.requests
    done = place.run("optimize", "-o", "sweep", "--test-all")
    assert done.code == 0, done
    assert len(models_tested(place, "sweep")) == 3
    assert 0 < place.server.requests - requests < requests
    found = [cell["test"] for cell in board_of(place)["cells"]]
    assert all(one["p_adjusted"] >= one["improvement"]["p"] for one in found)
    assert place.run("optimize", "-o", "whole", "--test-all").code == 0
    assert bytes_of(place.folder / "whole") == bytes_of(place.folder / "sweep")


def test_the_best_cell_is_the_run_that_its_spec_alone_would_be(place):
    search_spec(place)
    place.run("optimize", "-o", "sweep")
    alone = place.run("optimize", "--no-sweep", "--model", "openai/good", "-o", "single/alone")
    assert alone.code == 0, alone
    best = place.folder / "sweep" / board_of(place)["best"]
    assert result_of(best) == result_of(place.folder / "single" / "alone")


def test_the_budget_is_divided_beforehand(place):
    search_spec(place, budget={"calls": 300, "usd": 3}, model={"price": {"input": 0.1, "output": 0.1}})
    done = place.run("optimize", "-o", "sweep")
    assert done.code == 0, done
    assert "each cell has 1/3 of the budget: calls 100, usd $1.00" in " ".join(done.err.split())
    board = board_of(place)
    assert board["share"] == {"calls": 100, "usd": 1.0}
    assert all(cell["calls"] <= 100 for cell in board["cells"])


def test_a_share_that_holds_no_trial_is_said_before_anything_is_asked(place):
    search_spec(place, budget={"calls": 90})
    done = place.run("optimize")
    assert done.code == 2
    assert "budget.calls is 30, and one trial needs" in done.err
    assert "each of 3 cells has an equal share of the budget" in done.err
    assert place.server.requests == 0


JUDGE = {"llm_judge": {"rubric": "It is right."}}


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"metrics": [JUDGE]}, 2),
        ({"metrics": ["exact_match", {"llm_judge": {"rubric": "It is right.", "model": "extract"}}]}, 2),
        ({"metrics": [JUDGE], "sweep": {"run.seed": [0, 1]}}, 0),
        ({"metrics": [JUDGE], "judge": True}, 0),
        ({"metrics": [{"llm_judge": {"rubric": "It is right.", "model": "task"}}]}, 0),
    ],
    ids=["follows", "another role follows", "task is not swept", "declared", "meant so"],
)
def test_a_judge_that_would_follow_the_swept_model_is_an_error(place, keys, code):
    if keys.pop("judge", False):
        model = place.spec()["models"]["task"]
        keys["models"] = {"task": model, "judge": {**model, "model": "openai/good"}}
    place.write_spec(**{"sweep": LADDER, **keys})
    done = place.run("validate")
    assert done.code == code, done
    if code:
        assert "the sweep would judge every cell by another model" in done.err
        assert "declare models." in done.err
        assert place.run("eval").code == code
    assert place.server.requests == 0


def test_roles_that_follow_are_noted(place):
    search_spec(place, optimizer={"copro": {"breadth": 2, "depth": 1}})
    done = place.run("plan", "--for", "optimize")
    assert done.code == 0, done
    started = place.run("optimize", "--offline")
    assert "proposer: each cell asks its own task model; models.proposer would be the same" in " ".join(
        started.err.split()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "models.task.model=openai/good"], "--set gives models.task.model one value"),
        (["--model", "openai/good"], "--model gives models.task one value"),
        (["--sweep", "run.seed=1", "--no-sweep"], "--sweep and --no-sweep contradict each other"),
        (["--sweep", "run.concurrency=1,2"], "two cells of the sweep are the same run"),
        (["--sweep", "run.seeds=1"], 'unknown key "seeds"'),
        (["--sweep", "run.seed=one"], 'expected a whole number, found the text "one"'),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(place, options, said):
    done = place.run("eval", *options)
    assert done.code == 2, done
    assert said in " ".join(done.err.split())
    assert place.server.requests == 0
    assert not list((place.folder / "runs").glob("mood*")) if (place.folder / "runs").exists() else True


def test_all_of_test_is_for_sweeps_alone(place):
    place.write_spec(optimizer="labeled_few_shot")
    done = place.run("optimize", "--test-all")
    assert (done.code, "--test-all is for a sweep" in done.err) == (2, True)


def broken(number: int, body: dict[str, Any]) -> str | None:
    return "401" if body["model"].endswith("fair") else None


def test_a_cell_that_fails_stops_no_other_and_is_tried_again(tmp_path):
    with open_workplace(tmp_path, Ladder(), plan=broken) as place:
        search_spec(place)
        done = place.run("optimize", "-o", "sweep", "--json")
        assert done.code == 6, done
        board = done.document
        assert (board["complete"], board["exit_code"]) == (False, 6)
        assert [cell["rank"] for cell in board["cells"]] == [1, 2, None]
        assert "Incorrect API key" in board["cells"][2]["error"]
        assert models_tested(place, "sweep") == [], "test waits until it is known which cell is the best"
        assert not (place.folder / "sweep" / "manifest.json").exists()
        requests = place.server.requests
        place.server.plan = []
        assert place.run("optimize", "-o", "sweep").code == 0
        assert models_of(board_of(place)) == ["openai/good", "openai/fair", "openai/weak"]
        assert models_tested(place, "sweep") == ["openai/good"]
        assert place.server.requests > requests
        assert place.server.repaid == 0


def test_cells_that_cannot_be_trusted_have_no_rank(tmp_path):
    def often(number: int, body: dict[str, Any]) -> str | None:
        return "400" if body["model"].endswith("good") and number % 3 == 0 else None

    with open_workplace(tmp_path, Ladder(), plan=often) as place:
        place.write_spec(sweep=LADDER)
        done = place.run("eval", "-o", "sweep")
        board = board_of(place)
        assert (done.code, board["exit_code"], board["complete"]) == (6, 6, True)
        assert models_of(board) == ["openai/fair", "openai/weak", "openai/good"]
        assert [cell["rank"] for cell in board["cells"]] == [1, 2, None]


class Undisturbed:
    """A sweep that nothing disturbed, and the command that makes it."""

    def __init__(self, place: Workplace, trap: Trap, command: list[str]) -> None:
        self.place, self.trap, self.command = place, trap, command
        done = place.run(*command, "-o", "undisturbed")
        assert done.code == 0, done
        self.requests = place.server.requests
        self.result = bytes_of(place.folder / "undisturbed")

    def start(self, out: str) -> Any:
        self.place.server.reset()
        return self.place.start(*self.command, "-o", out, "-j", "2")

    def finish(self, out: str) -> Done:
        done = self.place.run(*self.command, "-o", out, "-j", "3")
        assert done.code == 0, done
        assert bytes_of(self.place.folder / out) == self.result
        return done


@pytest.fixture(scope="module", params=["eval", "optimize"])
def undisturbed(request, shared_folder):
    trap = Trap()
    with open_workplace(shared_folder("stopped"), Ladder(), plan=trap, latency=0.005) as place:
        search_spec(place, run={"cache": False, "concurrency": 4})
        yield Undisturbed(place, trap, [request.param])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_killed_sweep_goes_on_with_the_same_command(undisturbed, share):
    out = f"killed{share}"
    running = undisturbed.start(out)
    undisturbed.trap.set(int(share * undisturbed.requests), lambda: running.signal(signal.SIGKILL))
    assert running.end().code in (-signal.SIGKILL, 0)
    undisturbed.finish(out)
    assert undisturbed.place.server.repaid <= 8


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all_cells_and_names_the_command_that_resumes(undisturbed, number, code):
    out = f"signal{code}"
    running = undisturbed.start(out)
    undisturbed.trap.set(undisturbed.requests // 3, lambda: running.signal(number))
    done = running.end()
    assert done.code == code, done
    assert "stopping: calls under way are finished and recorded" in done.err
    assert f"the same command goes on from here: promptc {undisturbed.command[0]} -o {out}" in " ".join(
        done.err.split()
    )
    assert "Traceback" not in done.err
    undisturbed.finish(out)
    assert undisturbed.place.server.repaid == 0


def test_a_second_signal_ends_at_once(undisturbed):
    out, trap = "twice", undisturbed.trap
    trap.stalled = True
    running = undisturbed.start(out)
    try:
        trap.set(20, lambda: running.signal(signal.SIGINT))
        while "once more" not in str(running.err) and running.process.poll() is None:
            running.process.poll()
        running.signal(signal.SIGINT)
        done = running.end(timeout=10)
    finally:
        trap.stalled = False
        running.signal(signal.SIGKILL)
    assert done.code == 130, done
    assert "Traceback" not in done.err
    undisturbed.finish(out)


def test_cells_share_the_limits_of_a_model(tmp_path):
    """Three cells at once, of the same model: together they keep to its wall."""
    with open_workplace(tmp_path, Sentiment(), latency=0.02) as place:
        place.write_spec(model={"limits": {"concurrency": 3}}, sweep={"instructions": ["a", "b", "c"]})
        done = place.run("eval", "-o", "sweep", "-j", "3")
        assert done.code == 0, done
        assert place.server.stats["most_inflight"] <= 3


def test_plan_shows_cells_calls_and_shares(place):
    search_spec(place, budget={"calls": 600})
    done = place.run("plan", "--json")
    assert done.code == 0, done
    assert [cell["share"] for cell in done.document["cells"]] == [{"calls": 200}] * 3
    scored, searched = done.document["forecasts"]
    assert (scored["command"], scored["total"]) == ("eval --split dev", [54, 54])
    assert searched["test"] == [18, 36]
    assert searched["total"] == [
        sum(c["total"][0] for c in searched["cells"]) + 18,
        sum(c["total"][1] for c in searched["cells"]) + 36,
    ]
    shown = place.run("plan").out
    assert "3 cells (models.task.model × 3)" in shown
    assert "each cell has 1/3 of it: calls 200" in shown
    assert place.server.requests == 0


def test_validate_checks_every_cell(place):
    assert place.run("validate").out == "spec.yaml: ok, 3 cells\n"
    done = place.run("validate", "--sweep", "metrics=[exact_match],[exact_macth]")
    assert done.code == 2
    assert (
        'unknown metric "exact_macth" (3 of 6 cells, such as models.task.model=openai/weak, metrics=[exact_macth])'
        in done.err
    )
