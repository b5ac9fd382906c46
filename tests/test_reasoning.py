"""Where a model's reasoning goes: a field of its own, the provider's own, or free text that another model reads."""

import itertools
import json

import pytest
from scripted import text
from test_modules import MALFORMED, SHAPES, TWO, World, asserting, spec_of, written

from promptc.optimizers.demos import traced_demos
from promptc.runners.build import build_program
from promptc.runners.models.request import CallFailed, Completion, Usage
from promptc.spec.model import Budget

FREE = "I would say that it is red, and there are three of them."


def two_step(free, extracted):
    """A task model that says the first, or what a list of it has in turn, and an extract model that says the second."""
    frees, founds = itertools.cycle(_listed(free)), itertools.cycle(_listed(extracted))

    def reply(request):
        if request.model != "extract":
            return next(frees)
        found = next(founds)
        return text(written(found)) if not isinstance(found, CallFailed) else found

    return reply


def _listed(value):
    return value if isinstance(value, list) else [value]


# chain_of_thought


def completion(outputs, reasoning=""):
    return Completion(text=written(outputs), reasoning=reasoning, usage=Usage(1, 1))


@pytest.mark.parametrize(
    ("outputs", "provided", "kept"),
    [
        ({"reasoning": "so", "label": "a"}, "", "so"),
        ({"label": "a"}, "", ""),
        ({"label": "a"}, " the provider's ", "the provider's"),
        ({"reasoning": "so", "label": "a"}, "the provider's", "so"),
    ],
)
def test_the_providers_reasoning_is_used_where_the_reply_has_none(outputs, provided, kept):
    world = World("chain_of_thought", lambda _: completion(outputs, provided))
    assert world.outputs == {"label": "a"}
    assert world.record.trace[0].outputs == {"reasoning": kept, "label": "a"}
    assert traced_demos(world.record)["main"].outputs["reasoning"] == kept


def test_no_other_field_takes_the_providers_reasoning():
    world = World("predict", lambda _: completion({"label": ""}, "thoughts"))
    assert world.outputs == {"label": ""}


def test_the_reasoning_field_has_a_name_and_a_description():
    module = {"chain_of_thought": {"field": "analysis", "description": "Weigh both sides."}}
    program = build_program(spec_of(module))
    start = program.start()
    shown = program.compile(start).messages("main", {"text": "x"})[0].content
    assert "1. `analysis` (string): Weigh both sides.\n" in shown
    texts = start.predictors["main"]
    changed = start.with_predictor("main", type(texts)(descriptions={"analysis": "Think of the rules."}))
    shown = program.compile(changed).messages("main", {"text": "x"})[0].content
    assert "1. `analysis` (string): Think of the rules.\n" in shown


def test_a_field_that_is_called_reasoning_already_keeps_its_name():
    world = World(
        "chain_of_thought", lambda _: {"reasoning2": "so", "reasoning": "r"}, signature="text -> reasoning"
    )
    assert world.outputs == {"reasoning": "r"}
    assert world.record.trace[0].outputs == {"reasoning2": "so", "reasoning": "r"}


# two_step


@pytest.mark.parametrize("shape", SHAPES)
def test_another_model_reads_the_fields_out_of_the_free_answer(shape):
    keys, right, _, _ = SHAPES[shape]
    world = World("predict", two_step(FREE, right), format="two_step", **keys)
    assert world.outputs == right
    asked, read = world.asked
    assert (asked.model, read.model) == ("task", "extract")
    assert FREE in read.messages[-1].content
    assert "row 0" not in read.messages[-1].content
    [step] = world.record.trace
    assert (step.predictor, step.outputs, step.reply, step.reasks) == ("main", right, FREE, 0)


def test_both_calls_count_under_their_own_role():
    frees = [f"{FREE} ({n})" for n in range(3)]
    world = World("predict", two_step(frees, {"label": "red"}), format="two_step", rows=3)
    assert {role: amount.calls for role, amount in world.by_role.items()} == {"extract": 3, "task": 3}
    assert world.program.calls() == world.program.extractions() == (1, 1)


def test_the_free_answer_is_the_reasoning():
    world = World("chain_of_thought", two_step(FREE, {"label": "red"}), format="two_step")
    assert world.outputs == {"label": "red"}
    assert world.record.trace[0].outputs == {"reasoning": FREE, "label": "red"}
    assert "reasoning" not in world.asked[1].messages[0].content


def test_what_cannot_be_extracted_is_asked_again_of_the_model_that_extracts():
    world = World("predict", two_step(FREE, [MALFORMED, {"label": "red"}]), format="two_step")
    assert world.outputs == {"label": "red"}
    assert [request.model for request in world.asked] == ["task", "extract", "extract"]
    assert (world.record.reasks, world.record.trace[0].reasks) == (1, 1)


