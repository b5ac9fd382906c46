"""All layers together, over real HTTP: retries, limits, cache, secrets, and figures that add up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, error, serving
from transports import CANARY

from promptc.runners.models.cache import Cache
from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage
from promptc.runners.models.retry import RetryPolicy
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.stack import ModelStack, StackSettings, open_models
from promptc.spec.errors import SpecError
from promptc.spec.model import Limits, Model, Price

QUICK = RetryPolicy(first=0.002, longest=0.01)


def open_stack(
    models: dict[str, Model],
    *,
    cache: Cache | None = None,
    redactor: Redactor | None = None,
    recorded: Callable[[bytes], Completion | None] = lambda key: None,
    **settings: Any,
) -> ModelStack:
    return open_models(
        models,
        environment={"OPENAI_API_KEY": CANARY},
        redactor=redactor or Redactor(),
        cache=cache,
        recorded=recorded,
        settings=StackSettings(**{"retry": QUICK, **settings}),
    )


def task(server: Loopback, **settings: Any) -> dict[str, Model]:
    return {
        "task": Model(model="openai/x", api_base=server.url, price=Price(input=1.0, output=1.0), **settings)
    }


async def ask(stack: ModelStack, name: str, *rows: str, **params: Any) -> list[Completion | CallFailed]:
    """One request per row, all at once."""

    async def one(row: str) -> Completion | CallFailed:
        request = stack.request(name, (Message("system", "Route."), Message("user", row)), params)
        try:
            return await stack.complete(request, name)
        except CallFailed as failure:
            return failure

    return await asyncio.gather(*(one(row) for row in rows))


def rows(count: int) -> list[str]:
    return [f"row {number}" for number in range(count)]


def echo(body: dict[str, Any]) -> str:
    return f"reply to {body['messages'][-1]['content']}"


KINDS = ("429", "500", "503", "html", "reset", "truncate", "cut", "no-body")
FAULTS = dict.fromkeys(KINDS, 0.015)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_row_is_answered_whatever_goes_wrong_on_the_way(seed):
    async def work() -> tuple[list[Completion | CallFailed], dict[str, Any], Any]:
        async with Loopback(echo, faults=FAULTS, seed=seed, retry_after="0.02") as server:
            stack = open_stack(task(server), concurrency=32)
            answers = await ask(stack, "task", *rows(600))
            await stack.close()
            return answers, server.stats, stack.figures()["task"]

    answers, stats, figures = asyncio.run(work())
    assert [a.text for a in answers if isinstance(a, Completion)] == [f"reply to {row}" for row in rows(600)]
    assert (stats["distinct"], stats["repaid"]) == (600, 0)
    assert stats["most_inflight"] <= 32
    assert figures.calls == 600
    assert figures.attempts == stats["requests"]
    assert sum(figures.retries.values()) == figures.attempts - figures.calls
    assert set(figures.retries) == {"429", "500", "502", "503", "unreadable", "connection"}
    assert figures.failures == {}


def test_figures_are_what_was_paid(tmp_path):
    async def work() -> tuple[Any, Any]:
        cache = Cache(tmp_path / "c.sqlite", warn=pytest.fail)
        async with Loopback(echo) as server:
            first = open_stack(task(server), cache=cache)
            await ask(first, "task", *rows(30), "row 0", "row 0")
            await first.close()
            second = open_stack(task(server), cache=cache)
            await ask(second, "task", *rows(40))
            await second.close()
        cache.close()
        return first.figures()["task"], second.figures()["task"]

    first, second = asyncio.run(work())
    assert (first.calls, first.shared, first.cache_hits) == (30, 2, 0)
    assert (second.calls, second.shared, second.cache_hits) == (10, 0, 30)
    assert first.paid_usd == pytest.approx((first.paid.input_tokens + first.paid.output_tokens) / 1e6)
    assert 0 < second.paid_usd < first.paid_usd
    assert first.unpriced == 0
    assert first.served_models == {"x": 30}
    assert 0 < first.median_latency <= first.p95_latency < 5


def test_cached_replies_keep_their_recorded_price(tmp_path):
    async def work() -> list[float | None]:
        cache = Cache(tmp_path / "c.sqlite", warn=pytest.fail)
        async with Loopback(echo) as server:
            costs = []
            for _ in range(2):
                stack = open_stack(task(server), cache=cache)
                answer = (await ask(stack, "task", "a"))[0]
                assert isinstance(answer, Completion)
                costs.append(answer.cost)
                await stack.close()
        cache.close()
        return costs

    first, second = asyncio.run(work())
    assert first == second != 0


def test_a_fatal_failure_is_not_repeated():
    async def work() -> tuple[list[Completion | CallFailed], int]:
        async with Loopback(faults={"401": 1.0}) as server:
            stack = open_stack(task(server))
            answers = await ask(stack, "task", "a")
            await stack.close()
            return answers, server.requests

    answers, requests = asyncio.run(work())
    assert isinstance(answers[0], CallFailed)
    assert (answers[0].fatal, requests) == (True, 1)


def test_a_deterministic_server_error_is_recognized():
    def plan(number: int, body: dict[str, Any]) -> str | None:
        return "500" if body["messages"][-1]["content"] == "poison" else None

    async def work() -> tuple[list[Completion | CallFailed], int]:
        async with Loopback(plan=plan) as server:
            stack = open_stack(task(server))
            await ask(stack, "task", *rows(500))
            before = server.requests
            answers = await ask(stack, "task", "poison")
            await stack.close()
            return answers, server.requests - before

    answers, requests = asyncio.run(work())
    assert isinstance(answers[0], CallFailed)
    assert "3 times in a row" in answers[0].message
    assert requests == 3


def test_the_limiter_finds_what_the_server_takes():
    async def work() -> tuple[int, int, Any]:
        server = Loopback(latency=0.02)
        server.plan = lambda number, body: "429-bare" if server.in_flight > 8 else None
        async with server:
            policy = RetryPolicy(retries=20, first=0.02, longest=0.1)
            stack = open_stack(task(server), concurrency=64, retry=policy)
            answers = await ask(stack, "task", *rows(400))
            await stack.close()
            return (
                sum(isinstance(a, Completion) for a in answers),
                server.status["429"],
                stack.figures()["task"],
            )

    answered, refused, figures = asyncio.run(work())
    assert answered == 400
    assert refused < 400
    assert figures.retries == {"429": refused}


def test_names_for_the_same_account_share_its_limits():
    async def work() -> int:
        async with Loopback(latency=0.01) as server:
            model = task(server)["task"]
            models = {
                "task": Model(model=model.model, api_base=model.api_base, limits=Limits(concurrency=3)),
                "judge": Model(model=model.model, api_base=model.api_base, params={"temperature": 1}),
            }
            stack = open_stack(models)
            await asyncio.gather(ask(stack, "task", *rows(20)), ask(stack, "judge", *rows(20)))
            await stack.close()
            return server.most_in_flight

    assert asyncio.run(work()) == 3


def test_other_keys_have_limits_of_their_own():
    async def work() -> int:
        async with Loopback(latency=0.05) as server:
            limits = Limits(concurrency=3)
            models = {
                name: Model(
                    model="openai/x", api_base=server.url, api_key=f"${{env:{name}:-{name}}}", limits=limits
                )
                for name in ("A", "B")
            }
            stack = open_stack(models)
            await asyncio.gather(*(ask(stack, name, *rows(20), who=name) for name in models))
            await stack.close()
            return server.most_in_flight

    assert asyncio.run(work()) == 6


def test_the_users_rpm_is_a_wall_over_http():
    async def work() -> tuple[int, str]:
        async with Loopback() as server:
            stack = open_stack(task(server, limits=Limits(rpm=5)))
            asking = asyncio.create_task(ask(stack, "task", *rows(8)))
            await asyncio.sleep(0.3)
            phrase = stack.waiting_for
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await stack.close()
            return server.requests, phrase

    requests, phrase = asyncio.run(work())
    assert requests == 5
    assert phrase in ("rpm limit, 60 s", "rpm limit, 59 s")


def test_no_secret_reaches_a_message_a_reply_or_the_cache(tmp_path):
    def leak(body: dict[str, Any]) -> dict[str, Any]:
        return {
            "role": "assistant",
            "content": f"your key is {CANARY}",
            "reasoning_content": json.dumps({"k": CANARY}),
        }

    def plan(number: int, body: dict[str, Any]) -> Any:
        return error(400, f"bad key {CANARY}") if body["messages"][-1]["content"] == "bad" else None

    async def work() -> list[Completion | CallFailed]:
        cache = Cache(tmp_path / "c.sqlite", warn=pytest.fail, redactor=(redactor := Redactor()))
        async with Loopback(leak, plan=plan) as server:
            stack = open_stack(task(server), cache=cache, redactor=redactor)
            answers = await ask(stack, "task", "good", f"row with {CANARY}", "bad")
            await stack.close()
        cache.close()
        return answers

    answers = asyncio.run(work())
    good, _, bad = answers
    assert isinstance(good, Completion)
    assert isinstance(bad, CallFailed)
    assert good.text == "your key is [redacted:OPENAI_API_KEY]"
    assert bad.message == "openai/x: HTTP 400: bad key [redacted:OPENAI_API_KEY]"
    assert CANARY not in repr(answers) + good.reasoning
    assert all(CANARY.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_key_behind_a_bare_name_is_kept_secret_too():
    redactor = Redactor()
    open_stack({"task": Model(model="gpt-4.1")}, redactor=redactor)
    assert redactor.clean(CANARY) == "[redacted:OPENAI_API_KEY]"


def test_requests_carry_the_models_parameters_beneath_the_callers():
    model = Model(model="openai/x", api_base="http://H:1/v1/", params={"temperature": 0.3, "top_p": 1})
    stack = open_stack({"task": model})
    request = stack.request("task", (Message("user", "a"),), {"temperature": 1.0}, rollout=2)
    assert request == Request(
        model="openai/x",
        messages=(Message("user", "a"),),
        params={"temperature": 1.0, "top_p": 1},
        rollout=2,
        endpoint="http://h:1/v1",
    )
    assert stack.names == ("task",)
    with pytest.raises(KeyError):
        stack.request("judge", ())


def test_the_key_of_a_request_knows_no_credentials_and_no_limits():
    def key(**settings: Any) -> bytes:
        model = Model(model="openai/x", **{"api_base": "http://h/v1", **settings})
        return open_stack({"task": model}).request("task", (Message("user", "a"),)).key()

    same = key()
    for change in (
        {"api_key": "other"},
        {"headers": {"X-Team": "blue"}},
        {"timeout": 3.0},
        {"limits": Limits(rpm=3)},
        {"price": Price(input=1.0, output=2.0)},
        {"on_unsupported": "drop"},
        {"transport": "litellm"},
    ):
        assert key(**change) == same, change
    for change in ({"api_base": "http://h/v2"}, {"api_base": None}, {"params": {"temperature": 0}}):
        assert key(**change) != same, change


def test_a_script_is_part_of_the_key_by_its_content(tmp_path: Path):
    def key(text: str) -> bytes:
        (tmp_path / "s.jsonl").write_text(text)
        model = Model(model="embedded/script", params={"script": "s.jsonl"})
        request = open_stack({"task": model}, base=str(tmp_path)).request("task", (Message("user", "a"),))
        assert request.params == {}
        return request.key()

    assert key('{"default": "a"}') == key('{"default": "a"}') != key('{"default": "b"}')


def test_a_missing_script_is_an_error_in_the_spec(tmp_path):
    with pytest.raises(SpecError) as failed:
        open_stack(
            {"task": Model(model="embedded/script", params={"script": "no.jsonl"})}, base=str(tmp_path)
        )
    diagnostic = failed.value.diagnostics[0]
    assert diagnostic.path == "models.task.params.script"
    assert diagnostic.message.endswith("no.jsonl: No such file or directory")


def test_offline_answers_what_is_known_and_lists_what_is_missing(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"default": "scripted"}')
    models = {
        "task": Model(model="openai/x"),
        "judge": Model(model="embedded/script", params={"script": "s.jsonl"}),
        "embedded": Model(model="embedded/icl"),
    }

    async def work() -> tuple[list[Any], tuple[Request, ...], Any]:
        cache = Cache(tmp_path / "c.sqlite", warn=pytest.fail)
        known = Request(model="openai/x", messages=(Message("system", "Route."), Message("user", "cached")))
        cache.put(known, Completion(text="from the cache"))
        recorded = Request(
            model="openai/x", messages=(Message("system", "Route."), Message("user", "recorded"))
        )
        record = {recorded.key(): Completion(text="from the record")}
        stack = open_stack(models, cache=cache, offline=True, base=str(tmp_path), recorded=record.get)
        answers = await ask(stack, "task", "cached", "recorded", "new")
        answers += await ask(stack, "judge", "x")
        answers += await ask(stack, "embedded", "x")
        figures = stack.figures()["task"]
        await stack.close()
        cache.close()
        return (
            [a.text if isinstance(a, Completion) else a.message for a in answers[:4]],
            stack.missing,
            figures,
        )

    answers, missing, figures = asyncio.run(work())
    assert answers == [
        "from the cache",
        "from the record",
        "openai/x: not recorded: a request that ends in 'new'",
        "scripted",
    ]
    assert [request.messages[-1].content for request in missing] == ["new"]
    assert (figures.calls, figures.paid, figures.paid_usd) == (0, Usage(), 0.0)


def test_embedded_replies_are_free_and_counted():
    async def work() -> Any:
        stack = open_stack({"task": Model(model="embedded/icl")})
        answers = await ask(stack, "task", *rows(5))
        assert all(isinstance(answer, Completion) for answer in answers)
        await stack.close()
        return stack.figures()["task"]

    figures = asyncio.run(work())
    assert (figures.calls, figures.paid_usd, figures.unpriced) == (5, 0.0, 0)


def test_a_model_without_a_price_is_counted_as_such():
    async def work() -> Any:
        async with Loopback() as server:
            stack = open_stack({"task": Model(model="my-model", api_base=server.url)})
            await ask(stack, "task", "a")
            await stack.close()
            assert stack.pricing("task") is None
            return stack.figures()["task"]

    assert asyncio.run(work()).unpriced == 1


def test_the_server_serves_synchronous_code_from_a_thread():
    with serving("hello", plan=["500"]) as server:

        async def work() -> list[Completion | CallFailed]:
            stack = open_stack(task(server))
            answers = await ask(stack, "task", "a")
            await stack.close()
            return answers

        answer = asyncio.run(work())[0]
        assert isinstance(answer, Completion)
        assert answer.text == "hello"
        assert server.stats["status"] == {"500": 1, "200": 1}


def test_the_layers_cost_little():
    """A guard against accidents (something quadratic, a sleep), far above what it really takes."""

    async def work() -> float:
        stack = open_stack(
            {"task": Model(model="embedded/icl", transport="replay")},
            recorded=lambda key: Completion(text="x"),
        )
        start = time.process_time()
        await ask(stack, "task", *rows(5000))
        await stack.close()
        return (time.process_time() - start) / 5000

    assert asyncio.run(work()) < 0.001
