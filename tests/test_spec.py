"""A spec from its text to a Spec: everything it can say, everything that is wrong at once, and where.

`UPDATE_GOLDEN=1 pytest tests/test_spec.py` writes the golden diagnostics anew.
"""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.spec.check import check_spec
from promptc.spec.diagnostics import Diagnostic, Position, arrange, render, render_all
from promptc.spec.dump import to_yaml
from promptc.spec.errors import UsageError
from promptc.spec.load import load, load_file, read_sources
from promptc.spec.model import Budget, Limits, Model, Price, RoleBudget, Split
from promptc.spec.plugin import Plugin

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "diagnostics"
UPDATE_GOLDEN = bool(os.environ.get("UPDATE_GOLDEN"))

TRIAGE = """\
# yaml-language-server: $schema=./promptc.schema.json
version: 1
name: support-triage
models:
  task: embedded/icl                # any litellm name, or a mapping
  proposer:
    model: openai/gpt-4.1
    params: {temperature: 1.0}
data:
  path: tickets.jsonl               # or train, dev, test; JSONL, CSV, Parquet, rows inline
  split: {train: 0.4, dev: 0.3, test: 0.3, stratify: queue}
fields:
  inputs:
    message:
      type: string
      description: What the customer wrote
  outputs:
    queue:
      enum:                         # a list, or labels with descriptions
        billing: invoices, refunds, charges
        cards: lost, stolen or declined cards
        other: everything else
    urgency: {type: integer, minimum: 1, maximum: 5}
instructions: Route the message to the queue that can solve it.
module: chain_of_thought
metrics:
  - exact_match: {field: queue, weight: 3}
  - numeric: {field: urgency, tolerance: 1}
optimizer:
  bootstrap_random_search: {candidates: 16, max_labeled_demos: 12}
budget: {calls: 3000, usd: 2.50}
gates:
  - test.score >= 0.80
  - test.improvement.ci_low > 0
"""

HANDBOOK = """\
version: 1
name: handbook-qa
models: {task: openai/gpt-4.1-mini, judge: anthropic/claude-sonnet-4-5}
data: {train: train.jsonl, dev: dev.jsonl, test: test.jsonl}
retrievers:
  handbook:
    bm25: {documents: corpus.jsonl, text: text, k: 4}
inputs:
  question: {type: string}
pipeline:
  - step: search
    retrieve: handbook
    inputs: {query: inputs.question}
  - step: answer
    signature: "context: list[str], question -> answer: str"
    instructions: {file: prompts/answer.md, keep: ["Answer in the language of the question."]}
    module:
      best_of_n: {module: chain_of_thought, n: 3}
    inputs: {context: search.passages, question: inputs.question}
    assert:
      - check: args.context.exists(p, p.contains(self.answer))
        message: The answer must be copied from the context.
  - step: shorten
    when: size(answer.answer) > 80
    signature: "text -> short"
    model: task
    inputs: {text: answer.answer}
outputs:
  answer: first(shorten.short, answer.answer)
metrics:
  - f1: {field: answer, expected: answers}
tune:
  search.k: [2, 4, 8]
  answer.module: [predict, chain_of_thought]
sweep:                               # every combination is a run
  models.task: [openai/gpt-4.1-mini, anthropic/claude-haiku-4-5]
  optimizer: [mipro, auto]
"""

SMALL = 'version: 1\nname: small\nmodels: {task: a/b}\nsignature: "question -> answer"\n'


def read(text, base=Path("/nowhere/spec"), **more):
    """The spec of a text without findings."""
    spec, findings = load(text, file="spec.yaml", base=base, **more)
    assert findings == (), render_all(findings, {"spec.yaml": text})
    return spec


def findings_of(text, base=Path("/nowhere/spec"), **more):
    spec, findings = load(text, file="spec.yaml", base=base, **more)
    assert (spec is None) == any(finding.severity == "error" for finding in findings)
    return findings


def messages(text, base=Path("/nowhere/spec"), **more):
    return [finding.message for finding in findings_of(text, base, **more)]


def small(*lines):
    return SMALL + "\n".join(lines) + "\n"


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_the_first_spec_of_the_design_says_what_it_says():
    spec = read(TRIAGE)
    assert (spec.version, spec.name) == (1, "support-triage")
    assert spec.models["task"].model == "embedded/icl"
    assert spec.models["proposer"].params == {"temperature": 1.0}
    assert spec.data.path == "/nowhere/spec/tickets.jsonl"
    assert spec.data.split == Split(stratify="queue")
    assert [field.name for field in spec.inputs] == ["message"]
    queue, urgency = spec.outputs
    assert queue.labels["cards"] == "lost, stolen or declined cards"
    assert urgency.schema == {"type": "integer", "minimum": 1, "maximum": 5}
    (step,) = spec.steps
    assert (step.name, step.model, step.module.name, step.format.name) == (
        "main",
        "task",
        "chain_of_thought",
        "chat",
    )
    assert step.signature.instructions == "Route the message to the queue that can solve it."
    assert [(use.name, use.field, use.weight) for use in spec.metrics] == [
        ("exact_match", "queue", 3.0),
        ("numeric", "urgency", 1.0),
    ]
    assert spec.metrics[1].plugin.params == {"tolerance": 1}
    assert spec.optimizer.params == {"candidates": 16, "max_labeled_demos": 12}
    assert (spec.budget.calls, spec.budget.usd) == (3000, 2.5)
    assert [(gate.path, gate.operator, gate.value) for gate in spec.gates] == [
        ("test.score", ">=", 0.8),
        ("test.improvement.ci_low", ">", 0.0),
    ]


