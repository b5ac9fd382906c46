"""What every module strategy does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from promptc.spec.fields import Signature


Outcome = TypeVar("Outcome")


class Call(Protocol):
    """What a module may do while it runs on one row: call its predictors."""

    async def predict(self, predictor: str, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """The outputs of one predictor. Renders, asks, parses and re-asks; raises RowFailed when that ends without."""
        ...

    async def together(self, works: Sequence[Callable[[Call], Awaitable[Outcome]]]) -> list[Outcome]:
        """Do several things at once, each with a `Call` of its own; results in order, errors once all have ended."""
        ...


class Module(Protocol):
    """A strategy that carries a signature out."""

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """The predictors it calls, by suffix ("" for the step's own), each with the signature that is rendered."""
        ...

    def calls(self) -> tuple[int, int]:
        """Fewest and most predictor calls per row, without re-asks."""
        ...

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The step's outputs for one row."""
        ...
