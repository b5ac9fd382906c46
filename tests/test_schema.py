"""The JSON Schema of a spec: complete, the same as the committed file, and of use to an editor."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from promptc.cli.schema import COMMITTED, REGISTRIES, assemble, parameters, serialize
from promptc.runners.plugins import load_class
from promptc.spec import load

TOP_LEVEL = [
    "version",
    "extends",
    "name",
    "description",
    "models",
    "data",
    "fields",
    "signature",
    "pipeline",
    "inputs",
    "outputs",
    "retrievers",
    "tools",
    "instructions",
    "demos",
    "keep",
    "freeze",
    "module",
    "format",
    "model",
    "assert",
    "metrics",
    "objective",
    "slices",
    "optimizer",
    "tune",
    "budget",
    "gates",
    "sweep",
    "run",
    "promote",
]
STEP = [
    "step",
    "fields",
    "signature",
    "module",
    "retrieve",
    "k",
    "filter",
    "python",
    "set",
    "loop",
    "program",
    "instructions",
    "demos",
    "keep",
    "freeze",
    "format",
    "model",
    "assert",
    "when",
    "foreach",
    "on_error",
    "inputs",
]
RUN = [
    "seed",
    "concurrency",
    "timeout",
    "retries",
    "format_retries",
    "repeat",
    "reduce",
    "pass_rule",
    "max_unscored",
    "cache",
    "journal",
    "record",
    "runner",
]
MODEL = [
    "model",
    "api_base",
    "api_key",
    "api_key_command",
    "headers",
    "transport",
    "timeout",
    "price",
    "limits",
    "params",
    "on_unsupported",
    "batch",
]
DATA = ["path", "train", "dev", "test", "rows", "id", "cluster", "on_error", "split"]
SPLIT = ["train", "dev", "test", "seed", "stratify", "group", "folds"]
METRIC = ["name", "weight", "negate", "field", "expected", "when", "model"]


@pytest.fixture(scope="module")
def schema():
    return assemble()


def test_the_committed_file_is_what_the_registries_say(schema):
    """`python -m promptc.cli.schema --write` mends it."""
    assert COMMITTED.read_bytes() == serialize(schema)
    assert load.committed_schema() == json.loads(serialize(schema))


def test_it_is_a_schema_of_draft_2020_12(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_of_the_grammar_has_its_place(schema):
    definitions, top = schema["$defs"], schema["properties"]
    assert set(top) == set(TOP_LEVEL)
    assert set(definitions["step"]["properties"]) == set(STEP)
    assert set(definitions["model"]["properties"]) == set(MODEL)
    assert set(top["run"]["properties"]) == set(RUN)
    assert set(top["data"]["properties"]) == set(DATA)
    assert set(top["data"]["properties"]["split"]["properties"]) == set(SPLIT)
    assert set(top["budget"]["properties"]) == {"calls", "tokens", "usd", "minutes", "roles"}
    assert set(definitions["model"]["properties"]["price"]["properties"]) == {
        "input",
        "cached_input",
        "output",
    }
    assert set(definitions["model"]["properties"]["limits"]["properties"]) == {"rpm", "tpm", "concurrency"}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_plug_in_stands_in_it_with_its_parameters(schema, kind):
    entries = schema["$defs"][kind]["properties"]
    assert set(entries) == set(REGISTRIES[kind])
    assert set(schema["$defs"][kind]["then"]["enum"]) == set(entries)
    for name, target in REGISTRIES[kind].items():
        own = {field.encode_name for field in msgspec.structs.fields(load_class(target))}
        assert own <= set(entries[name]["properties"])
        assert kind != "metric" or set(METRIC) <= set(entries[name]["properties"])
        assert entries[name]["additionalProperties"] is False


def described(schema, path=()):
    """Every schema of a key, with its path."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from described(part, (*path, index))
    if not isinstance(schema, dict):
        return
    for name, part in schema.get("properties", {}).items():
        yield (*path, name), part
        yield from described(part, (*path, name))
    for key in ("items", "additionalProperties", "propertyNames", "if", "then", "else", "anyOf"):
        yield from described(schema.get(key), (*path, key))
    for name, part in schema.get("$defs", {}).items():
        yield from described(part, (*path, name))


def test_every_key_has_a_description_and_an_example(schema):
    keys = list(described(schema))
    assert len(keys) > 300
    assert [path for path, key in keys if not key.get("description")] == []
    assert [path for path, key in keys if not key.get("examples")] == []


def test_every_example_is_what_its_key_takes(schema):
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [
        (path, example)
        for path, key in described(schema)
        for example in key["examples"]
        if not validator.evolve(schema={**key, "$defs": schema["$defs"]}).is_valid(example)
    ]
    assert wrong == []


def test_errors_name_the_exact_path(schema):
    spec = {
        "version": 1,
        "metrics": [
            "exact_match",
            {"numeric": {"tolerance": "x"}},
            {"all": {"metrics": [{"f1": {"feild": 1}}]}},
        ],
        "optimizer": {"bootstrap_few_shot": {"max_rounds": "x"}},
        "fields": {"inputs": {"a": {"items": {"minLength": -1}}}, "outputs": {"b": {}}},
    }
    errors = jsonschema.Draft202012Validator(schema).iter_errors(spec)
    assert {tuple(error.absolute_path) for error in errors} == {
        ("metrics", 1, "numeric", "tolerance"),
        ("metrics", 2, "all", "metrics", 0, "f1"),
        ("optimizer", "bootstrap_few_shot", "max_rounds"),
        ("fields", "inputs", "a", "items", "minLength"),
    }


def test_editors_find_the_keys_and_words_listed(schema):
    """Completion needs enumerated properties and words, not patterns and alternatives."""

    def alternatives(part, path=()):
        if isinstance(part, dict):
            yield from ([path] if {"anyOf", "oneOf"} & part.keys() and "properties" not in path[-1:] else [])
            for key, child in part.items():
                yield from alternatives(child, (*path, key))

    assert list(alternatives(schema)) == []
    assert schema["properties"]["run"]["properties"]["journal"]["enum"] == ["file", "memory"]


class Inner(msgspec.Struct):
    """What stands within."""

    size: int


class Outer(msgspec.Struct, frozen=True):
    """A plug-in of a third party.

    Its second paragraph is not for editors.
    """

    text: str
    inner: Inner | None = None
    either: str | dict[str, str] | None = None
    title: int = 3
    word: str | None = None


def test_parameters_of_any_struct_become_a_schema():
    definitions = {}
    schema = parameters(Outer, "metric.outer", definitions)
    assert definitions["metric.outer.Inner"]["required"] == ["size"]
    assert schema["description"] == "A plug-in of a third party."
    assert schema["required"] == ["text"]
    assert schema["type"] == "object"
    assert schema["properties"]["text"]["type"] == ["string", "object"]
    assert schema["properties"]["word"]["type"] == ["string", "null", "object"]
    assert schema["properties"]["title"] == {"type": "integer", "default": 3, "examples": [3]}
    assert schema["properties"]["either"]["type"] == ["string", "object", "null"]


def test_nothing_heavy_is_loaded_to_read_a_spec():
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from promptc.spec.load import load;"
        "load('version: 1\\nname: x\\nmodels: {task: a/b}\\nsignature: a -> b', file='s', base=Path('.'));"
        "print([name for name in ('litellm', 'polars', 'aiohttp', 'scipy', 'cel', 'rich', 'promptc.runners',"
        " 'promptc.cli', 'promptc.optimizers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout == "[]\n"
