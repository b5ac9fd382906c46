"""Pipelines: the graph of steps, what each may do, and that the same comes out whoever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import KilledError, ScriptedModels, text
from workplace import answer

from promptc.optimizers.demos import traced_demos
from promptc.runners.build import build_program
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Arm, Evaluator
from promptc.runners.failures import RowFailed
from promptc.runners.journal import Journal
from promptc.runners.ledger import Ledger
from promptc.runners.rows import inline_rows
from promptc.spec.load import load
from promptc.spec.model import Budget

FOLDER = Path("/nowhere")


def spec_of(pipeline: list[dict[str, Any]], *, base: Path = FOLDER, **keys: Any):
    tree = {
        "version": 1,
        "name": "t",
        "models": {"task": "openai/t"},
        "inputs": {"text": "string"},
        "retrievers": {"docs": {"colbert": {"url": "http://localhost:1/search"}}},
        "pipeline": pipeline,
        **keys,
    }
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=base, environment={})
    assert spec is not None, [finding.message for finding in findings]
    return spec


def step(name: str, signature: str, inputs: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"step": name, "signature": signature, "inputs": inputs, **more}


def value(request: Any, name: str) -> str:
    """What stands in a section of the last user message."""
    content = next(
        m.content for m in reversed(request.messages) if m.role == "user" and f"## {name} ##" in m.content
    )
    return content.split(f"[[ ## {name} ## ]]\n", 1)[1].split("\n\n", 1)[0]


class Hooks:
    """The user's functions, in this process."""

    def __init__(self, **functions: Any) -> None:
        self._functions = functions

    async def call(self, reference: str, payload: Any) -> Any:
        return self._functions[reference.rpartition(":")[2]](**payload)


class Passages:
    """A retriever that finds the documents that hold a word."""

    def __init__(self, *documents: str) -> None:
        self._documents = documents
        self.asked: list[tuple[Any, ...]] = []

    async def search(
        self, lane: Any, name: str, queries: Any, k: Any, where: Any
    ) -> list[list[dict[str, Any]]]:
        self.asked.append((name, tuple(queries), k, where))
        return [
            [
                {"id": str(n), "text": d, "score": 1.0, "meta": {}}
                for n, d in enumerate(self._documents)
                if q in d
            ][:k]
            for q in queries
        ]


class World:
    """Rows through a pipeline. `reply(request)` gives outputs; the model is told apart by what it is asked for."""

    def __init__(self, pipeline: list[dict[str, Any]], reply: Any, *, rows: int = 1, workers: int = 8,
                 shuffle: int = 0, path: Path | None = None, budget: Budget | None = None, hooks: Any = None,
                 retrievers: Any = None, die_after: int | None = None, **keys: Any) -> None:  # fmt: skip
        self.spec = spec_of(pipeline, **keys)
        self.program = build_program(self.spec)

        def told(request: Any) -> Any:
            outputs = reply(request)
            if isinstance(outputs, str):
                return text(outputs)
            return text(answer(**{k: v if isinstance(v, str) else json.dumps(v) for k, v in outputs.items()}))

        self.models = ScriptedModels(told, shuffle=shuffle, workers=workers)
        self.models.die_after = die_after
        self.effects = Effects(
            Journal(path, identity="run", version="1"),
            Ledger(budget or Budget()),
            self.models,
            hooks,
            retrievers=retrievers,
            concurrency=workers,
        )
        self.rows = list(inline_rows([{"text": f"row {n}", "id": f"r{n}"} for n in range(rows)]))

    def run(self) -> Any:
        async def scenario() -> Any:
            evaluator = Evaluator(effects=self.effects, judge=None)
            arm = Arm(compiled=self.program.compile(self.program.start()))
            return await evaluator.evaluate(arm, self.rows)

        try:
            return asyncio.run(scenario())
        finally:
            self.effects.journal.close()

    def outputs(self) -> dict[str, Any]:
        (record,) = self.run()
        assert record.failure is None, record.failure
        return record.outputs


