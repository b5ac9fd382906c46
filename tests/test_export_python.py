"""The exported Python file: it asks and reads as promptc does, and needs neither promptc nor its libraries."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli.exports.python_bundle import bundle
from promptc.cli.exports.python_literals import data_literal, docstring, text_literal
from promptc.cli.exports.python_stand_ins import PlainValidator
from promptc.runners.build import build_program
from promptc.runners.formats.protocol import ParseError
from promptc.runners.models.request import Completion
from promptc.spec.load import load as load_text

WITHOUT = ("promptc", "msgspec", "polars", "json_repair")
"""What the exporting machine has and the importing one may lack."""

ALONE = """\
import runpy, sys
for name in sys.argv[2:]:
    sys.modules[name] = None
sys.argv = [sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(file: Path, rows: list[dict[str, Any]], *without: str) -> list[Any]:
    """The file's predictions, in a process that cannot import what is left out."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(file), *WITHOUT, *without],
        input="".join(json.dumps(row) + "\n" for row in rows),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == "" or done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def bodies(place: Workplace) -> set[str]:
    return {json.dumps([body["model"], body["messages"]]) for body in place.server.seen}


CLIENTS = {
    "openai": ({}, ("litellm", "jsonschema")),
    "litellm": (
        {
            "fields": {
                "inputs": {"text": {"type": "string"}},
                "outputs": {"label": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"}},
            },
            "signature": None,
        },
        (),
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_file_gives_the_same_predictions_with_the_same_requests(tmp_path, client):
    """Against a server that is clumsy, so that replies are asked again."""
    keys, without = CLIENTS[client]
    with open_workplace(tmp_path, Sentiment(clumsy=0.4)) as place:
        demos = [{"text": "lovely day", "label": "positive"}, {"text": "dreadful day", "label": "negative"}]
        place.write_spec(demos=demos, **keys)
        rows = [json.loads(line) for line in (place.folder / "rows.jsonl").read_text().splitlines()][:20]
        predicted = [
            line["outputs"] for line in place.run("run", "spec.yaml", "rows.jsonl", "--limit", "20").lines
        ]
        asked = bodies(place)
        place.server.reset()
        assert place.run("export", "spec.yaml", "--to", "python", "-o", "mood.py").code == 0
        assert f"import {client}" in (place.folder / "mood.py").read_text()
        assert run_alone(place.folder / "mood.py", rows, *without) == predicted
        assert bodies(place) == asked
        assert len(asked) > 20


def test_a_search_on_chain_of_thought_is_carried(tmp_path):
    def reply(body):
        text = body["messages"][-1]["content"]
        label = "positive" if "lovely" in text else "negative"
        return f"[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]"

    with open_workplace(tmp_path, reply) as place:
        place.write_spec(module="chain_of_thought", optimizer="bootstrap_few_shot")
        place.run("optimize", "-o", "run")
        assert place.run("export", "run", "--to", "python", "-o", "mood.py").code == 0
        assert run_alone(place.folder / "mood.py", [{"text": "lovely day"}]) == [{"label": "positive"}]
        assert "[[ ## reasoning ## ]]\n" in place.server.seen[-1]["messages"][0]["content"]


def test_what_gets_no_answer_is_said_and_is_exit_1(tmp_path):
    with open_workplace(tmp_path, "no label at all") as place:
        assert place.run("export", "spec.yaml", "--to", "python", "-o", "mood.py").code == 0
        [outcome] = run_alone(place.folder / "mood.py", [{"text": "x"}])
        failure = place.run("run", "spec.yaml", "rows.jsonl", "--limit", "1").lines[0]["failure"]
        assert outcome == {"error": failure["message"]}


def test_the_key_comes_from_the_environment(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(model={"api_key": "${env:MOOD_KEY}", "headers": {"X-Team": "a-${env:TEAM:-none}"}})
        done = place.run("export", "spec.yaml", "--to", "python", MOOD_KEY="sk-very-secret-value")
        assert 'os.environ["MOOD_KEY"]' in done.out
        assert '"a-" + (os.environ.get("TEAM") or "none")' in done.out
        assert "sk-very-secret-value" not in done.out


SPECS: dict[str, dict[str, Any]] = {
    "labels": {"signature": "text -> label: Literal['card arrival', 'refund', 'other']"},
    "number": {"fields": {"outputs": {"n": {"type": "integer", "minimum": 1, "maximum": 5}}}},
    "truth": {"signature": "text -> spam: bool, why: str"},
    "free text": {"signature": "text -> answer"},
    "list": {"signature": "text -> tags: list[str]"},
    "fraction": {"signature": "text -> share: float", "module": "chain_of_thought"},
    "date": {"fields": {"outputs": {"day": {"type": "string", "format": "date-time"}}}},
    "object": {
        "fields": {
            "outputs": {
                "person": {
                    "type": "object",
                    "properties": {
                        "name": "string",
                        "age": "integer",
                        "class": {"enum": ["a", "b"], "optional": True},
                    },
                }
            }
        },
        "format": "json",
    },
    "json": {"signature": "text -> label: Literal['a', 'b'], n: int", "format": "json"},
    "template": {
        "signature": "text -> label: Literal['a', 'b']",
        "format": {"template": {"text": "{{ instructions }}\n{{ demos }}\nText: {{ text }}\nLabel:"}},
    },
    "xml": {"signature": "text -> label: Literal['a', 'b'], tags: list[str]", "format": "xml"},
    "xml object": {
        "fields": {
            "outputs": {"person": {"type": "object", "properties": {"name": "string", "age": "integer"}}}
        },
        "format": "xml",
        "module": "chain_of_thought",
    },
    "code": {"fields": {"outputs": {"program": {"type": "code"}, "n": "integer"}}},
    "optional": {
        "fields": {"outputs": {"label": {"enum": ["a", "b"]}, "note": {"type": "string", "optional": True}}},
    },
}


def loaded_spec(name: str) -> Any:
    tree = {
        "version": 1,
        "name": "probe",
        "models": {"task": "anthropic/claude-sonnet-4-5"},
        "instructions": "Read the text.",
        **SPECS[name],
    }
    if "fields" in tree:
        tree["fields"] = {"inputs": {"text": {"type": "string"}}, **tree["fields"]}
    spec, findings = load_text(yaml.safe_dump(tree), file="spec.yaml", base=Path.cwd())
    assert spec is not None, findings
    return spec


class Files(dict):
    """Modules and programs by the names of their specs, short in a test's report."""

    def __repr__(self) -> str:
        return "files"


@pytest.fixture(scope="module")
def files(shared_folder):
    """The exported files of all specs as modules, with the programs that they are made from."""
    folder = shared_folder("modules")
    found = Files()
    with open_workplace(folder) as place:
        for name in SPECS:
            spec = loaded_spec(name)
            place.write("probe.yaml", spec.resolved)
            file = f"probe_{name.replace(' ', '_')}.py"
            done = place.run("export", "probe.yaml", "--to", "python", "-o", file)
            assert done.code == 0, done
            found[name] = (as_module(folder / file), build_program(spec))
    return found


def as_module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"exported_{file.stem}", file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FRAGMENTS = [
    "[[ ## label ## ]]", "[[ ## n ## ]]", "[[ ## answer ## ]]", "[[ ## person ## ]]", "[[ ## tags ## ]]",
    "[[ ## reasoning ## ]]", "[[ ## share ## ]]", "[[ ## day ## ]]", "[[ ## note ## ]]", "[[ ## completed ## ]]",
    "label: a", "Label: **B**", "n: 3", "a", "b", "card_arrival", "Refund.", "other", "yes", "no", "true",
    "3", "12", "1,234", "0.5", "50%", "about 3 million", "null", "none", '{"label": "a", "n": 2}',
    '{"label": "A", "n": "2",}', "{'label': 'b'}", '{"person": {"name": "Ann", "age": 3}}',
    '{"name": "Ann", "age": "3"}', '{"name": "Ann", "age": 3, "class": "A", "x": 1}', '["x", "y"]', "- x\n- y",
    "1. x", "```json", "```", "<think>hm</think>", "2031-05-04T13:45:00Z", "2031-05-04", "[[ \\## label ## ]]",
    "<label>", "</label>", "<tags>", "</tags>", "<item>x</item>", "<person>", "<name>Ann</name>", "<age>3</age>",
    "</person>", "<reasoning>", "</reasoning>", "[[ ## program ## ]]", "```python\nx = 1\n```",
    '"quoted"', "**bold**", "\n", "\n\n", " ", "…", "{", "}", "[", "ünï",
]  # fmt: skip


def meaning(read: Any, error: type[Exception]) -> Any:
    """What a reply is read as: the outputs, or what is said about it."""
    try:
        return read()
    except error as problem:
        return str(problem)


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reply=st.lists(st.sampled_from(FRAGMENTS), max_size=7).map("".join) | st.text(max_size=30),
    finish=st.sampled_from(["stop", "length"]),
)
def test_any_reply_means_the_same_in_the_file(files, name, reply, finish):
    module, program = files[name]
    prompt = module._PROMPT
    [predictor] = program.predictors.values()
    completion = Completion(text=reply, finish_reason=finish)
    ours = meaning(lambda: predictor.format.parse(predictor.signature, completion), ParseError)
    theirs = meaning(
        lambda: module.parse_reply(module._SIGNATURE, reply, prompt.ways(finish == "stop"), prompt.nothing),
        module.ParseError,
    )
    assert theirs == ours


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.sampled_from(FRAGMENTS), max_size=5).map("".join) | st.text() | st.lists(st.integers())
)
def test_any_row_is_rendered_the_same_in_the_file(files, name, text):
    module, program = files[name]
    compiled = program.compile(program.start())
    ours = [{"role": m.role, "content": m.content} for m in compiled.messages("main", {"text": text})]
    assert module.rendered(module._PROMPT, {"text": text}) == ours