def test_the_second_spec_of_the_design_says_what_it_says(tmp_path):
    write(tmp_path, "prompts/answer.md", "Answer in the language of the question.")
    spec = read(HANDBOOK, tmp_path)
    assert [stage.name for stage in spec.stages] == ["search", "answer", "shorten"]
    assert [step.name for step in spec.steps] == ["answer", "shorten"]


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("run: {runner: ray}", "run.runner"),
        ("run: {record: {calls: c.jsonl}}", "run.record"),
        ("models: {task: {model: a/b, batch: true}}", "models.task.batch"),
    ],
)
def test_what_is_not_carried_out_yet_is_said_and_never_ignored(lines, path):
    text = SMALL.replace("models: {task: a/b}\n", "") if lines.startswith("models") else SMALL
    findings = findings_of(text + lines)
    assert [finding.path for finding in findings] == [path]
    assert findings[0].message.endswith("is not available yet in this version")
    assert findings[0].position.line > 1


@pytest.mark.parametrize(
    "lines",
    [
        "run: {repeat: 3, pass_rule: majority, runner: local}",
        "models: {task: {model: a/b, batch: false}}",
        "objective: [f1]\nmetrics: [f1]",
    ],
)
def test_a_key_of_the_future_that_asks_for_nothing_is_fine(lines):
    text = SMALL.replace("models: {task: a/b}\n", "") if lines.startswith("models") else SMALL
    assert read(f"{text}{lines}").name == "small"


def test_what_is_not_carried_out_yet_still_has_to_be_well_formed():
    text = "version: 1\nmodels: {task: a/b}\nsignature: a -> b\ntune: 3\n"
    assert messages(text) == ["expected a mapping, found the number 3"]


def test_everything_about_models():
    spec = read(
        small().replace(
            "models: {task: a/b}",
            """models:
  task:
    model: "openai/${env:MODEL:-gpt}"
    api_base: "http://${env:HOST}:8000/v1"
    api_key: ${env:SECRET}
    headers: {X-Team: search, Authorization: "Bearer ${env:SECRET}"}
    transport: direct
    timeout: 30
    price: {input: 1, output: 2.5}
    limits: {rpm: 5e2, concurrency: 4}
    params: {temperature: 0, stop: ["x"], nested: {a: null}}
    on_unsupported: drop
  embed: openai/text-embedding-3-small
  my-own_one: {model: ollama/llama, api_key_command: pass show key}""",
        ),
        environment={"HOST": "local", "SECRET": "do-not-look"},
    )
    task = spec.models["task"]
    assert (task.model, task.api_base) == ("openai/gpt", "http://local:8000/v1")
    assert task.api_key == "${env:SECRET}"
    assert task.headers == {"X-Team": "search", "Authorization": "Bearer ${env:SECRET}"}
    assert (task.transport, task.timeout, task.on_unsupported) == ("direct", 30.0, "drop")
    assert task.price == Price(input=1.0, output=2.5)
    assert task.limits == Limits(rpm=500, concurrency=4)
    assert task.params == {"temperature": 0, "stop": ["x"], "nested": {"a": None}}
    assert spec.models["my-own_one"].api_key_command == "pass show key"
    assert spec.model_named("judge") == task
    assert spec.model_named("embed").model == "openai/text-embedding-3-small"
    assert "do-not-look" not in to_yaml(spec)


def test_a_model_at_the_top_is_the_task_model_where_none_is_declared():
    spec = read('version: 1\nname: x\nmodel: openai/gpt\nsignature: "a -> b"')
    assert spec.steps[0].model == "openai/gpt"
    assert spec.model_named("proposer").model == "openai/gpt"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("data: rows.jsonl", {"path": "/nowhere/spec/rows.jsonl"}),
        ("data: ../shared/./rows.csv", {"path": "/nowhere/shared/rows.csv"}),
        ("data: /data/rows.parquet", {"path": "/data/rows.parquet"}),
        ("data: '${env:ROWS:-a.jsonl}'", {"path": "/nowhere/spec/a.jsonl"}),
        (
            "data: {train: t.jsonl, test: '${env:T}'}",
            {"train": "/nowhere/spec/t.jsonl", "test": "/tmp/t.jsonl"},
        ),
        (
            "data: {rows: [{question: '${env:X}', n: 1e3}]}",
            {"rows": ({"question": "${env:X}", "n": 1000.0},)},
        ),
        (
            "data: {path: r.jsonl, id: key, cluster: who, on_error: skip}",
            {"path": "/nowhere/spec/r.jsonl", "id": "key", "cluster": "who", "on_error": "skip"},
        ),
        (
            "data: {path: r.jsonl, split: {train: 8, dev: 1, test: 1, seed: 3, group: who}}",
            {"split": Split(train=8.0, dev=1.0, test=1.0, seed=3, group="who")},
        ),
    ],
)
def test_where_rows_come_from(written, expected):
    data = read(small(written), environment={"T": "/tmp/t.jsonl"}).data
    assert {key: getattr(data, key) for key in expected} == expected


def test_metrics_are_split_into_what_they_are_and_what_they_are_applied_to():
    spec = read(
        small(
            "metrics:",
            "  - exact_match",
            "  - exact_match: {name: strict, weight: 0, negate: true, expected: gold, when: row.kind == 'a'}",
            "  - numeric: {field: answer, tolerance: 0.5}",
            "  - contains: {field: answer, texts: [x], model: judge}",
            "  - f1:",
        )
    )
    strict = spec.metrics[1]
    assert strict.plugin == Plugin(kind="metric", name="exact_match", position=strict.position)
    assert (strict.name, strict.weight, strict.negate, strict.expected) == ("strict", 0.0, True, "gold")
    assert strict.when == "row.kind == 'a'"
    assert [use.name for use in spec.metrics] == ["exact_match", "strict", "numeric", "contains", "f1"]
    assert spec.metrics[3].plugin.params == {"texts": ["x"]}


