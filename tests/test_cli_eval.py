"""`promptc eval`: what is scored, what is written, and what a missing or refused model comes to."""

from __future__ import annotations

import json

import pytest
from workplace import Sentiment, Workplace, open_workplace, sentiment_rows


@pytest.fixture(scope="module")
def evaluated(shared_folder):
    """A workplace in which dev was evaluated once, into `run`."""
    with open_workplace(shared_folder("evaluated"), Sentiment()) as place:
        place.done = place.run("eval", "-o", "run", "-v")
        yield place


def test_the_report_names_the_score_and_the_directory(evaluated):
    assert evaluated.done.code == 0, evaluated.done
    score = evaluated.summary("run")["dev"]["score"]
    assert f"{score:.3f}" in evaluated.done.out
    assert "run" in evaluated.done.out.splitlines()[-1]
    assert (evaluated.folder / "run" / "report.txt").read_text().splitlines()[0] in evaluated.done.out


def test_the_figures_agree_with_the_rows(evaluated):
    dev = evaluated.summary("run")["dev"]
    rows = [json.loads(line) for line in (evaluated.folder / "run" / "rows.jsonl").read_text().splitlines()]
    assert dev["n"] == dev["rows"] == len(rows) == 18
    assert dev["score"] == pytest.approx(sum(row["score"] for row in rows) / 18)
    assert 0 <= dev["ci_low"] < dev["score"] < dev["ci_high"] <= 1
    assert all(row["score"] == (row["outputs"]["label"] == row["expected"]["label"]) for row in rows)


def test_asked_again_rows_are_counted_and_scored(evaluated):
    dev = evaluated.summary("run")["dev"]
    assert dev["reasks"] > 0
    assert evaluated.summary("run")["calls"] == dev["n"] + dev["reasks"] == evaluated.server.requests


def test_workers_change_no_byte(shared_folder):
    with open_workplace(shared_folder("workers"), Sentiment(), jitter=0.01) as place:
        for jobs in ("1", "7", "64"):
            assert place.run("eval", "-o", f"run{jobs}", "-j", jobs).code == 0
        one, seven, many = (place.result(f"run{jobs}") for jobs in ("1", "7", "64"))
        assert one == seven == many
        assert place.server.repaid == 2 * place.server.stats["distinct"]


def test_no_more_requests_are_under_way_than_jobs(shared_folder):
    with open_workplace(shared_folder("jobs"), Sentiment(), latency=0.005) as place:
        place.run("eval", "-j", "3", "--split", "all")
        assert place.server.most_in_flight == 3


def test_the_default_directory_is_named_by_the_run_and_kept_out_of_git(workplace):
    workplace.run("eval", "-q")
    runs = workplace.folder / "runs"
    latest = runs / "mood-eval-latest"
    identity = workplace.summary(latest)["identity"]
    assert latest.resolve().name == f"mood-eval-{identity[:12]}"
    assert (runs / ".gitignore").read_text() == "*\n"


def test_json_is_one_document_and_nothing_else_on_stdout(workplace):
    done = workplace.run("eval", "--json", "-o", "run")
    assert done.document == {**workplace.summary("run"), "run_directory": "run"}
    assert "eval dev" in done.err


def test_quiet_leaves_the_answer_and_drops_the_conversation(workplace):
    done = workplace.run("eval", "-q", "-o", "run")
    assert (done.code, done.err) == (0, "")
    assert "Scored dev" in done.out


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--split", "all", "--rows", "r004,r010"], {"r004", "r010"}),
        (["--split", "all", "--rows", "@ids.txt"], {"r001", "r002"}),
        (["--split", "test", "--limit", "2"], None),
    ],
)
def test_rows_can_be_chosen(workplace, arguments, ids):
    workplace.write("ids.txt", "r001\n\n r002 \n")
    done = workplace.run("eval", "-o", "run", *arguments)
    assert done.code == 0, done
    rows = [
        json.loads(line)["id"] for line in (workplace.folder / "run" / "rows.jsonl").read_text().splitlines()
    ]
    assert set(rows) == ids if ids else len(rows) == 2