def upper(request: Any) -> dict[str, Any]:
    """A model that answers each output with the inputs in capitals."""
    wanted = request.messages[0].content.split("The output fields are:")[1].split("All interactions")[0]
    names = [line.split("`")[1] for line in wanted.splitlines() if "`" in line]
    said = [m.content for m in request.messages if m.role == "user"][-1].split("\n\nAnswer with")[0]
    given = " ".join(part.split("\n", 1)[1] for part in said.split("\n\n") if part.startswith("[["))
    return dict.fromkeys(names, given.upper())


DIAMOND = [
    step("left", "text -> a", {"text": "inputs.text"}),
    step("right", "text -> b", {"text": "inputs.text + '!'"}),
    step("join", "a, b -> c", {"a": "left.a", "b": "right.b"}),
]


def test_steps_hand_on_what_they_gave_and_the_last_one_is_the_output():
    assert World(DIAMOND, upper).outputs() == {"c": "ROW 0 ROW 0!"}


def test_independent_steps_are_asked_at_once():
    world = World(DIAMOND, upper, shuffle=3)
    world.outputs()
    assert world.models.most_in_flight == 2
    assert world.program.calls() == (3, 3)


def test_a_step_starts_as_soon_as_what_it_reads_is_there():
    """`slow` never ends before `late` was asked: with levels of steps this would wait for ever."""
    order = []

    def reply(request: Any) -> dict[str, Any]:
        asked = next(name for name in ("early", "late", "slow") if f"`{name}`" in request.messages[0].content)
        order.append(asked)
        return {asked: asked}

    pipeline = [
        step("one", "text -> early", {"text": "inputs.text"}),
        step("two", "text -> slow", {"text": "inputs.text"}),
        step("three", "x -> late", {"x": "one.early"}),
        {"step": "out", "set": {"both": "three.late + two.slow"}},
    ]
    assert World(pipeline, reply).outputs() == {"both": "lateslow"}
    assert sorted(order) == ["early", "late", "slow"]


def test_the_order_in_which_steps_are_written_does_not_matter():
    assert World([DIAMOND[2], DIAMOND[0], DIAMOND[1]], upper, outputs={"c": "join.c"}).outputs() == {
        "c": "ROW 0 ROW 0!"
    }


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("size(first_.a) > 3", {"a": "ROW 0", "b": "ROW 0"}),
        ("size(first_.a) > 30", {"a": "ROW 0", "b": None}),
    ],
)
def test_a_step_whose_condition_is_false_is_skipped_and_gives_null(condition, expected):
    pipeline = [
        step("first_", "text -> a", {"text": "inputs.text"}),
        step("second", "a -> b", {"a": "first_.a"}, when=condition),
    ]
    world = World(pipeline, upper, outputs={"a": "first_.a", "b": "second.b"})
    (record,) = world.run()
    assert record.outputs == expected
    assert [s.kind for s in record.trace] == ["predict", "predict" if expected["b"] else "skipped"]
    assert world.program.calls() == (1, 2)


def test_first_takes_what_was_not_skipped():
    pipeline = [
        step("long", "text -> a", {"text": "inputs.text"}),
        step("short", "a -> b", {"a": "long.a"}, when="false"),
    ]
    assert World(pipeline, upper, outputs={"x": "first(short.b, long.a)"}).outputs() == {"x": "ROW 0"}


PARTS = [
    {"step": "split", "set": {"parts": "['a', 'b', 'c']"}},
    step("each", "part -> big", {"part": "item"}, foreach="split.parts"),
]


def test_foreach_runs_once_for_each_element_and_gives_lists():
    world = World(PARTS, upper)
    assert world.outputs() == {"big": ["A", "B", "C"]}
    assert world.program.calls() == (0, 32)


def test_foreach_over_nothing_gives_empty_lists():
    assert World([{"step": "split", "set": {"parts": "[]"}}, PARTS[1]], upper).outputs() == {"big": []}


def test_foreach_over_more_than_its_max_fails_the_row():
    each = {**PARTS[1], "foreach": {"over": "split.parts", "max": 2}}
    (record,) = World([PARTS[0], each], upper).run()
    assert (record.failure.kind, record.failure.message) == (
        "constraint",
        "each: foreach has 3 elements, and its max is 2",
    )


def test_an_element_whose_condition_is_false_is_null():
    each = {**PARTS[1], "when": "item != 'b'"}
    assert World([PARTS[0], each], upper).outputs() == {"big": ["A", None, "C"]}


