"""The litellm transport over real HTTP. Few tests: importing litellm takes seconds."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from loopback import Loopback
from transports import CANARY, Opened, asked

from promptc.runners.models.request import CallFailed, Completion
from promptc.spec.model import Model, Price


def hosted(server: Loopback, **settings: Any) -> Model:
    return Model(model="openai/gpt-4.1", api_base=server.url, transport="litellm", **settings)


def exchange(
    server: Loopback, *requests: Any, timeout: float = 5.0, **settings: Any
) -> list[Completion | CallFailed]:
    async def work() -> list[Completion | CallFailed]:
        outcomes: list[Completion | CallFailed] = []
        async with server, Opened(hosted(server, **settings), timeout=timeout) as transport:
            for request in requests:
                try:
                    outcomes.append(await transport.complete(request))
                except CallFailed as failure:
                    outcomes.append(failure)
        return outcomes

    return asyncio.run(work())


def test_what_is_sent_and_what_is_read():
    server = Loopback({"role": "assistant", "content": "billing", "reasoning_content": "because"})
    answer = exchange(
        server, asked("Where is my card?", rollout=4, temperature=0.3), headers={"X-Team": "blue"}
    )[0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("billing", "because", "stop")
    assert answer.usage.input_tokens > 10
    assert answer.usage.output_tokens == 1
    assert answer.cost == pytest.approx(
        (answer.usage.input_tokens * 2 + answer.usage.output_tokens * 8) / 1e6
    )
    assert (answer.served_model, answer.fingerprint) == ("gpt-4.1", "fp_loopback")
    sent = server.seen[0]
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("gpt-4.1", 0.3, 4)
    assert sent["messages"][1] == {"role": "user", "content": "Where is my card?"}
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"
    assert server.headers[0]["X-Team"] == "blue"


def test_the_specs_price_goes_before_the_table():
    answer = exchange(Loopback(), asked(), price=Price(input=1000.0, output=0.0))[0]
    assert isinstance(answer, Completion)
    assert answer.cost == pytest.approx(answer.usage.input_tokens / 1000)


AGAIN, NEVER, FATAL = (True, False), (False, False), (False, True)

FAULTS = {
    "429": ("provider", AGAIN, 429, "Rate limit reached"),
    "429-headers": ("provider", AGAIN, 429, "Rate limit reached"),
    "429-quota": ("provider", FATAL, 429, "exceeded your current quota"),
    "500": ("provider", AGAIN, 500, "The server had an error"),
    "503": ("provider", AGAIN, 503, "overloaded"),
    "html": ("provider", AGAIN, 502, "an HTML page"),
    "reset": ("provider", AGAIN, None, "the connection broke"),
    "cut": ("provider", AGAIN, None, "the connection broke"),
    "no-body": ("provider", AGAIN, 500, ""),
    "stall": ("timeout", AGAIN, None, "no reply within"),
    "401": ("provider", FATAL, 401, "Incorrect API key provided"),
    "403": ("provider", FATAL, 403, "You do not have access"),
    "404": ("provider", FATAL, 404, "does not exist"),
    "400": ("provider", NEVER, 400, "role is not known"),
    "temperature": ("provider", FATAL, 400, "does not take the parameter temperature"),
    "filtered": ("refused", NEVER, 400, "content filter"),
    "context": ("context", NEVER, 400, "maximum context length"),
}


def test_faults_mean_what_they_mean_to_the_direct_transport(recwarn):
    server = Loopback("fine", plan=list(FAULTS))
    outcomes = exchange(
        server, *[asked(str(n), temperature=0.2) for n in range(len(FAULTS))], asked("after"), timeout=1.0
    )
    assert server.requests == len(FAULTS) + 1, "litellm must not retry"
    seen: dict[str, Any] = {}
    for fault, failure in zip(FAULTS, outcomes, strict=False):
        assert isinstance(failure, CallFailed), fault
        seen[fault] = (failure.kind, (failure.retryable, failure.fatal), failure.status, failure.message)
        assert FAULTS[fault][3] in failure.message, (fault, failure.message)
        assert failure.message.startswith("openai/gpt-4.1")
        assert "litellm" not in failure.message, failure.message
        assert CANARY not in failure.message + failure.hint
        assert failure.hint or not failure.fatal
    assert {fault: figures[:3] for fault, figures in seen.items()} == {f: e[:3] for f, e in FAULTS.items()}
    assert isinstance(outcomes[-1], Completion)
    waits = [failure.retry_after for failure in outcomes[:2] if isinstance(failure, CallFailed)]
    assert waits == [1.0, 0.12]
    assert [str(warning.message) for warning in recwarn] == []


def test_odd_replies_that_are_replies(capfd):
    outcomes = exchange(
        Loopback("fine", plan=["empty", "length", "refusal", "content-filter", "text"]),
        *[asked(str(n)) for n in range(5)],
    )
    found = [(c.text, c.finish_reason) for c in outcomes if isinstance(c, Completion)]
    assert found == [
        ("", "stop"),
        ("fine", "length"),
        ("I cannot help with that.", "refused"),
        ("", "refused"),
        ("fine", "stop"),
    ]
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_refused_connection_says_where(capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work() -> CallFailed:
        model = Model(model="openai/x", api_base=f"http://127.0.0.1:{port}/v1", transport="litellm")
        async with Opened(model) as transport:
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked())
            return failed.value

    failure = asyncio.run(work())
    assert failure.message == f"openai/x: cannot reach http://127.0.0.1:{port}/v1: connection refused"
    assert (failure.fatal, failure.retryable) == (True, False)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"])
def test_a_missing_key_names_its_variable_and_asks_nobody(model, monkeypatch):
    variable = model.split("/")[0].upper() + "_API_KEY"
    monkeypatch.delenv(variable, raising=False)

    async def work() -> CallFailed:
        async with Opened(Model(model=model), {}) as transport:
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked())
            return failed.value

    failure = asyncio.run(work())
    assert failure.fatal
    assert failure.hint == f"set {variable}, e.g. in a file for --env-file"
    assert "\n" not in failure.message


def test_what_a_provider_does_not_take_is_an_error_or_dropped():
    def model(**settings: Any) -> Model:
        return Model(
            model="anthropic/claude-sonnet-4-5",
            api_base="http://127.0.0.1:9",
            transport="litellm",
            **settings,
        )

    async def work(opened: Opened, **params: Any) -> CallFailed:
        async with opened as transport:
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked(rollout=2, **params))
            return failed.value

    environment = {"ANTHROPIC_API_KEY": CANARY}
    refused = asyncio.run(work(Opened(model(), environment), logit_bias={"1": 2}))
    assert refused.fatal
    assert "does not take the parameter logit_bias" in refused.message
    assert "on_unsupported: drop" in refused.hint
    dropped = asyncio.run(work(Opened(model(on_unsupported="drop"), environment), logit_bias={"1": 2}))
    assert "cannot reach" in dropped.message
