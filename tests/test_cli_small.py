"""`promptc init`, `doctor`, `schema` and `cache`."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from loopback import FAULTS, error, serving
from workplace import Done, Workplace, answer, open_workplace

from promptc.cli.diagnosis import fits, without_password
from promptc.cli.document_schemas import schema_bytes
from promptc.cli.init_text import OPTIONAL
from promptc.cli.model_health import key_state
from promptc.cli.quantities import age_text, read_age, read_size, size_text
from promptc.cli.starter import starter_rows
from promptc.runners.models.cache import Cache
from promptc.runners.models.prices import PriceMap
from promptc.runners.models.request import Completion, Message, Request
from promptc.spec.load import committed_schema, load_file
from promptc.spec.model import Model, Spec

DOCUMENTS = ("spec", "summary", "program", "prediction")
KEY = "sk-canary-4f9a7c21d0"
TICKETS = [
    {
        "id": f"t{number}",
        "message": f"Ticket number {number}: {text}, and it has been like this since the early morning.",
        "queue": queue,
        "language": ("en", "de")[number % 2],
    }
    for number, (text, queue) in enumerate([("no light", "outage"), ("wrong sum", "billing")] * 20)
]


@pytest.fixture
def folder(tmp_path: Path) -> Workplace:
    """An empty folder with a cache of its own."""
    (tmp_path / "work").mkdir()
    place = Workplace(tmp_path / "work", None)
    place.environment["PROMPTC_CACHE_DIR"] = str(tmp_path / "cache")
    return place


def loaded(path: Path) -> Spec:
    """The spec in a file that has no findings at all."""
    spec, findings = load_file(path)
    assert not findings
    assert spec is not None
    return spec


AT_TERMINAL = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from promptc.cli.main import main; main()"
)
"""promptc in a session of its own, so that Ctrl-C reaches it."""


class Person:
    """Somebody at a real terminal, who waits for a question before answering."""

    def __init__(self, place: Workplace, *arguments: str) -> None:
        master, slave = pty.openpty()
        self._terminal = master
        self._process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *arguments],
            cwd=place.folder,
            env={**place.environment, "TERM": "xterm", "COLUMNS": "200"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def answer(self, question: str, text: str) -> None:
        """Type a line as soon as the question stands at the end of the screen."""
        self._wait_for(question)
        before = len(self.seen)
        os.write(self._terminal, text.encode())
        self._read_until(lambda: len(self.seen) > before, seconds=1)

    def leave(self, question: str, key: str) -> None:
        """Press a key at a question until the program ends; the first one may come before it reads."""
        self._wait_for(question)
        for _ in range(10):
            with contextlib.suppress(OSError):
                os.write(self._terminal, key.encode())
            self._read_until(lambda: self._process.poll() is not None, seconds=1)

    def end(self) -> int:
        """The exit code."""
        self._read_until(lambda: False)
        return self._process.wait(timeout=20)

    def _wait_for(self, question: str) -> None:
        self._read_until(lambda: question in self.seen.rpartition("\n")[2] and self.seen.endswith(": "))

    def _read_until(self, enough: Any, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not enough() and time.monotonic() < end:
            if not select.select([self._terminal], [], [], 0.2)[0]:
                continue
            try:
                chunk = os.read(self._terminal, 65536)
            except OSError:
                # Linux reports the end of the other side so.
                return
            self.seen += chunk.decode(errors="replace").replace("\r", "")


# --- help


@pytest.mark.parametrize(
    "command",
    [
        "init", "doctor", "schema", "cache",
        "cache stats", "cache explain", "cache prune", "cache clear", "cache export",
    ],
)  # fmt: skip
def test_help_leads_with_what_it_does_and_ends_in_examples(command: str, folder: Workplace) -> None:
    done = folder.run(*command.split(), "--help")
    assert done.code == 0
    assert f"Usage: promptc {command}" in done.out
    assert re.search(rf"Examples:\n +promptc {command.split()[0]}", done.out)


@pytest.mark.parametrize("command", ["schema summary", "doctor", "cache stats", "init"])
def test_nothing_heavy_is_loaded(command: str, folder: Workplace) -> None:
    heavy = ("litellm", "polars", "aiohttp", "scipy", "jinja2")
    code = (
        "import sys; from promptc.cli.main import exit_code_of; code = exit_code_of(sys.argv[1:]); "
        f"print('loaded', [m for m in {heavy} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        cwd=folder.folder, env=folder.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loaded []" in done.stderr


# --- schema


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_printed_schema_is_a_valid_schema(document: str, folder: Workplace) -> None:
    done = folder.run("schema", document)
    assert done.code == 0
    assert done.document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert done.document["title"] == f"promptc {document}"
    Draft202012Validator.check_schema(done.document)


def test_the_default_is_the_schema_that_specs_are_checked_against(folder: Workplace) -> None:
    assert folder.run("schema").document == committed_schema()


@pytest.mark.parametrize("document", ["summary", "program", "prediction"])
def test_every_field_is_explained(document: str) -> None:
    missing = list(unexplained(json.loads(schema_bytes(document)), document))
    assert not missing, "say what these mean in promptc.cli.document_schemas"


def unexplained(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        if not field.get("description"):
            yield f"{path}.{name}"
        yield from unexplained(field, f"{path}.{name}")
    for name, definition in schema.get("$defs", {}).items():
        yield from unexplained(definition, f"{path}#{name}")


def test_what_commands_write_is_valid(folder: Workplace) -> None:
    folder.run("init")
    folder.write(
        "rows.jsonl", [{"id": "a", "message": "The lift is stuck"}, {"id": "b", "text": "no message"}]
    )
    checks = {name: Draft202012Validator(json.loads(schema_bytes(name))) for name in DOCUMENTS}
    checks["summary"].validate(folder.run("eval", "--json").document)
    done = folder.run("optimize", "--optimizer", "labeled_few_shot", "-o", "out", "--json")
    checks["summary"].validate(done.document)
    checks["summary"].validate(folder.summary("out"))
    checks["program"].validate(json.loads((folder.folder / "out/compiled/program.json").read_bytes()))
    predictions = folder.run("run", "promptc.yaml", "rows.jsonl").lines
    assert ["outputs" in line for line in predictions] == [True, False]
    for line in predictions:
        checks["prediction"].validate(line)


def test_a_terminal_without_unicode_gets_the_same_schema(folder: Workplace) -> None:
    done = folder.process("schema", "summary", PYTHONIOENCODING="ascii")
    assert (done.code, done.document) == (0, json.loads(schema_bytes("summary")))


def test_an_unknown_document_is_wrong_usage(folder: Workplace) -> None:
    done = folder.run("schema", "sumary")
    assert done.code == 2
    assert "sumary" in done.err


# --- init


def test_the_example_works_at_once(folder: Workplace) -> None:
    done = folder.run("init")
    assert done.code == 0
    assert done.out == ""
    assert sorted(path.name for path in folder.folder.iterdir()) == [
        "data.jsonl", "promptc.schema.json", "promptc.yaml",
    ]  # fmt: skip
    checked = folder.run("validate", "--json")
    assert (checked.code, checked.document["diagnostics"]) == (0, [])
    scored = folder.run("eval", "--json")
    assert scored.code == 0
    assert scored.document["dev"]["n"] > 0
    for command in ("promptc validate", "promptc eval", "promptc optimize"):
        assert command in done.err


def test_the_editor_finds_the_schema(folder: Workplace) -> None:
    folder.run("init")
    first = (folder.folder / "promptc.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./promptc.schema.json"
    assert json.loads((folder.folder / "promptc.schema.json").read_bytes()) == committed_schema()


def test_no_schema_leaves_the_file_out(folder: Workplace) -> None:
    assert folder.run("init", "--no-schema").code == 0
    assert not (folder.folder / "promptc.schema.json").exists()


def test_a_guessed_spec_has_no_findings(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    done = folder.run("init", "tickets.jsonl")
    assert done.code == 0
    spec = loaded(folder.folder / "promptc.yaml")
    assert [field.name for field in spec.inputs] == ["message"]
    assert [field.schema["enum"] for field in spec.outputs] == [["billing", "outage"]]
    assert spec.data.split.stratify == "queue"
    assert spec.slices == ("language",)
    assert "queue: an output, 2 labels that repeat" in done.err
    checked = folder.run("validate", "--json")
    assert (checked.code, checked.document["diagnostics"]) == (0, [])


def test_columns_that_no_field_reads_are_named_in_a_comment(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    text = folder.run("init", "tickets.jsonl", "-o", "-").out
    assert "# Column language: not used, it looks like a remark about the row (2 labels that repeat)." in text
    assert "Column message" not in text


CSV = "question,answer,remark\n" + "".join(f"What is {n} plus one?,{n + 1},easy {n % 2}\n" for n in range(40))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"name": "sums", "inputs": ["question"], "outputs": ["answer"], "metrics": ["numeric"]}),
        (["--name", "adding"], {"name": "adding"}),
        (["--model", "openai/gpt-4.1-mini"], {"model": "openai/gpt-4.1-mini"}),
        (
            ["--instructions", "Add.\nCarefully: no guessing."],
            {"instructions": "Add.\nCarefully: no guessing."},
        ),
        (["--module", "predict"], {"module": "predict"}),
        (["--metric", "exact_match"], {"metrics": ["exact_match"]}),
        (["--metric", "llm_judge"], {"metrics": ["llm_judge"]}),
        (["--output", "remark"], {"inputs": ["question"], "outputs": ["remark"], "metrics": ["exact_match"]}),
        (["--output", "remark", "--output", "answer"], {"outputs": ["remark", "answer"]}),
        (["--input", "remark"], {"inputs": ["remark"], "outputs": ["answer"]}),
        (["--input", "remark", "--output", "question"], {"outputs": ["question"], "metrics": ["f1"]}),
        (
            ["--output", "question", "--input", "answer"],
            {"instructions": "Read the answer and give the question."},
        ),
    ],
)
def test_flags_decide_and_the_rest_is_guessed(
    flags: list[str], expected: dict[str, Any], folder: Workplace
) -> None:
    folder.write("sums.csv", CSV)
    done = folder.run("init", "sums.csv", *flags)
    assert done.code == 0, done
    spec = loaded(folder.folder / "promptc.yaml")
    found = {
        "name": spec.name,
        "model": spec.models["task"].model,
        "inputs": [field.name for field in spec.inputs],
        "outputs": [field.name for field in spec.outputs],
        "metrics": [use.plugin.name for use in spec.metrics],
        "module": spec.steps[0].module.name,
        "instructions": spec.steps[0].signature.instructions,
    }
    assert {key: found[key] for key in expected} == expected
    checked = folder.run("validate", "--json").document["diagnostics"]
    assert [finding for finding in checked if finding["severity"] == "error"] == []


NESTED = """version: 1
models: {task: embedded/icl}
data: {rows: [{text: a, found: {ref: x, items: [{sku: y}]}}]}
fields:
  inputs: {text: string}
  outputs:
    found:
      type: object
      properties:
        ref: string
        items: {type: array, items: {type: object, properties: {sku: string}}}