def test_metrics_without_names_are_told_apart_by_their_fields():
    text = small("metrics:", "  - numeric: {field: a}", "  - numeric: {field: b}").replace(
        "question -> answer", "question -> a: int, b: int"
    )
    assert [use.name for use in read(text).metrics] == ["numeric_a", "numeric_b"]


def test_the_rest_of_a_spec():
    spec = read(
        small(
            "description: ' What it is for. '",
            "instructions: |",
            "  Answer in German.",
            "  Be brief.",
            "demos:",
            "  - {question: a, answer: b, extra: 1}",
            "keep: [Be brief.]",
            "freeze: [demos, instructions]",
            "module: {chain_of_thought: {field: why}}",
            "format: json",
            "model: judge",
            "assert:",
            "  - size(self.answer) < 10 && args.question != inputs.question",
            "  - {check: self.why != '', message: Why?, retries: 0, suggest: true}",
            "metrics: [exact_match]",
            "objective: exact_match",
            "slices: [language]",
            "optimizer: labeled_few_shot",
            "budget: {tokens: 1e6, minutes: 5, roles: {proposer: {calls: 60}, task: {usd: 1}}}",
            "gates: [test.slices.language.de.score > 0.5]",
            "run: {seed: 7, concurrency: 4, timeout: 5, retries: 0, cache: false, journal: memory}",
        )
    )
    (step,) = spec.steps
    assert spec.description == "What it is for."
    assert step.signature.instructions == "Answer in German.\nBe brief."
    assert step.demos == ({"question": "a", "answer": "b", "extra": 1},)
    assert (step.keep, step.freeze) == (("Be brief.",), ("instructions", "demos"))
    assert (step.module.params, step.format.name, step.model) == ({"field": "why"}, "json", "judge")
    assert [(check.message, check.retries, check.suggest) for check in step.checks] == [
        ("", 2, False),
        ("Why?", 0, True),
    ]
    assert (spec.objective, spec.slices) == (("exact_match",), ("language",))
    assert msgspec.structs.replace(spec.budget, position=None) == Budget(
        tokens=1_000_000, minutes=5.0, roles={"proposer": RoleBudget(calls=60), "task": RoleBudget(usd=1.0)}
    )
    assert (spec.run.seed, spec.run.timeout, spec.run.cache, spec.run.journal) == (7, 5.0, False, "memory")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("freeze: true", ("instructions", "descriptions", "demos")),
        ("freeze: false", ()),
        ("freeze: []", ()),
    ],
)
def test_freeze_is_all_or_a_list(written, expected):
    assert read(small(written)).steps[0].freeze == expected


@pytest.mark.parametrize(("written", "expected"), [("demos: none", "none"), ("demos: []", ()), ("", None)])
def test_demos_may_be_none_at_all(written, expected):
    assert read(small(written)).steps[0].demos == expected


@pytest.mark.parametrize(
    ("file", "folder", "name"),
    [
        ("triage.yaml", "/x/y", "triage"),
        ("promptc.yaml", "/x/my project", "my-project"),
        ("sub/spec.yaml", "/x/sub", "sub"),
        ("<stdin>", "/x/y", "stdin"),
    ],
)
def test_a_spec_without_a_name_is_called_like_its_file_or_folder(file, folder, name):
    spec, _ = load(SMALL.replace("name: small\n", ""), file=file, base=Path(folder))
    assert spec.name == name


def test_shared_defaults_merge_below_the_spec(tmp_path):
    write(tmp_path, "base.yaml", "version: 1\nmodels: {task: a/b, judge: c/d}\nrun: {seed: 1}\n")
    write(
        tmp_path,
        "shared/more.yaml",
        "extends: ../base.yaml\nmodels: {judge: e/f}\nmetrics: [f1, bleu]\ndata: {path: rows.jsonl}\n"
        "instructions: {file: text.md}\n",
    )
    write(tmp_path, "shared/text.md", "Out of the shared folder.\n")
    spec = read(
        'extends: shared/more.yaml\nname: x\nsignature: "a -> b"\n'
        "run: {timeout: 5}\nmetrics: [exact_match]\n",
        tmp_path,
    )
    assert {name: model.model for name, model in spec.models.items()} == {"task": "a/b", "judge": "e/f"}
    assert (spec.run.seed, spec.run.timeout) == (1, 5.0)
    assert [use.name for use in spec.metrics] == ["exact_match"]
    assert spec.data.path == str(tmp_path / "shared" / "rows.jsonl")
    assert spec.steps[0].signature.instructions == "Out of the shared folder."
    assert list(spec.files) == ["base.yaml", "shared/more.yaml", "shared/text.md"]
    assert spec.positions["models.judge"].file == "shared/more.yaml"
    assert spec.positions["models.task"].file == "base.yaml"
    assert spec.key_positions["run.timeout"] == Position("spec.yaml", 4, 7, 14)


