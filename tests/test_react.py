"""`react`: what is said and read in a conversation with tools, what comes of calls, and that it replays."""

import contextlib
import itertools
import json

import msgspec
import pytest
from scripted import KilledError
from test_modules import MALFORMED, SHAPES
from tooling import World, calling, in_turn, laid_out, native, spec_with_tools

from promptc.optimizers.demos import traced_demos
from promptc.runners.build import build_program
from promptc.runners.candidate import Called, Demo, PredictorTexts, Turn
from promptc.runners.models.request import CallFailed, Completion, Message
from promptc.runners.talk import NativeCalls, WrittenCalls
from promptc.runners.tools.calculator import Calculator
from promptc.spec.errors import SpecError
from promptc.spec.model import Budget

CALCULATE = {"calculate": "calculator"}
SUM = ("calculate", {"expression": "2 + 3"})
PRODUCT = ("calculate", {"expression": "2 * 3"})
FAIL = ("calculate", {"expression": "1 / 0"})
WAYS = {"written": (calling, False), "native": (native, True)}
by_way = pytest.mark.parametrize(("call", "natively"), WAYS.values(), ids=WAYS)


def contents(request, start=2):
    return [(m.role, m.content) for m in request.messages[start:]]


# Every format, shape and way


@by_way
@pytest.mark.parametrize("format_", ["chat", "json", "xml", "two_step"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_comes_out_in_every_shape_and_format(shape, format_, call, natively):
    keys, right, _, _ = SHAPES[shape]

    def reply(request):
        if request.model == "extract":
            return laid_out(right)
        if len(request.messages) == 2:
            return call(SUM, said="I add first.")
        if len(request.messages) < 5:
            return MALFORMED if format_ != "two_step" else "It is what it is."
        return laid_out(right, format_)

    world = World("react", CALCULATE, reply, native=natively, format=format_, **keys)
    assert world.record.failure is None
    assert world.outputs == right
    assert world.calls == [("calculate", {"expression": "2 + 3"}, "5", False)]
    [step] = world.record.trace
    assert step.turns == (Turn(text="I add first.", calls=(called("2 + 3", "5"),)),)
    assert traced_demos(world.record)["main"].turns == step.turns


def called(expression, result, failed=False):
    return Called(tool="calculate", arguments={"expression": expression}, result=result, failed=failed)


# What is sent


def test_written_calls_are_explained_after_the_formats_own_text():
    world = World("react", CALCULATE, in_turn(calling(SUM), {"answer": "5"}))
    system = world.asked[0].messages[0].content
    assert "All interactions follow this layout:" in system
    assert system.endswith("Once you know enough, answer in the layout above.")
    assert "\n- calculate(expression: string): Works out an arithmetic expression." in system
    assert '```tools\n{"tool": "calculate", "arguments": {"expression": "…"}}\n```' in system
    assert world.asked[0].params == {}


def test_native_calls_are_parameters_and_nothing_is_written_about_them():
    world = World("react", CALCULATE, in_turn(native(SUM), {"answer": "5"}), native=True)
    first, second = world.asked
    assert "tools" not in first.messages[0].content
    [tool] = first.params["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "calculate"
    assert tool["function"]["parameters"]["required"] == ["expression"]
    assert second.params == first.params
    assert [m.role for m in second.messages] == ["system", "user", "assistant", "tool"]
    [call] = second.messages[2].tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("call00001", *SUM)
    assert (second.messages[3].content, second.messages[3].tool_call_id) == ("5", "call00001")


@pytest.mark.parametrize(("choice", "knows", "is_native"), [
    ("auto", True, True), ("auto", False, False), ("native", False, True), ("written", True, False),
])  # fmt: skip
def test_the_spec_may_say_how_tools_are_called(choice, knows, is_native):
    replies = in_turn({"answer": "5"})
    world = World({"react": {"tool_calls": choice}}, CALCULATE, replies, native=knows)
    assert ("tools" in world.asked[0].params) == is_native


@by_way
def test_the_conversation_grows_at_its_end_only(call, natively):
    """Each request begins with the bytes of the one before it."""
    replies = in_turn(call(SUM), call(PRODUCT, FAIL), call(SUM, said="Once more."), {"answer": "5"})
    world = World("react", CALCULATE, replies, native=natively)
    assert len(world.asked) == 4
    encoded = [msgspec.json.encode(request.messages).rstrip(b"]") for request in world.asked]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(encoded))


def test_native_ids_go_on_through_the_conversation():
    replies = in_turn(native(SUM, PRODUCT), native(SUM), {"answer": "5"})
    world = World("react", CALCULATE, replies, native=True)
    ids = [call.id for m in world.asked[-1].messages for call in m.tool_calls]
    assert ids == ["call00001", "call00002", "call00003"]
    assert [m.tool_call_id for m in world.asked[-1].messages if m.role == "tool"] == ids


@by_way
def test_a_json_answer_is_enforced_only_when_nothing_may_be_called_any_more(call, natively):
    replies = in_turn(call(SUM), call(SUM), {"answer": "5"})
    world = World({"react": {"max_turns": 2}}, CALCULATE, replies, native=natively, format="json")
    assert ["response_format" in request.params for request in world.asked] == [False, False, True]


# What comes of calls


@by_way
def test_several_calls_in_a_turn_come_back_in_their_order(call, natively):
    world = World("react", CALCULATE, in_turn(call(SUM, PRODUCT, FAIL), {"answer": "5"}), native=natively)
    assert [result for _, _, result, _ in world.calls] == ["5", "6", "'1 / 0' divides by zero"]
    assert [failed for _, _, _, failed in world.calls] == [False, False, True]


MISTAKES = {
    "an unknown tool": (("calculat", {}), 'there is no tool calculat; did you mean "calculate"?'),
    "a missing argument": (("calculate", {}), "`arguments`: lacks the property `expression`."),
    "a wrong type": (("calculate", {"expression": 3}), "`arguments.expression`: expected string, got 3."),
    "one too many": (
        ("calculate", {"expression": "1", "x": 1}),
        "`arguments`: has `x`, which does not belong there.",
    ),
}


@by_way
@pytest.mark.parametrize(("wrong", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_to_the_model(wrong, said, call, natively):
    world = World("react", CALCULATE, in_turn(call(wrong), {"answer": "5"}), native=natively)
    [(_, _, result, failed)] = world.calls
    assert (result, failed) == (said, True)
    last = world.asked[1].messages[-1].content
    assert last == (f"Error: {said}" if natively else f"{wrong[0]} failed:\n{said}")


def test_native_arguments_that_are_no_json_are_told_to_the_model():
    world = World("react", CALCULATE, in_turn(native(("calculate", '{"a":')), {"answer": "5"}), native=True)
    [(_, arguments, result, failed)] = world.calls
    assert (arguments, failed) == ('{"a":', True)
    assert result.startswith("not JSON:")


def test_a_long_result_is_cut():
    power = calling(("calculate", {"expression": "2 ** 1000"}))
    world = World({"react": {"max_result": 100}}, CALCULATE, in_turn(power, {"answer": "x"}))
    [(_, _, result, _)] = world.calls
    assert result == f"{str(2**1000)[:100]}… (202 more characters)"


# How it ends


@by_way
def test_after_the_last_turn_it_has_to_answer(call, natively):
    replies = in_turn(call(SUM), call(SUM), {"answer": "5"})
    world = World({"react": {"max_turns": 2}}, CALCULATE, replies, native=natively)
    assert world.outputs == {"answer": "5"}
    assert world.program.calls() == (1, 3)
    last = world.asked[-1]
    assert last.messages[-1].role == "user"
    assert last.messages[-1].content.endswith("No more tools: answer now, with what you know.")
    assert last.params.get("tool_choice") == ("none" if natively else None)


@by_way
def test_who_calls_on_when_nothing_is_left_is_asked_again_and_fails(call, natively):
    world = World({"react": {"max_turns": 1}}, CALCULATE, in_turn(call(SUM)), native=natively, format="json")
    assert world.record.failure.kind == "parse"
    assert len(world.asked) == 1 + 1 + 2


def test_an_answer_at_once_takes_one_call():
    world = World("react", CALCULATE, in_turn({"answer": "5"}))
    assert (len(world.asked), world.calls, world.outputs) == (1, [], {"answer": "5"})


def test_a_block_that_cannot_be_read_is_asked_for_again():
    world = World(
        "react", CALCULATE, in_turn("```tools\ncalculate 2 + 3\n```", calling(SUM), {"answer": "5"})
    )
    assert world.outputs == {"answer": "5"}
    assert "The block holds no call" in world.asked[1].messages[-1].content
    assert world.record.reasks == 1
    assert "holds no call" not in "".join(m.content for m in world.asked[2].messages)


@pytest.mark.parametrize(
    "written",
    [
        '```tools\n{"tool": "calculate", "arguments": {"expression": "2 + 3"}}\n```\nResult of calculate:\n7',
        '```tool\n[{"tool": "calculate", "arguments": {"expression": "2 + 3"}}]\n```',
        '```tools\n{"tool": "calculate",\n "arguments": {"expression": "2 + 3"}}\n```',
        '```tools\n{"tool": "calculate", "arguments": {"expression": "2 + 3"}},',
        'Sure.\n```json\n{"tool": "calculate", "arguments": {"expression": "2 + 3"}}\n```',
        '{"tool": "calculate", "arguments": {"expression": "2 + 3"}}',
        '<think>Hm {"tool": "x"}</think>```tools\n{"tool": "calculate", "arguments": {"expression": "2 + 3"}}\n```',
    ],
)
def test_calls_are_read_however_they_are_written(written):
    world = World("react", CALCULATE, in_turn(written, {"answer": "5"}))
    assert [(tool, result) for tool, _, result, _ in world.calls] == [("calculate", "5")]


def test_an_answer_that_speaks_of_a_tool_is_an_answer():
    answer = 'Use {"tool": "hammer"} or {"tool": "calculator", "arguments": {}}.'
    world = World("react", CALCULATE, in_turn({"answer": answer}))
    assert world.outputs == {"answer": answer}


def test_assertions_hold_for_the_answer():
    check = {"assert": [{"check": "self.answer == '5'", "message": "Say 5."}]}
    world = World("react", CALCULATE, in_turn(calling(SUM), {"answer": "six"}, {"answer": "5"}), **check)
    assert world.outputs == {"answer": "5"}
    assert "Say 5." in world.asked[2].messages[-1].content
    assert world.record.trace[0].notes == ("Say 5.",)


def test_a_provider_that_fails_in_the_middle_fails_the_row():
    world = World("react", CALCULATE, in_turn(calling(SUM), CallFailed("the server is away")))
    assert (world.record.failure.kind, world.record.trace) == ("provider", ())


# Too long


@by_way
def test_where_the_prompt_becomes_too_long_the_oldest_results_are_left_out(call, natively):
    def reply(request):
        shown = sum(
            m.content.count("25") + m.content.count("36") + m.content.count("49") for m in request.messages
        )
        roles = [m.role for m in request.messages].count("assistant")
        if shown > 1:
            return CallFailed("too many tokens", kind="context")
        turns = [call(("calculate", {"expression": f"{n} * {n}"})) for n in (5, 6, 7)]
        return [*turns, {"answer": "done"}][roles]

    world = World("react", CALCULATE, reply, native=natively)
    assert world.outputs == {"answer": "done"}
    assert world.record.trace[0].notes == ("too long: the results of the first 2 turns were left out",)
    assert [result for _, _, result, _ in world.calls] == ["25", "36", "49"]
    assert "left out" in world.asked[-1].messages[3].content


def test_what_is_too_long_without_any_result_fails_the_row():
    world = World("react", CALCULATE, lambda _: CallFailed("too many tokens", kind="context"))
    assert (world.record.failure.kind, len(world.asked)) == ("context", 1)


# Demos


@by_way
def test_demos_show_the_turns_that_they_took(call, natively):
    turns = (Turn(text="I add.", calls=(called("1 + 1", "2"), called("1 / 0", "no", failed=True))),)
    demo = Demo(inputs={"text": "one and one"}, outputs={"answer": "2"}, turns=turns, source="bootstrapped")
    plain = Demo(inputs={"text": "hello"}, outputs={"answer": "hi"})

    def with_demos(start):
        return start.with_predictor("main", PredictorTexts(demos=(demo, plain)))

    world = World("react", CALCULATE, in_turn({"answer": "5"}), native=natively, candidate=with_demos)
    messages = world.asked[0].messages
    tool_roles = ["tool", "tool"] if natively else ["user"]
    expected = ["system", "user", "assistant", *tool_roles, "assistant", "user", "assistant", "user"]
    assert [m.role for m in messages] == expected
    assert messages[1].content == "[[ ## text ## ]]\none and one"
    assert messages[2].content.startswith("I add.")
    assert "[[ ## answer ## ]]\n2" in messages[len(tool_roles) + 3].content


def test_a_template_with_a_place_for_demos_shows_them_without_turns():
    demo = Demo(inputs={"text": "a"}, outputs={"answer": "b"}, turns=(Turn(text="hm"),))
    template = {"template": {"text": "{{ instructions }}\n{{ demos }}\n\nText: {{ text }}\nAnswer:"}}
    world = World(
        "react",
        CALCULATE,
        in_turn("5"),
        format=template,
        candidate=lambda start: start.with_predictor("main", PredictorTexts(demos=(demo,))),
    )
    system, user = world.asked[0].messages
    assert system.role == "system"
    assert "Before you answer you may call these tools" in system.content
    assert user.content.count("Text: ") == 2


def test_a_candidate_may_say_of_a_tool_what_it_likes():
    def described(start):
        return start.with_predictor("main", PredictorTexts(descriptions={"tools.calculate": "Sums up."}))

    world = World("react", CALCULATE, in_turn({"answer": "5"}), candidate=described)
    assert "- calculate(expression: string): Sums up.\n" in world.asked[0].messages[0].content


# Inside and around


def test_it_can_be_run_several_times_by_other_modules():
    def reply(request):
        if len(request.messages) == 2:
            return calling(("calculate", {"expression": f"{request.rollout} + 1"}))
        return {"answer": request.messages[-1].content[-1]}

    module = {"majority": {"module": {"react": {"max_turns": 2}}, "n": 3}}
    world = World(module, CALCULATE, reply)
    assert world.outputs == {"answer": "1"}
    assert world.program.calls() == (3, 9)
    assert sorted(c[2] for c in world.calls) == ["1", "2", "3"]
    assert [step.kept for step in world.record.trace] == [False, False, True]


def test_a_tool_that_is_not_there_is_an_error_of_the_spec():
    with pytest.raises(SpecError) as caught:
        build_program(spec_with_tools({"react": {"tools": ["calculat"]}}, CALCULATE))
    assert caught.value.diagnostics[0].message == 'no tool is called "calculat"; did you mean "calculate"?'


def test_only_the_named_tools_are_offered():
    tools = {"sums": "calculator", "products": "calculator"}
    world = World({"react": {"tools": ["products"]}}, tools, in_turn({"answer": "5"}))
    assert "products(" in world.asked[0].messages[0].content
    assert "sums(" not in world.asked[0].messages[0].content


def test_without_any_tool_it_answers_at_once():
    world = World("react", {}, in_turn({"answer": "5"}))
    assert (len(world.asked), world.outputs) == (1, {"answer": "5"})
    assert "tools" not in world.asked[0].messages[0].content


# Replay


def adding(request):
    """Adds what the row's number says, turn after turn, then answers with the last sum."""
    turns = [m.role for m in request.messages].count("assistant")
    row = int(request.messages[1].content.split("row ")[1].split()[0])
    if turns <= row % 3:
        return calling(
            ("calculate", {"expression": f"{row} + {turns}"}), ("calculate", {"expression": "1 / 0"})
        )
    return {"answer": request.messages[-1].content.split("\n")[1]}


def test_the_same_comes_out_with_any_number_of_workers_and_in_replay(tmp_path):
    results = []
    for workers in (1, 8, 64):
        path = tmp_path / f"{workers}.sqlite"
        first = World("react", CALCULATE, adding, rows=9, workers=workers, shuffle=workers, path=path)
        again = World("react", CALCULATE, lambda _: CallFailed("asked again"), rows=9, path=path)
        assert again.asked == []
        assert msgspec.json.encode(first.records) == msgspec.json.encode(again.records)
        results.append(msgspec.json.encode(first.records))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("die_after", [1, 4, 9])
def test_a_killed_run_goes_on_where_it_was(tmp_path, die_after):
    whole = World("react", CALCULATE, adding, rows=6)
    path = tmp_path / "journal.sqlite"
    with contextlib.suppress(KilledError):
        World("react", CALCULATE, adding, rows=6, path=path, die_after=die_after, workers=2)
    resumed = World("react", CALCULATE, adding, rows=6, path=path)
    assert resumed.records == whole.records
    assert len(resumed.asked) <= len(whole.asked) - die_after + 2


def test_a_budget_is_a_wall_within_a_conversation():
    world = World("react", CALCULATE, adding, rows=6, budget=Budget(calls=7))
    assert world.spent.calls <= 7
    assert {r.failure.kind for r in world.records if r.failure} == {"budget"}


# The talks alone


@pytest.mark.parametrize("talk", [NativeCalls(()), WrittenCalls(())])
def test_without_functions_there_is_nothing_to_say(talk):
    assert (talk.system(), talk.params(final=False), talk.params(final=True)) == ("", {}, {})


def test_a_written_turn_reads_back_as_it_was_said():
    talk = WrittenCalls(Calculator().offered("calculate", None))
    turn = Turn(text="First.", calls=(called("1 + 1", "2"), called('"a" ```', "no", failed=True)))
    said, _ = talk.turn(turn, 0)
    assert said.role == "assistant"
    prose, calls = talk.read(None, Completion(text=said.content))
    assert prose == "First."
    assert [(c.name, json.loads(c.arguments)) for c in calls] == [(c.tool, c.arguments) for c in turn.calls]


def test_results_stand_in_one_message_that_says_what_failed():
    talk = WrittenCalls(())
    _, results = talk.turn(Turn(calls=(called("1", "1"), called("x", "no", failed=True))), 0)
    assert results == Message("user", "Result of calculate:\n1\n\ncalculate failed:\nno")