def test_the_files_are_typed_and_tidy(files):
    """mypy's strictest and ruff have nothing to say about them."""
    paths = [module.__file__ for module, _ in files.values()]
    tools, cache = Path(sys.executable).parent, Path(paths[0]).parent / ".cache"
    for command in (
        [tools / "ruff", "check", "--isolated", "--no-cache", "--select", "F,E9,B", *paths],
        [tools / "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", cache, *paths],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout


@given(text=st.text())
def test_a_text_literal_is_the_text(text):
    literal = text_literal(text)
    assert eval(literal) == text
    assert all(character.isprintable() or character == "\n" for character in literal)


@given(text=st.text())
def test_a_docstring_is_python(text):
    compile(docstring(text), "docstring", "eval")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(value=JSON_VALUES)
def test_a_data_literal_is_the_data(value):
    assert eval(data_literal(value)) == value


@given(
    schema=st.sampled_from(
        [{"type": kind} for kind in ("string", "integer", "number", "boolean", "null", "array", "object")]
        + [{"enum": ["a", 1, True, None, 2.5]}, {"type": "integer", "enum": [1, 2]}, {}]
    ),
    value=JSON_VALUES | st.sampled_from(["a", 1, True, False, 0, 1.0, 2.5, 2.0]),
)
def test_the_plain_validator_agrees_with_jsonschema(schema, value):
    from jsonschema import Draft202012Validator

    found = [(e.validator, e.validator_value, e.instance) for e in PlainValidator(schema).iter_errors(value)]
    expected = [
        (e.validator, e.validator_value, e.instance) for e in Draft202012Validator(schema).iter_errors(value)
    ]
    assert found == expected
    assert PlainValidator(schema).is_valid(value) == Draft202012Validator(schema).is_valid(value)


def test_names_that_two_modules_share_are_told_apart():
    formats = "promptc.runners.formats"
    code = bundle(
        [(f"{formats}.json_text", "_guard_depth"), (f"{formats}.decorations", "undecorated")],
        stand_ins={},
        overrides={},
    )
    text = "\n\n".join(section for _, section in code.sections)
    assert "_json_text_DEEPEST = 100" in text
    assert "_decorations_DEEPEST = 8" in text
    assert "nested deeper than {_json_text_DEEPEST} levels" in text