def test_a_failed_check_goes_to_the_model_that_answered():
    reply = two_step(["blue, I think", FREE], [{"label": "blue"}, {"label": "red"}])
    world = World("predict", reply, format="two_step", **asserting("self.label == 'red'"))
    assert world.outputs == {"label": "red"}
    assert [request.model for request in world.asked] == ["task", "extract", "task", "extract"]
    assert "must: self.label == 'red'" in world.asked[2].messages[-1].content


@pytest.mark.parametrize(
    ("free", "extracted", "asked", "kind"),
    [
        (FREE, MALFORMED, 4, "parse"),
        (" ", {"label": "red"}, 3, "parse"),
        ([" ", FREE], MALFORMED, 4, "parse"),
        (FREE, CallFailed("the server is away"), 2, "provider"),
        (CallFailed("the server is away"), {"label": "red"}, 1, "provider"),
    ],
)
def test_a_row_that_ends_without_fields_fails_within_its_retries(free, extracted, asked, kind):
    world = World("predict", two_step(free, extracted), format="two_step")
    assert (world.record.failure.kind, len(world.asked)) == (kind, asked)


def test_a_suggestion_keeps_the_answer_when_the_next_one_cannot_be_read():
    reply = two_step(FREE, [{"label": "blue"}, MALFORMED])
    world = World("predict", reply, format="two_step", **asserting("self.label == 'red'", suggest=True))
    assert world.outputs == {"label": "blue"}


def test_the_worst_case_of_both_calls_is_a_wall():
    """With room for one row's worst case, a second row is not begun."""
    most = 2 * (1 + 2)
    reply = two_step(FREE, {"label": "red"})
    world = World("predict", reply, format="two_step", rows=8, budget=Budget(calls=most + 1))
    assert world.spent.calls <= most + 1
    assert {r.failure.kind for r in world.records if r.failure} == {"budget"}


@pytest.mark.parametrize("inner", ["predict", {"majority": {"n": 3}}])
def test_the_same_comes_out_with_any_number_of_workers_and_in_replay(inner, tmp_path):
    def reply(request):
        if request.model != "extract":
            return f"{request.messages[-1].content[-1]} of sample {request.rollout}"
        return {"label": request.messages[-1].content.split("[[ ## text ## ]]\n")[1][:1]}

    results = []
    for workers in (1, 8, 64):
        path = tmp_path / f"{workers}.sqlite"
        first = World(inner, reply, format="two_step", rows=6, workers=workers, shuffle=workers, path=path)
        again = World(inner, lambda _: CallFailed("asked again"), format="two_step", rows=6, path=path)
        assert again.asked == []
        assert first.records == again.records
        results.append(first.records)
    assert results[0] == results[1] == results[2]


def test_the_plan_counts_both_calls(workplace):
    workplace.write_spec(
        format="two_step",
        module={"majority": {"module": "predict", "n": 3}},
        optimizer="bootstrap_random_search",
    )
    done = workplace.run("plan", "--json")
    assert done.code == 0, done
    eval_, search = (forecast["calls"] for forecast in done.document["forecasts"])
    assert eval_ == {"task": [54, 54], "extract": [54, 54]}
    assert search["extract"] == [a + b for a, b in zip(search["task"], search["teacher"], strict=True)]


def test_a_run_with_two_models_is_counted_by_role(workplace):
    def reply(body):
        if "Read the output fields" in body["messages"][0]["content"]:
            return written({"label": "positive"})
        return f"lovely, so positive: {body['messages'][-1]['content'][-5:]}"

    workplace.server.reply = reply
    workplace.write_spec(format="two_step", metrics=["exact_match"])
    done = workplace.run("eval", "--json", "-o", "run")
    assert done.code == 0, done
    assert {role: cost["calls"] for role, cost in done.document["cost"].items()} == {
        "extract": 18,
        "task": 18,
    }
    lines = [json.loads(line) for line in (workplace.folder / "run/rows.jsonl").read_text().splitlines()]
    assert all(line["steps"][0]["reply"].startswith("lovely, so positive") for line in lines)


def test_two_step_shows_demos_as_free_answers():
    program = build_program(
        spec_of("predict", format="two_step", **TWO, demos=[{"text": "t", "label": "red", "count": 3}])
    )
    messages = program.compile(program.start()).messages("main", {"text": "x"})
    assert [m.content for m in messages[1:3]] == ["[[ ## text ## ]]\nt", "label: red\ncount: 3"]