@pytest.mark.parametrize(
    ("files", "extends", "message"),
    [
        (
            {"a.yaml": "extends: b.yaml", "b.yaml": "extends: a.yaml"},
            "a.yaml",
            "extends: goes around in a circle: spec.yaml → a.yaml → b.yaml → a.yaml",
        ),
        ({}, "spec.yaml", "extends: goes around in a circle: spec.yaml → spec.yaml"),
        ({}, "none.yaml", "there is no file none.yaml"),
        ({}, "../up.yaml", '"../up.yaml" lies outside of the spec\'s folder'),
        ({}, "/etc/passwd", '"/etc/passwd" lies outside of the spec\'s folder'),
        ({}, "file:///x.yaml", '"file:///x.yaml" is not a path'),
        ({"a.yaml": "[1]"}, "a.yaml", "a.yaml is no mapping of keys"),
        ({"a.yaml": "x: ["}, "a.yaml", "this list or mapping is never closed"),
        ({}, "[a.yaml]", "extends: takes the name of one file"),
        ({}, ".", ". is a folder"),
    ],
)
def test_extends_that_lead_nowhere(tmp_path, files, extends, message):
    for name, content in files.items():
        write(tmp_path, name, content)
    write(tmp_path, "spec.yaml", "")
    assert message in messages(small(f"extends: {extends}"), tmp_path)


def test_long_texts_stand_in_files(tmp_path):
    write(tmp_path, "prompts/answer.md", "\ufeffAnswer.\r\nIn German.\n\n")
    write(tmp_path, "prompts/rubric.md", "Is it right?\n")
    write(tmp_path, "demos.jsonl", '{"question": "a", "answer": "b"}\n\n{"question": "c", "answer": "d"}\n')
    spec = read(
        small(
            "description: {file: prompts/rubric.md}",
            "instructions: {file: prompts/answer.md, keep: [In German.]}",
            "keep: [Answer.]",
            "demos: {file: demos.jsonl}",
            "format: {template: {text: {file: prompts/answer.md}}}",
            "metrics:",
            "  - llm_judge: {rubric: {file: prompts/rubric.md}}",
            "  - all: {metrics: [exact_match, {llm_judge: {rubric: {file: prompts/rubric.md}}}]}",
        ),
        tmp_path,
    )
    (step,) = spec.steps
    assert spec.description == "Is it right?"
    assert step.signature.instructions == "Answer.\nIn German."
    assert step.keep == ("Answer.", "In German.")
    assert step.demos == ({"question": "a", "answer": "b"}, {"question": "c", "answer": "d"})
    assert step.format.params == {"text": "Answer.\nIn German."}
    assert spec.metrics[0].plugin.params == {"rubric": "Is it right?"}
    assert spec.metrics[1].plugin.params["metrics"][1] == {"llm_judge": {"rubric": "Is it right?"}}
    assert list(spec.files) == ["demos.jsonl", "prompts/answer.md", "prompts/rubric.md"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("instructions: {file: none.md}", "there is no file none.md"),
        ("instructions: {file: ../x.md}", '"../x.md" lies outside of the spec\'s folder'),
        ("instructions: {file: link.md}", '"link.md" lies outside of the spec\'s folder'),
        ("instructions: {file: 'file://x.md'}", '"file://x.md" is not a path'),
        ("instructions: {file: latin.md}", "latin.md is not UTF-8: byte 0xe9 at offset 1"),
        ("instructions: {file: env.md}", "${env:…} is not read here"),
        ("demos: {file: bad.jsonl}", "not JSON: JSON is malformed: invalid character (byte 4)"),
        ("demos: {file: list.jsonl}", "a row is an object with a key for each field"),
        ("demos: {file: short.jsonl}", "the demo lacks answer"),
    ],
)
def test_includes_that_cannot_be_used(tmp_path, lines, message):
    folder = tmp_path / "spec"
    write(tmp_path, "outside.md", "x")
    write(folder, "bad.jsonl", "nope\n")
    write(folder, "list.jsonl", "[1]\n")
    write(folder, "short.jsonl", '\n{"question": "a"}\n')
    write(folder, "env.md", "one\ntwo ${env:HOME}\n")
    (folder / "latin.md").write_bytes(b"x\xe9")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    assert messages(small(lines), folder) == [message]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("models: {task: '${env:NOPE}'}", "the environment variable NOPE is not set"),
        ("models: {task: {model: a/b, api_base: '${HOST}'}}", "this is no reference to the environment"),
        (
            "models: {task: {model: a/b, api_key: '$KEY and ${env:}'}}",
            "this is no reference to the environment",
        ),
        ("models: {task: {model: a/b, params: {user: '${env:USER}'}}}", "${env:…} is not read here"),
        ("instructions: hello ${env:USER}", "${env:…} is not read here"),
        (
            "models: {task: {model: a/b, api_key: sk-proj-abcdefgh12345678}}",
            "a credential is written out here",
        ),
        (
            "models: {task: {model: a/b, api_key: 0123456789abcdefABCDEF01}}",
            "a credential is written out here",
        ),
        (
            "models: {task: {model: a/b, headers: {Authorization: Bearer 0123456789abcdefABCDEF01}}}",
            "a credential is written out here",
        ),
        (
            "models: {task: {model: a/b, headers: {X-Api-Key: 0123456789abcdefABCDEF01}}}",
            "a credential is written out here",
        ),
        (
            "models: {task: {model: a/b, api_base: 'https://me:pw123@host/v1'}}",
            "a credential is written out here",
        ),
        (
            "models: {task: {model: a/b, params: {extra: {token: hf_abcdefgh12345678XYZ}}}}",
            "a credential is written out here",
        ),
    ],
)
def test_the_environment_is_read_in_declared_places_and_credentials_nowhere_else(lines, message):
    text = SMALL.replace("models: {task: a/b}\n", "") if lines.startswith("models") else SMALL
    findings = findings_of(text + lines, environment={"USER": "u"})
    assert [finding.message for finding in findings] == [message]
    shown = render(findings[0], text + lines)
    assert "abcdef" not in shown
    assert "pw123" not in shown


