"""The metrics of tools: what was called on the way to an answer."""

import asyncio

import pytest

from promptc.runners.candidate import Called, Turn
from promptc.runners.metrics.protocol import Case
from promptc.runners.metrics.registry import build
from promptc.runners.step_call import TraceStep


def called(name, failed=False, **arguments):
    return Called(tool=name, arguments=arguments, result="…", failed=failed)


def trace(*turns, predictor="main", kept=True):
    return TraceStep(predictor=predictor, kept=kept, turns=tuple(Turn(calls=tuple(calls)) for calls in turns))


def scored(metric, *steps, **case):
    return asyncio.run(build(metric).score(Case(value="x", trace=steps, **case), None))


PARIS, ROME = called("weather", city="Paris"), called("weather", city="Rome")
SUM = called("calculate", expression="1 + 1")
LOST = called("weather", failed=True, city="Paris")


@pytest.mark.parametrize(
    ("parameters", "calls", "value", "feedback"),
    [
        ({}, [PARIS], 1, "weather was called once"),
        ({}, [SUM], 0, "weather was called never, expected at least once"),
        (
            {},
            [LOST],
            0,
            "weather was called never, and once otherwise or without success, expected at least once",
        ),
        ({"failed": True}, [LOST], 1, "weather was called once"),
        (
            {"arguments": {"city": "Rome"}},
            [PARIS, ROME],
            1,
            'weather was called once with {"city":"Rome"}, and once',
        ),
        (
            {"min": 2},
            [PARIS, SUM],
            0,
            "weather was called once, expected at least twice",
        ),
        ({"max": 1}, [PARIS, ROME], 0, "weather was called twice, expected once"),
        ({"min": 0, "max": 3}, [], 1, "weather was called never"),
        ({"min": 0, "max": 0}, [PARIS], 0, "weather was called once, expected never"),
    ],
)
def test_a_tool_has_to_be_called(parameters, calls, value, feedback):
    score = scored({"tool_called": {"tool": "weather", **parameters}}, trace(calls))
    assert (score.value, score.feedback[: len(feedback)]) == (value, feedback)


def test_calls_of_runs_that_were_not_taken_do_not_count():
    steps = (trace([PARIS], kept=False), trace([SUM]))
    assert scored({"tool_called": {"tool": "weather"}}, *steps).value == 0


def test_calls_may_be_those_of_one_step():
    steps = (
        trace([PARIS], predictor="look"),
        trace([SUM], predictor="look.inner"),
        trace([ROME], predictor="last"),
    )
    assert scored({"tool_called": {"tool": "weather", "step": "look", "min": 1, "max": 1}}, *steps).value == 1
    assert scored({"tool_called": {"tool": "calculate", "step": "look"}}, *steps).value == 1
    assert scored({"tool_called": {"tool": "calculate", "step": "last"}}, *steps).value == 0


@pytest.mark.parametrize(
    ("parameters", "gold", "value"),
    [
        ({}, ["weather", "calculate"], 1),
        ({}, ["calculate", "weather"], 0.5),
        ({"match": "any_order"}, ["calculate", "weather"], 1),
        ({"match": "exact"}, ["weather", "calculate"], 1),
        ({"match": "exact"}, ["calculate", "weather"], 0),
        ({"match": "exact"}, ["weather"], 0),
        ({}, ["weather"], pytest.approx(2 / 3)),
        ({"extra": "ignore"}, ["weather"], 1),
        ({}, ["weather", "calculate", "mail"], pytest.approx(0.8)),
        ({}, [{"tool": "weather", "arguments": {"city": "Paris"}}, "calculate"], 1),
        ({}, [{"tool": "weather", "arguments": {"city": "Rome"}}, "calculate"], 0.5),
        ({}, "weather", pytest.approx(2 / 3)),
        ({}, [], 0),
        ({"extra": "ignore"}, [], 1),
    ],
)
def test_the_calls_are_held_against_the_gold(parameters, gold, value):
    score = scored({"trajectory": parameters}, trace([PARIS], [SUM]), expected=gold)
    assert score.value == value


def test_an_expected_call_is_counted_once_and_a_failed_call_not_at_all():
    score = scored(
        {"trajectory": {"match": "any_order"}}, trace([LOST, PARIS]), expected=["weather", "weather"]
    )
    assert score.value == pytest.approx(2 / 3)
    assert score.feedback == "called weather; expected weather, weather"


def test_the_one_with_arguments_chooses_first():
    gold = ["weather", {"tool": "weather", "arguments": {"city": "Paris"}}]
    assert scored({"trajectory": {"match": "any_order"}}, trace([PARIS, ROME]), expected=gold).value == 1


@pytest.mark.parametrize("gold", [3, [3], [{"name": "x"}], [{"tool": 1}]])
def test_a_gold_that_is_no_list_of_calls_is_an_error(gold):
    with pytest.raises(ValueError, match="a call is the name of a tool"):
        scored({"trajectory": {}}, trace([PARIS]), expected=gold)


def test_without_gold_it_abstains():
    assert scored({"trajectory": {}}, trace([PARIS])) is None
    assert [build({"trajectory": {"match": m}}).binary for m in ("exact", "in_order")] == [True, False]