LOOP = [
    {
        "step": "polish",
        "loop": {
            "max": 4,
            "until": "judge.verdict == 'GOOD'",
            "steps": [
                step("draft", "text, advice -> text_out", {
                    "text": "inputs.text", "advice": "first(previous.judge.advice, 'none')",
                }),
                step("judge", "text_out -> verdict, advice", {"text_out": "draft.text_out"}),
            ],
        },
    }
]  # fmt: skip


def refining(good_after: int) -> Any:
    def reply(request: Any) -> dict[str, Any]:
        if "`verdict`" in request.messages[0].content:
            length = len(value(request, "text_out"))
            return {"verdict": "GOOD" if length >= good_after else "BAD", "advice": "x" * (length + 1)}
        return {"text_out": value(request, "advice")}

    return reply


def test_a_loop_ends_when_its_condition_holds_and_the_last_round_is_seen_outside():
    outputs = {"text": "draft.text_out", "rounds": "polish.rounds"}
    assert World(LOOP, refining(6), outputs=outputs).outputs() == {"text": "xxxxxx", "rounds": 3}


def test_a_loop_ends_at_its_max():
    world = World(LOOP, refining(99), outputs={"rounds": "polish.rounds", "verdict": "judge.verdict"})
    assert world.outputs() == {"rounds": 4, "verdict": "BAD"}
    assert world.program.calls() == (2, 8)
    assert len(world.models.asked) == 8


def test_a_python_step_is_called_by_name_and_its_outputs_are_checked():
    pipeline = [
        {
            "step": "count",
            "python": "f.py:count",
            "signature": "words: str -> n: int",
            "inputs": {"words": "inputs.text"},
        },
        {"step": "out", "set": {"n": "count.n + 1"}},
    ]
    assert World(pipeline, upper, hooks=Hooks(count=lambda words: {"n": len(words)})).outputs() == {"n": 6}
    assert World(pipeline, upper, hooks=Hooks(count=lambda words: len(words))).outputs() == {"n": 6}
    (record,) = World(pipeline, upper, hooks=Hooks(count=lambda words: {"n": "many"})).run()
    assert record.failure.kind == "hook"
    assert "f.py:count" in record.failure.message


def test_a_retrieve_step_asks_with_one_query_or_several():
    pipeline = [
        {"step": "search", "retrieve": "docs", "k": 2, "filter": "{'kind': inputs.text}",
         "inputs": {"query": "['cat', 'dog', 'cat']"}},
    ]  # fmt: skip
    passages = Passages("cat and dog", "a cat", "a dog", "a third cat")
    outputs = World(
        pipeline,
        upper,
        retrievers=passages,
        outputs={"p": "search.passages", "ids": "search.hits.map(h, h.id)"},
    ).outputs()
    assert outputs == {"p": ["cat and dog", "a cat", "a dog"], "ids": ["0", "1", "2"]}
    assert passages.asked == [("docs", ("cat", "dog", "cat"), 2, {"kind": "row 0"})]


def test_an_empty_query_finds_nothing_and_asks_nobody():
    passages = Passages("x")
    pipeline = [{"step": "search", "retrieve": "docs", "inputs": {"query": "''"}}]
    assert World(pipeline, upper, retrievers=passages).outputs() == {"passages": [], "hits": []}
    assert passages.asked == []


def failing(**_: Any) -> Any:
    raise RowFailed("hook", "it broke")


@pytest.mark.parametrize(
    ("on_error", "expected"), [("skip", {"n": None, "t": "ROW 0"}), ("default", {"n": 7, "t": "ROW 0"})]
)
def test_what_may_fail_goes_on_with_null_or_its_defaults(on_error, expected):
    pipeline = [
        {"step": "count", "python": "f.py:count", "on_error": on_error, "inputs": {"words": "inputs.text"},
         "fields": {"inputs": {"words": "string"}, "outputs": {"n": {"type": "integer", "default": 7}}}},
        step("say", "text -> t", {"text": "inputs.text"}),
    ]  # fmt: skip
    world = World(pipeline, upper, hooks=Hooks(count=failing), outputs={"n": "count.n", "t": "say.t"})
    (record,) = world.run()
    assert record.outputs == expected
    assert next((s.predictor, s.kind, s.notes) for s in record.trace) == (
        "count",
        "failed",
        ("hook: it broke",),
    )