def test_the_splits_partition_the_rows(workplace):
    sizes = {}
    for split in ("train", "dev", "test", "all"):
        workplace.run("eval", "-q", "--split", split, "-o", split, "--limit", "99")
        sizes[split] = workplace.summary(split)[split]["n"]
    assert sizes == {"train": 24, "dev": 18, "test": 18, "all": 60}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rows", "nobody"], 5, "no row of split dev has the id nobody"),
        (["--rows", "@nowhere"], 2, "nowhere cannot be read"),
        (["--fail-under", "high"], 2, "expected a number"),
        (["--max-age", "soon"], 2, "expected a number with s, m, h, d or w"),
        (["other.yaml"], 2, "there is no other.yaml"),
        (["--set", "metrics=[exact_mach]"], 2, 'did you mean "exact_match"'),
        (["--set", "data.path=gone.jsonl"], 2, "gone.jsonl"),
    ],
)
def test_what_cannot_be_asked_is_said_before_any_request(workplace, arguments, code, said):
    done = workplace.run("eval", *arguments)
    assert done.code == code, done
    assert said in " ".join(done.err.split()), done
    assert workplace.server.requests == 0
    assert not list(workplace.folder.glob("runs/*"))


def test_a_path_in_an_override_is_seen_from_the_specs_folder(workplace):
    workplace.write("other/more.jsonl", sentiment_rows(33))
    done = workplace.run("eval", "--split", "all", "-o", "run", "--set", "data.path=other/more.jsonl")
    assert done.code == 0, done
    assert workplace.summary("run")["all"]["n"] == 33


def test_an_edited_candidate_is_scored(workplace):
    workplace.write(
        "edited.yaml",
        {
            "candidate": 1,
            "predictors": {
                "main": {
                    "instructions": "Be brave.",
                    "demos": [{"inputs": {"text": "lovely thing"}, "outputs": {"label": "positive"}}],
                }
            },
        },
    )
    assert workplace.run("eval", "--candidate", "edited.yaml", "--limit", "3").code == 0
    messages = workplace.server.seen[-1]["messages"]
    assert messages[0]["content"].startswith("Be brave.")
    assert "lovely thing" in messages[1]["content"]


SHOWN = {"inputs": {"text": "lovely thing"}, "outputs": {"label": "positive"}}


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ({"wrong": 1}, "unknown key `wrong`"),
        ({"candidate": 2}, "`candidate:` is the version 1, found 2"),
        ({"predictors": {"mian": {}}}, 'unknown predictor mian hint: did you mean "main"?'),
        (
            {"main": {"instruction": "x"}},
            'main: unknown key `instruction` hint: did you mean "instructions"?',
        ),
        ({"main": {"extra": 1}}, "predictor main: unknown key `extra`"),
        ({"main": {"descriptions": {"lable": "x"}}}, 'unknown field `lable` hint: did you mean "label"?'),
        ({"main": {"demos": [SHOWN, {**SHOWN, "input": {}}]}}, "predictor main, demo 2: unknown key `input`"),
        ({"main": {"demos": [{**SHOWN, "inputs": {}}]}}, "predictor main, demo 1: no input"),
        ({"main": {"demos": [{**SHOWN, "inputs": {"txt": "x"}}]}}, "demo 1: inputs: unknown field `txt`"),
        ({"main": {"demos": [{**SHOWN, "outputs": {}}]}}, "demo 1: the output `label` is missing"),
        ({"main": {"demos": [SHOWN, {**SHOWN, "outputs": {"label": "grand"}}]}}, "demo 2: `label`: expected"),
        ({"main": {"demos": [{"inputs": {"text": "x"}}]}}, "predictor main, demo 1: Object missing required"),
    ],
)
def test_an_edited_candidate_that_would_not_be_shown_as_it_stands_is_refused(workplace, candidate, said):
    main = candidate.pop("main", {"instructions": "Be brave."})
    workplace.write("edited.yaml", {"candidate": 1, "predictors": {"main": main}, **candidate})
    done = workplace.run("eval", "--candidate", "edited.yaml")
    assert done.code == 4, done
    assert said in " ".join(done.err.split()), done
    assert workplace.server.requests == 0


def test_a_candidate_without_instructions_keeps_those_of_the_spec(workplace):
    workplace.write("edited.yaml", {"candidate": 1, "predictors": {"main": {"demos": [SHOWN]}}})
    workplace.run("eval", "-o", "start", "--limit", "3")
    start = workplace.server.seen[-1]["messages"]
    assert workplace.run("eval", "-o", "edited", "--candidate", "edited.yaml", "--limit", "3").code == 0
    edited = workplace.server.seen[-1]["messages"]
    assert edited[0] == start[0]
    assert "lovely thing" in edited[1]["content"]


def test_an_empty_candidate_is_not_told_how_to_write_a_spec(workplace):
    workplace.write("edited.yaml", "")
    done = workplace.run("eval", "--candidate", "edited.yaml")
    assert "the file is empty" in done.err
    assert "promptc init" not in done.err


