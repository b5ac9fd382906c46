"""What every metric does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from promptc.spec.fields import Signature


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric looks at: one prediction beside its gold.

    `value` is the metric's `field` of the prediction (None: all of it) and `expected` the gold for it (UNSET where the
    row has none, or the metric reads none). `row` is the data row, `outputs` the whole prediction, `trace` the steps on
    the way.
    """

    value: Any
    expected: Any = msgspec.UNSET
    row: Mapping[str, Any] = {}
    outputs: Mapping[str, Any] = {}
    trace: tuple[Any, ...] = ()
    field: str | None = None


class Score(msgspec.Struct, frozen=True):
    """A number in [0, 1], a sentence that says why, and details worth keeping (a judge's votes, the labels seen)."""

    value: float
    feedback: str = ""
    details: dict[str, Any] = {}


class Services(Protocol):
    """What a metric may ask of the outside; each is an effect in the journal. Most metrics need none."""

    async def predict(
        self, signature: Signature, inputs: Mapping[str, Any], *, model: str = "judge", rollout: int = 0
    ) -> dict[str, Any]:
        """Ask a model (a name under `models:`) in the default format; raises RowFailed."""
        ...

    async def judge(self, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """Run the program that the metric names, on those of the inputs that it asks for; raises RowFailed."""
        ...

    async def hook(self, reference: str, payload: Any) -> Any:
        """Run the user's function `file.py:name` in a worker process on plain data; raises RowFailed("hook", …)."""
        ...


class Metric(Protocol):
    """What judges a prediction. A frozen msgspec Struct whose fields are its parameters."""

    binary: ClassVar[bool]
    """True when every score is 0 or 1, so that pass/fail statistics apply. May be a property."""

    reads_gold: ClassVar[bool]
    """False for a metric that needs no expected value. May be a property."""

    def calls(self) -> int:
        """Model calls per row; 0 for all but judges."""
        ...

    async def score(self, case: Case, services: Services) -> Score | None:
        """Judge one prediction; None abstains. Raises ValueError when the gold itself is unusable (a spec error)."""
        ...