@pytest.mark.parametrize(
    "lines",
    [
        "models: {task: {model: a/b, api_key: none}}",
        "models: {task: {model: a/b, api_key: '${env:NOT_SET_YET}'}}",
        "models: {task: {model: a/b, api_key: not-needed-for-a-local-server}}",
        "models: {task: {model: a/b, api_base: 'http://localhost:8000/v1'}}",
        "models: {task: {model: a/sk-learn-classification-model}}",
    ],
)
def test_what_only_looks_a_little_like_a_credential_is_fine(lines):
    assert read(SMALL.replace("models: {task: a/b}\n", "") + lines).name == "small"


@pytest.mark.parametrize(
    ("override", "look"),
    [
        ("run.seed=7", lambda spec: spec.run.seed == 7),
        ("models.task=x/y", lambda spec: spec.models["task"].model == "x/y"),
        (
            "models.task.timeout=30",
            lambda spec: (
                spec.models["task"] == Model(model="a/b", timeout=30.0, position=spec.models["task"].position)
            ),
        ),
        (
            "models.judge={model: x/y, params: {temperature: 0}}",
            lambda spec: spec.models["judge"].params == {"temperature": 0},
        ),
        ("metrics=[f1]", lambda spec: [use.name for use in spec.metrics] == ["f1"]),
        ("metrics.0={f1: {field: answer}}", lambda spec: spec.metrics[0].plugin.name == "f1"),
        ("module.chain_of_thought.field=why", lambda spec: spec.steps[0].module.params == {"field": "why"}),
        ("instructions=A: b", lambda spec: False),
        ('instructions="A: b"', lambda spec: spec.steps[0].signature.instructions == "A: b"),
        ("data=x.jsonl", lambda spec: spec.data.path.endswith("x.jsonl")),
        ("data.path=${env:ROWS}", lambda spec: spec.data.path == "/rows.jsonl"),
        ("budget=", lambda spec: False),
    ],
)
def test_the_command_line_overrides_any_key(override, look):
    text = small("metrics: [exact_match]", "module: predict")
    spec, findings = load(
        text, file="spec.yaml", base=Path("/x"), overrides=[override], environment={"ROWS": "/rows.jsonl"}
    )
    if spec is None:
        assert all(finding.message.startswith(f"--set {override}: ") for finding in findings)
    else:
        assert look(spec)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.seed", "--set run.seed: no = in it"),
        ("=1", "--set =1: no name in front of the ="),
        ("run..seed=1", "--set run..seed=1: an empty name between two dots in front of the ="),
        ("run.sede=1", '--set run.sede=1: unknown key "sede"'),
        ("run.seed=abc", '--set run.seed=abc: expected a whole number, found the text "abc"'),
        ("run.seed=[1", "--set run.seed=[1: this list is never closed"),
        ("metrics.5=f1", "--set metrics.5=f1: there is no entry 5 in a list of 1"),
        ("metrics.x=f1", "--set metrics.x=f1: there is no entry x in a list of 1"),
        ("gates=[test.score]", "--set gates=[test.score]: a gate compares a figure with a number"),
        ('sweep."run.seed"=1', '--set sweep."run.seed"=1: expected a list, found the number 1'),
    ],
)
def test_a_wrong_override_names_the_flag(override, message):
    findings = findings_of(small("metrics: [exact_match]"), overrides=[override])
    assert [(finding.message, finding.position) for finding in findings] == [(message, None)]


def test_what_a_spec_extends_can_be_overridden(tmp_path):
    write(tmp_path, "other.yaml", "run: {seed: 5}\n")
    assert read(SMALL, tmp_path, overrides=["extends=other.yaml"]).run.seed == 5
    assert messages(SMALL, tmp_path, overrides=["extends=none.yaml"]) == [
        "--set extends=none.yaml: there is no file none.yaml"
    ]


def test_later_overrides_win_and_all_wrong_ones_are_named():
    assert read(SMALL, overrides=["run.seed=1", "run.seed=2"]).run.seed == 2
    assert len(messages(SMALL, overrides=["run.seed=x", "nope=1", "y"])) == 3


