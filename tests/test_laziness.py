"""What commands must not do: load what they do not need, open a socket, write a file, run the user's code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from workplace import Sentiment, Workplace, open_workplace

HEAVY = (
    "litellm",
    "optuna",
    "polars",
    "aiohttp",
    "scipy",
    "rapidfuzz",
    "sacrebleu",
    "rouge_score",
    "json_repair",
)

WATCHED = """
import json, sys

seen = []
here = sys.argv[1]


def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        seen.append([event, repr(arguments[1:])])
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        seen.append([event, repr(arguments)])
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode = str(arguments[0]), arguments[1]
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        if writes and "__pycache__" not in path and path != "/dev/null":
            seen.append([event, f"{path} {mode}"])
    elif event == "exec" and here in getattr(arguments[0], "co_filename", ""):
        seen.append([event, arguments[0].co_filename])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink"):
        if "__pycache__" not in str(arguments[0]) and ".pyc" not in str(arguments[0]):
            seen.append([event, repr(arguments)])


sys.addaudithook(watch)
from promptc.cli.main import exit_code_of

code = exit_code_of(sys.argv[2:])
heavy = [name for name in sys.modules if "." not in name]
print(json.dumps({"code": code, "seen": seen, "modules": heavy}), file=sys.stderr)
"""


class Watched:
    """What a command did besides its answer."""

    def __init__(self, place: Workplace, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, str(place.folder), *arguments],
            cwd=place.folder,
            env=place.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        told = json.loads(done.stderr.splitlines()[-1])
        self.code: int = told["code"]
        self.did: list[list[str]] = told["seen"]
        self.modules: set[str] = set(told["modules"])
        self.out = done.stdout


@pytest.fixture(scope="module")
def place(shared_folder):
    """A spec with everything that could tempt a command: hooks, a key command, a model at an address."""
    with open_workplace(shared_folder("lazy"), Sentiment()) as opened:
        opened.write(
            "hooks.py", "open('ran', 'w').close()\n\n\ndef score(row, prediction, trace):\n    return 1.0\n"
        )
        opened.write_spec(
            model={"api_key": None, "api_key_command": "touch ran"},
            metrics=["exact_match", {"python": {"function": "hooks.py:score"}}],
            optimizer="bootstrap_random_search",
        )
        spec = json.loads((opened.folder / "spec.yaml").read_text())
        del spec["models"]["task"]["api_key"]
        opened.write("spec.yaml", spec)
        yield opened


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["eval", "--help"], ["optimize", "--help"]])
def test_help_and_version_load_next_to_nothing(place, arguments):
    watched = Watched(place, *arguments)
    assert (watched.code, watched.did) == (0, [])
    assert watched.modules & {*HEAVY, "rich", "jsonschema", "yaml", "jinja2", "cel", "asyncio"} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate"],
        ["validate", "--no-data"],
        ["validate", "--json"],
        ["plan"],
        ["plan", "--json"],
        ["render"],
        ["render", "--row", "r001"],
        ["schema"],
    ],
)
def test_looking_at_a_spec_runs_nothing_opens_nothing_and_writes_nothing(place, arguments):
    watched = Watched(place, *arguments)
    assert watched.code == 0, watched.out
    assert watched.out
    assert watched.did == []
    assert watched.modules & {*HEAVY, *(("rich",) if arguments[0] == "schema" else ())} == set()
    assert not (place.folder / "ran").exists()
    assert place.server.requests == 0


def test_the_watch_sees_what_it_watches_for(place):
    """The same watch over a command that calls and writes: it is not blind."""
    place.write("plain.yaml", place.spec())
    watched = Watched(place, "eval", "plain.yaml", "--limit", "1", "-o", "run")
    assert watched.code == 0, watched.out
    assert {"socket.connect", "open", "os.mkdir"} <= {event for event, _ in watched.did}
    assert "aiohttp" in watched.modules


def test_an_eval_over_http_loads_neither_litellm_nor_polars(place):
    place.write("plain.yaml", place.spec())
    watched = Watched(place, "eval", "plain.yaml", "--limit", "1", "-o", "other")
    assert watched.code == 0, watched.out
    assert watched.modules & {"litellm", "polars", "openai", "rapidfuzz", "sacrebleu", "rouge_score"} == set()