def test_a_failed_step_ends_what_needs_it_and_lets_the_others_end():
    pipeline = [
        {"step": "count", "python": "f.py:count", "inputs": {"words": "inputs.text"}},
        step("after", "n -> never", {"n": "count.n"}),
        step("beside", "text -> t", {"text": "inputs.text"}),
    ]
    world = World(pipeline, upper, hooks=Hooks(count=failing), outputs={"t": "beside.t + after.never"})
    (record,) = world.run()
    assert (record.failure.kind, record.failure.message) == ("hook", "it broke")
    assert len(world.models.asked) == 1


def test_an_assertion_sends_its_message_back_and_then_fails_the_row():
    pipeline = [
        step("one", "text -> a", {"text": "inputs.text"}),
        step("two", "a -> b", {"a": "one.a"}, **{
            "assert": [{"check": "self.b == one.a + '?' && args.a == one.a", "message": "Say it otherwise.",
                        "retries": 1}],
        }),
    ]  # fmt: skip
    world = World(pipeline, upper)
    (record,) = world.run()
    assert (record.failure.kind, record.failure.message) == ("constraint", "Say it otherwise.")
    assert [len(request.messages) for request in world.models.asked] == [2, 2, 4]
    assert "Say it otherwise." in world.models.asked[-1].messages[-1].content


def test_bootstrapping_learns_for_every_predictor_from_one_trace():
    (record,) = World(DIAMOND, upper).run()
    demos = traced_demos(record)
    assert {name: demo.outputs for name, demo in demos.items()} == {
        "left": {"a": "ROW 0"},
        "right": {"b": "ROW 0!"},
        "join": {"c": "ROW 0 ROW 0!"},
    }


PROGRAM = """\
version: 1
models: {task: openai/other, judge: openai/judge}
inputs: {sentence: string}
pipeline:
  - step: shout
    signature: "sentence -> loud"
    instructions: Shout it.
    inputs: {sentence: inputs.sentence}
  - step: count
    python: inner.py:count
    inputs: {words: shout.loud}
outputs: {loud: shout.loud, n: count.n}
"""


