"""The direct transport over real HTTP: what is sent, what is read, and what each fault becomes."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from loopback import Fault, Loopback
from transports import CANARY, Opened, asked

from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage
from promptc.runners.models.transports.connection import proxy_for
from promptc.runners.models.transports.reply import finish_reason, split_reasoning
from promptc.spec.model import Model, Price


def direct(server: Loopback, **settings: Any) -> Model:
    return Model(model="openai/gpt-4.1", api_base=server.url, **settings)


def exchange(
    server: Loopback,
    *requests: Request,
    timeout: float = 5.0,
    environment: dict[str, str] | None = None,
    **settings: Any,
) -> list[Completion | CallFailed]:
    """Ask the server one request after the other over one transport."""

    async def work() -> list[Completion | CallFailed]:
        outcomes: list[Completion | CallFailed] = []
        async with server, Opened(direct(server, **settings), environment, timeout=timeout) as transport:
            for request in requests:
                try:
                    outcomes.append(await transport.complete(request))
                except CallFailed as failure:
                    outcomes.append(failure)
        return outcomes

    return asyncio.run(work())


def test_what_is_sent():
    server = Loopback()
    request = asked(
        "Where is my card?", temperature=0.3, max_tokens=20, response_format={"type": "json_object"}
    )
    exchange(
        server,
        request,
        headers={"X-Team": "${env:TEAM}"},
        environment={"OPENAI_API_KEY": CANARY, "TEAM": "blue"},
    )
    assert server.seen[0] == {
        "model": "gpt-4.1",
        "messages": [
            {"role": "system", "content": "You route messages."},
            {"role": "user", "content": "Where is my card?"},
        ],
        "temperature": 0.3,
        "max_tokens": 20,
        "response_format": {"type": "json_object"},
    }
    assert server.paths[0] == "/v1/chat/completions"
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"
    assert server.headers[0]["X-Team"] == "blue"
    assert server.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("rollout", "params", "seed"),
    [(0, {}, None), (0, {"seed": 7}, 7), (3, {}, 3), (3, {"seed": 7}, 10), (2**40 + 5, {}, 5)],
)
def test_rollouts_are_seeds(rollout, params, seed):
    server = Loopback()
    exchange(server, asked(rollout=rollout, **params))
    assert server.seen[0].get("seed") == seed


def test_an_authorization_of_its_own_stands_in_place_of_the_key():
    server = Loopback()
    exchange(server, asked(), headers={"authorization": "Basic abc"})
    assert server.headers[0]["Authorization"] == "Basic abc"


def test_no_key_no_authorization():
    server = Loopback()
    exchange(server, asked(), environment={})
    assert "Authorization" not in server.headers[0]


def test_what_is_read():
    def reply(body: dict[str, Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": "billing", "reasoning_content": "because"}

    answer = exchange(
        Loopback(reply), asked("x" * 400), price=Price(input=2.0, cached_input=0.5, output=8.0)
    )[0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.reasoning) == ("billing", "stop", "because")
    assert (answer.served_model, answer.fingerprint) == ("gpt-4.1", "fp_loopback")
    assert answer.usage.output_tokens == 1
    assert answer.cost == pytest.approx((answer.usage.input_tokens * 2.0 + 8.0) / 1e6)


USAGES = [
    (
        {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
        Usage(9, 2, 4),
    ),
    ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 3}, Usage(9, 2, 3)),
    ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Usage(9, 0, 0)),
    (None, Usage()),
]


@pytest.mark.parametrize(("reported", "usage"), USAGES)
def test_usage_as_servers_report_it(reported, usage):
    choices = [{"message": {"content": "x"}, "finish_reason": "stop"}]
    body = json.dumps({"choices": choices, "usage": reported})
    answer = exchange(Loopback(plan=[Fault(body=body)]), asked())[0]
    assert isinstance(answer, Completion)
    assert answer.usage == usage


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "plain"}, "plain", ""),
        ({"content": None}, "", ""),
        ({"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}, "in parts", ""),
        ({"content": "<think>hm\n</think>\n\nyes"}, "yes", "hm"),
        ({"content": "<think>never closed"}, "<think>never closed", ""),
        ({"content": "yes", "reasoning": "hm"}, "yes", "hm"),
    ],
)
def test_texts_as_servers_write_them(message, text, reasoning):
    answer = exchange(Loopback(message), asked())[0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "refused"),
        ("tool_calls", "tool_calls"),
        ("end_turn", "stop"),
        ("surprised", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_finish_reasons(said, reason):
    assert finish_reason(said) == reason


def test_thoughts_are_split_only_from_the_front():
    assert split_reasoning("a <think>b</think> c") == ("a <think>b</think> c", "")


@pytest.mark.parametrize(
    ("fault", "text", "reason"),
    [
        ("text", "fine", "stop"),
        ("empty", "", "stop"),
        ("length", "fine", "length"),
        ("unknown-finish", "fine", "other"),
        ("content-filter", "", "refused"),
        ("refusal", "I cannot help with that.", "refused"),
        ("drip", "fine", "stop"),
    ],
)
def test_odd_replies_that_are_replies(fault, text, reason):
    answer = exchange(Loopback("fine", plan=[fault]), asked())[0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason) == (text, reason)


AGAIN = {"retryable": True, "fatal": False}
NEVER = {"retryable": False, "fatal": False}
FATAL = {"retryable": False, "fatal": True}


@pytest.mark.parametrize(
    ("fault", "kind", "expected", "message"),
    [
        ("429", "provider", AGAIN | {"status": 429, "retry_after": 1.0}, "HTTP 429: Rate limit reached"),
        (
            "429-bare",
            "provider",
            AGAIN | {"status": 429, "retry_after": None},
            "HTTP 429: Rate limit reached",
        ),
        (
            "429-headers",
            "provider",
            AGAIN | {"status": 429, "retry_after": 0.12},
            "HTTP 429: Rate limit reached",
        ),
        ("429-quota", "provider", FATAL | {"status": 429}, "HTTP 429: You exceeded your current quota"),
        ("500", "provider", AGAIN | {"status": 500}, "HTTP 500: The server had an error"),
        ("503", "provider", AGAIN | {"status": 503}, "HTTP 503: The engine is overloaded"),
        ("html", "provider", AGAIN | {"status": 502}, "HTTP 502: an HTML page, '502 Bad Gateway'"),
        ("error-in-200", "provider", AGAIN | {"status": 503}, "HTTP 503: upstream is overloaded"),
        ("reset", "provider", AGAIN | {"status": None}, "the connection broke"),
        ("truncate", "provider", AGAIN | {"status": 200}, "the reply is cut off or not JSON"),
        ("cut", "provider", AGAIN | {"status": None}, "the connection broke"),
        ("no-body", "provider", AGAIN | {"status": 200}, "the reply is empty"),
        ("stall", "timeout", AGAIN | {"status": None}, "no reply within 0.3 s"),
        ("page", "provider", FATAL | {"status": 200}, "the reply is an HTML page"),
        ("redirect", "provider", FATAL | {"status": 302}, "HTTP 302"),
        ("401", "provider", FATAL | {"status": 401}, "HTTP 401: Incorrect API key provided"),
        ("403", "provider", FATAL | {"status": 403}, "HTTP 403: You do not have access to this model"),
        ("404", "provider", FATAL | {"status": 404}, "HTTP 404: The model `nothing` does not exist"),
        ("400", "provider", NEVER | {"status": 400}, "HTTP 400: messages[0].role is not known"),
        ("temperature", "provider", FATAL | {"status": 400}, "does not take the parameter temperature"),
        (
            "filtered",
            "refused",
            NEVER | {"status": 400},
            "HTTP 400: The prompt was rejected by the content filter",
        ),
        (
            "context",
            "context",
            NEVER | {"status": 400},
            "HTTP 400: This model's maximum context length is 8192 tokens",
        ),
    ],
)
def test_faults(fault, kind, expected, message):
    failure, after = exchange(
        Loopback("fine", plan=[fault]),
        asked(temperature=0.2),
        asked("more"),
        timeout=0.3 if fault == "stall" else 5,
    )
    assert isinstance(failure, CallFailed)
    assert failure.kind == kind
    assert {name: getattr(failure, name) for name in expected} == expected
    assert failure.message.startswith("openai/gpt-4.1")
    assert message in failure.message
    assert "\n" not in failure.message
    assert CANARY not in failure.message + failure.hint
    assert failure.hint or not failure.fatal
    assert isinstance(after, Completion)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"object":"error","message":"from vLLM","code":503}', "from vLLM"),
        ('{"detail":"from FastAPI"}', "from FastAPI"),
        ('{"error":"from Ollama"}', "from Ollama"),
        ('[{"error":{"message":"from Google"}}]', "from Google"),
        ("plain\n  words", "plain words"),
        ("", "no explanation"),
        ("x" * 5000, "x" * 299 + "…"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
    ],
)
def test_error_bodies_become_one_short_line(body, message):
    failure = exchange(Loopback(plan=[Fault(status=503, body=body)]), asked())[0]
    assert isinstance(failure, CallFailed)
    assert failure.message == f"openai/gpt-4.1: HTTP 503: {message}"


@pytest.mark.parametrize(
    ("environment", "hint"),
    [
        ({}, "set OPENAI_API_KEY, e.g. in a file for --env-file"),
        ({"OPENAI_API_KEY": "wrong-key"}, "check the key in OPENAI_API_KEY"),
    ],
)
def test_a_refused_key_names_the_variable(environment, hint):
    failure = exchange(Loopback(plan=["401"]), asked(), environment=environment)[0]
    assert isinstance(failure, CallFailed)
    assert failure.hint == hint


def test_a_key_that_ran_out_is_renewed_by_its_command(tmp_path):
    command = f"echo x >> {tmp_path}/n; echo key-$(wc -l < {tmp_path}/n | tr -d ' ')"
    server = Loopback("fine", plan=[None, "401", None, None])
    answers = exchange(
        server,
        asked("1"),
        asked("2"),
        asked("3"),
        api_key_command=command,
        environment={"PATH": "/usr/bin:/bin"},
    )
    assert [type(answer) for answer in answers] == [Completion] * 3
    sent = [headers["Authorization"] for headers in server.headers]
    assert sent == ["Bearer key-1", "Bearer key-1", "Bearer key-2", "Bearer key-2"]


def test_an_unsupported_parameter_is_dropped_once_and_for_all_where_the_spec_says_so():
    def plan(number: int, body: dict[str, Any]) -> str | None:
        return "temperature" if "temperature" in body else None

    server = Loopback("fine", plan=plan)
    answers = exchange(
        server, *[asked(str(n), temperature=0.2, top_p=1) for n in range(3)], on_unsupported="drop"
    )
    assert [type(answer) for answer in answers] == [Completion] * 3
    assert server.requests == 4
    assert all(body["top_p"] == 1 for body in server.seen)


def test_max_tokens_takes_its_new_name_where_the_model_wants_it():
    def plan(number: int, body: dict[str, Any]) -> str | None:
        return "max_tokens" if "max_tokens" in body else None

    server = Loopback("fine", plan=plan)
    answers = exchange(server, asked("1", max_tokens=9), asked("2", max_tokens=8))
    assert [type(answer) for answer in answers] == [Completion] * 2
    assert [body.get("max_completion_tokens") for body in server.seen] == [None, 9, 8]


def test_a_server_that_takes_no_seed_is_asked_without():
    refused = Fault(
        status=422, body='{"detail":[{"loc":["body","seed"],"msg":"Extra inputs are not permitted"}]}'
    )

    def plan(number: int, body: dict[str, Any]) -> Fault | None:
        return refused if "seed" in body else None

    server = Loopback("fine", plan=plan)
    assert isinstance(exchange(server, asked(rollout=1))[0], Completion)
    assert server.requests == 2


def test_quota_headers_are_passed_on():
    async def work() -> list[float]:
        async with Loopback(plan=["low-quota"]) as server:
            opened = Opened(direct(server))
            async with opened as transport:
                await transport.complete(asked())
                await transport.complete(asked())
            return [value for quota in opened.quotas for value in (quota.share, quota.reset or 0)]

    assert asyncio.run(work()) == [0.03, 2.0]


def fails(model: Model, environment: dict[str, str] | None = None) -> CallFailed:
    async def work() -> CallFailed:
        async with Opened(model, environment or {}) as transport:
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked())
            return failed.value

    return asyncio.run(work())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_refused_connection_asks_whether_the_server_runs():
    port = free_port()
    failure = fails(Model(model="openai/x", api_base=f"http://127.0.0.1:{port}/v1"))
    assert failure.message == f"openai/x: cannot reach http://127.0.0.1:{port}/v1: connection refused"
    assert failure.hint == "is the server running, and is api_base right?"
    assert (failure.fatal, failure.retryable) == (True, False)


def test_an_unknown_host_is_fatal():
    failure = fails(Model(model="openai/x", api_base="http://no-such-host.invalid/v1"))
    assert failure.message == "openai/x: cannot reach http://no-such-host.invalid/v1: no such host"
    assert (failure.fatal, failure.retryable) == (True, False)


def test_a_server_that_went_away_is_worth_a_retry():
    async def work() -> CallFailed:
        server = Loopback()
        await server.start()
        async with Opened(direct(server)) as transport:
            await transport.complete(asked())
            await server.stop()
            with pytest.raises(CallFailed) as failed:
                await transport.complete(asked())
            return failed.value

    assert asyncio.run(work()).retryable


def test_a_large_prompt_is_sent_without_a_warning():
    server = Loopback("fine")
    assert isinstance(exchange(server, asked("x" * (3 << 20)))[0], Completion)


def test_special_characters_survive():
    def reply(body: dict[str, Any]) -> str:
        return str(body["messages"][1]["content"])

    text = 'Grüße 🎈 \u2028 "quoted" \\ 漢字 \x7f'
    answer = exchange(Loopback(reply), asked(text))[0]
    assert isinstance(answer, Completion)
    assert answer.text == text


def test_many_requests_share_kept_alive_connections():
    async def work() -> tuple[int, int]:
        async with Loopback(latency=0.01) as server, Opened(direct(server)) as transport:
            await asyncio.gather(*(transport.complete(asked(str(n))) for n in range(50)))
            return server.most_in_flight, server.stats["distinct"]

    most, distinct = asyncio.run(work())
    assert most > 30
    assert distinct == 50


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://h/v1", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("http://h/v1", {"HTTPS_PROXY": "http://p:1"}, None),
        ("http://h/v1", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://h/v1", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("http://h/v1", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.h.org/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "h.org"}, None),
        ("https://api.h.org/v1", {"ALL_PROXY": "http://p:1", "no_proxy": "x, .h.org"}, None),
        ("https://nah.org/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "h.org"}, "http://p:1"),
        ("http://h:8000/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "h:8000"}, None),
        ("http://h:8001/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "h:8000"}, "http://p:1"),
        ("http://10.1.2.3/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://h/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http://h/v1", {"HTTP_PROXY": ""}, None),
    ],
)
def test_proxy_variables(url, environment, proxy):
    assert proxy_for(url, environment) == proxy


def test_requests_go_through_the_proxy():
    async def work() -> list[str]:
        async with Loopback("through the proxy") as server:
            model = Model(model="openai/x", api_base="http://far-away.invalid/v1")
            environment = {"HTTP_PROXY": f"http://127.0.0.1:{server.port}"}
            async with Opened(model, environment) as transport:
                answer = await transport.complete(asked())
            return [answer.text, server.headers[0]["Host"]]

    assert asyncio.run(work()) == ["through the proxy", "far-away.invalid"]


@pytest.mark.parametrize(
    "proxy", ["socks5://user:topsecret@127.0.0.1:1", "http://user:topsecret@127.0.0.1:9"]
)
def test_a_proxy_that_does_not_work_is_named_without_its_password(proxy):
    failure = fails(Model(model="openai/x", api_base="http://far-away.invalid/v1"), {"ALL_PROXY": proxy})
    assert failure.fatal
    assert "proxy" in failure.message
    assert "PROXY" in failure.hint
    assert "topsecret" not in failure.message + failure.hint


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return folder / "both.pem"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_own_certificate_authorities_are_honoured(certificate, variable):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def work() -> tuple[str, CallFailed]:
        async with Loopback("safe", tls=context) as server:
            model = Model(model="openai/x", api_base=server.url)
            async with Opened(model, {variable: str(certificate)}) as transport:
                text = (await transport.complete(asked())).text
            async with Opened(model, {}) as transport:
                with pytest.raises(CallFailed) as failed:
                    await transport.complete(asked())
            return text, failed.value

    text, failure = asyncio.run(work())
    assert text == "safe"
    assert failure.fatal
    assert "certificate" in failure.message
    assert "SSL_CERT_FILE" in failure.hint


def test_a_missing_authority_file_is_named():
    failure = fails(
        Model(model="openai/x", api_base="https://127.0.0.1:9/v1"), {"SSL_CERT_FILE": "/no/such/file.pem"}
    )
    assert failure.fatal
    assert "SSL_CERT_FILE" in failure.hint


def test_the_roles_of_a_conversation_are_kept():
    server = Loopback("fine")
    roles = ("system", "user", "assistant", "user")
    exchange(server, Request(model="openai/x", messages=tuple(Message(role, role) for role in roles)))
    assert [message["role"] for message in server.seen[0]["messages"]] == list(roles)
