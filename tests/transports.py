"""Transports and stacks for tests: one model, a loopback server, no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptc.runners.models.limiter import Quota
from promptc.runners.models.prices import PriceMap, pricing_of
from promptc.runners.models.request import Layer, Message, Request
from promptc.runners.models.secrets import Credentials, Redactor
from promptc.runners.models.settings import transport_of
from promptc.runners.models.statistics import Statistics
from promptc.runners.models.transports.registry import Services, open_transport
from promptc.spec.model import Model

CANARY = "sk-canary-0123456789"


class Opened:
    """One transport with everything that it was given, for a test to look at."""

    def __init__(
        self,
        model: Model,
        environment: Mapping[str, str] | None = None,
        *,
        timeout: float = 5.0,
        base: str = ".",
        recorded: Any = lambda key: None,
    ) -> None:
        self.quotas: list[Quota] = []
        self.statistics = Statistics()
        self.redactor = Redactor()
        self.model = model
        pricing = pricing_of(model, PriceMap())
        environment = {"OPENAI_API_KEY": CANARY} if environment is None else environment
        services = Services(
            environment=environment,
            credentials=Credentials(model, environment, self.redactor),
            cost=pricing.cost if pricing is not None else lambda usage: None,
            quota=self.quotas.append,
            recorded=recorded,
            statistics=self.statistics,
            timeout=timeout,
            base=base,
        )
        self.transport: Layer = open_transport(transport_of(model), model, services)

    async def __aenter__(self) -> Layer:
        return self.transport

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()


def asked(text: str = "hello", *, rollout: int = 0, model: str = "openai/gpt-4.1", **params: Any) -> Request:
    """A request with a system message and this user message."""
    messages = (Message("system", "You route messages."), Message("user", text))
    return Request(model=model, messages=messages, params=params, rollout=rollout)