SEMANTIC = [
    (
        "metrics: [{exact_match: {field: anwser}}]",
        'no output is called "anwser"',
        "metrics.0.exact_match.field",
        'did you mean "answer"?',
    ),
    (
        "metrics: [f1]\nobjective: scores",
        'no metric is called "scores"',
        "objective",
        'did you mean "score"?',
    ),
    (
        "metrics: [f1]\nobjective: [score, token]",
        'no metric is called "token"',
        "objective",
        'did you mean "tokens"?',
    ),
    (
        "metrics: [f1]\nobjective: [tokens, score]",
        "the first objective is what a search maximizes; tokens cannot be",
        "objective",
        "write objective: [score, tokens]",
    ),
    (
        "metrics: [f1]\nobjective: cost",
        "the first objective is what a search maximizes; cost cannot be",
        "objective",
        "write objective: [score, cost]",
    ),
    ("metrics: [{f1: {weight: 0}}]", "every metric has weight 0: there is no score", "metrics", ""),
    ("metrics: [f1, f1]", 'two metrics are called "f1"', "metrics", "give one of them a name:"),
    ("metrics: [{f1: {model: jugde}}]", 'no model is called "jugde"', "metrics", 'did you mean "judge"?'),
    ("metrics: [python]", 'the metric "python" needs function', "metrics.0", None),
    (
        "metrics: [{f1: {when: 'rwo.x == 1'}}]",
        'unknown name "rwo"',
        "metrics.0.f1.when",
        'did you mean "row"?',
    ),
    (
        "metrics: [{all: {metrics: [{contains: {field: nope}}]}}]",
        'no output is called "nope"',
        "metrics.0.all.field",
        "one of: answer",
    ),
    ("model: tsak", 'no model is called "tsak"', "model", 'did you mean "task"?'),
    (
        "model: something",
        'no model is called "something"',
        "model",
        "declare it under models:, or write provider/model",
    ),
    (
        "budget: {roles: {proposr: {calls: 1}}}",
        'no model is called "proposr"',
        "budget.roles.proposr",
        'did you mean "proposer"?',
    ),
    (
        "optimizer: labeled_few_shot",
        "an optimizer needs metrics to know what is better",
        "optimizer",
        "add metrics: [exact_match]",
    ),
    ("assert: [size(self.answr) > 1]", 'there is no "self.answr"', "assert.0", 'did you mean "answer"?'),
    ("assert: [size(slf.answer) > 1]", 'unknown name "slf"', "assert.0", 'did you mean "self"?'),
    ("demos: [{question: a}]", "the demo lacks answer", "demos.0", "a demo has all fields"),
    (
        "demos: [{question: a, answer: 3}]",
        "\"answer\" does not fit its field: 3 is not of type 'string'",
        "demos.0.answer",
        "",
    ),
    ("gates: [tset.score > 0]", 'no part of the data is called "tset"', "gates", 'did you mean "test"?'),
    ("gates: [test > 0]", "test is a part of the data, not a figure", "gates", "write test.score"),
    (
        "metrics: [bleu]\ngates: [test.metrics.blue.score > 0]",
        'no metric is called "blue"',
        "gates",
        'did you mean "bleu"?',
    ),
    ("gates: [test.slices.lang.de.score > 0]", '"lang" is not under slices:', "gates", "add slices: [lang]"),
    (
        "data: {path: a.jsonl, rows: [{a: 1}]}",
        "rows come from one place, and here are path and rows",
        "data",
        None,
    ),
    (
        "data: {split: {seed: 1}}",
        "data: says nothing about where the rows are",
        "data",
        "add path: rows.jsonl",
    ),
    (
        "data: {path: a.jsonl, split: {train: 0, dev: 0, test: 0}}",
        "all shares are 0: no row is left",
        "data.split",
        "",
    ),
    (
        "data: s3://bucket/rows",
        '"s3://bucket/rows" is not a path',
        "data",
        "data is read from local files: JSONL, CSV, Parquet",
    ),
    (
        "fields: {inputs: {a: }, outputs: {b: }}",
        "signature: and fields: say the same thing",
        "signature",
        "keep one",
    ),
    (
        "inputs: {a: string}",
        "inputs: at the top belongs to a pipeline",
        "inputs",
        "write fields: {inputs: …}",
    ),
]


@pytest.mark.parametrize(("lines", "message", "path", "hint"), SEMANTIC, ids=[case[1] for case in SEMANTIC])
def test_what_is_well_written_and_still_wrong(lines, message, path, hint):
    findings = findings_of(small(lines))
    assert [(finding.message, finding.path) for finding in findings] == [(message, path)]
    assert findings[0].severity == "error"
    assert findings[0].position.line >= 4
    assert hint is None or findings[0].hint == hint


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("instructions: ''", "the instructions are empty"),
        (
            "instructions: Answer.\nkeep: [In German.]",
            'the instructions do not say what is to be kept: "In German."',
        ),
        (
            "metrics: [f1]\noptimizer: labeled_few_shot\nfreeze: true",
            "freeze: leaves the optimizer nothing to change",
        ),
        (
            "data: {train: a, dev: b, test: c, split: {seed: 1}}",
            "split: has no effect: train, dev and test are files of their own",
        ),
    ],
)
def test_what_is_worth_a_look_is_a_warning(lines, message):
    findings = findings_of(small(lines))
    assert [(finding.message, finding.severity) for finding in findings] == [(message, "warning")]


TWO_OUTPUTS = small().replace("-> answer", "-> a, b")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ("[exact_match]", ['the metric "exact_match" judges one output, and there are 2']),
        ("[{exact_match: {field: a}}]", ['no metric reads the output "b"']),
        ("[{exact_match: {field: a}}, {f1: {field: b}}]", []),
        ("[{llm_judge: {rubric: Good?}}]", []),
        ("[{python: {function: 'm.py:score'}}]", []),
        ("[{all: {metrics: [{f1: {field: a}}, {bleu: {field: b}}]}}]", []),
        (
            "[{all: {metrics: [{f1: {field: a}}, bleu]}}]",
            ['the metric "bleu" judges one output, and there are 2'],
        ),
        ("[{any: {field: a, metrics: [f1, bleu]}}]", ['no metric reads the output "b"']),
    ],
)
def test_every_output_is_read_by_a_metric_that_says_which(metrics, expected):
    assert messages(f"{TWO_OUTPUTS}metrics: {metrics}\n") == expected


def test_all_findings_come_at_once_and_broken_parts_hide_no_others():
    text = """version: 1
models: {task: {modle: x}}
signature: "a -> b: strr"
metrics: [{exact_match: {wieght: 3}}, {f1: {feild: b}}, nope]
gates: [test.score, dev.score > x]
assert: [size(]
instructions: ${env:X}
run: {seed: -1, cache: maybe}
budget: {roles: {nobody: {calls: 1}}}
extends: nowhere.yaml
"""
    found = messages(text)
    assert len(found) == len(set(found)) == 12
    assert 'unknown key "wieght"' in found
    assert 'unknown type "strr"' in found
    assert "`(` is never closed" in found