def test_another_model_is_asked_and_is_another_run(workplace):
    workplace.run("eval", "--limit", "2")
    workplace.run("eval", "--limit", "2", "--set", "models.task.model=openai/other")
    assert {body["model"] for body in workplace.server.seen} == {"sentiment", "other"}
    assert len(list(workplace.folder.glob("runs/mood-eval-????????????"))) == 2


def test_a_model_from_the_command_line_takes_the_place_of_the_specs(workplace):
    done = workplace.run("eval", "--limit", "2", "--model", "embedded/icl")
    assert done.code == 0, done
    assert workplace.server.requests == 0


def test_a_judge_may_be_another_model(workplace):
    workplace.write_spec(
        models={
            "task": workplace.spec()["models"]["task"],
            "judge": {**workplace.spec()["models"]["task"], "model": "openai/strict"},
        },
        metrics=[{"llm_judge": {"rubric": "Is the label right?", "field": "label"}}],
    )
    workplace.run("eval", "--limit", "1")
    assert [body["model"] for body in workplace.server.seen][:2] == ["sentiment", "strict"]


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────


def keyed(workplace: Workplace, **model: object) -> None:
    task = {"model": "openai/sentiment", "api_base": workplace.server.url, **model}
    workplace.write_spec(models={"task": task})


def test_the_key_comes_from_an_env_file(workplace):
    keyed(workplace)
    workplace.write(".env", "# keys\nexport OPENAI_API_KEY='sk-from-file-0123456789'\n")
    assert workplace.run("eval", "--limit", "1", "--env-file", ".env").code == 0
    assert workplace.server.headers[-1]["Authorization"] == "Bearer sk-from-file-0123456789"


def test_the_environment_goes_before_an_env_file(workplace):
    keyed(workplace)
    workplace.write(".env", "OPENAI_API_KEY=sk-from-file-0123456789\n")
    workplace.run("eval", "--limit", "1", "--env-file", ".env", OPENAI_API_KEY="sk-from-shell-012345678")
    assert workplace.server.headers[-1]["Authorization"] == "Bearer sk-from-shell-012345678"


def test_a_key_appears_nowhere_in_the_run(workplace):
    keyed(workplace, api_key="${env:MY_KEY}")
    done = workplace.run("eval", "--limit", "2", "-o", "run", MY_KEY="sk-secret-0123456789abcdef")
    assert done.code == 0, done
    assert workplace.server.headers[-1]["Authorization"] == "Bearer sk-secret-0123456789abcdef"
    for path in (workplace.folder / "run").rglob("*"):
        assert path.is_dir() or b"sk-secret" not in path.read_bytes(), path


def test_a_key_command_counts_as_code(workplace):
    workplace.write("vault", "sk-from-command-0123456789\n")
    keyed(workplace, api_key_command=f"cd {workplace.folder}; touch ran; cat vault")
    refused = workplace.run("eval", "--limit", "1")
    assert refused.code == 2, refused
    assert "--allow-code" in refused.err
    assert not (workplace.folder / "ran").exists()
    assert workplace.run("eval", "--limit", "1", "--allow-code").code == 0
    assert workplace.server.headers[-1]["Authorization"] == "Bearer sk-from-command-0123456789"


def test_an_env_file_cannot_allow_code(workplace):
    keyed(workplace, api_key_command=f"touch {workplace.folder}/ran")
    workplace.write(".env", f"PROMPTC_ALLOW_CODE=1\nXDG_CONFIG_HOME={workplace.folder}\n")
    trusted = workplace.write("promptc/trusted", f"{workplace.folder}\n")
    trusted.parent.chmod(0o700)
    done = workplace.run("eval", "--limit", "1", "--env-file", ".env")
    assert done.code == 2, done
    assert "--allow-code" in done.err
    assert not (workplace.folder / "ran").exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [("401", "Incorrect API key"), ("404", "does not exist"), ("429-quota", "quota")],
)
def test_what_no_request_can_mend_ends_the_run_at_once(shared_folder, fault, said):
    with open_workplace(shared_folder("fatal"), Sentiment(), faults={fault: 1.0}) as place:
        done = place.run("eval", "-j", "4", "-o", "run", "-q")
        assert done.code == 6, done
        assert said in done.err
        assert "hint:" in done.err
        assert len([line for line in done.err.splitlines() if line.startswith("error")]) == 1
        assert place.server.requests <= 4
        assert not (place.folder / "run" / "manifest.json").exists()


