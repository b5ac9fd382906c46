"""`promptc run`: rows in, predictions out, in order and as they come."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from workplace import Sentiment, Workplace, open_workplace, sentiment_rows, wait_until

NEW = [{"id": f"n{index}", "text": f"lovely {index}"} for index in range(30)]


@pytest.fixture(scope="module")
def place(shared_folder):
    """A workplace with a compiled program in `compiled-run`, and thirty new rows in `new.jsonl`."""
    with open_workplace(shared_folder("predict"), Sentiment(clumsy=0), jitter=0.02) as opened:
        opened.write_spec(optimizer={"labeled_few_shot": {"k": 4}})
        assert opened.run("optimize", "-o", "compiled-run").code == 0
        opened.write("new.jsonl", NEW)
        yield opened


def ids(lines: list[dict]) -> list[str]:
    return [line["id"] for line in lines]


def test_predictions_come_in_the_order_of_the_rows(place: Workplace):
    done = place.run("run", "spec.yaml", "new.jsonl", "-j", "16")
    assert done.code == 0, done
    assert ids(done.lines) == [row["id"] for row in NEW]
    assert all(line["outputs"]["label"] in ("positive", "negative", "neutral") for line in done.lines)


def test_workers_change_nothing(place: Workplace):
    outs = {
        jobs: place.run("run", "spec.yaml", "new.jsonl", "-j", jobs, "-q").out for jobs in ("1", "7", "64")
    }
    assert len(set(outs.values())) == 1


@pytest.mark.parametrize("target", ["compiled-run", "compiled-run/compiled/program.json"])
def test_a_compiled_program_is_run_with_its_demonstrations(place: Workplace, target):
    program = json.loads((place.folder / "compiled-run/compiled/program.json").read_text())
    place.server.reset()
    done = place.run("run", target, "new.jsonl", "--limit", "2")
    assert (done.code, ids(done.lines)) == (0, ["n0", "n1"])
    demos = program["candidate"]["predictors"]["main"].get("demos", [])
    assert len(place.server.seen[0]["messages"]) == 2 + 2 * len(demos)


def test_a_program_runs_where_its_data_is_gone(place: Workplace, tmp_path):
    """An artifact is self-contained: what it predicts with is in the file."""
    alone = Workplace(tmp_path, None)
    alone.write("program.json", (place.folder / "compiled-run/compiled/program.json").read_bytes())
    alone.write("new.jsonl", NEW)
    done = alone.run("run", "program.json", "new.jsonl")
    assert done.code == 0, done
    assert done.out == place.run("run", "compiled-run", "new.jsonl").out


def test_rows_come_from_standard_input(place: Workplace):
    done = place.process("run", "spec.yaml", "-q", stdin="".join(json.dumps(row) + "\n" for row in NEW[:5]))
    assert (done.code, ids(done.lines), done.err) == (0, ["n0", "n1", "n2", "n3", "n4"], "")


def test_a_row_is_answered_before_the_next_one_is_sent(place: Workplace):
    running = place.start("run", "compiled-run", "-")
    for index, row in enumerate(NEW[:3]):
        running.tell(json.dumps(row))
        assert wait_until(lambda index=index: len(running.out.lines) == index + 1), running.end()
        assert json.loads(running.out.lines[index])["id"] == row["id"]
    done = running.end()
    assert (done.code, len(done.lines)) == (0, 3)


def test_a_budget_holds_no_row_back_and_ends_the_stream(place: Workplace):
    running = place.start("run", "spec.yaml", "-", "--set", "budget.calls=3")
    for index, row in enumerate(NEW[:3]):
        running.tell(json.dumps(row))
        assert wait_until(lambda index=index: len(running.out.lines) == index + 1), running.end()
    running.tell(json.dumps(NEW[3]))
    assert wait_until(lambda: running.process.poll() is not None), running.end()
    done = running.end()
    assert done.code == 7, done
    assert [line.get("failure", {}).get("kind") for line in done.lines] == [None, None, None, "budget"]
    assert "--set budget.calls" in done.err


def test_thousands_of_rows_stream_through(shared_folder):
    with open_workplace(shared_folder("stream"), Sentiment(clumsy=0), keep=1) as opened:
        opened.write("many.jsonl", ({"text": f"plain {index}"} for index in range(2000)))
        done = opened.run("run", "spec.yaml", "many.jsonl", "-q")
        assert (done.code, len(done.lines)) == (0, 2000)
        assert len({line["id"] for line in done.lines}) == 2000


def test_equal_rows_are_answered_each(place: Workplace):
    done = place.process("run", "spec.yaml", "-q", stdin='{"text": "lovely"}\n{"text": "lovely"}\n')
    assert (done.code, len(done.lines)) == (0, 2)
    assert done.lines[0]["outputs"] == done.lines[1]["outputs"]


def test_rows_need_no_gold_and_keep_their_ids(place: Workplace):
    done = place.process(
        "run", "spec.yaml", "-q", "--set", "data.id=key", stdin='{"key": "k-1", "text": "plain"}\n'
    )
    assert [line["id"] for line in done.lines] == ["k-1"]


def test_a_row_that_fails_is_a_line(shared_folder):
    def plan(number, body):
        return "503" if "plain" in body["messages"][-1]["content"] else None

    with open_workplace(shared_folder("failing"), Sentiment(clumsy=0), plan=plan) as opened:
        opened.write_spec(run={"retries": 0, "cache": False, "format_retries": 0})
        opened.write("new.jsonl", sentiment_rows(6))
        done = opened.run("run", "spec.yaml", "new.jsonl", "-q")
        assert done.code == 6, done
        assert ids(done.lines) == [row["id"] for row in sentiment_rows(6)]
        assert [line.get("failure", {}).get("kind") for line in done.lines] == [None, "provider", None] * 2
        assert "2 of 6 rows failed" in done.err
        assert opened.run("run", "spec.yaml", "new.jsonl", "-q", "--set", "run.max_unscored=0.4").code == 0


def test_a_row_without_an_input_fails_alone(place: Workplace):
    done = place.process("run", "spec.yaml", "-q", stdin='{"text": "plain"}\n{"other": 1}\n')
    assert [line.get("failure", {}).get("kind") for line in done.lines] == [None, "data"]
    assert "`text`" in done.lines[1]["failure"]["message"]


def test_a_row_that_cannot_be_read_is_a_line_that_cannot_be_parsed_and_those_before_are_out(place: Workplace):
    done = place.process("run", "spec.yaml", "-q", stdin='{"text": "plain"}\n{"text": \n')
    assert done.code == 4, done
    assert len(done.lines) == 1
    assert "2: not valid JSON" in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["run", "spec.yaml", "-"], "", 5),
        (["run", "spec.yaml", "gone.jsonl"], "", 2),
        (["run", "gone.yaml", "-"], "", 2),
        (["run", "compiled-run", "-", "--offline"], '{"text": "unheard of"}\n', 6),
    ],
)
def test_exit_codes(place: Workplace, arguments, stdin, code):
    done = place.process(*arguments, stdin=stdin)
    assert done.code == code, done
    assert done.err.count("error:") == 1
    assert "Traceback" not in done.err


def test_the_cache_remembers_predictions(place: Workplace):
    cached = ("--set", "run.cache=true", "-q")
    place.run("run", "spec.yaml", "new.jsonl", *cached)
    before = place.server.requests
    offline = place.run("run", "spec.yaml", "new.jsonl", *cached, "--offline")
    assert (offline.code, place.server.requests) == (0, before)
    place.run("run", "spec.yaml", "new.jsonl", *cached, "--fresh", "--limit", "3")
    assert place.server.requests == before + 3


def test_code_of_metrics_does_not_run_and_needs_no_trust(place: Workplace):
    place.write(
        "score.py", "open('ran', 'w').close()\n\n\ndef score(row, prediction, trace):\n    return 1\n"
    )
    place.write("hooked.yaml", place.spec(metrics=[{"python": {"function": "score.py:score"}}]))
    assert place.run("run", "hooked.yaml", "new.jsonl", "--limit", "1").code == 0
    assert not (place.folder / "ran").exists()


def test_a_reader_that_has_seen_enough_ends_it_quietly(place: Workplace):
    """As in `promptc run … | head -1`: the lines are read until there are enough of them."""
    command = f"{sys.executable} -m promptc.cli.main run spec.yaml new.jsonl -j 1 | head -1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["id"] == "n0"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("number", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {143, -signal.SIGTERM})]
)
def test_a_signal_ends_the_stream_with_what_was_answered(place: Workplace, number, codes):
    running = place.start("run", "spec.yaml", "-")
    running.tell(json.dumps(NEW[0]))
    assert wait_until(lambda: len(running.out.lines) == 1)
    running.signal(number)
    assert wait_until(lambda: running.process.poll() is not None, seconds=10)
    done = running.end()
    assert done.code in codes, done
    assert ids(done.lines) == ["n0"]
    assert "Traceback" not in done.err