def test_findings_stand_in_the_order_of_the_file():
    lines = [
        finding.position.line for finding in findings_of("nope: 1\nversion: 2\nmore: x\nrun: 3\nname: []\n")
    ]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[1, 2]", "a spec is a mapping of keys, found a list at the top"),
        ("just text", 'a spec is a mapping of keys, found the text "just text" at the top'),
        ("~", "a spec is a mapping of keys, found null at the top"),
        ("a: [1, ", "this list or mapping is never closed"),
    ],
)
def test_what_is_no_spec_at_all(text, message):
    assert messages(text) == [message]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name: x",
            {
                'the key "version" is missing',
                "nothing says what goes in and what comes out",
                "no model: nothing runs the program",
            },
        ),
        (
            "version: 2",
            {
                "expected 1, found the number 2",
                "nothing says what goes in and what comes out",
                "no model: nothing runs the program",
            },
        ),
    ],
)
def test_what_a_spec_has_to_have(text, expected):
    assert set(messages(text)) == expected


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("models: {task: a/b}", 'the key "version" is missing', "add version: 1"),
        (
            "version: 1\nmodels: {tsk: a/b}",
            'no model is called "task": nothing runs the program',
            'did you mean "task" where it says "tsk"?',
        ),
        (
            "version: 1\nmodels: {judge: a/b}",
            'no model is called "task": nothing runs the program',
            "add models: {task: openai/gpt-4.1-mini}, or embedded/icl to try promptc without one",
        ),
    ],
)
def test_what_is_missing_is_said_once_and_no_more(written, message, hint):
    (finding,) = findings_of(f'{written}\nsignature: "a -> b"\n')
    assert (finding.message, finding.hint) == (message, hint)


def test_a_spec_file_that_cannot_be_read_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError):
        load_file(tmp_path / "none.yaml")


def test_positions_in_other_files_lead_to_their_lines(tmp_path):
    write(tmp_path, "shared.yaml", "run:\n  sede: 1\n")
    path = write(tmp_path, "spec.yaml", small("extends: shared.yaml"))
    spec, findings = load_file(path)
    assert spec is None
    shown = render_all(findings, read_sources(findings, {}))
    assert (
        f'{tmp_path}/shared.yaml:2:3: error: unknown key "sede"\n    2 |   sede: 1\n      |   ^~~~\n' in shown
    )


def test_equal_specs_are_written_differently(tmp_path):
    one = read(
        "version: 1\nname: x\nmodels: {task: a/b}\nsignature: 'q -> a'\nrun: {seed: 0}\nmodule: predict\n"
    )
    other = read(
        "# comment\nname: x\nmodels:\n  task: {model: a/b}\n"
        "fields:\n  inputs: {q: }\n  outputs: {a: {type: string}}\nversion: 1\n",
        tmp_path,
    )
    different = read("version: 1\nname: x\nmodels: {task: a/b}\nsignature: 'q -> a'\nrun: {seed: 1}\n")
    assert one == other
    assert (one.digest(), hash(one)) == (other.digest(), hash(other))
    assert one != different
    assert one.digest() != different.digest()


def test_the_resolved_spec_is_the_same_wherever_the_folder_lies(tmp_path):
    text = small("data: {train: rows/a.jsonl, test: ../b.jsonl}")
    assert read(text, tmp_path / "x").digest() == read(text, tmp_path / "y" / "z").digest()


def without_places(value):
    """The same with every position taken out, to compare what two specs hold."""
    if isinstance(value, msgspec.Struct):
        names = [name for name in value.__struct_fields__ if name not in PLACES]
        return {name: without_places(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple):
        return [without_places(part) for part in value]
    if isinstance(value, dict):
        return {key: without_places(part) for key, part in value.items()}
    return value


PLACES = ("position", "positions", "key_positions", "source", "files")

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: text.strip() and "${env" not in text
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("item", "previous", "args", "self", "inputs", "true", "false", "null")
)
TYPES = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 0},
            {"type": "number"},
            {"enum": ["a", "1", "no"]},
            {"enum": {"a": "first: one", "no": None}},
            {"enum": {"x": "y"}, "nullable": True},
            {"type": "integer", "enum": {"1": "bad", "5": "good"}},
            {"enum": [1, None]},
            {"type": "list[str] | None"},
            {},
            {"type": "string", "optional": True},
            {"type": "string", "pattern": "^a\\d+$", "format": "date"},
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: {"type": "array", "items": one}),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(lambda some: {"properties": some}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"allOf": some}),
    ),
    max_leaves=4,
)
FIELDS = st.dictionaries(
    NAMES,
    st.builds(lambda kind, text: {**kind, "description": text}, TYPES, WORDS) | TYPES,
    min_size=1,
    max_size=3,
)


