"""`promptc runs`: what was run, what it cost, and away with what is old."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_cases import HOSTILE, OBEYED, SGR, put_on_screen
from test_resume import Trap
from test_sweep import Ladder
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli.document_schemas import schema_bytes
from promptc.cli.listing import period_of
from promptc.cli.reports.runs import runs_report, spend_report
from promptc.runners.run_directory import SessionNote
from promptc.runners.run_index import RunEntry

GOLDEN = Path(__file__).parent / "golden" / "run_lists"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
DAY = 86_400.0
PRICE = {"price": {"input": 1.0, "output": 4.0}}


@pytest.fixture
def place(tmp_path):
    """A workplace with four runs: a good one, one whose gate failed, one that was never finished, and a sweep."""
    with open_workplace(tmp_path, Ladder()) as opened:
        opened.write_spec(model={**PRICE, "model": "openai/good"}, name="mood")
        assert opened.run("eval", "--limit", "6").code == 0
        assert opened.run("eval", "--limit", "5", "--fail-under", "1.01").code == 1
        assert opened.run("eval", "--limit", "4").code == 0
        (run_named(opened, "eval", 4) / "manifest.json").unlink()
        assert (
            opened.run("eval", "--sweep", "models.task.model=openai/weak,openai/good", "--limit", "3").code
            == 0
        )
        yield opened


def run_named(place: Workplace, command: str, rows: int) -> Path:
    """The directory of the run of a command that scored so many rows."""
    for path in sorted((place.folder / "runs").iterdir()):
        marker = path / ".promptc.json"
        if path.is_symlink() or not marker.exists() or json.loads(marker.read_bytes())["command"] != command:
            continue
        lines = (path / "rows.jsonl").read_text().splitlines()
        if len(lines) == rows:
            return path
    raise AssertionError(f"no {command} of {rows} rows")


def listed(place: Workplace, *arguments: str) -> list[dict[str, Any]]:
    done = place.run("runs", *arguments, "--json")
    assert done.code == 0, done
    return done.document["runs"]


def aged(path: Path, days: float) -> None:
    """Let a run have ended, and begun, so long ago."""
    moment = time.time() - days * DAY
    for name in ("manifest.json", ".promptc.json"):
        if (path / name).exists():
            os.utime(path / name, (moment, moment))


def test_every_run_is_listed_newest_first_with_its_state_score_and_cost(place):
    found = listed(place)
    assert [run["state"] for run in found].count("failed") == 1
    assert {run["state"] for run in found} == {"finished", "failed", "unfinished"}
    assert [run["command"] for run in found].count("eval-sweep") == 1
    assert sorted(found, key=lambda run: -(run["ended"] or run["began"])) == found
    for run in found:
        assert run["name"] == "mood"
        if run["state"] != "unfinished":
            assert run["split"] == "dev"
            assert run["usd"] > 0
            assert run["paid_usd"] == pytest.approx(run["usd"])
    sweep = next(run for run in found if run["cells"])
    best = json.loads((place.folder / sweep["path"] / "sweep.json").read_bytes())["cells"][0]
    assert (sweep["cells"], sweep["score"]) == (2, best["score"])


def test_cells_are_listed_on_demand(place):
    assert len(listed(place)) == 4
    assert len(listed(place, "--cells")) == 6
    assert len(listed(place, listed(place, "--command", "eval-sweep")[0]["path"], "--cells")) == 3


def test_the_document_is_what_its_schema_says(place):
    schema = json.loads(schema_bytes("runs"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for arguments in ([], ["--spend", "day"], ["--delete", "--state", "finished", "--yes"]):
        jsonschema.validate(place.run("runs", *arguments, "--json").document, schema)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 4),
        (["--name", "mood"], 4),
        (["--name", "m*", "--name", "x"], 4),
        (["--name", "x*"], 0),
        (["--state", "failed"], 1),
        (["--state", "failed", "--state", "unfinished"], 2),
        (["--state", "running"], 0),
        (["--command", "eval-sweep"], 1),
        (["--since", "1h"], 4),
        (["--since", "2999-01-01"], 0),
        (["--older-than", "1h"], 0),
        (["--where", "run.state == 'finished' && run.score > 0.1"], 2),
        (["--where", "run.exit_code == 1"], 1),
        (["--where", "run.age_days > 1.0"], 0),
        (["--limit", "2"], 2),
    ],
)
def test_runs_are_filtered(place, arguments, count):
    assert len(listed(place, *arguments)) == count


def test_age_counts_from_the_end_of_a_run(place):
    aged(run_named(place, "eval", 6), 40)
    assert [run["path"] for run in listed(place, "--older-than", "30d")] == [
        f"runs/{run_named(place, 'eval', 6).name}"
    ]
    assert len(listed(place, "--since", "7d")) == 3


def test_one_run_may_be_named_or_another_folder(place):
    path = run_named(place, "eval", 6).relative_to(place.folder)
    assert [run["path"] for run in listed(place, str(path))] == [str(path)]
    place.run("eval", "--limit", "2", "-o", "elsewhere/mine")
    assert [run["path"] for run in listed(place, "elsewhere")] == ["elsewhere/mine"]


def test_where_nothing_was_run_there_is_nothing_to_list(tmp_path):
    with open_workplace(tmp_path) as place:
        assert place.run("runs").out == "no runs\n"
        assert place.run("runs", "--json").document["runs"] == []
        assert place.run("runs", "--spend", "day").out == "nothing was paid by the runs that are there\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["--where", "run.scor > 1"], 'there is no "run.scor"'),
        (["--where", "score > 1"], 'unknown name "score"'),
        (["--where", "run.score >"], "--where run.score >: "),
        (["--since", "soon"], "'soon' is no moment"),
        (["--older-than", "30"], "'30' is no age"),
        (["--delete"], "nothing to go by"),
        (["--delete", "--older-than", "0s"], "--delete asks first, and nobody is at the terminal"),
    ],
)
def test_wrong_usage_is_said_and_nothing_is_deleted(place, arguments, said):
    done = place.run("runs", *arguments)
    assert done.code == 2, done
    assert said in " ".join(done.err.split())
    assert len(listed(place)) == 4


def test_what_was_paid_is_shown_by_period(place):
    (today,) = place.run("runs", "--spend", "day", "--json").document["spend"]
    assert today["runs"] == 4
    assert today["paid_calls"] >= 6 + 5 + 4 + 2 * 3
    assert today["paid_usd"] == pytest.approx(sum(run["paid_usd"] for run in listed(place)))
    assert today["period"] in place.run("runs", "--spend", "day").out


def test_a_reply_from_the_cache_is_recorded_and_not_paid(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(model=PRICE, run={"cache": True})
        place.run("eval", "-o", "runs/first")
        place.run("eval", "-o", "runs/second")
        first, second = sorted(listed(place), key=lambda run: run["path"])
        assert first["usd"] == second["usd"] == first["paid_usd"] > 0
        assert second["paid_usd"] == 0


def test_what_sessions_paid_is_kept_when_a_run_is_begun_anew_or_replaced(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(model=PRICE)
        for arguments in ([], ["--fresh"], ["--limit", "6"]):
            assert place.run("eval", "-o", "runs/mine", *arguments).code == 0
        (entry,) = listed(place)
        paid = [session["paid_calls"] for session in entry["sessions"]]
        assert len(paid) == 3
        assert paid[0] == paid[1] > paid[2]
        assert entry["paid_usd"] > entry["usd"]


def test_an_interrupted_session_leaves_what_it_paid(tmp_path):
    trap = Trap()
    with open_workplace(tmp_path, Sentiment(), plan=trap, latency=0.01) as place:
        place.write_spec(model=PRICE)
        running = place.start("eval", "--split", "all", "-o", "runs/mine", "-j", "4")
        trap.set(20, lambda: running.signal(signal.SIGINT))
        assert running.end().code == 130
        (entry,) = listed(place)
        assert entry["state"] == "unfinished"
        assert 10 <= entry["paid_calls"] < 60
        assert place.run("eval", "--split", "all", "-o", "runs/mine").code == 0
        (entry,) = listed(place)
        assert (entry["state"], len(entry["sessions"])) == ("finished", 2)
        assert entry["paid_calls"] == place.server.requests


def test_old_runs_are_deleted_and_their_links_with_them(place):
    for run in listed(place):
        aged(place.folder / run["path"], 40)
    aged(run_named(place, "eval", 6), 1)
    done = place.run("runs", "--delete", "--older-than", "30d", "--yes", "--json")
    assert done.code == 0, done
    assert len(done.document["deleted"]) == 2
    assert "it is unfinished" in next(iter(done.document["kept"].values()))
    assert {run["state"] for run in listed(place)} == {"finished", "unfinished"}
    links = [path for path in (place.folder / "runs").iterdir() if path.is_symlink()]
    assert all(path.exists() for path in links)
    assert not any("sweep" in path.name for path in links)


def test_unfinished_runs_are_refused_unless_told_so(place):
    done = place.run("runs", "--delete", "--state", "unfinished", "--yes")
    assert done.code == 5
    assert "--unfinished deletes it" in " ".join(done.err.split())
    assert len(listed(place)) == 4
    assert place.run("runs", "--delete", "--state", "unfinished", "--unfinished", "--yes").code == 0
    assert len(listed(place)) == 3


def test_a_folder_that_promptc_did_not_make_is_never_deleted(place):
    foreign = place.folder / "runs" / "mine"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("dear diary")
    outside = place.folder / "outside"
    place.run("eval", "--limit", "2", "-o", "outside")
    (place.folder / "runs" / "link").symlink_to(outside, target_is_directory=True)
    assert place.run("runs", "--delete", "--since", "1d", "--unfinished", "--yes").code == 0
    assert (foreign / "notes.txt").read_text() == "dear diary"
    assert (outside / "summary.json").exists()
    assert listed(place) == []
    done = place.run("runs", "runs/mine", "--delete", "--yes")
    assert done.code == 5
    assert foreign.exists()


def test_a_cell_is_deleted_with_its_sweep_alone(place):
    sweep = next(run for run in listed(place) if run["cells"])
    cell = json.loads((place.folder / sweep["path"] / "sweep.json").read_bytes())["best"]
    done = place.run("runs", f"{sweep['path']}/{cell}", "--delete", "--yes")
    assert done.code == 2
    assert "is a cell of the sweep in" in " ".join(done.err.split())
    assert place.run("runs", sweep["path"], "--delete", "--yes").code == 0
    assert not (place.folder / sweep["path"]).exists()


def test_a_run_that_is_under_way_is_listed_so_and_never_deleted(tmp_path):
    trap = Trap()
    with open_workplace(tmp_path, Sentiment(), plan=trap, latency=0.005) as place:
        trap.stalled = True
        trap.set(5, lambda: None)
        running = place.start("eval", "-o", "runs/mine")
        try:
            while place.server.requests < 5 and running.process.poll() is None:
                time.sleep(0.01)
            assert [run["state"] for run in listed(place)] == ["running"]
            done = place.run("runs", "runs/mine", "--delete", "--unfinished", "--yes")
            assert done.code == 5
            assert "a promptc process is writing it" in done.err
        finally:
            trap.stalled = False
            running.signal(signal.SIGKILL)
            running.end()
        assert [run["state"] for run in listed(place)] == ["unfinished"]


# What a person reads

NOW = 1_750_000_000.0


def entries() -> list[RunEntry]:
    sessions = (
        SessionNote(ended=NOW - 3 * DAY, paid_calls=900, paid_usd=0.41),
        SessionNote(ended=NOW - 2 * DAY, paid_calls=120, paid_usd=0.05),
    )
    known = {"name": "support-triage", "identity": "a" * 32, "began": NOW - 3 * DAY}
    return [
        RunEntry(
            path="runs/support-triage-optimize-sweep-0123456789ab", command="optimize-sweep", state="finished",
            ended=NOW - 7200, split="test", score=0.81, ci_low=0.73, ci_high=0.87, usd=1.2, cells=4,
            exit_code=0, **known,
        ),
        RunEntry(
            path="runs/support-triage-eval-0123456789ab", command="eval", state="failed", ended=NOW - 2 * DAY,
            split="dev", score=0.61, ci_low=0.53, ci_high=0.68, usd=0.5, paid_usd=0.46, exit_code=1,
            verdicts=("gate failed: dev.score >= 0.8 (it is 0.61)",), sessions=sessions, **known,
        ),
        RunEntry(path="/far/away/mood", command="eval", state="unfinished", **{**known, "name": "mood"}),
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 110])
def test_the_list_is_as_it_was(width):
    shown = put_on_screen(runs_report(entries(), NOW), width, {"NO_COLOR": "1"})
    path = GOLDEN / f"list.{width}.txt"
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")
    assert max(len(line) for line in shown.splitlines()) <= width


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_others_text_is_never_more_than_text(payload):
    hostile = RunEntry(
        path=payload, name=payload, command=payload, identity="", state="failed", began=0.0, ended=0.0,
        split="dev", score=0.5, exit_code=1, verdicts=(payload,),
    )  # fmt: skip
    shown = SGR.sub("", put_on_screen(runs_report([hostile], NOW), 80, {}))
    assert OBEYED.search(shown) is None
    assert len(shown) < 30_000


@pytest.mark.parametrize(
    ("period", "name"), [("day", "2026-11-18"), ("week", "2026-11-16"), ("month", "2026-11")]
)
def test_a_period_is_named_by_its_first_day(period, name):
    moment = time.mktime((2026, 11, 18, 15, 0, 0, 0, 0, -1))
    assert period_of(moment, period) == name


def test_nothing_spent_is_said():
    assert put_on_screen(spend_report(()), 80, {}) == "nothing was paid by the runs that are there\n"
