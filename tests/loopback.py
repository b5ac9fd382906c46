"""A server on 127.0.0.1 that speaks OpenAI's chat completions, does no work, and misbehaves on request.

Within one event loop, from synchronous code, or on its own:

    async with Loopback(reply="yes") as server: ...        # server.url ends in /v1
    with serving(reply=lambda body: ...) as server: ...    # the same, in a thread
    python tests/loopback.py 8901 --latency 20 --faults 429:0.1,500:0.05

A fault is a name in FAULTS or a Fault. It strikes by seeded probability (`faults={"429": 0.1}`) or by plan
(`plan=["500", None, "reset"]`: the first request, the second …, then none; or a function of number and body).
Asked with `input`, it answers as an embedding model; with `bare`, a reply is the whole JSON body of any other service,
and parameters of a GET request stand for its body. GET /stats counts requests, status codes, faults, the most requests
in flight, distinct bodies answered with 200, and `repaid`: bodies answered with 200 more than once. POST /reset forgets
them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import ssl
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from aiohttp import web

Body = dict[str, Any]
Reply = str | Mapping[str, Any] | Callable[[Body], "str | Mapping[str, Any]"] | Sequence[tuple[str, str]]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One way to misbehave.

    `action` breaks the transfer; `status`, `body` and `headers` replace the reply; `content`, `finish_reason`
    and `message` change an otherwise good one.
    """

    action: Literal["", "reset", "truncate", "cut", "stall", "drip"] = ""
    status: int = 200
    body: str | None = None
    headers: Mapping[str, str] = {}
    content: str | None = None
    finish_reason: str | None = None
    message: Mapping[str, Any] = {}


