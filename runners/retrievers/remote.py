"""Retrievers behind the network: asked in their turn, again where that may help, and recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Protocol

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.models.limiter import Limited, Limiter
from promptc.runners.models.request import CallAbandoned, CallFailed, Completion, Message, Request
from promptc.runners.models.retry import Retrying, RetryPolicy
from promptc.runners.models.secrets import Redacted
from promptc.runners.models.statistics import Statistics
from promptc.runners.phase import Lane
from promptc.runners.retrievers.protocol import Filter, Opening
from promptc.spec.environment import references, substitute
from promptc.spec.errors import Untrusted

ROLE = "retrieve"
"""The role of remote searches in the journal."""


class Service(Protocol):
    """Whatever answers over the network."""

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """JSON data for JSON data. Raises CallFailed."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class _Transport:
    """A service as the innermost of the layers that stand around a language model."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def complete(self, request: Request) -> Completion:
        found = await self._service.ask(msgspec.json.decode(request.messages[0].content))
        return Completion(text=msgspec.json.encode(found).decode())

    async def close(self) -> None:
        await self._service.close()


class Remote:
    """A service with the layers that a language model has: limiter, retries, no secret in what comes back."""

    def __init__(self, opening: Opening, service: Service) -> None:
        self._name = opening.name
        self._offline = opening.offline
        statistics = Statistics()
        limited = Limited(_Transport(service), Limiter(opening.concurrency), statistics)
        retrying = Retrying(
            limited, RetryPolicy(retries=opening.retries), statistics, random=Random(opening.seed)
        )
        self._layer = Redacted(retrying, opening.redactor)

    async def ask(self, lane: Lane, identity: Sequence[Any], payload: Mapping[str, Any]) -> Any:
        """What the service answers; recorded under its identity and the payload. Raises RowFailed, Untrusted."""

        async def work() -> Any:
            if lane.phase.effects.stopping:
                raise CallAbandoned
            return await self._asked(payload)

        return await lane.outside(ROLE, [*identity, dict(payload)], work)

    async def close(self) -> None:
        """Let go of connections."""
        await self._layer.close()

    async def _asked(self, payload: Mapping[str, Any]) -> Any:
        if self._offline:
            raise Untrusted(
                f"retriever {self._name}: the result of a search is not recorded",
                "run once without --offline",
            )
        text = msgspec.json.encode(payload).decode()
        try:
            completion = await self._layer.complete(
                Request(model=self._name, messages=(Message("user", text),))
            )
        except CallFailed as error:
            if error.fatal:
                raise Untrusted(error.message, error.hint) from error
            raise RowFailed("tool", error.message) from error
        return msgspec.json.decode(completion.text)


def filled_in(written: Mapping[str, str], opening: Opening) -> dict[str, str]:
    """Headers or keys with their variables; what they hold is kept out of every text. Raises CallFailed."""
    found = {}
    for name, text in written.items():
        for variable in references(text):
            opening.redactor.add(variable, opening.environment.get(variable, ""))
        try:
            found[name] = substitute(text, opening.environment)
        except KeyError as missing:
            variable = str(missing.args[0])
            raise CallFailed(
                f"retriever {opening.name}: {name} needs the environment variable {variable}, which is not set",
                fatal=True,
                hint=f"set {variable}, e.g. in a file for --env-file",
            ) from None
    return found


def sendable(filter: Filter | None) -> dict[str, Any]:
    """The filter as a request carries it; empty where there is none."""
    return {"filter": dict(filter)} if filter else {}
