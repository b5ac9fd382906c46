"""Scripted and recorded replies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from transports import Opened, asked

from promptc.runners.models.request import CallFailed, Completion, Message, Request
from promptc.runners.models.transports.script import read_script
from promptc.spec.errors import DataError
from promptc.spec.model import Model

APPLES = "Tom has 3 apples and buys 9. How many apples?"


def scripted(folder: Path, rules: list[dict[str, Any]], request: Request) -> str:
    path = folder / "replies.jsonl"
    path.write_text("\n".join(json.dumps(rule) for rule in rules) + "\n\n")

    async def work() -> Completion:
        model = Model(model="embedded/script", params={"script": "replies.jsonl"})
        async with Opened(model, base=str(folder)) as transport:
            return await transport.complete(request)

    completion = asyncio.run(work())
    assert (completion.cost, completion.served_model) == (0.0, "embedded/script")
    assert completion.usage.input_tokens > 0
    return completion.text


@pytest.mark.parametrize(
    ("rules", "reply"),
    [
        ([{"match": "apples", "reply": "12"}], "12"),
        ([{"match": "pears", "reply": "1"}, {"match": "apples", "reply": "12"}], "12"),
        ([{"regex": r"\b3 apples\b", "reply": "12"}], "12"),
        (
            [
                {"regex": r"^Tom", "system": "queue", "reply": "no"},
                {"match": "Tom", "system": "route", "reply": "yes"},
            ],
            "yes",
        ),
        ([{"default": "?"}, {"match": "apples", "reply": "12"}], "12"),
        ([{"match": "pears", "reply": "1"}, {"default": "?"}], "?"),
        ([{"default": "no", "system": "queue"}, {"default": "yes"}], "yes"),
        ([{"match": "", "reply": "anything"}], "anything"),
    ],
)
def test_the_first_rule_that_fits_answers(tmp_path, rules, reply):
    assert scripted(tmp_path, rules, asked(APPLES)) == reply


@pytest.mark.parametrize(("rollout", "reply"), [(0, "a"), (1, "b"), (2, "c"), (3, "a"), (10**12 + 1, "c")])
def test_rollouts_walk_through_the_replies(tmp_path, rollout, reply):
    rules = [{"match": "apples", "reply": ["a", "b", "c"]}]
    assert scripted(tmp_path, rules, asked(APPLES, rollout=rollout)) == reply


def conversation(*turns: str) -> Request:
    roles = ("user", "assistant") * len(turns)
    messages = tuple(Message(role, text) for role, text in zip(roles, turns, strict=False))
    return Request(model="embedded/script", messages=(Message("system", "s"), *messages))


@pytest.mark.parametrize(
    ("turns", "reply"),
    [
        ((APPLES,), "twelve"),
        ((APPLES, "twelve", "That is not a number. Answer again."), "12"),
        ((APPLES, "twelve", "Not a number.", "12", "Still wrong."), "twelve"),
        (("demo apples", "another answer", "a row that no rule fits"), "nothing fits"),
    ],
)
def test_a_re_ask_is_answered_by_the_rule_that_answered_before(tmp_path, turns, reply):
    rules = [{"match": "apples", "reply": ["twelve", "12"]}, {"default": "nothing fits"}]
    assert scripted(tmp_path, rules, conversation(*turns)) == reply


FIELDS = {"reasoning": "3 + 9", "answer": 12, "tags": ["a"]}


@pytest.mark.parametrize(
    ("system", "reply"),
    [
        ("Answer with a JSON object.", '{"reasoning":"3 + 9","answer":12,"tags":["a"]}'),
        (
            "Write [[ ## answer ## ]] and end with [[ ## completed ## ]].",
            "[[ ## reasoning ## ]]\n3 + 9\n\n[[ ## answer ## ]]\n12\n\n"
            '[[ ## tags ## ]]\n["a"]\n\n[[ ## completed ## ]]',
        ),
        (
            "Answer within <answer> tags.",
            '<reasoning>\n3 + 9\n</reasoning>\n<answer>\n12\n</answer>\n<tags>\n["a"]\n</tags>',
        ),
        ("Just answer.", 'reasoning: 3 + 9\nanswer: 12\ntags: ["a"]'),
    ],
)
def test_fields_are_written_in_the_format_that_is_asked_for(tmp_path, system, reply):
    request = Request(model="m", messages=(Message("system", system), Message("user", APPLES)))
    assert scripted(tmp_path, [{"match": "apples", "reply": FIELDS}], request) == reply


def test_a_request_that_no_rule_fits_names_the_nearest(tmp_path):
    rules = [{"match": "How many pears?", "reply": "1"}, {"match": "How many appels?", "reply": "12"}]
    with pytest.raises(CallFailed) as failed:
        scripted(tmp_path, rules, asked(APPLES))
    assert "no rule of replies.jsonl fits" in failed.value.message
    assert "the nearest is rule 2, 'How many appels?'" in failed.value.message
    assert not failed.value.retryable


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not a rule of a script"),
        ('"text"', "not a rule of a script"),
        ('{"match": "a", "replies": "b"}', "unknown field `replies`"),
        ('{"match": 3, "reply": "b"}', "Expected `str | null`, got `int`"),
        ('{"regex": "(", "reply": "b"}', "not a rule of a script: missing )"),
        ('{"match": "a"}', "a rule needs a reply"),
        ('{"match": "a", "reply": []}', "a rule needs a reply"),
        ('{"reply": "b"}', "use default for everything else"),
        ('{"match": "a", "default": "b"}', "a default has no match or regex"),
        ('{"reply": "a", "default": "b"}', "not both"),
        ("\udce4".encode("utf-8", "surrogateescape").decode("latin-1"), "not a rule of a script"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path, line, problem):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"default": "x"}\n\n' + line.encode("latin-1"))
    with pytest.raises(DataError) as failed:
        read_script(path)
    assert problem in failed.value.message
    assert failed.value.line == 3


def test_an_empty_script_is_an_error(tmp_path):
    (tmp_path / "s.jsonl").write_text("\n")
    with pytest.raises(DataError, match="has no rules"):
        read_script(tmp_path / "s.jsonl")


def test_replay_answers_from_the_record_and_lists_what_is_missing():
    known = asked("known", model="x")
    record = {known.key(): Completion(text="recorded", cost=0.5)}
    opened = Opened(Model(model="x", transport="replay"), recorded=record.get)

    async def work() -> tuple[Completion, CallFailed]:
        async with opened as transport:
            found = await transport.complete(known)
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked("unknown", model="x"))
            return found, failed.value

    found, failure = asyncio.run(work())
    assert (found.text, found.cost) == ("recorded", 0.5)
    assert failure.message == "x: not recorded: a request that ends in 'unknown'"
    assert (failure.retryable, failure.hint) == (False, "run once without --offline")
    assert opened.transport.missing == [asked("unknown", model="x")]  # type: ignore[attr-defined]