"""


@pytest.mark.parametrize(
    ("parameters", "message", "hint"),
    [
        ("{fields: {reff: exact_match}}", "no path `reff`", 'did you mean "ref"?'),
        ("{fields: {items.skuu: exact_match}}", "no path `items.skuu`", 'did you mean "items.sku"?'),
        ("{weights: {nope: 2}}", "no path `nope`", "one of: ref, items, items.sku"),
    ],
)
def test_a_path_of_json_fields_that_the_output_lacks_is_an_error(
    folder: Workplace, parameters: str, message: str, hint: str
) -> None:
    folder.write("nested.yaml", f"{NESTED}metrics:\n  - json_fields: {parameters}\n")
    done = folder.run("validate", "nested.yaml", "--json")
    (finding,) = [d for d in done.document["diagnostics"] if d["severity"] == "error"]
    assert done.code == 2
    assert message in finding["message"]
    assert (finding["hint"], finding["line"]) == (hint, 13)


def test_a_spec_that_nothing_judges_is_valid_with_a_warning(folder: Workplace) -> None:
    folder.write("nested.yaml", NESTED)
    done = folder.run("validate", "nested.yaml", "--json")
    assert done.code == 0
    said = "nothing judges an answer: eval and optimize need metrics:"
    assert [(d["severity"], d["message"]) for d in done.document["diagnostics"]] == [("warning", said)]


def test_a_column_that_is_no_name_becomes_a_field_that_expects_it(folder: Workplace) -> None:
    folder.write("rows.csv", "text,Right Answer\n" + "".join(f"Text {n} here,{n}\n" for n in range(40)))
    assert folder.run("init", "rows.csv", "--output", "Right Answer").code == 0
    spec = loaded(folder.folder / "promptc.yaml")
    assert [(use.field, use.expected) for use in spec.metrics] == [("right_answer", "Right Answer")]
    assert folder.run("validate").code == 0


def test_named_columns_stand_in_for_a_guess_that_fails(folder: Workplace) -> None:
    folder.write("rows.csv", "n,The Text\n5,ab\n6,cd\n7,ef\n")
    refused = folder.run("init", "rows.csv")
    assert refused.code == 4
    assert "name columns with --input and --output" in refused.err
    assert folder.run("init", "rows.csv", "--input", "n", "--output", "The Text").code == 0
    assert [field.name for field in loaded(folder.folder / "promptc.yaml").outputs] == ["the_text"]


def test_the_data_is_named_from_where_the_spec_lies(folder: Workplace) -> None:
    folder.write("data/tickets.jsonl", TICKETS)
    done = folder.run("init", "data/tickets.jsonl", "-o", "specs/one/triage.yaml")
    assert done.code == 0
    spec = folder.folder / "specs/one/triage.yaml"
    assert "path: ../../data/tickets.jsonl" in spec.read_text()
    assert folder.run("validate", spec).code == 0
    assert "promptc eval specs/one/triage.yaml" in done.err


def test_json_tells_what_was_written_and_what_comes_next(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    done = folder.run("init", "tickets.jsonl", "--json")
    assert done.err == ""
    assert done.document["written"] == ["promptc.yaml", "promptc.schema.json"]
    assert done.document["next"][0] == "promptc validate"
    assert done.document["content"]["fields"]["inputs"] == {"message": {"type": "string"}}
    assert "message: an input" in done.document["reasons"][1]


def test_stdout_takes_the_spec_and_nothing_is_written(folder: Workplace) -> None:
    data = folder.write("tickets.jsonl", TICKETS)
    done = folder.run("init", "tickets.jsonl", "-o", "-")
    assert done.out.startswith("# yaml-language-server")
    assert list(folder.folder.iterdir()) == [data]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["nothing.jsonl"], "there is no nothing.jsonl"),
        (["ticket.jsonl"], "did you mean tickets.jsonl?"),
        (["tickets.jsonl", "--name", "two words"], "is no name for a program"),
        (["tickets.jsonl", "--model", "opnai/gpt-4.1"], "unknown provider 'opnai', did you mean 'openai'"),
        (["tickets.jsonl", "--module", "chain_of_thougt"], 'did you mean "chain_of_thought"?'),
        (["tickets.jsonl", "--metric", "exactmatch"], 'did you mean "exact_match"?'),
        (["tickets.jsonl", "--metric", "python"], "missing required field `function`"),
        (["tickets.jsonl", "--input", "mesage"], 'did you mean "message"?'),
        (["tickets.jsonl", "--input", "message", "--output", "message"], "cannot be an input and an output"),
        (["tickets.jsonl", "--output", "message"], "no column is left for an input"),
        (["tickets.jsonl", "--input", "queue"], "no column is left for an output"),
        (["--input", "message"], "--input and --output name columns of a data file"),
        (["-o", "-"], "cannot go to stdout, too"),
        (["tickets.jsonl", "-o", "."], ". is a folder"),
        (["tickets.jsonl", "-o", "tickets.jsonl", "--force"], "is the data itself"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    flags: list[str], said: str, folder: Workplace
) -> None:
    data = folder.write("tickets.jsonl", TICKETS)
    before = data.read_bytes()
    done = folder.run("init", *flags)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert list(folder.folder.iterdir()) == [data]
    assert data.read_bytes() == before


def test_a_spec_is_replaced_only_by_force(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    spec = folder.write("promptc.yaml", "mine")
    refused = folder.run("init", "tickets.jsonl")
    assert (refused.code, spec.read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert folder.run("init", "tickets.jsonl", "--force").code == 0
    assert loaded(spec).name == "tickets"


def test_data_is_never_replaced(folder: Workplace) -> None:
    data = folder.write("data.jsonl", TICKETS)
    before = data.read_bytes()
    refused = folder.run("init", "--force")
    assert (refused.code, data.read_bytes()) == (2, before)
    assert "promptc init data.jsonl" in refused.err


def test_a_schema_of_somebody_else_is_replaced_only_by_force(folder: Workplace) -> None:
    other = folder.write("promptc.schema.json", '{"title": "another"}')
    assert folder.run("init").code == 2
    assert folder.run("init", "--force").code == 0
    assert json.loads(other.read_bytes()) == committed_schema()
    other.write_bytes(other.read_bytes().replace(b"What promptc compiles", b"What an older promptc compiles"))
    assert folder.run("init", "-o", "second.yaml").code == 0
    assert json.loads(other.read_bytes()) == committed_schema()


def test_a_folder_that_cannot_be_written_is_said_so(folder: Workplace) -> None:
    folder.write("file", "")
    done = folder.run("init", "-o", "file/promptc.yaml")
    assert done.code == 4
    assert "cannot be written" in done.err


def test_the_optional_keys_are_right_when_they_are_uncommented(folder: Workplace) -> None:
    folder.run("init")
    spec = folder.folder / "promptc.yaml"
    keys = "".join(line.removeprefix("# ") + "\n" for line in OPTIONAL.splitlines() if not line.endswith("."))
    spec.write_text(
        spec.read_text().replace(OPTIONAL, "") + keys.replace("What has to hold", "# What has to hold")
    )
    found = loaded(spec)
    assert found.budget.calls == 3000
    assert [gate.path for gate in found.gates] == ["test.score"]


COLUMN = st.text(min_size=1, max_size=12).filter(lambda text: text not in ("question", "label"))
CELL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.text(max_size=12),
    st.lists(st.integers(0, 9), max_size=2),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(COLUMN, st.lists(CELL, min_size=4, max_size=4), max_size=3),
    st.text(min_size=1, max_size=20),
)
def test_whatever_the_data_holds_the_spec_can_be_loaded(columns: dict[str, list[Any]], text: str) -> None:
    rows = [
        {
            "question": f"{text} {n}",
            "label": f"{n % 2}{text}.",
            **{name: cells[n] for name, cells in columns.items()},
        }
        for n in range(4)
    ]
    with tempfile.TemporaryDirectory() as name:
        place = Workplace(Path(name), None)
        place.write("rows.jsonl", rows)
        done = place.run("init", "rows.jsonl", "--input", "question", "--output", "label")
        assert done.code == 0, done
        spec = loaded(Path(name) / "promptc.yaml")
        assert [field.name for field in spec.inputs] == ["question"]
        assert place.run("validate").code == 0


def test_a_person_is_asked_with_the_guess_as_default(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    with Person(folder, "init", "tickets.jsonl") as person:
        person.answer("Name [tickets]", "triage desk\n")
        person.answer("Name [tickets]", "triage\n")
        person.answer("Inputs, by column [message]", "message, langage\n")
        person.answer("Inputs, by column [message]", "message, language\n")
        person.answer("Outputs, by column [queue]", "message\n")
        person.answer("Outputs, by column [queue]", "\n")
        person.answer("Instructions [Choose the queue that fits the message and language.]", "Sort it.\n")
        person.answer("Model (any litellm name) [embedded/icl]", "opnai/gpt-4.1\n")
        person.answer("Model (any litellm name) [embedded/icl]", "openai/gpt-4.1\n")
        assert person.end() == 0, person.seen
    assert "is no name for a program" in person.seen
    assert 'did you mean "language"?' in person.seen
    assert "cannot be an input and an output" in person.seen
    assert "unknown provider 'opnai'" in person.seen
    spec = loaded(folder.folder / "promptc.yaml")
    assert spec.name == "triage"
    assert [field.name for field in spec.inputs] == ["message", "language"]
    assert spec.steps[0].signature.instructions == "Sort it."
    assert spec.models["task"].model == "openai/gpt-4.1"


def test_what_was_said_by_flag_is_not_asked(folder: Workplace) -> None:
    folder.write("tickets.jsonl", TICKETS)
    flags = ("--name", "a", "--input", "message", "--output", "queue", "--model", "embedded/icl")
    with Person(folder, "init", "tickets.jsonl", *flags) as person:
        person.answer("Instructions", "\n")
        assert person.end() == 0, person.seen
    assert "Name" not in person.seen
    assert loaded(folder.folder / "promptc.yaml").name == "a"


def test_a_person_without_data_gets_the_example(folder: Workplace) -> None:
    with Person(folder, "init") as person:
        person.answer("Data file", "no.jsonl\n")
        person.answer("Data file", "\n")
        person.answer("Name [work]", "\n")
        person.answer("Model (any litellm name) [embedded/icl]", "\n")
        assert person.end() == 0, person.seen
    assert "there is no file no.jsonl" in person.seen
    assert (folder.folder / "data.jsonl").read_bytes() == starter_rows()
    assert folder.run("validate").code == 0


def test_no_input_asks_nothing_on_a_terminal(folder: Workplace) -> None:
    with Person(folder, "init", "--no-input") as person:
        assert person.end() == 0, person.seen
    assert "Name" not in person.seen


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_who_leaves_in_the_middle_has_written_nothing(key: str, folder: Workplace) -> None:
    data = folder.write("tickets.jsonl", TICKETS)
    with Person(folder, "init", "tickets.jsonl") as person:
        person.answer("Name", "tickets\n")
        person.leave("Inputs", key)
        assert person.end() == 130, person.seen
    assert list(folder.folder.iterdir()) == [data]


# --- doctor


def doctor(place: Workplace, *arguments: str, **environment: str) -> tuple[int, Any]:
    """Exit code and document."""
    done = place.run("doctor", *arguments, "--json", **environment)
    return done.code, done.document


def finding(document: Any, name: str) -> Any:
    """The one finding of that name."""
    [found] = [one for one in document["findings"] if one["name"] == name]
    return found


def test_a_machine_without_a_spec_is_all_right(folder: Workplace) -> None:
    code, document = doctor(folder)
    assert (code, document["spec"], document["models"]) == (0, None, [])
    assert finding(document, "python")["value"].startswith(".".join(map(str, sys.version_info[:3])))
    assert {finding(document, name)["status"] for name in ("promptc", "litellm", "polars", "cache")} == {"ok"}
    assert str(folder.environment["PROMPTC_CACHE_DIR"]) in finding(document, "cache")["value"]


def test_the_report_for_a_person_ends_in_a_verdict(folder: Workplace) -> None:
    folder.run("init")
    done = folder.run("doctor", COLUMNS="80")
    assert done.code == 0
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert "embedded, inside promptc" in done.out
    assert done.out.splitlines()[-1].startswith("all right")


def test_no_socket_is_opened_without_call(workplace: Workplace) -> None:
    code = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith('socket.'): raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "from promptc.cli.main import exit_code_of\n"
        "sys.exit(exit_code_of(['doctor', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workplace.folder, env=workplace.environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["transport"] == "direct"
    assert workplace.server.requests == 0


OPENAI = {"model": "openai/gpt-4.1", "api_base": None}


def hosted(place: Workplace, **model: Any) -> None:
    """A spec whose model is at its provider."""
    place.write_spec(models={"task": {"model": "openai/gpt-4.1", **model}})


def test_a_missing_key_is_named_with_what_to_do(folder: Workplace) -> None:
    hosted(folder)
    code, document = doctor(folder, "spec.yaml")
    [model] = document["models"]
    assert (code, model["usable"], model["problem"]) == (6, False, "OPENAI_API_KEY is not set")
    assert model["hint"] == "set OPENAI_API_KEY, e.g. in a file for --env-file"
    assert model["price"]["output"] > 0
    assert "1 model cannot be used" in folder.run("doctor", "spec.yaml").out


@pytest.mark.parametrize("flags", [(), ("--json",), ("-v",)])
def test_a_key_is_never_shown(flags: tuple[str, ...], folder: Workplace) -> None:
    hosted(folder, headers={"X-Team": "${env:TEAM_TOKEN}"})
    secrets = {"OPENAI_API_KEY": KEY, "TEAM_TOKEN": KEY, "HTTPS_PROXY": f"http://me:{KEY}@proxy.example:3128"}
    done = folder.run("doctor", "spec.yaml", *flags, **secrets)
    assert done.code == 0, done
    assert "OPENAI_API_KEY is set" in done.out
    assert "***@proxy.example:3128" in done.out
    assert KEY not in done.out + done.err


def test_a_key_may_come_from_an_env_file(folder: Workplace) -> None:
    hosted(folder)
    folder.write("keys.env", f"OPENAI_API_KEY={KEY}\n")
    code, document = doctor(folder, "spec.yaml", "--env-file", "keys.env")
    assert (code, document["models"][0]["key"]) == (0, "OPENAI_API_KEY is set")


@pytest.mark.parametrize(
    ("model", "environment", "text", "problem"),
    [
        (Model(model="embedded/icl"), {}, "none needed", ""),
        (Model(model="openai/gpt-4.1"), {}, "OPENAI_API_KEY is not set", "OPENAI_API_KEY is not set"),
        (Model(model="openai/gpt-4.1"), {"OPENAI_API_KEY": "x"}, "OPENAI_API_KEY is set", ""),
        (
            Model(model="openai/gpt-4.1"),
            {"OPENAI_API_KEY": ""},
            "OPENAI_API_KEY is not set",
            "OPENAI_API_KEY is not set",
        ),
        (Model(model="gpt-4.1"), {"OPENAI_API_KEY": "x"}, "OPENAI_API_KEY is set", ""),
        (Model(model="gemini/gemini-2.5-pro"), {"GOOGLE_API_KEY": "x"}, "GOOGLE_API_KEY is set", ""),
        (
            Model(model="bedrock/x"),
            {},
            "found by the provider's own library: variables, a profile, or the machine's role",
            "",
        ),
        (Model(model="ollama/qwen3"), {}, "none needed", ""),
        (
            Model(model="hosted_vllm/q", api_base="http://h/v1"),
            {},
            "none (HOSTED_VLLM_API_KEY is not set)",
            "",
        ),
        (Model(model="openai/q", api_key="${env:MINE}"), {}, "MINE is not set", "MINE is not set"),
        (Model(model="openai/q", api_key="${env:MINE}"), {"MINE": ""}, "MINE is not set", "MINE is not set"),
        (Model(model="openai/q", api_key="${env:MINE}"), {"MINE": "x"}, "MINE is set", ""),
        (Model(model="openai/q", api_key="${env:MINE:-none}"), {}, "MINE is set", ""),
        (Model(model="openai/q", api_key="none"), {}, "as the spec has it", ""),
        (Model(model="openai/q", api_key_command="pass show"), {}, "from api_key_command", ""),
        (
            Model(model="openai/q", headers={"X-A": "${env:A}"}),
            {},
            "A is not set",
            "the header X-A needs A, which is not set",
        ),
        (
            Model(model="openai/q", headers={"Authorization": "Bearer ${env:A}"}),
            {"A": "x"},
            "in the header Authorization",
            "",
        ),
    ],
)
def test_where_a_key_comes_from(model: Model, environment: dict[str, str], text: str, problem: str) -> None:
    state = key_state(model, environment, PriceMap())
    assert (state.text, state.problem) == (text, problem)


def test_a_wrong_spec_is_exit_2_beside_what_was_found(folder: Workplace) -> None:
    folder.write(
        "spec.yaml",
        "version: 1\nmodels: {task: opnai/gpt}\nsignature: a -> b\nmetrics: [exact_match]\ndata: x.jsonl\n",
    )
    code, document = doctor(folder, "spec.yaml")
    assert code == 2
    assert "unknown provider 'opnai'" in document["diagnostics"][0]["message"]
    assert finding(document, "promptc")["status"] == "ok"
    shown = folder.run("doctor", "spec.yaml")
    assert shown.code == 2
    assert "spec.yaml:2:" in shown.err
    assert folder.run("doctor", "nothing.yaml").code == 2


def test_a_broken_script_makes_a_model_unusable(folder: Workplace) -> None:
    folder.write_spec(models={"task": {"model": "embedded/script", "params": {"script": "replies.jsonl"}}})
    code, document = doctor(folder, "spec.yaml")
    assert (code, document["models"][0]["usable"]) == (6, False)
    assert "replies.jsonl" in document["models"][0]["problem"]
    folder.write("replies.jsonl", [{"default": "positive"}])
    assert doctor(folder, "spec.yaml", "--call")[0] == 0


def test_an_unknown_price_is_a_note(folder: Workplace) -> None:
    folder.write_spec(models={"task": {"model": "hosted_vllm/mine", "api_base": "http://127.0.0.1:9/v1"}})
    code, document = doctor(folder, "spec.yaml")
    assert (code, document["models"][0]["price"]) == (0, None)
    assert any("price unknown" in note for note in document["models"][0]["notes"])


def test_a_cache_that_cannot_be_used_is_a_warning(folder: Workplace, tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("")
    code, document = doctor(folder, PROMPTC_CACHE_DIR=str(file))
    assert (code, finding(document, "cache")["status"]) == (0, "warning")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "replies-1.sqlite").write_bytes(b"this is no database" * 100)
    code, document = doctor(folder, PROMPTC_CACHE_DIR=str(damaged))
    assert (code, finding(document, "cache")["status"]) == (0, "warning")
    assert "delete" in finding(document, "cache")["hint"]


def test_the_trust_file_and_settings_are_told(folder: Workplace, tmp_path: Path) -> None:
    trusted = tmp_path / "config" / "promptc" / "trusted"
    trusted.parent.mkdir(parents=True, mode=0o700)
    trusted.write_text("/somewhere\n")
    trusted.chmod(0o600)
    _, document = doctor(folder, XDG_CONFIG_HOME=str(tmp_path / "config"), PROMPTC_EVAL_JOBS="4")
    assert "/somewhere" in finding(document, "trusted")["value"]
    assert "PROMPTC_EVAL_JOBS" in finding(document, "settings")["value"]
    trusted.chmod(0o666)
    _, document = doctor(folder, XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert finding(document, "trusted")["status"] == "warning"


def test_certificates_that_cannot_be_read_are_a_warning(folder: Workplace) -> None:
    folder.write("empty.pem", "")
    _, document = doctor(folder, SSL_CERT_FILE="empty.pem", NO_PROXY="localhost")
    assert finding(document, "SSL_CERT_FILE")["status"] == "warning"
    assert finding(document, "NO_PROXY")["value"] == "localhost"


def test_a_model_that_answers_is_told_with_its_latency(workplace: Workplace) -> None:
    workplace.server.reply = "ready"
    code, document = doctor(workplace, "--call")
    [model] = document["models"]
    assert (code, model["usable"], model["call"]["served_model"]) == (0, True, "sentiment")
    assert 0 < model["call"]["seconds"] < 20
    assert workplace.server.requests == 1
    assert re.search(r"answered in \d+ ms as sentiment", workplace.run("doctor", "--call").out)


def test_a_model_is_asked_anew_every_time(workplace: Workplace) -> None:
    workplace.server.reply = "ready"
    workplace.write_spec(run={"cache": True})
    doctor(workplace, "--call")
    doctor(workplace, "--call")
    assert workplace.server.requests == 2
    assert workplace.run("cache", "stats", "--json").document["replies"] == 0


@pytest.mark.parametrize(
    ("fault", "error", "hint"),
    [
        ("401", "HTTP 401: Incorrect API key provided", "set that variable"),
        ("404", "HTTP 404: The model `nothing` does not exist", "check the model's name"),
        ("429-quota", "You exceeded your current quota", "billing"),
        ("page", "the reply is an HTML page", "correct api_base"),
        ("stall", "no reply within 0.5 s", "longer timeout"),
    ],
)
def test_a_model_that_does_not_answer_is_told_with_what_to_do(
    fault: str, error: str, hint: str, tmp_path: Path
) -> None:
    with open_workplace(tmp_path, "ready", plan=lambda *_: FAULTS[fault]) as place:
        code, document = doctor(place, "--call", "--timeout", "0.5")
        shown = place.run("doctor", "--call", "--timeout", "0.5")
    [model] = document["models"]
    assert (code, shown.code, model["usable"]) == (6, 6, False)
    assert error in model["call"]["error"]
    assert hint in model["call"]["hint"]
    assert "\n" not in model["call"]["error"]
    assert "1 model cannot be used" in shown.out


def test_a_refused_connection_is_told_with_the_address(folder: Workplace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.write_spec(
        models={"task": {"model": "openai/x", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}}
    )
    code, document = doctor(folder, "--call")
    [model] = document["models"]
    assert code == 6
    assert f"cannot reach http://127.0.0.1:{port}/v1: connection refused" in model["call"]["error"]
    assert "is the server running" in model["call"]["hint"]


def test_each_model_has_its_own_outcome(folder: Workplace) -> None:
    with serving("ready") as good, serving("", plan=lambda *_: error(401, "no")) as bad:
        models = {
            "task": {"model": "openai/a", "api_base": good.url, "api_key": "none"},
            "judge": {"model": "openai/b", "api_base": bad.url, "api_key": "none"},
            "embed": {"model": "openai/c", "api_base": good.url, "api_key": "none"},
        }
        folder.write_spec(models=models)
        code, document = doctor(folder, "--call")
        assert (good.requests, bad.requests) == (1, 1)
    assert code == 6
    assert {model["name"]: model["usable"] for model in document["models"]} == {
        "task": True, "judge": False, "embed": True,
    }  # fmt: skip
    assert document["models"][2]["call"] is None


def test_a_key_command_runs_only_when_it_may(workplace: Workplace) -> None:
    workplace.server.reply = "ready"
    workplace.write("key", KEY)
    command = {"api_base": workplace.server.url, "api_key_command": "touch ran; cat key"}
    workplace.write_spec(models={"task": {"model": "openai/sentiment", **command}})
    assert doctor(workplace)[0] == 0
    refused = workplace.run("doctor", "--call")
    assert (refused.code, (workplace.folder / "ran").exists()) == (2, False)
    assert "--allow-code" in refused.err
    allowed = workplace.run("doctor", "--call", "--allow-code")
    assert allowed.code == 0, allowed
    assert workplace.server.headers[-1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in allowed.out + allowed.err


@pytest.mark.parametrize(
    ("installed", "bounds", "expected"),
    [
        ("1.20.1", ">=1.20,<2", True),
        ("2.0.0", ">=1.20,<2", False),
        ("1.9", ">=1.20,<2", False),
        ("1.20", ">=1.20.0", True),
        ("2.0rc1", ">=1,<3", True),
        ("0.9.0.post1", ">=0.10", False),
        ("5", "", True),
    ],
)
def test_versions_are_held_against_bounds(installed: str, bounds: str, expected: bool) -> None:
    assert fits(installed, bounds) is expected


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://me:secret@proxy:3128/x", "http://***@proxy:3128/x"),
        ("http://a@b:c@proxy", "http://***@proxy"),
    ],
)
def test_passwords_in_addresses_are_masked(address: str, shown: str) -> None:
    assert without_password(address) == shown


# --- cache


@pytest.fixture
def scored(workplace: Workplace) -> Workplace:
    """A workplace whose dev rows are in the cache."""
    workplace.write_spec(run={"cache": True})
    assert workplace.run("eval", "-o", "out").code == 0
    return workplace


def scored_rows(place: Workplace) -> list[str]:
    """The ids of the rows that were scored."""
    return [json.loads(line)["id"] for line in (place.folder / "out/rows.jsonl").read_text().splitlines()]


def test_an_empty_cache_is_not_made_by_looking(folder: Workplace) -> None:
    done = folder.run("cache", "stats", "--json")
    assert (done.document["replies"], done.document["bytes"]) == (0, 0)
    for command in (["prune", "--older", "1d"], ["clear", "--yes"], ["clear"]):
        assert folder.run("cache", *command).code == 0
    assert not Path(folder.environment["PROMPTC_CACHE_DIR"]).exists()


def test_stats_tell_what_is_there(scored: Workplace) -> None:
    found = scored.run("cache", "stats", "--json").document
    assert found["models"] == {"openai/sentiment": found["replies"]}
    assert found["replies"] >= len(scored_rows(scored))
    shown = scored.run("cache", "stats").out
    assert found["path"] in shown
    assert "(just now)" in shown


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"module": "chain_of_thought"},
        {"format": "json"},
        {"budget": {"calls": 500, "tokens": 1_000_000}},
        {"demos": [{"text": "A lovely day", "label": "positive"}]},
    ],
    ids=lambda keys: next(iter(keys), "plain"),
)  # fmt: skip
def test_a_row_that_was_asked_is_found(keys: dict[str, Any], tmp_path: Path) -> None:
    fields = {"reasoning": "so", "label": "positive"}
    reply = json.dumps(fields) if keys.get("format") else answer(**fields)
    with open_workplace(tmp_path, reply) as place:
        place.write_spec(run={"cache": True}, **keys)
        assert place.run("eval", "-o", "out").code == 0
        done = place.run("cache", "explain", "spec.yaml", "--row", scored_rows(place)[0], "--json")
    assert done.document["cached"] is True
    assert done.document["completion"]["text"] == reply


def test_a_row_that_was_not_asked_is_told_with_what_differs(scored: Workplace) -> None:
    row = scored_rows(scored)[0]
    shown = scored.run("cache", "explain", "--row", row).out
    assert "cached: stored" in shown
    assert f"row {row}, predictor main, model openai/sentiment" in shown
    warmer = scored.run(
        "cache", "explain", "--row", row, "--set", "models.task.params.temperature=0.7", "--json"
    )
    assert warmer.document["cached"] is False
    assert warmer.document["differs"] == ["params.temperature: 'nothing' is stored, 0.7 is asked"]
    reworded = scored.run("cache", "explain", "--row", row, "--set", "instructions=Guess the mood.").out
    assert "not cached; of what is, the most similar request differs here:" in reworded
    assert "messages[0] (system): from character" in reworded


def test_an_empty_cache_explains_itself(workplace: Workplace) -> None:
    done = workplace.run("cache", "explain", "--row", "r000")
    assert "not cached: the cache is empty" in done.out
    assert workplace.server.requests == 0


def test_an_entry_is_shown_by_the_beginning_of_its_key(scored: Workplace) -> None:
    found = scored.run("cache", "explain", "--row", scored_rows(scored)[0], "--json").document
    entries = scored.run("cache", "explain", "--key", found["key"][:10], "--json").document
    assert [entry["key"] for entry in entries] == [found["key"]]
    assert "reply: " in scored.run("cache", "explain", "--key", found["key"]).out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["explain"], 2, "name a row with --row ID"),
        (["explain", "--row", "r000", "--key", "ab"], 2, "name a row with --row ID"),
        (["explain", "--row", "r999"], 5, "no row has the id r999"),
        (["explain", "--row", "r000", "--step", "other"], 2, "there are: main"),
        (["explain", "--key", "ffffffffff"], 5, "no entry's key begins with"),
        (["explain", "--key", "zz"], 2, "hex digits only"),
        (["prune"], 2, "--older AGE"),
        (["prune", "--older", "soon"], 2, "is no age"),
        (["prune", "--max-bytes", "much"], 2, "is no size"),
        (["clear"], 2, "pass --yes"),
        (["export", "rows.jsonl"], 2, "there is already a rows.jsonl"),
        (["export", "no/where.jsonl"], 2, "there is no folder no"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], code: int, said: str, scored: Workplace
) -> None:
    before = scored.run("cache", "stats", "--json").document["replies"]
    done = scored.run("cache", *arguments)
    assert done.code == code
    assert said in " ".join(done.err.split())
    assert scored.run("cache", "stats", "--json").document["replies"] == before


def stored(place: Workplace, *ages: float) -> None:
    """Put replies of these ages (seconds) into the cache, a kilobyte or so each."""
    path = Path(place.environment["PROMPTC_CACHE_DIR"]) / "replies-1.sqlite"
    for number, age in enumerate(ages):
        cache = Cache(path, warn=print, now=lambda age=age: time.time() - age)  # type: ignore[misc]
        request = Request(model="openai/x", messages=(Message("user", f"{number}" * 2000),))
        cache.put(request, Completion(text=f"reply {number}"))
        cache.close()


def test_old_replies_are_pruned(folder: Workplace) -> None:
    stored(folder, 86400 * 40, 86400 * 8, 3600, 0)
    assert folder.run("cache", "prune", "--older", "7d", "--json").document["removed"] == 2
    assert "removed 1 reply; 1 left" in folder.run("cache", "prune", "--older", "30m").err


def test_the_oldest_go_first_when_space_is_short(folder: Workplace) -> None:
    stored(folder, *range(100, 0, -1))
    done = folder.run("cache", "prune", "--max-bytes", "100kB", "--json").document
    assert done["bytes"] <= 100_000
    assert 0 < done["replies"] < 100
    left = folder.process("cache", "export", "-").lines
    assert [entry["completion"]["text"] for entry in left] == [
        f"reply {n}" for n in range(100 - len(left), 100)
    ]


def test_clear_removes_everything(folder: Workplace) -> None:
    stored(folder, 10, 20)
    assert folder.run("cache", "clear", "--yes", "--json").document["removed"] == 2
    assert folder.run("cache", "stats", "--json").document["replies"] == 0


def test_clear_asks_a_person(folder: Workplace) -> None:
    stored(folder, 10, 20)
    with Person(folder, "cache", "clear") as person:
        person.answer("Remove 2 replies", "n\n")
        assert person.end() == 0, person.seen
    assert folder.run("cache", "stats", "--json").document["replies"] == 2
    with Person(folder, "cache", "clear") as person:
        person.answer("Remove 2 replies", "y\n")
        assert person.end() == 0, person.seen
    assert folder.run("cache", "stats", "--json").document["replies"] == 0


def test_entries_are_exported_oldest_first(folder: Workplace) -> None:
    stored(folder, 10, 30, 20)
    assert folder.run("cache", "export", "all.jsonl", "--json").document["replies"] == 3
    lines = (folder.folder / "all.jsonl").read_text().splitlines()
    assert [json.loads(line)["completion"]["text"] for line in lines] == ["reply 1", "reply 2", "reply 0"]
    assert folder.run("cache", "export", "all.jsonl").code == 2
    assert folder.run("cache", "export", "all.jsonl", "--force").code == 0
    assert folder.process("cache", "export", "-").out.splitlines() == lines


def test_a_damaged_cache_is_a_clear_error(folder: Workplace) -> None:
    path = Path(folder.environment["PROMPTC_CACHE_DIR"]) / "replies-1.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database at all " * 100)
    for command in (["stats"], ["prune", "--older", "1d"], ["clear", "--yes"], ["export", "all.jsonl"]):
        done: Done = folder.run("cache", *command)
        assert done.code == 4
        assert "cannot be used" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("12h", 43200),
        ("7d", 604800),
        ("2w", 1209600),
        ("1.5 m", 90),
        ("7", None),
        ("d", None),
        ("-1d", None),
    ],
)
def test_ages(text: str, expected: float | None) -> None:
    assert read(read_age, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", 1000), ("1kB", 1000), ("1KiB", 1024), ("1.5GB", 1_500_000_000), ("2 MiB", 2 * 2**20),
        ("0", 0), ("1 apple", None), ("GB", None),
    ],
)  # fmt: skip
def test_sizes(text: str, expected: int | None) -> None:
    assert read(read_size, text) == expected


def read(reader: Any, text: str) -> Any:
    """What an option's callback makes of a text; None where it is refused."""
    option = click.Option(["--option"])
    try:
        return reader(click.Context(click.Command("c")), option, text)
    except click.BadParameter:
        return None


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (28672, "29 kB"),
        (999_999, "1.0 MB"),
        (5 * 10**12, "5.0 TB"),
    ],
)
def test_sizes_as_they_are_shown(count: int, shown: str) -> None:
    assert size_text(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (5, "just now"),
        (60, "1 minute ago"),
        (7300, "2 hours ago"),
        (86400, "1 day ago"),
        (10**7, "115 days ago"),
    ],
)
def test_ages_as_they_are_shown(seconds: float, shown: str) -> None:
    assert age_text(seconds) == shown