def test_a_refused_connection_says_what_to_do(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec()
    done = place.run("eval", "-o", "run")
    assert done.code == 6, done
    assert "refused" in done.err.lower()
    assert "api_base" in done.err


def test_a_key_that_is_not_set_is_one_line_that_names_it(workplace):
    keyed(workplace, api_key="${env:MY_KEY}")
    done = workplace.run("eval", "-q", "-j", "8")
    assert done.code == 6, done
    assert done.err.count("api_key needs the environment variable MY_KEY, which is not set") == 1
    assert "hint: set MY_KEY" in done.err
    assert workplace.server.requests == 0


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────


class Grumpy(Sentiment):
    """Never answers `neutral` in a way that can be read, however often it is asked."""

    def __call__(self, body):
        first = next(m["content"] for m in body["messages"] if m["role"] == "user")
        return "No." if "plain" in first else super().__call__(body)


def test_replies_that_cannot_be_read_count_as_zero(shared_folder):
    with open_workplace(shared_folder("grumpy"), Grumpy()) as place:
        done = place.run("eval", "--split", "all", "-o", "run")
        assert done.code == 0, done
        figures = place.summary("run")["all"]
        assert figures["failures"] == {"parse": 20}
        assert (figures["n"], figures.get("unscored", 0)) == (60, 0)
        rows = [json.loads(line) for line in (place.folder / "run" / "rows.jsonl").read_text().splitlines()]
        assert {row["score"] for row in rows if row["expected"] == {"label": "neutral"}} == {0.0}


@pytest.fixture
def flaky(tmp_path):
    """A workplace whose server fails for ever for two of the rows, until `mended` is set."""

    def plan(number, body):
        ill = any(text in body["messages"][-1]["content"] for text in ("day 7\n", "day 8\n"))
        return "503" if ill and not getattr(plan, "mended", False) else None

    with open_workplace(tmp_path, Sentiment(clumsy=0), plan=plan) as place:
        place.write_spec(run={"cache": False, "retries": 0})
        place.plan = plan
        yield place


def test_too_many_rows_without_a_score_make_a_figure_untrusted(flaky):
    done = flaky.run("eval", "--split", "all", "-o", "run")
    assert done.code == 6, done
    assert "2 of 60 rows have no score" in done.err
    figures = flaky.summary("run")["all"]
    assert (figures["failures"], figures["unscored"], figures["n"]) == ({"provider": 2}, 2, 58)
    few = flaky.run("eval", "--split", "all", "-o", "few", "--set", "run.max_unscored=0.05")
    assert few.code == 0, few


def test_retry_failed_asks_the_failures_again_and_nothing_else(flaky):
    first = flaky.run("eval", "--split", "all", "-o", "run")
    asked = flaky.server.requests
    flaky.plan.mended = True
    again = flaky.run("eval", "--split", "all", "-o", "run")
    assert (first.code, again.code, flaky.server.requests) == (6, 6, asked)
    retried = flaky.run("eval", "--split", "all", "-o", "run", "--retry-failed")
    assert retried.code == 0, retried
    assert flaky.server.requests == asked + 2
    assert flaky.summary("run")["all"]["n"] == 60


# ── cache and offline ─────────────────────────────────────────────────────────────────────────────────────

CACHED = ("--set", "run.cache=true")


def test_offline_without_any_reply_lists_what_is_missing(workplace):
    done = workplace.run("eval", *CACHED, "--offline", "--limit", "3", "-o", "run")
    assert done.code == 6, done
    assert "3 replies are not recorded" in done.err
    assert done.err.count("openai/sentiment: [[ ## text ## ]]") == 3
    assert "--offline" in done.err
    assert workplace.server.requests == 0
    assert not (workplace.folder / "run" / "manifest.json").exists()


def test_an_offline_run_goes_on_online(workplace):
    workplace.run("eval", *CACHED, "--limit", "4", "-o", "first")
    offline = workplace.run("eval", *CACHED, "--split", "dev", "--offline", "-o", "run")
    before = workplace.server.requests
    online = workplace.run("eval", *CACHED, "--split", "dev", "-o", "run")
    assert (offline.code, online.code) == (6, 0), (offline, online)
    assert workplace.server.requests > before
    assert workplace.summary("run")["dev"]["n"] == 18


def test_offline_with_every_reply_cached_needs_no_server(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        first = place.run("eval", *CACHED, "-o", "first")
        requests = place.server.requests
    offline = place.run("eval", *CACHED, "--offline", "-o", "second")
    assert (first.code, offline.code) == (0, 0), offline
    assert place.result("first") == place.result("second")
    assert place.server.requests == requests


def test_offline_optimize_lists_the_first_phase_that_is_not_recorded(workplace):
    workplace.run("eval", *CACHED, "-o", "first")
    before = workplace.server.requests
    done = workplace.run("optimize", *CACHED, "--optimizer", "labeled_few_shot", "--offline", "-o", "run")
    assert done.code == 6, done
    assert "18 replies are not recorded" in done.err
    assert "and 8 more" in done.err
    assert workplace.server.requests == before
    assert workplace.run("optimize", *CACHED, "--optimizer", "labeled_few_shot", "-o", "run").code == 0


@pytest.mark.parametrize(
    ("flags", "asked_again"),
    [((), False), (("--fresh",), True), (("--max-age", "0s"), True), (("--max-age", "1d"), False)],
)
def test_the_cache_is_read_unless_it_is_not_wanted(workplace, flags, asked_again):
    workplace.run("eval", *CACHED, "-o", "first")
    before = workplace.server.requests
    assert workplace.run("eval", *CACHED, "-o", "second", *flags).code == 0
    assert (workplace.server.requests > before) == asked_again
    assert workplace.result("first") == workplace.result("second")


def test_fresh_starts_a_finished_run_anew(workplace):
    workplace.run("eval", "-o", "run")
    before = workplace.server.requests
    assert workplace.run("eval", "-o", "run", "--fresh").code == 0
    assert workplace.server.requests == 2 * before
    assert not list(workplace.folder.glob(".run.*"))


# ── code ──────────────────────────────────────────────────────────────────────────────────────────────────

METRIC = """
from pathlib import Path

Path(__file__).with_name("ran").touch()


def score(row, prediction, trace):
    return {"score": float(prediction["label"] == row["label"]), "feedback": "by hand"}
"""


@pytest.fixture
def hooked(workplace):
    """A workplace whose metric is a function of the user's."""
    workplace.write("score.py", METRIC)
    workplace.write_spec(metrics=[{"python": {"function": "score.py:score"}}])
    return workplace


def test_code_does_not_run_unasked(hooked):
    done = hooked.run("eval")
    assert done.code == 2, done
    assert "score.py:score" in done.err
    assert "--allow-code" in done.err
    assert not (hooked.folder / "ran").exists()
    assert hooked.server.requests == 0
    assert not (hooked.folder / "runs").exists()


def test_allowed_code_scores_the_rows(hooked):
    done = hooked.run("eval", "-o", "run", "--allow-code")
    assert done.code == 0, done
    hooked.write_spec()
    hooked.run("eval", "-o", "plain")
    assert hooked.summary("run")["dev"]["score"] == hooked.summary("plain")["dev"]["score"]
    assert "by hand" in (hooked.folder / "run" / "rows.jsonl").read_text()


def test_changed_code_is_another_run(hooked):
    hooked.run("eval", "-q", "--allow-code", "--limit", "2")
    hooked.write("score.py", METRIC.replace("by hand", "by heart"))
    hooked.run("eval", "-q", "--allow-code", "--limit", "2")
    assert len(list(hooked.folder.glob("runs/mood-eval-????????????"))) == 2


def test_a_replay_takes_the_results_of_code_from_the_journal(hooked):
    hooked.run("eval", "-q", "--allow-code", "-o", "run")
    before = hooked.result("run")
    (hooked.folder / "run" / "manifest.json").unlink()
    (hooked.folder / "ran").unlink()
    assert hooked.run("eval", "-q", "--allow-code", "-o", "run").code == 0
    assert hooked.result("run") == before
    assert not (hooked.folder / "ran").exists()


def test_a_metric_hook_that_fails_leaves_rows_unscored(hooked):
    hooked.write("score.py", "def score(row, prediction, trace):\n    return 1 / 0\n")
    done = hooked.run("eval", "--allow-code", "-o", "run", "--limit", "4")
    assert done.code == 6, done
    assert hooked.summary("run")["dev"]["failures"] == {"hook": 4}


# ── data ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_bad_content_is_named_with_its_line(workplace):
    rows = [json.dumps(row) for row in sentiment_rows(40)]
    rows[6] = '{"id": "r006", "text": '
    workplace.write("rows.jsonl", "\n".join(rows))
    done = workplace.run("eval")
    assert done.code == 4, done
    assert "rows.jsonl:7:" in done.err


def test_an_empty_file_selects_nothing(workplace):
    workplace.write("rows.jsonl", "")
    assert workplace.run("eval").code == 5


def test_small_data_says_that_nothing_was_held_out(workplace):
    workplace.write("rows.jsonl", sentiment_rows(12))
    done = workplace.run("eval", "-o", "run", "--json")
    assert done.code == 0, done
    assert "no held-out figure" in " ".join(done.document["notes"])
    assert workplace.run("eval", "--split", "test").code == 5
