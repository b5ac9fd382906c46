"""Grounded: whether the answer stands in a passage."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.metrics.found import Found, found_in
from promptc.runners.metrics.passage_match import stands_in
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import LanguageOption, as_text, quote, quote_all


class Grounded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the answer stands in one of the passages, word for word, else 0; of a list, when all its items do.

    Case, punctuation and spacing make no difference. No gold is read. An empty answer says nothing and is left out.
    """

    passages: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z_]",
            description="What holds the passages: a retrieve step, an output field, or an input column.",
            examples=["search"],
        ),
    ]
    language: LanguageOption = None

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = False

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Look for the answer in each passage."""
        answers = [as_text(part) for part in (case.value if isinstance(case.value, list) else [case.value])]
        if not any(answer.strip() for answer in answers):
            return None
        found = self._passages(case)
        missing = [a for a in answers if not any(stands_in(a, item.text, self.language) for item in found)]
        if not missing:
            return Score(1.0, f"{quote(case.value)} stands in the passages")
        return Score(
            0.0, f"{quote_all(missing)} stands in none of {len(found)} passages of `{self.passages}`"
        )

    def _passages(self, case: Case) -> list[Found]:
        """Those of the step of that name, else of the output, else of the row."""
        if any(step.predictor == self.passages and step.kind == "retrieve" for step in case.trace):
            return found_in(case, self.passages)
        held: Any = case.outputs.get(self.passages, case.row.get(self.passages))
        return found_in(msgspec.structs.replace(case, value=held), None)