def test_another_program_is_a_step_and_its_predictors_carry_its_name(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.yaml").write_text(PROGRAM)
    (tmp_path / "one.yaml").write_text('version: 1\nmodels: {task: openai/x}\nsignature: "loud -> quiet"\n')
    pipeline = [
        {"step": "inner", "program": "sub/program.yaml", "inputs": {"sentence": "inputs.text"}},
        {"step": "calm", "program": "one.yaml", "inputs": {"loud": "inner.loud"}},
    ]
    world = World(
        pipeline, upper, base=tmp_path, hooks=Hooks(count=lambda words: {"n": len(words)}),
        outputs={"q": "calm.quiet", "n": "inner.n"},
    )  # fmt: skip
    assert list(world.program.predictors) == ["inner.shout", "calm"]
    assert world.program.start().predictors["inner.shout"].instructions == "Shout it."
    assert world.outputs() == {"q": "ROW 0", "n": 5}
    assert {request.model for request in world.models.asked} == {"task"}
    assert set(world.spec.models) == {"task", "judge"}


def test_an_artifact_as_a_step_says_what_was_compiled(tmp_path):
    artifact = {
        "artifact": 1,
        "base": ".",
        "spec": {"version": 1, "models": {"task": "a/b"}, "signature": "loud -> quiet"},
        "candidate": {"predictors": {"main": {"instructions": "Whisper it."}}},
    }
    (tmp_path / "program.json").write_text(json.dumps(artifact))
    pipeline = [{"step": "calm", "program": "program.json", "inputs": {"loud": "inputs.text"}}]
    world = World(pipeline, upper, base=tmp_path)
    world.outputs()
    assert world.models.asked[0].messages[0].content.startswith("Whisper it.")


def test_a_resolved_pipeline_reads_back_as_the_same_program(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.yaml").write_text(PROGRAM)
    pipeline = [
        *DIAMOND, *PARTS, *LOOP,
        {"step": "inner", "program": "sub/program.yaml", "inputs": {"sentence": "join.c"}, "on_error": "skip"},
        {"step": "search", "retrieve": "docs", "k": 3, "filter": {"a": 1}, "inputs": {"query": "join.c"},
         "when": "true"},
    ]  # fmt: skip
    outputs = {"x": "inner.loud", "y": "search.passages", "z": "each.big", "w": "draft.text_out"}
    spec = spec_of(pipeline, base=tmp_path, outputs=outputs)
    again, findings = load(json.dumps(spec.resolved), file="r.yaml", base=tmp_path, environment={})
    assert findings == ()
    assert again == spec
    assert build_program(again).calls() == build_program(spec).calls()
    assert list(build_program(again).predictors) == list(build_program(spec).predictors)


EVERYTHING = [
    *DIAMOND,
    *PARTS,
    *LOOP,
    {"step": "all", "set": {"out": "join.c + each.big[0] + draft.text_out"}},
]


def everything(request: Any) -> dict[str, Any]:
    asked = request.messages[0].content
    return refining(6)(request) if "`verdict`" in asked or "`text_out`" in asked else upper(request)


@pytest.mark.parametrize("workers", [1, 8, 64])
def test_the_same_comes_out_whatever_the_workers_and_the_order_of_replies(workers):
    def records(workers: int, shuffle: int) -> Any:
        return World(EVERYTHING, everything, rows=12, workers=workers, shuffle=shuffle).run()

    assert records(workers, workers) == records(3, 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(0, 5))
def test_a_killed_run_goes_on_and_pays_nothing_twice(tmp_path_factory, die_after, shuffle):
    path = tmp_path_factory.mktemp("kill") / "calls.sqlite"
    whole = World(EVERYTHING, everything, rows=5)
    expected = whole.run()
    first = World(EVERYTHING, everything, rows=5, path=path, shuffle=shuffle, die_after=die_after, workers=4)
    with contextlib.suppress(KilledError):
        assert first.run() == expected
    second = World(EVERYTHING, everything, rows=5, path=path, shuffle=shuffle + 1)
    assert second.run() == expected
    assert len(first.models.asked) + len(second.models.asked) <= len(whole.models.asked) + 4


@pytest.mark.parametrize("calls", [1, 7, 20, 40])
def test_a_budget_is_a_wall_for_pipelines_too(calls):
    def run(workers: int) -> Any:
        world = World(EVERYTHING, everything, rows=6, workers=workers, budget=Budget(calls=calls))
        records = world.run()
        return records, len(world.models.asked)

    records, asked = run(8)
    assert asked <= calls
    assert run(1) == (records, asked)


@pytest.mark.parametrize(
    ("pipeline", "line"),
    [
        ([step("a", "t -> x", {"t": "inputs.txt"})], 'there is no "inputs.txt"'),
        ([step("a", "t -> x", {"t": "before.y"})], 'unknown name "before"'),
        (
            [step("a", "t -> x", {"t": "b.y"}), step("b", "t -> y", {"t": "a.x"})],
            "steps wait for each other: a -> b -> a",
        ),
        ([step("a", "t -> x", {"t": "a.x"})], "steps wait for each other: a -> a"),
        ([step("text", "t -> x", {"t": "inputs.text"})], '"text" is an input and a step'),
        ([step("inputs", "t -> x", {"t": "inputs.text"})], '"inputs" is a reserved name: expressions use it'),
        (
            [step("a-b", "t -> x", {"t": "inputs.text"})],
            '"a-b" is not a name: at most 64 letters, digits and _, no digit first',
        ),
        ([step("a", "t -> x", {"t": "inputs.text"})] * 2, 'two steps are called "a"'),
        ([step("a", "t -> x", {"u": "inputs.text"})], 'the step takes no "u"'),
        ([step("a", "t, u -> x", {"t": "inputs.text"})], 'nothing is wired to "u"'),
        (
            [step("a", "t -> n: int", {"t": "inputs.text"}), step("b", "t: list[str] -> x", {"t": "a.n"})],
            '"t" does not fit: it is wired to a whole number, and wants a list',
        ),
        (
            [step("a", "t -> x", {"t": "inputs.text"}, foreach="[1]"), step("b", "t -> y", {"t": "a.x"})],
            '"t" does not fit: it is wired to a list, and wants text',
        ),
        ([step("a", "t -> x", {"t": "item"})], 'unknown name "item"'),
        ([step("a", "t -> x", {"t": "previous.a.x"})], 'unknown name "previous"'),
        (
            [{"step": "l", "loop": {"max": 2, "steps": [step("a", "t -> x", {"t": "first(previous.b.x, 'y')"})]}}],
            'the loop has no step "b"',
        ),
        (
            [step("a", "t -> x", {"t": "inputs.text"}, retrieve="r")],
            "a step does one thing, and here are retrieve: and signature:",
        ),
        ([{"step": "a", "set": {"x": "1"}, "k": 3}], "k: means nothing in a step with set:"),
        ([{"step": "a", "inputs": {"t": "inputs.text"}}], "nothing says what goes in and what comes out"),
        ([step("a", "t -> x", {"t": "inputs.text"}, on_error="default")], "on_error: default, and x has no default"),
        ([{"step": "a", "python": "f.py:f"}], 'nothing says what "a" gives'),
        ([{"step": "a", "retrieve": "r"}], 'nothing is wired to "query"'),
        ([step("a", "t -> x", {"t": "inputs.text"}, model="tsk")], 'no model is called "tsk"'),
        (
            [step("a", "t -> x", {"t": "inputs.text"}, **{"assert": ["self.y == 1"]})],
            'there is no "self.y"',
        ),
        ([{"step": "a", "program": "nowhere.yaml", "inputs": {}}], "there is no file nowhere.yaml"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said_with_its_place(pipeline, line, tmp_path):
    tree = {
        "version": 1, "models": {"task": "openai/t"}, "inputs": {"text": "string"}, "pipeline": pipeline,
    }  # fmt: skip
    spec, findings = load(json.dumps(tree, indent=1), file="spec.yaml", base=tmp_path, environment={})
    assert spec is None
    assert line in [finding.message for finding in findings]
    (found,) = [finding for finding in findings if finding.message == line][:1]
    assert found.position is not None
    assert found.position.line > 1
    assert found.path.startswith(("pipeline.", "outputs"))


def test_a_step_that_nothing_reads_is_a_warning():
    tree = {
        "version": 1, "models": {"task": "openai/t"}, "inputs": {"text": "string"},
        "pipeline": [step("a", "t -> x", {"t": "inputs.text"}), step("b", "t -> y", {"t": "inputs.text"})],
    }  # fmt: skip
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=FOLDER, environment={})
    assert spec is not None
    assert [(f.severity, f.message) for f in findings] == [("warning", 'nothing reads what "a" gives')]


@pytest.mark.parametrize("key", ["instructions", "signature", "demos", "keep", "freeze"])
def test_what_belongs_to_a_step_is_refused_beside_a_pipeline(key):
    tree = {
        "version": 1, "models": {"task": "openai/t"}, "inputs": {"text": "string"},
        "pipeline": [step("a", "t -> x", {"t": "inputs.text"})],
        key: {"signature": "a -> b", "keep": ["x"], "freeze": True, "demos": "none"}.get(key, "x"),
    }  # fmt: skip
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=FOLDER, environment={})
    assert spec is None
    assert f"{key}: at the top belongs to a spec of one step" in [f.message for f in findings]


def test_format_and_model_at_the_top_are_the_steps_defaults():
    spec = spec_of(
        [DIAMOND[0], {**DIAMOND[1], "model": "openai/big"}, DIAMOND[2]], format="json", model="openai/small"
    )
    assert [(s.format.name, s.model) for s in spec.steps] == [
        ("json", "openai/small"), ("json", "openai/big"), ("json", "openai/small"),
    ]  # fmt: skip


def test_a_row_without_a_value_that_an_expression_needs_fails_with_its_place():
    pipeline = [{"step": "half", "set": {"n": "10 / size(inputs.text)"}}]
    world = World(pipeline, upper)
    world.rows = list(inline_rows([{"text": ""}]))
    (record,) = world.run()
    assert (record.failure.kind, record.failure.message) == ("data", "half: set.n: a division by zero")
