"""Kill it, stop it, start it again: the same command ends with the same bytes, and pays nothing twice."""

from __future__ import annotations

import random
import shlex
import signal
import sqlite3
from collections.abc import Callable

import pytest
from workplace import OPTIMIZERS, Running, Sentiment, Workplace, open_workplace, wait_until

JOBS = 8
COMMANDS = {
    "eval": ["eval", "--split", "all"],
    "eval with too small a budget": ["eval", "--split", "all", "--set", "budget.calls=50"],
    **{name: ["optimize", "--optimizer", name] for name in OPTIMIZERS},
}


class Trap:
    """A server's plan that acts when a certain request arrives; the request itself is answered."""

    def __init__(self) -> None:
        self.at = 0
        self.act: Callable[[], None] = lambda: None
        self.stalled = False

    def set(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act = at, act

    def __call__(self, number: int, body: dict) -> str | None:
        if number == self.at:
            self.act()
        return "stall" if self.stalled and number >= self.at else None


class Undisturbed:
    """A workplace with a command, and what it came to when nothing disturbed it."""

    def __init__(self, place: Workplace, trap: Trap, command: list[str]) -> None:
        self.place, self.trap, self.command = place, trap, command
        self.done = place.run(*command, "-o", "undisturbed")
        assert self.done.code == (7 if "budget.calls=50" in command else 0), self.done
        self.result = place.result("undisturbed")
        self.requests = place.server.requests

    @property
    def in_flight(self) -> int:
        """Replies that a kill may lose. A short budget admits calls in waves, so that more than JOBS rows have one."""
        return 3 * JOBS if self.done.code == 7 else JOBS

    def start(self, out: str, *more: str) -> Running:
        """The command in a process of its own, with counts set to 0."""
        return self.place.start(*self.command, "-o", out, "-j", str(JOBS), *more)

    def finish(self, out: str, *more: str) -> None:
        """Run the command to its end, and compare."""
        done = self.place.run(*self.command, "-o", out, "-j", "5", *more)
        assert done.code == self.done.code, done
        assert self.place.result(out) == self.result


def spec_of(name: str) -> dict:
    return {"optimizer": {name: OPTIMIZERS[name]}} if name in OPTIMIZERS else {}


@pytest.fixture(scope="module", params=COMMANDS)
def undisturbed(request, shared_folder):
    trap = Trap()
    with open_workplace(
        shared_folder("resume"), Sentiment(), plan=trap, latency=0.003, jitter=0.003
    ) as place:
        place.write_spec(**spec_of(request.param))
        command = [*COMMANDS[request.param]]
        yield Undisturbed(place, trap, command[:1] if request.param in OPTIMIZERS else command)


@pytest.fixture(scope="module")
def evaluation(shared_folder):
    trap = Trap()
    with open_workplace(shared_folder("stop"), Sentiment(), plan=trap, latency=0.02) as place:
        yield Undisturbed(place, trap, COMMANDS["eval"])


@pytest.mark.parametrize("seed", [1])
def test_a_killed_run_ends_like_an_undisturbed_one(undisturbed, seed):
    draw = random.Random(f"{undisturbed.command}{seed}")
    out, server = f"killed{seed}", undisturbed.place.server
    server.reset()
    for _ in range(2):
        left = undisturbed.requests - server.stats["distinct"]
        running = undisturbed.start(out)
        undisturbed.trap.set(
            server.requests + draw.randint(1, max(1, left)),
            lambda running=running: running.signal(signal.SIGKILL),
        )
        assert running.end().code in (-signal.SIGKILL, 0)
    undisturbed.finish(out)
    assert server.stats["distinct"] == undisturbed.requests
    assert server.repaid <= 2 * undisturbed.in_flight


MOMENTS = [".promptc.json", "calls.sqlite", "rows.jsonl", "summary.json"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_while_it_writes_ends_like_an_undisturbed_one(evaluation, moment):
    out, server = f"at-{moment.strip('.')}", evaluation.place.server
    server.reset()
    running = evaluation.start(out)
    file = evaluation.place.folder / out / moment
    wait_until(lambda: file.exists() or running.process.poll() is not None)
    running.signal(signal.SIGKILL)
    assert running.end().code in (-signal.SIGKILL, 0)
    evaluation.finish(out)
    assert server.repaid <= JOBS


def test_torn_lines_are_written_anew(evaluation):
    out = "torn"
    evaluation.place.server.reset()
    running = evaluation.start(out)
    evaluation.trap.set(20, lambda: running.signal(signal.SIGKILL))
    running.end()
    with open(evaluation.place.folder / out / "rows.jsonl", "ab") as file:
        file.write(b'{"id": "r0')
    evaluation.finish(out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_calls_end_and_names_the_command_that_resumes(evaluation, number, code):
    out, server = f"signal{code}", evaluation.place.server
    server.reset()
    running = evaluation.start(out)
    evaluation.trap.set(25, lambda: running.signal(number))
    done = running.end()
    assert done.code == code, done
    assert server.stats["distinct"] < evaluation.requests
    command = ["promptc", *evaluation.command, "-o", out, "-j", str(JOBS)]
    assert f"the same command goes on from here: {shlex.join(command)}" in " ".join(done.err.split())
    evaluation.finish(out)
    assert (server.stats["distinct"], server.repaid) == (evaluation.requests, 0)


def test_an_interrupted_search_goes_on(shared_folder):
    trap = Trap()
    with open_workplace(shared_folder("search"), Sentiment(), plan=trap, latency=0.005) as place:
        place.write_spec(**spec_of("bootstrap_random_search"))
        whole = Undisturbed(place, trap, ["optimize"])
        place.server.reset()
        for share in (0.3, 0.8):
            running = whole.start("run", "--json")
            trap.set(int(share * whole.requests), lambda running=running: running.signal(signal.SIGINT))
            done = running.end()
            assert done.code == 130, done
            assert done.document["exit_code"] == 130
        whole.finish("run")
        assert (place.server.requests, place.server.repaid) == (whole.requests, 0)


def test_a_second_signal_ends_at_once(evaluation):
    out, server, trap = "twice", evaluation.place.server, evaluation.trap
    server.reset()
    trap.stalled = True
    running = evaluation.start(out)
    try:
        trap.set(25, lambda: running.signal(signal.SIGINT))
        assert wait_until(lambda: server.requests >= 25 and "once more" in str(running.err))
        running.signal(signal.SIGINT)
        done = running.end(timeout=5)
    finally:
        trap.stalled = False
        running.signal(signal.SIGKILL)
    assert done.code == 130, done
    assert "the same command goes on from here" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    evaluation.finish(out)
    assert server.repaid == 0


def test_a_killed_fresh_run_goes_on_and_is_not_begun_anew(evaluation):
    """`--fresh` starts a finished run anew; the same command again goes on with what it began."""
    out, server = "fresh", evaluation.place.server
    evaluation.finish(out)
    server.reset()
    running = evaluation.start(out, "--fresh")
    evaluation.trap.set(30, lambda: running.signal(signal.SIGKILL))
    running.end()
    evaluation.finish(out, "--fresh")
    assert server.repaid <= JOBS
    evaluation.finish(out, "--fresh")
    assert server.repaid >= evaluation.requests


def test_a_replay_that_misses_a_reply_stops_and_pays_nothing(evaluation):
    out, server = "diverged", evaluation.place.server
    evaluation.finish(out)
    run = evaluation.place.folder / out
    (run / "manifest.json").unlink()
    with sqlite3.connect(run / "calls.sqlite") as journal:
        journal.execute("DELETE FROM effects WHERE key = (SELECT min(key) FROM effects)")
    journal.close()
    server.reset()
    done = evaluation.place.run(*evaluation.command, "-o", out)
    assert done.code == 4, done
    assert "cannot be replayed" in done.err
    assert server.requests == 0
    (run / "calls.sqlite").unlink()
    evaluation.finish(out)


DAMAGE = {
    "not a database": lambda path: path.write_bytes(b"nonsense " * 500),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros in the middle": lambda path: _overwrite(path, b"\0" * 4096),
    "a reply that is no JSON": lambda path: _spoil_a_reply(path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_journal_is_named_before_anything_is_paid(evaluation, damage):
    out, server = f"damaged-{damage.replace(' ', '-')}", evaluation.place.server
    evaluation.finish(out)
    run = evaluation.place.folder / out
    (run / "manifest.json").unlink()
    DAMAGE[damage](run / "calls.sqlite")
    server.reset()
    done = evaluation.place.run(*evaluation.command, "-o", out)
    assert done.code == 4, done
    assert "calls.sqlite: the journal is damaged" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert server.requests == 0


def _overwrite(path, content):
    with open(path, "r+b") as file:
        file.seek(8192)
        file.write(content)


def _spoil_a_reply(path):
    with sqlite3.connect(path) as journal:
        journal.execute("UPDATE effects SET payload = x'7b22' WHERE key = (SELECT max(key) FROM effects)")
    journal.close()
