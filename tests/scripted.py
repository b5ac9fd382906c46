"""A scripted world for tests: a model whose replies are a function of the request, with delays of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from promptc.runners.models.prices import Pricing
from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage
from promptc.spec.model import Price

Reply = Callable[[Request], Completion | CallFailed]


class ScriptedModels:
    """Answers by a function; counts what it was asked; replies come in an order drawn from `shuffle`."""

    def __init__(self, reply: Reply, *, shuffle: int = 0, workers: int = 64, price: float = 0.0) -> None:
        self._reply = reply
        self._rng = random.Random(shuffle)
        self._slots = asyncio.Semaphore(workers)
        self._price = price
        self.asked: list[Request] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.die_after: int | None = None
        self.native = False

    def request(
        self, name: str, messages: tuple[Message, ...], params: dict[str, Any] | None = None, rollout: int = 0
    ) -> Request:
        return Request(model=name, messages=messages, params=params or {}, rollout=rollout)

    async def complete(self, request: Request, name: str) -> Completion:
        async with self._slots:
            if self.die_after is not None and len(self.asked) >= self.die_after:
                raise KilledError
            self.asked.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            for _ in range(self._rng.randint(0, 5)):
                await asyncio.sleep(0)
            self.in_flight -= 1
            answer = self._reply(request)
            if isinstance(answer, CallFailed):
                raise answer
            return answer

    def pricing(self, name: str) -> Pricing:
        million = self._price * 1_000_000
        return Pricing(((0, Price(input=million, output=million)),))

    def calls_tools(self, name: str) -> bool:
        return self.native

    def distinct(self) -> int:
        return len({request.key() for request in self.asked})


class KilledError(Exception):
    """Stands for the moment at which the process is gone."""


def text(content: str, *, tokens_in: int = 10, tokens_out: int = 5, cost: float = 0.0) -> Completion:
    return Completion(text=content, usage=Usage(tokens_in, tokens_out), cost=cost)


def ask(content: str, **params: Any) -> Request:
    return Request(model="task", messages=(Message("user", content),), params=params)
