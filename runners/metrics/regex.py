"""Regex: the prediction matches a pattern, or what the pattern finds in it is the gold."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.metrics.compare import same
from promptc.runners.metrics.golds import acceptable, any_of
from promptc.runners.metrics.patterns import compile_foreign
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import as_text, quote, shorten

TIMEOUT = 2.0
"""Seconds that one pattern may take on one text."""


class Regex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the pattern matches, else 0.

    With `pattern` alone no gold is read. Without it the gold is the pattern (or a list of patterns of which
    one has to match). With `group`, what that group of `pattern` found is compared with the gold.
    """

    pattern: Annotated[
        str | None,
        msgspec.Meta(
            description="A regular expression as in Python. Without it the gold is the pattern.",
            examples=[r"^[A-Z]{2}\d{4}$"],
        ),
    ] = None
    match: Annotated[
        Literal["search", "full"],
        msgspec.Meta(description="Find the pattern anywhere, or match the whole text.", examples=["full"]),
    ] = "search"
    group: Annotated[
        int | str | None,
        msgspec.Meta(
            description="A group of `pattern`, by number or name, whose text has to be the gold.",
            examples=[1, "total"],
        ),
    ] = None
    ignore_case: Annotated[
        bool, msgspec.Meta(description="Letters match whatever their case.", examples=[True])
    ] = False
    multiline: Annotated[
        bool, msgspec.Meta(description="`^` and `$` match at every line.", examples=[True])
    ] = False
    dot_all: Annotated[bool, msgspec.Meta(description="`.` matches line ends too.", examples=[True])] = False

    binary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.pattern is None:
            if self.group is not None:
                raise ValueError("`group` needs a `pattern` that has it")
            return
        compiled = self._compiled(self.pattern)
        if isinstance(self.group, str) and self.group not in compiled.groupindex:
            raise ValueError(f"the pattern has no group named `{self.group}`")
        if isinstance(self.group, int) and not 0 <= self.group <= compiled.groups:
            raise ValueError(f"the pattern has no group {self.group}")

    @property
    def reads_gold(self) -> bool:
        """False where the pattern says it all."""
        return self.pattern is None or self.group is not None

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Match. Raises ValueError where a gold is no pattern, RowFailed where the match takes too long."""
        if self.reads_gold and case.expected is msgspec.UNSET:
            return None
        if self.pattern is not None:
            found = self._find(self.pattern, as_text(case.value))
            return (
                self._compared(found, case)
                if self.group is not None
                else self._matched(found, self.pattern, case)
            )
        patterns = [as_text(gold) for gold in acceptable(case.value, case.expected)]
        found = next((m for p in patterns if (m := self._find(p, as_text(case.value)))), None)
        return self._matched(found, patterns[0] if len(patterns) == 1 else " | ".join(patterns), case)

    def _matched(self, found: Any, pattern: str, case: Case) -> Score:
        shown = f"/{shorten(pattern, 80)}/"
        if found:
            return Score(1.0, f"{shown} matches {quote(found[0])}")
        return Score(0.0, f"expected text that matches {shown}, got {quote(case.value)}")

    def _compared(self, found: Any, case: Case) -> Score:
        got = found[self.group] if found else None
        golds = acceptable(got, case.expected)
        if got is None:
            shown = f"/{shorten(self.pattern or '', 80)}/"
            return Score(0.0, f"expected {any_of(golds)}, but {shown} finds nothing in {quote(case.value)}")
        if any(same(got, gold) for gold in golds):
            return Score(1.0, f"found {quote(got)} as expected")
        return Score(0.0, f"expected {any_of(golds)}, found {quote(got)} in {quote(case.value)}")

    def _compiled(self, pattern: str) -> Any:
        return compile_foreign(
            pattern, ignore_case=self.ignore_case, multiline=self.multiline, dot_all=self.dot_all
        )

    def _find(self, pattern: str, text: str) -> Any:
        compiled = self._compiled(pattern)
        try:
            return (compiled.search if self.match == "search" else compiled.fullmatch)(text, timeout=TIMEOUT)
        except TimeoutError as error:
            message = f"the pattern /{shorten(pattern, 80)}/ takes more than {TIMEOUT:g} s on {quote(text)}"
            raise RowFailed("metric", message) from error
