"""The replay transport: recorded replies only."""

from __future__ import annotations

from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.models.transports.failures import one_line
from promptc.runners.models.transports.registry import Services
from promptc.spec.model import Model


class Replay:
    """Answers from a record and opens no socket. `missing` lists the requests that were not found."""

    def __init__(self, model: Model, services: Services) -> None:
        self._name = model.model
        self._recorded = services.recorded
        self.missing: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        """The recorded reply. Raises CallFailed where there is none."""
        completion = self._recorded(request.key())
        if completion is None:
            self.missing.append(request)
            asked = one_line(request.messages[-1].content)[:60] if request.messages else ""
            raise CallFailed(
                f"{self._name}: not recorded: a request that ends in {asked!r}",
                hint="run once without --offline",
            )
        return completion

    async def close(self) -> None:
        """Nothing is held."""
