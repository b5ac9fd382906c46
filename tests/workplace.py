"""A folder to work in with the command line: a spec, rows, a cache of its own, and a model behind real HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from loopback import Body, Loopback, serving

from promptc.cli.main import exit_code_of

SAME_ON_REPLAY = ("rows.jsonl", "trials.jsonl", "candidates.jsonl", "summary.json")
"""What a run directory holds that must not depend on workers, kills or the clock; and all of compiled/."""

LABELS = ("negative", "neutral", "positive")
WORDS = {"negative": "dreadful", "neutral": "plain", "positive": "lovely"}
MARKER = "[[ ## {} ## ]]"

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "labeled_few_shot": {"k": 6},
    "bootstrap_few_shot": {"max_labeled_demos": 4},
    "bootstrap_random_search": {"candidates": 4, "max_labeled_demos": 6},
    "copro": {"breadth": 3, "depth": 2},
    "gepa": {"max_runs": 110, "wave": 2},
    "infer_rules": {"num_candidates": 3, "max_labeled_demos": 4},
    "mipro": {"num_candidates": 3, "num_trials": 6, "minibatch": 9, "max_labeled_demos": 4},
    "simba": {"minibatch": 6, "num_candidates": 3, "max_steps": 2},
    "knn": {},
    "auto": {"max_runs": 150, "max_demos": 6},
}
"""A small search by each optimizer of the registry."""


class Sentiment:
    """A model behind the loopback server whose replies are a function of the request alone.

    It knows the label that a text's word stands for, but is often wrong: the share of texts that it gets right grows
    with demonstrations whose labels it agrees with, and with the instruction where that says what the word stands for.
    Some first replies cannot be parsed; asked again, it is tidy. As a proposer it adds what a word or two stand for to
    the instruction in use. `asked` keeps what it was asked as that.
    """

    def __init__(self, *, clumsy: float = 0.1, skill: float = 0.4, gain: float = 0.02) -> None:
        self.clumsy, self.skill, self.gain = clumsy, skill, gain
        self.asked: list[str] = []

    def __call__(self, body: Body) -> str:
        messages = body["messages"]
        wanted = re.findall(
            r"^1\. `(\w+)`", messages[0]["content"].split("The output fields are:")[-1], re.MULTILINE
        )
        if wanted and wanted != ["label"]:
            return self._advised(wanted[0], body)
        asked_again = "cannot be used" in messages[-1]["content"]
        place = -3 if asked_again else -1
        text = _section(messages[place]["content"], "text")
        demos = [m["content"] for m in messages[1:place] if m["role"] == "user"]
        if not asked_again and _draw("clumsy", text, str(len(demos)), str(body.get("seed"))) < self.clumsy:
            return "That is hard to say."
        right = next((label for label, word in WORDS.items() if word in text), LABELS[0])
        told = f"{WORDS[right]} is {right}" in messages[0]["content"]
        skill = self.skill + self.gain * len(demos) + 0.3 * told
        if _draw("skill", text, *demos[:2], str(body.get("seed"))) < skill:
            return answer(label=right)
        return answer(label=LABELS[(LABELS.index(right) + 1) % 3])

    def _advised(self, wanted: str, body: Body) -> str:
        """What a proposer says: an instruction, or a word on whatever else it is asked."""
        request = body["messages"][-1]["content"]
        self.asked.append(request)
        if wanted != "instruction":
            return answer(**{wanted: "Days and what they were like."})
        current = _section(request, "current_instruction")
        label = LABELS[int(3 * _draw("proposal", request, str(body.get("seed"))))]
        return answer(instruction=f"{current} {WORDS[label]} is {label}.")


def answer(**fields: str) -> str:
    """A reply in the chat format."""
    parts = [f"{MARKER.format(name)}\n{value}" for name, value in fields.items()]
    return "\n\n".join([*parts, MARKER.format("completed")])


def _section(content: str, name: str) -> str:
    return content.split(MARKER.format(name) + "\n", 1)[1].split("\n\n", 1)[0]


def _draw(*parts: str) -> float:
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def sentiment_rows(count: int = 60) -> list[dict[str, Any]]:
    """Rows whose text names the label by its word."""
    rows = []
    for index in range(count):
        label = LABELS[index % 3]
        rows.append({"id": f"r{index:03d}", "text": f"{WORDS[label]} day {index}", "label": label})
    return rows


class Done:
    """What a command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """stdout as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Workplace:
    """A folder with `spec.yaml` and `rows.jsonl`; commands run in it, in this process or in one of their own."""

    def __init__(self, folder: Path, server: Loopback | None) -> None:
        self.folder = folder
        self._server = server
        self.environment = {**os.environ, "PROMPTC_CACHE_DIR": str(folder / "cache")}

    @property
    def server(self) -> Loopback:
        """The server that the spec's model is behind."""
        assert self._server is not None
        return self._server

    def spec(self, *, model: Mapping[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
        """The spec as a tree, with other or further top-level keys; None leaves a key out."""
        reached = {"model": "openai/sentiment", "api_base": self._server.url if self._server else ""}
        tree: dict[str, Any] = {
            "version": 1,
            "name": "mood",
            "models": {"task": {**reached, "api_key": "none", **(model or {})}},
            "data": {"path": "rows.jsonl"},
            "signature": "text -> label: Literal['negative', 'neutral', 'positive']",
            "instructions": "Say what mood the text is in.",
            "metrics": ["exact_match"],
            "run": {"cache": False},
        }
        tree.update(keys)
        return {key: value for key, value in tree.items() if value is not None}

    def write(
        self, name: str, content: str | bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Path:
        """Put a file into the folder: a text, a tree (as YAML's subset JSON), or rows (as JSONL)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            content = json.dumps(content, indent=1)
        elif not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def write_spec(self, **keys: Any) -> Path:
        """Write `spec.yaml`."""
        return self.write("spec.yaml", self.spec(**keys))

    def run(self, *arguments: str | Path, **environment: str) -> Done:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.update(self.environment | environment)
        try:
            with (
                contextlib.chdir(self.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = exit_code_of([str(argument) for argument in arguments])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Done(code, out.getvalue(), err.getvalue())

    def start(
        self, *arguments: str | Path, limits: Callable[[], None] | None = None, **environment: str
    ) -> Running:
        """Start a command in a process of its own."""
        return Running(
            subprocess.Popen(
                [sys.executable, "-m", "promptc.cli.main", *map(str, arguments)],
                cwd=self.folder,
                env=self.environment | environment | ({"PYTHONDONTWRITEBYTECODE": "1"} if limits else {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=limits,
            )
        )

    def process(
        self,
        *arguments: str | Path,
        stdin: str = "",
        limits: Callable[[], None] | None = None,
        **environment: str,
    ) -> Done:
        """Run a command in a process of its own, to its end."""
        return self.start(*arguments, limits=limits, **environment).end(stdin)

    def result(self, run: str | Path) -> dict[str, bytes]:
        """The files of a run directory that must be the same on every replay, by name."""
        return result_of(self.folder / run)

    def summary(self, run: str | Path) -> Any:
        """summary.json of a run directory."""
        return json.loads((self.folder / run / "summary.json").read_bytes())


class Running:
    """A command under way in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = _Heard(process.stdout)
        self.err = _Heard(process.stderr)

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, stdin: str = "", timeout: float = 60) -> Done:
        """Close its stdin and wait for its end."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(stdin)
            self.process.stdin.close()
        try:
            self.process.wait(timeout)
        finally:
            self.process.kill()
            self.process.wait()
        return Done(self.process.returncode, self.out.whole(), self.err.whole())

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


class _Heard:
    """What a process writes into a pipe, read as it comes."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self._stream = stream
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._listen, name="heard", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with self._stream:
            self.lines.extend(iter(self._stream.readline, ""))

    def __str__(self) -> str:
        return "".join(self.lines)

    def whole(self) -> str:
        """All of it, once the process has ended."""
        self._thread.join(timeout=10)
        return str(self)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Look again and again, for so long at most; what the last look said."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.001)
    return true()


def result_of(run: Path) -> dict[str, bytes]:
    """The files of a run directory that must be the same on every replay, by name."""
    files = [run / name for name in SAME_ON_REPLAY if (run / name).exists()]
    files += [path for path in sorted(run.glob("compiled/**/*")) if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@contextlib.contextmanager
def open_workplace(folder: Path, reply: Any = None, rows: int = 60, **server: Any) -> Iterator[Workplace]:
    """A workplace in this folder; with a `reply`, in front of a loopback server that gives it."""
    with contextlib.ExitStack() as stack:
        opened = None if reply is None else stack.enter_context(serving(reply, **server))
        place = Workplace(folder, opened)
        place.write("rows.jsonl", sentiment_rows(rows))
        place.write_spec()
        yield place
