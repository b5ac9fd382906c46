"""`predict`: one call, straight from inputs to outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.modules.protocol import Call
from promptc.spec.fields import Signature


class Predict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask once for all output fields."""

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """One predictor, with the step's own signature."""
        return {"": signature}

    def calls(self) -> tuple[int, int]:
        """Exactly one."""
        return (1, 1)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the one call."""
        return await call.predict("", inputs)