@st.composite
def spec_trees(draw):
    """Plain trees that are valid specs."""
    inputs = draw(FIELDS)
    outputs = {name: kind for name, kind in draw(FIELDS).items() if name not in inputs} or {"out_": "string"}
    tree = {
        "version": 1,
        "name": draw(st.from_regex(r"[a-z][a-z0-9.-]{0,10}", fullmatch=True)),
        "models": {"task": "a/b", draw(NAMES): {"model": draw(WORDS), "params": {"stop": draw(WORDS)}}},
        "fields": {"inputs": inputs, "outputs": outputs},
        "metrics": [{"exact_match": {"field": name, "weight": 2}} for name in outputs],
    }
    optional = {
        "instructions": draw(st.lists(WORDS, min_size=1, max_size=4).map("\n".join)),
        "description": draw(WORDS),
        "keep": draw(st.lists(WORDS, max_size=2)),
        "freeze": draw(st.booleans() | st.just(["demos"])),
        "module": draw(
            st.sampled_from(["predict", "chain_of_thought", {"chain_of_thought": {"field": "why"}}])
        ),
        "format": {"template": {"text": draw(WORDS)}},
        "data": draw(
            st.sampled_from(["rows.jsonl", {"train": "/a/b", "dev": "../c"}])
            | WORDS.map(lambda text: {"rows": [{"a": text, "b": [1, None, 2.5]}]})
        ),
        "budget": draw(st.sampled_from([{"calls": 5}, {"usd": 1, "roles": {"task": {"tokens": 5}}}])),
        "run": draw(st.sampled_from([{"seed": 0}, {"seed": 3, "timeout": 1}])),
        "gates": ["test.score >= 0.5"],
        "slices": draw(st.lists(WORDS, max_size=2, unique=True)),
        "assert": ["size(string(inputs)) > 0 || true"],
        "optimizer": {"labeled_few_shot": {"k": 3}},
        "demos": "none",
    }
    chosen = draw(st.sets(st.sampled_from(sorted(optional))))
    return {**tree, **{key: optional[key] for key in sorted(chosen)}}


@settings(deadline=None)
@given(spec_trees())
def test_a_spec_that_is_written_out_reads_back_the_same(tree):
    text = msgspec.json.encode(tree)
    spec, findings = load(text, file="spec.json", base=Path("/nowhere"))
    assert spec is not None, findings
    again, more = load(to_yaml(spec), file="resolved.yaml", base=Path("/nowhere"))
    assert again is not None, more
    assert again == spec
    assert without_places(again) == without_places(spec)
    assert to_yaml(again) == to_yaml(spec)
    assert check_spec(again) == check_spec(again)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from(TRIAGE.splitlines(keepends=True))).map("".join))
def test_whatever_the_text_there_is_a_spec_or_an_error(content):
    spec, findings = load(content, file="spec.yaml", base=Path("/nowhere"))
    assert (spec is None) == any(finding.severity == "error" for finding in findings)


KEYS = [
    "version",
    "name",
    "models",
    "task",
    "data",
    "path",
    "split",
    "fields",
    "inputs",
    "outputs",
    "signature",
    "instructions",
    "file",
    "metrics",
    "exact_match",
    "field",
    "gates",
    "run",
    "seed",
    "budget",
    "roles",
    "demos",
    "enum",
    "type",
    "items",
    "properties",
    "$ref",
    "default",
    "module",
    "format",
    "optimizer",
    "assert",
    "check",
    "pipeline",
    "step",
    "keep",
    "freeze",
    "objective",
    "slices",
    "extends",
    "description",
    "nullable",
    "required",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.floats()
    | st.sampled_from([*KEYS, "", "a -> b", "a/b", "${env:X}", "size(", "test.score > 1", "x.json#/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_whatever_stands_under_known_keys_there_is_a_spec_or_an_error(tree):
    spec, findings = load(msgspec.json.encode(tree), file="spec.json", base=Path("/nowhere"))
    assert (spec is None) == any(finding.severity == "error" for finding in findings)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_diagnostics_look_like_this(path):
    text = path.read_text(encoding="utf-8")
    _, findings = load(text, file=path.name, base=GOLDEN, environment={})
    shown = render_all(findings, {path.name: text})
    expected = path.with_suffix(".txt")
    if UPDATE_GOLDEN:
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(path.name))


@pytest.mark.parametrize(
    ("line", "position", "caret"),
    [
        ("key: value", (1, 4), "^~~"),
        ("key: value", (6, 11), "     ^~~~~"),
        ("\tkey: x", (2, 5), "    ^~~"),
        ("日本: x", (1, 3), "^~~~"),
        ("日本: x", (5, 6), "      ^"),
        ("e\u0301: x", (5, 6), "   ^"),
        ("key", (9, 12), "   ^"),
        ("a\x1b[31mb", (2, 3), " ^"),
    ],
)
def test_the_caret_stands_below_what_it_means(line, position, caret):
    shown = render(Diagnostic(message="m", position=Position("f", 1, *position)), line)
    assert shown.splitlines()[2] == f"      | {caret}"
    assert "\x1b" not in shown


@given(
    st.text(st.characters(exclude_categories=("Cs", "Mn", "Me")), max_size=300),
    st.integers(1, 320),
    st.integers(0, 40),
)
def test_a_line_of_any_length_is_shown_within_the_width(line, column, length):
    finding = Diagnostic(message="m", position=Position("f", 1, column, column + length))
    shown = render(finding, line.replace("\n", " ").replace("\r", " "))
    for row in shown.splitlines()[1:]:
        assert len(row) <= 80


def test_findings_are_shown_once_and_in_order():
    late = Diagnostic(message="b", position=Position("f", 3, 1, 2))
    early = Diagnostic(message="a", position=Position("f", 1, 5, 6))
    nowhere = Diagnostic(message="--set x: c")
    assert arrange([late, early, late, nowhere]) == (nowhere, early, late)


def test_a_message_cannot_speak_to_the_terminal():
    shown = render(Diagnostic(message="bad \x1b]0;title\x07 \u202e", hint="sk-abcdefgh123456789012"), "")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "abcdefgh" not in shown
