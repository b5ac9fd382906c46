"""Python: the user's own function judges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import quote

_ROUNDING = 1e-9
"""How far past 0 or 1 a sum of shares may land."""


class Python(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a function `score(row, prediction, trace)` returns: a number in [0, 1], true or false, or an
    object with `score` and `feedback`.

    The function gets plain data, in a worker process: the data row, the outputs by name, and the steps on the
    way. Anything else that it returns, or an exception, leaves the row unscored.
    """

    function: Annotated[
        str,
        msgspec.Meta(
            description="The function, as `file.py:name`, in the spec's folder.",
            examples=["metrics.py:score"],
            pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
        ),
    ]
    pass_fail: Annotated[
        bool,
        msgspec.Meta(
            description="The function only ever says pass or fail; statistics use that.", examples=[True]
        ),
    ] = False
    needs_gold: Annotated[
        bool, msgspec.Meta(description="Rows without the expected value are left out.", examples=[True])
    ] = False

    @property
    def binary(self) -> bool:
        """As `pass_fail` says."""
        return self.pass_fail

    @property
    def reads_gold(self) -> bool:
        """As `needs_gold` says."""
        return self.needs_gold

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Run the function. Raises RowFailed("hook", …) where it does not return a score."""
        if self.needs_gold and case.expected is msgspec.UNSET:
            return None
        payload = {
            "row": dict(case.row),
            "prediction": dict(case.outputs),
            "trace": [msgspec.to_builtins(step) for step in case.trace],
        }
        returned = await services.hook(self.function, payload)
        value, feedback = self._parted(returned)
        return Score(self._number(value), feedback or f"{self.function} returned {quote(value)}")

    def _parted(self, returned: Any) -> tuple[Any, str]:
        if not isinstance(returned, Mapping):
            return returned, ""
        unknown = [key for key in returned if key not in ("score", "feedback")]
        if unknown or "score" not in returned:
            raise self._failed(
                f"returned {quote(dict(returned))}; an object has `score` and may have `feedback`"
            )
        feedback = returned.get("feedback")
        if feedback is not None and not isinstance(feedback, str):
            raise self._failed(f"returned {quote(feedback)} as feedback, which must be text")
        return returned["score"], feedback or ""

    def _number(self, value: Any) -> float:
        if not isinstance(value, bool | int | float) or not math.isfinite(value):
            raise self._failed(
                f"returned {value!r} as the score, which must be true, false or a number from 0 to 1"
            )
        if not -_ROUNDING <= value <= 1 + _ROUNDING:
            raise self._failed(f"returned {value!r}, and a score lies between 0 and 1")
        if self.pass_fail and value not in (0, 1):
            raise self._failed(f"returned {value!r}, but `pass_fail: true` promises 0 or 1")
        return min(1.0, max(0.0, float(value)))

    def _failed(self, message: str) -> RowFailed:
        return RowFailed("hook", f"{self.function} {message}")