def error(status: int, message: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Fault:
    """A fault in the shape of OpenAI's error object."""
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": None} | fields})
    return Fault(status=status, body=body, headers=headers or {})


HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad gateway</h1></body></html>"

FAULTS: dict[str, Fault] = {
    "429": error(429, "Rate limit reached", {"retry-after": "1"}, code="rate_limit_exceeded"),
    "429-bare": error(429, "Rate limit reached"),
    "429-quota": error(
        429, "You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"
    ),
    "429-headers": error(
        429,
        "Rate limit reached",
        {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "120ms",
        },
    ),
    "low-quota": Fault(
        headers={
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "3",
            "x-ratelimit-reset-requests": "2s",
        }
    ),
    "500": error(500, "The server had an error", type="server_error"),
    "503": error(503, "The engine is overloaded", type="server_error"),
    "html": Fault(status=502, body=HTML, headers={"content-type": "text/html"}),
    "page": Fault(status=200, body=HTML, headers={"content-type": "text/html"}),
    "text": Fault(headers={"content-type": "text/plain"}),
    "redirect": Fault(status=302, body="", headers={"location": "https://login.example/"}),
    "reset": Fault(action="reset"),
    "truncate": Fault(action="truncate"),
    "cut": Fault(action="cut"),
    "no-body": Fault(status=200, body=""),
    "empty": Fault(content=""),
    "stall": Fault(action="stall"),
    "slow": Fault(action="stall"),
    "drip": Fault(action="drip"),
    "unknown-finish": Fault(finish_reason="surprised"),
    "length": Fault(finish_reason="length"),
    "content-filter": Fault(finish_reason="content_filter", content=""),
    "refusal": Fault(message={"content": None, "refusal": "I cannot help with that."}),
    "filtered": error(400, "The prompt was rejected by the content filter", code="content_filter"),
    "context": error(
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        code="context_length_exceeded",
    ),
    "401": error(401, "Incorrect API key provided", type="invalid_request_error", code="invalid_api_key"),
    "403": error(403, "You do not have access to this model"),
    "404": error(404, "The model `nothing` does not exist", code="model_not_found"),
    "400": error(400, "messages[0].role is not known", type="invalid_request_error"),
    "temperature": error(
        400,
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        param="temperature",
        code="unsupported_value",
    ),
    "max_tokens": error(
        400,
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        param="max_tokens",
        code="unsupported_parameter",
    ),
    "error-in-200": Fault(body=json.dumps({"error": {"message": "upstream is overloaded", "code": 503}})),
}

Plan = Sequence["str | Fault | None"] | Callable[[int, Body], "str | Fault | None"]


class Loopback:
    """The server. `latency` and `jitter` are in seconds; port 0 takes a free one.

    `reply` is a text, a table of (substring of the last user message, text), or a function of the request's
    body that returns a text or a whole `message` object. `rate` (requests, seconds) answers 429 beyond it,
    `retry_after` is the Retry-After header of every 429. `seen`, `paths` and `headers` keep the last requests
    for tests to look at. `tls` makes it an https server.
    """

    def __init__(
        self,
        reply: Reply = '{"label": "positive"}',
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        faults: Mapping[str, float] | None = None,
        plan: Plan = (),
        rate: tuple[int, float] | None = None,
        retry_after: str | None = None,
        seed: int | str = 0,
        port: int = 0,
        keep: int = 1000,
        tls: ssl.SSLContext | None = None,
        bare: bool = False,
    ) -> None:
        unknown = sorted(set(faults or {}) - set(FAULTS))
        if unknown:
            raise ValueError(f"unknown fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
        self.reply = reply
        self.latency, self.jitter = latency, jitter
        self.faults, self.plan, self.rate, self.retry_after = dict(faults or {}), plan, rate, retry_after
        self.seed, self.port, self.tls, self.bare = seed, port, tls, bare
        self.seen: deque[Body] = deque(maxlen=keep)
        self.headers: deque[Mapping[str, str]] = deque(maxlen=keep)
        self.paths: deque[str] = deque(maxlen=keep)
        self.reset()

    def reset(self) -> None:
        """Forget every count."""
        self.requests = self.in_flight = self.most_in_flight = self.repaid = self.prompt_chars = 0
        self.status: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self._paid: set[bytes] = set()
        self._starts: deque[float] = deque()
        self.seen.clear()
        self.headers.clear()
        self.paths.clear()

    @property
    def url(self) -> str:
        """What a spec writes as `api_base`."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def stats(self) -> dict[str, Any]:
        """The counts, as GET /stats gives them."""
        return {
            "requests": self.requests,
            "inflight": self.in_flight,
            "most_inflight": self.most_in_flight,
            "status": dict(self.status),
            "faults": dict(self.struck),
            "distinct": len(self._paid),
            "repaid": self.repaid,
            "prompt_chars": self.prompt_chars,
        }

    async def start(self) -> None:
        """Listen."""
        self._closing = asyncio.Event()
        self._server = web.Server(self._handle)
        self._runner = web.ServerRunner(self._server, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection, stalled ones too."""
        self._closing.set()
        await self._runner.cleanup()

    async def __aenter__(self) -> Loopback:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/stats":
            return web.json_response(self.stats)
        if request.path == "/reset":
            self.reset()
            return web.json_response({})
        raw = await request.content.read() if request.body_exists else b""
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.prompt_chars += len(raw)
        self.paths.append(request.path)
        self.headers.append(request.headers)
        number = self.requests
        try:
            return await self._answer(request, raw, number)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.BaseRequest, raw: bytes, number: int) -> web.StreamResponse:
        try:
            asked = request.method == "GET" and self.bare
            body = dict(request.query) if asked else msgspec.json.decode(raw, type=Body)
        except msgspec.DecodeError:
            return self._respond(error(400, "the request is not a JSON object"), {}, raw, number)
        self.seen.append(body)
        name, fault = self._fault(number, body)
        if fault is not None:
            self.struck[name] += 1
        wait = self.latency + (self.jitter * self._draw(number, "jitter") if self.jitter else 0)
        if wait:
            await asyncio.sleep(wait)
        fault = fault or Fault()
        if fault.action == "reset":
            assert request.transport is not None
            request.transport.abort()
        if fault.action in ("reset", "stall"):
            await self._closed(request)
            return web.Response()
        response = self._respond(fault, body, raw, number)
        return await self._hurt(fault, request, response) if fault.action else response

    async def _closed(self, request: web.BaseRequest) -> None:
        while (
            not self._closing.is_set()
            and request.transport is not None
            and not request.transport.is_closing()
        ):
            await asyncio.sleep(0.01)

    async def _hurt(
        self, fault: Fault, request: web.BaseRequest, response: web.Response
    ) -> web.StreamResponse:
        assert isinstance(response.body, bytes)
        data = response.body
        if fault.action == "truncate":
            return web.Response(body=data[: len(data) // 2], headers=response.headers)
        stream = web.StreamResponse(
            headers={"Content-Type": "application/json", "Content-Length": str(len(data))}
        )
        await stream.prepare(request)
        if fault.action == "cut":
            await stream.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.close()
            return stream
        for index in range(len(data)):
            if self._closing.is_set() or _gone(request):
                break
            await stream.write(data[index : index + 1])
            await asyncio.sleep(0.001)
        return stream

    def _fault(self, number: int, body: Body) -> tuple[str, Fault | None]:
        if self.rate is not None and self._over_rate():
            return "rate", FAULTS["429-bare"]
        planned: str | Fault | None
        if callable(self.plan):
            planned = self.plan(number, body)
        else:
            planned = self.plan[number - 1] if number <= len(self.plan) else None
        if isinstance(planned, Fault):
            return "planned", planned
        if planned is None:
            planned = next((kind for kind, p in self.faults.items() if self._draw(number, kind) < p), None)
        return (planned, FAULTS[planned]) if planned is not None else ("", None)

    def _over_rate(self) -> bool:
        assert self.rate is not None
        most, seconds = self.rate
        now = asyncio.get_running_loop().time()
        while self._starts and self._starts[0] <= now - seconds:
            self._starts.popleft()
        if len(self._starts) >= most:
            return True
        self._starts.append(now)
        return False

    def _draw(self, number: int, what: str) -> float:
        digest = hashlib.md5(f"{self.seed}:{number}:{what}".encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    def _respond(self, fault: Fault, body: Body, raw: bytes, number: int) -> web.Response:
        headers = {"Content-Type": "application/json"}
        for name, value in fault.headers.items():
            headers[name.title()] = value
        if fault.status == 429 and self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        self.status[str(fault.status)] += 1
        if fault.body is not None:
            return web.Response(status=fault.status, body=fault.body.encode(), headers=headers)
        if fault.action == "":
            key = hashlib.blake2b(raw, digest_size=16).digest()
            self.repaid += key in self._paid
            self._paid.add(key)
        return web.Response(body=self._completion(fault, body, raw, number), headers=headers)

    def _completion(self, fault: Fault, body: Body, raw: bytes, number: int) -> bytes:
        if "input" in body:
            return self._vectors(body, raw)
        if self.bare:
            assert callable(self.reply)
            return msgspec.json.encode(self.reply(body))
        written = self._written(body) if fault.content is None else fault.content
        message = {"role": "assistant", "content": written} if isinstance(written, str) else dict(written)
        message |= fault.message
        prompt, reply = len(raw) // 4, len(str(message.get("content") or "")) // 4
        finish = fault.finish_reason or "stop"
        choices = [
            {"index": i, "finish_reason": finish, "message": message} for i in range(body.get("n") or 1)
        ]
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion",
                "created": 1700000000,
                "model": body.get("model", ""),
                "system_fingerprint": "fp_loopback",
                "choices": choices,
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": reply,
                    "total_tokens": prompt + reply,
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            }
        )

    def _vectors(self, body: Body, raw: bytes) -> bytes:
        """OpenAI's embeddings, the last text's first: clients must go by the index."""
        data = [
            {"object": "embedding", "index": place, "embedding": letters(text)}
            for place, text in reversed(list(enumerate(body["input"])))
        ]
        usage = {"prompt_tokens": len(raw) // 4, "total_tokens": len(raw) // 4}
        return msgspec.json.encode({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def _written(self, body: Body) -> str | Mapping[str, Any]:
        if isinstance(self.reply, str | Mapping):
            return self.reply
        if callable(self.reply):
            return self.reply(body)
        asked = next((m["content"] for m in reversed(body["messages"]) if m["role"] == "user"), "")
        return next((text for needle, text in self.reply if needle in asked), "")


def letters(text: str) -> list[float]:
    """A vector that counts the letters from a to z: texts of the same letters point the same way."""
    return [float(text.lower().count(chr(ord("a") + n))) for n in range(26)]


def _gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


@contextmanager
def serving(reply: Reply = '{"label": "positive"}', **options: Any) -> Iterator[Loopback]:
    """The server in a thread of its own, for synchronous code such as a command under test."""
    server = Loopback(reply, **options)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def work(stopping: asyncio.Future[None]) -> None:
        await server.start()
        started.set()
        await stopping
        await server.stop()

    stopping: asyncio.Future[None] = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=(work(stopping),), name="loopback")
    thread.start()
    if not started.wait(timeout=10):
        raise RuntimeError("the loopback server did not start")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopping.set_result, None)
        thread.join(timeout=10)
        loop.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0, help="milliseconds")
    parser.add_argument("--jitter", type=float, default=0, help="milliseconds")
    parser.add_argument("--reply", default='{"label": "positive"}')
    parser.add_argument("--faults", default="", help="kind:probability,…; kinds: " + ", ".join(FAULTS))
    parser.add_argument("--seed", default="0")
    chosen = parser.parse_args(arguments)
    pairs = [pair.rsplit(":", 1) for pair in chosen.faults.split(",") if pair]
    server = Loopback(
        chosen.reply,
        latency=chosen.latency / 1000,
        jitter=chosen.jitter / 1000,
        faults={kind: float(probability) for kind, probability in pairs},
        seed=chosen.seed,
        port=chosen.port,
    )

    async def serve() -> None:
        async with server:
            print(f"listening on {server.url}", flush=True)
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        print(json.dumps(server.stats))


if __name__ == "__main__":
    main()
