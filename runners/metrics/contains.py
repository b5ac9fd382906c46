"""Contains: the gold, or given texts, occur in the prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics.compare import same
from promptc.runners.metrics.golds import acceptable, any_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import (
    IgnoreCase,
    LanguageOption,
    Normalize,
    as_text,
    quote,
    quote_all,
    text_rule,
    words,
)


class Contains(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the prediction contains what it should, else 0.

    What it should contain is the gold, or `texts`. In a text that is a part of it, in a list one of its
    items. A gold that is empty is contained in an empty prediction only.
    """

    texts: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Texts to look for in every row. With them no gold is read.",
            examples=[["refund", "order"]],
        ),
    ] = ()
    require: Annotated[
        Literal["any", "all"],
        msgspec.Meta(
            description="Whether one of several texts is enough, or all must be there.", examples=["all"]
        ),
    ] = "any"
    whole_words: Annotated[
        bool,
        msgspec.Meta(
            description="Look for words rather than characters, so that `cat` is not in `concatenate`.",
            examples=[True],
        ),
    ] = False
    ignore_case: IgnoreCase = False
    normalize: Normalize = False
    language: LanguageOption = None

    binary: ClassVar[bool] = True

    @property
    def reads_gold(self) -> bool:
        """False where `texts` are given."""
        return not self.texts

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Look for each text."""
        if self.reads_gold and case.expected is msgspec.UNSET:
            return None
        wanted, require = self._wanted(case)
        within = self._within(case.value)
        missing = [text for text in wanted if not within(text)]
        if not missing or (require == "any" and len(missing) < len(wanted)):
            found = next(text for text in wanted if text not in missing) if wanted else None
            return Score(
                1.0, f"{quote(case.value)} contains {quote(found)}" if wanted else "nothing had to be there"
            )
        sought = f"all of {quote_all(missing)}" if require == "all" and len(missing) > 1 else any_of(missing)
        return Score(0.0, f"expected the answer to contain {sought}, got {quote(case.value)}")

    def _wanted(self, case: Case) -> tuple[tuple[Any, ...], Literal["any", "all"]]:
        """What is looked for. The list that is the gold of a list-typed field has to be there as a whole."""
        if self.texts:
            return self.texts, self.require
        golds = acceptable(case.value, case.expected)
        if isinstance(case.value, list) and len(golds) == 1 and isinstance(golds[0], list):
            return tuple(golds[0]), "all"
        return golds, self.require

    def _within(self, value: Any) -> Callable[[Any], bool]:
        rule = text_rule(self.ignore_case, self.normalize, self.language)
        if isinstance(value, list):
            return lambda wanted: any(same(item, wanted, rule) for item in value)
        if self.whole_words:
            return lambda wanted: _run_in(
                words(as_text(wanted), self.language), words(as_text(value), self.language)
            )
        text = rule(as_text(value))
        return lambda wanted: rule(as_text(wanted)) in text if rule(as_text(wanted)) else not text


def _run_in(wanted: list[str], found: list[str]) -> bool:
    """True when the words stand in a row among the others."""
    if not wanted:
        return not found
    return any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1))
