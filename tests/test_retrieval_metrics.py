"""Metrics of passages, with figures worked by hand."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from promptc.runners.metrics.protocol import Case
from promptc.runners.metrics.registry import build
from promptc.runners.step_call import TraceStep
from promptc.spec.load import load

HITS = [
    {"id": "p1", "text": "Ada Lovelace wrote the first program.", "score": 3.0, "meta": {}},
    {"id": "p2", "text": "Charles Babbage built no engine.", "score": 2.0, "meta": {}},
    {"id": "p3", "text": "The engine, finished in 1991, weighs 5 tonnes.", "score": 1.0, "meta": {}},
]


class Nobody:
    """These metrics ask nothing of the outside."""


def score(entry, value, expected=UNSET, **case):
    metric = build(entry)
    return asyncio.run(metric.score(Case(value=value, expected=expected, **case), Nobody()))


def value(entry, found, expected=UNSET, **case):
    judged = score(entry, found, expected, **case)
    return None if judged is None else judged.value


IDS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("entry", "found", "expected", "worth"),
    [
        ("recall_at_k", IDS, ["a", "c"], 1.0),
        ({"recall_at_k": {"k": 2}}, IDS, ["a", "c"], 0.5),
        ({"recall_at_k": {"k": 2}}, IDS, ["c", "d", "e"], 0.0),
        ({"recall_at_k": {"k": 3}}, IDS, "c", 1.0),
        ({"recall_at_k": {"k": 1}}, ["a", "a", "b"], ["a", "b"], 0.5),
        ({"recall_at_k": {"k": 2}}, ["a", "a", "b"], ["a", "b"], 1.0),
        ("recall_at_k", HITS, ["p2", "p9"], 0.5),
        ("recall_at_k", [1, 2], [2], 1.0),
        ("recall_at_k", None, ["a"], 0.0),
        ("recall_at_k", [], "a", 0.0),
        ("recall_at_k", IDS, [], None),
        ("recall_at_k", IDS, UNSET, None),
        ("mrr", IDS, "a", 1.0),
        ("mrr", IDS, ["d", "c"], 1 / 3),
        ({"mrr": {"k": 2}}, IDS, "c", 0.0),
        ("mrr", HITS, "p2", 0.5),
        ("mrr", IDS, "z", 0.0),
        ("mrr", IDS, [], None),
        # one relevant at rank 2: 1 / log2(3)
        ("ndcg", IDS, ["b"], 1 / math.log2(3)),
        # relevant at ranks 1 and 3 of two: (1 + 1/2) / (1 + 1/log2(3))
        ("ndcg", IDS, ["a", "c"], 1.5 / (1 + 1 / math.log2(3))),
        # grades 3, 2, 0, 1 in this order: 3 + 2/log2(3) + 1/log2(5), of 3 + 2/log2(3) + 1/2
        (
            "ndcg",
            ["a", "b", "x", "c"],
            {"a": 3, "b": 2, "c": 1},
            (3 + 2 / math.log2(3) + 1 / math.log2(5)) / (3 + 2 / math.log2(3) + 0.5),
        ),
        ({"ndcg": {"k": 1}}, ["b", "a"], {"a": 3, "b": 1}, 1 / 3),
        ({"ndcg": {"k": 2}}, ["a", "b"], ["a", "b", "c"], 1.0),
        ("ndcg", IDS, {"z": 2, "a": 0}, 0.0),
        ("ndcg", IDS, {"a": 0}, None),
        ("passage_match", HITS, ["Grace Hopper", "ada  LOVELACE"], 1.0),
        ({"passage_match": {"k": 2}}, HITS, "1991", 0.0),
        ("passage_match", HITS, "1991", 1.0),
        ("passage_match", HITS, "love", 0.0),
        ("passage_match", ["the first program"], "first program", 1.0),
        ("passage_match", HITS, [], None),
        ("passage_match", [], "x", 0.0),
    ],
)
def test_passages_are_worth_what_is_worked_out_by_hand(entry, found, expected, worth):
    assert value(entry, found, expected) == (pytest.approx(worth) if worth is not None else None)


@pytest.mark.parametrize("name", ["recall_at_k", "mrr", "ndcg"])
@given(ids=st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=6, unique=True))
def test_finding_exactly_what_is_right_first_scores_1(name, ids):
    assert value(name, [*ids, "something else"], ids) == pytest.approx(1.0)


@given(
    found=st.lists(st.sampled_from("abcdef"), max_size=8),
    right=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True),
    k=st.integers(1, 8),
)
def test_scores_stay_within_bounds_and_more_passages_never_lower_recall(found, right, k):
    for name in ("recall_at_k", "mrr", "ndcg"):
        assert 0.0 <= value({name: {"k": k}}, found, right) <= 1.0
    assert value({"recall_at_k": {"k": k}}, found, right) <= value("recall_at_k", found, right)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "text", "x"]), inner),
)


@pytest.mark.parametrize("name", ["recall_at_k", "mrr", "passage_match", "grounded"])
@given(found=JSON, expected=JSON)
def test_whatever_a_model_or_a_row_holds_is_judged_or_left_out(name, found, expected):
    entry = {"grounded": {"passages": "context"}} if name == "grounded" else name
    if isinstance(expected, dict):
        expected = [expected]
    judged = score(entry, found, expected, row={"context": expected})
    assert judged is None or (0.0 <= judged.value <= 1.0 and judged.feedback)


@pytest.mark.parametrize(
    ("entry", "found", "expected", "said"),
    [
        ("recall_at_k", IDS, ["a", "z"], "missing `z`: found `a`, `b`, `c`, `d`, `e`"),
        ({"recall_at_k": {"k": 1}}, [], "a", "missing `a`: nothing was found"),
        ("mrr", IDS, "b", "`b` is at rank 2"),
        ("mrr", IDS, "z", "none of `z`: found `a`, `b`, `c`, `d`, `e`"),
        ("ndcg", IDS, ["c"], "ndcg 0.50: right ones at rank 3; found `a`, `b`, `c`, `d`, `e`"),
        ("passage_match", HITS, ["x"], "no passage holds `x`: found `p1`, `p2`, `p3`"),
        ("passage_match", HITS, ["engine"], "passage 2 holds the answer"),
    ],
)
def test_the_feedback_says_what_was_missed(entry, found, expected, said):
    assert score(entry, found, expected).feedback == said


def test_grades_that_are_no_numbers_are_the_golds_fault():
    with pytest.raises(ValueError, match="the grade of `a` is 'high'"):
        score("ndcg", IDS, {"a": "high"})


def retrieved(step, *hits):
    return TraceStep(predictor=step, kind="retrieve", outputs={"hits": list(hits)})


def test_a_steps_hits_are_judged_in_the_place_of_an_output():
    trace = (
        retrieved("search", HITS[0]),
        TraceStep(predictor="answer", outputs={"answer": "x"}),
        retrieved("other", {"id": "p9", "text": ""}),
        retrieved("search", HITS[0], HITS[2]),
    )
    entry = {"recall_at_k": {"step": "search", "k": 2}}
    assert value(entry, "an answer", ["p1", "p3"], trace=trace) == 1.0
    assert value({"mrr": {"step": "other"}}, None, "p1", trace=trace) == 0.0


@pytest.mark.parametrize(
    ("answer", "passages", "case", "worth"),
    [
        ("the first program", "hits", {"outputs": {"hits": HITS}}, 1.0),
        ("First, program!", "hits", {"outputs": {"hits": HITS}}, 1.0),
        ("a second program", "hits", {"outputs": {"hits": HITS}}, 0.0),
        ("5 tonnes", "context", {"row": {"context": ["weighs 5 tonnes"]}}, 1.0),
        ("5 tonnes", "search", {"trace": (retrieved("search", HITS[2]),)}, 1.0),
        ("5 tonnes", "search", {"trace": (retrieved("search"),)}, 0.0),
        (["1991", "Ada Lovelace"], "hits", {"outputs": {"hits": HITS}}, 1.0),
        (["1991", "Ada Byron"], "hits", {"outputs": {"hits": HITS}}, 0.0),
        ("", "hits", {"outputs": {"hits": HITS}}, None),
        (None, "hits", {"outputs": {"hits": HITS}}, None),
    ],
)
def test_an_answer_is_grounded_where_it_stands_in_a_passage(answer, passages, case, worth):
    assert value({"grounded": {"passages": passages}}, answer, **case) == worth


def test_grounded_names_what_stands_nowhere():
    judged = score({"grounded": {"passages": "hits"}}, ["1991", "Ada Byron"], outputs={"hits": HITS})
    assert judged.feedback == "`Ada Byron` stands in none of 3 passages of `hits`"


PIPELINE = """
version: 1
models: {task: embedded/icl}
data: {rows: [{q: x, a: y, ids: [d1]}]}
retrievers: {docs: {colbert: {url: "http://localhost:1/search"}}}
inputs: {q: string}
pipeline:
  - {step: search, retrieve: docs, inputs: {query: inputs.q}}
  - {step: answer, signature: "context: list[str], q -> a, b", inputs: {context: search.passages, q: inputs.q}}
metrics:
  - exact_match: {field: a}
  - exact_match: {field: b, name: second, expected: a}
"""


@pytest.mark.parametrize(
    ("metric", "messages"),
    [
        ("recall_at_k: {step: search, expected: ids}", []),
        ("recall_at_k: {step: serch, expected: ids}", ['no step called "serch" retrieves']),
        ("mrr: {step: answer, expected: ids}", ['no step called "answer" retrieves']),
        ("ndcg: {step: search}", ["ndcg: nothing says what the step should find"]),
        ("recall_at_k: {expected: ids}", ['the metric "recall_at_k" judges one output, and there are 2']),
        ("grounded: {field: a, passages: search}", []),
    ],
)
def test_a_metric_of_a_step_needs_that_step_and_gold(metric, messages, tmp_path):
    text = f"{PIPELINE}  - {metric}\n"
    _, findings = load(text, file="spec.yaml", base=tmp_path, environment={})
    assert [finding.message for finding in findings] == messages
