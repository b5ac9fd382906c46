"""Trajectory: the tools that were called, beside those that should have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.candidate import Called
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.used_tools import StepOption, calls_of, has


class Trajectory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well the calls on the way to the answer match those in the gold column.

    The gold is a list: names of tools, or `{tool, arguments}` for calls that have to hold these arguments. In order or
    not, the score is the F1 of the calls that match; calls too many lower it unless `extra: ignore`. Calls that failed
    do not count.
    """

    match: Annotated[
        Literal["in_order", "any_order", "exact"],
        msgspec.Meta(
            description="in_order and any_order give a share; exact is 1 for the very same calls, else 0.",
            examples=["any_order"],
        ),
    ] = "in_order"
    extra: Annotated[
        Literal["count", "ignore"],
        msgspec.Meta(description="Whether calls that nobody expected lower the score.", examples=["ignore"]),
    ] = "count"
    step: StepOption = None

    reads_gold: ClassVar[bool] = True

    @property
    def binary(self) -> bool:
        """Only `exact` is pass or fail."""
        return self.match == "exact"

    def calls(self) -> int:
        """None."""
        return 0

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare the calls with the gold. ValueError for a gold that is no list of calls."""
        if case.expected is msgspec.UNSET or case.expected is None:
            return None
        wanted = [_expected(entry) for entry in _listed(case.expected)]
        made = [called for called in calls_of(case, self.step) if not called.failed]
        if self.match == "exact":
            same = len(made) == len(wanted) and all(map(_fits, made, wanted))
            return Score(float(same), _said(made, wanted))
        matched = _in_order(made, wanted) if self.match == "in_order" else _any_order(made, wanted)
        return Score(self._share(matched, len(made), len(wanted)), _said(made, wanted))

    def _share(self, matched: int, made: int, wanted: int) -> float:
        if self.extra == "ignore":
            return matched / wanted if wanted else 1.0
        return 2 * matched / (made + wanted) if made + wanted else 1.0


class _Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tool: str
    arguments: dict[str, Any] = {}


def _listed(gold: Any) -> Sequence[Any]:
    return gold if isinstance(gold, list) else [gold]


def _expected(entry: Any) -> _Expected:
    if isinstance(entry, str):
        return _Expected(entry)
    if not isinstance(entry, Mapping):
        raise ValueError(f"a call is the name of a tool, or {{tool, arguments}}, not {entry!r:.60}")
    try:
        return msgspec.convert(entry, _Expected)
    except msgspec.ValidationError as error:
        raise ValueError(f"a call is the name of a tool, or {{tool, arguments}}: {error}") from error


def _fits(called: Called, wanted: _Expected) -> bool:
    return called.tool == wanted.tool and has(called.arguments, wanted.arguments)


def _in_order(made: Sequence[Called], wanted: Sequence[_Expected]) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(wanted) + 1)
    for called in made:
        diagonal = 0
        for place, expected in enumerate(wanted, start=1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if _fits(called, expected) else max(above, lengths[place - 1])
            diagonal = above
    return lengths[-1]


def _any_order(made: Sequence[Called], wanted: Sequence[_Expected]) -> int:
    """How many expected calls were made, each call counted once; those with the most arguments choose first."""
    rest = list(made)
    matched = 0
    for expected in sorted(wanted, key=lambda one: -len(one.arguments)):
        found = next((called for called in rest if _fits(called, expected)), None)
        if found is not None:
            rest.remove(found)
            matched += 1
    return matched


def _said(made: Sequence[Called], wanted: Sequence[_Expected]) -> str:
    called = ", ".join(one.tool for one in made) or "nothing"
    expected = ", ".join(one.tool for one in wanted) or "nothing"
    return f"called {called}; expected {expected}"
