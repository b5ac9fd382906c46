"""How a value is come by: chosen, copied, recalled, averaged or guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from promptc.runners.icl.case import Case
from promptc.runners.icl.chooser import Chooser
from promptc.runners.icl.copier import Copier, Place
from promptc.runners.icl.document import Document
from promptc.runners.icl.draw import Draw
from promptc.runners.icl.rewrites import Rewrite, numbers_in
from promptc.runners.icl.wanted import Leaf

_CHOICE_SHARPNESS = 25.0
_SPAN_SHARPNESS = 1.0
_RECALL_SHARPNESS = 25.0
_TOP = 20
_NEAREST = 5
_LONGEST_CLAUSE = 12
_CLAUSE_END = re.compile(r"[.!?;:,\n]")


class Estimator(Protocol):
    """What answers for one place in the outputs."""

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A JSON value. `skip` alternatives that came first were refused before."""
        ...


class Choose(msgspec.Struct, frozen=True):
    """One of several values by a chooser; `values` stand in the order of its names."""

    chooser: Chooser
    values: tuple[Any, ...]

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """The best label, or a sampled one."""
        return self.values[draw.pick(self.scores(case), _CHOICE_SHARPNESS, skip)]

    def scores(self, case: Case) -> list[float]:
        """How well each value fits."""
        return self.chooser.scores(case.vector, case.similarities, case.words)


class ChooseSeveral(msgspec.Struct, frozen=True):
    """As many of the values as the nearest demos have, the best first."""

    choose: Choose
    counts: tuple[int, ...]
    low: int
    high: int

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A list of values."""
        near = sorted(self.counts[index] for index in case.nearest(3) if self.counts[index] >= 0)
        wanted = near[len(near) // 2] if near else 1
        left = list(zip(self.choose.scores(case), self.choose.values, strict=True))
        picked: list[Any] = []
        while left and len(picked) < max(self.low, min(wanted, self.high)):
            place = draw.pick([score for score, _ in left], _CHOICE_SHARPNESS, 0 if picked else skip)
            picked.append(left.pop(place)[1])
        return picked


class Copy(msgspec.Struct, frozen=True):
    """The best span that the field admits, rewritten as the demos rewrite theirs.

    With `optional` (some demo has None) it is None where no span looks right.
    """

    copier: Copier
    rewrite: Rewrite
    leaf: Leaf
    optional: bool
    otherwise: Estimator

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A copied value; where no span will do, what the estimator behind says."""
        found = usable(self.copier.ranked(case.documents), case.documents, self.rewrite, self.leaf)
        scores = [score for score, _ in found]
        values = [value for _, value in found]
        if self.optional:
            scores.append(0.0)
            values.append(None)
        if not values:
            return self.otherwise.guess(case, draw, skip)
        return values[draw.pick(scores, _SPAN_SHARPNESS, skip)]


class CopySeveral(msgspec.Struct, frozen=True):
    """All spans above a threshold, in the order of the text, without overlaps."""

    copier: Copier
    rewrite: Rewrite
    leaf: Leaf
    threshold: float
    low: int
    high: int
    otherwise: Estimator

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A list of copied values, filled up to `low` with what the estimator behind says."""
        chosen: dict[Place, Any] = {}
        for score, place in self.copier.ranked(case.documents):
            if len(chosen) >= self.high or (score < self.threshold and len(chosen) >= self.low):
                break
            index, start, end = place
            value = self.rewrite.apply(case.documents[index].piece(start, end))
            if admits(self.leaf, value) and not any(_overlap(place, other) for other in chosen):
                chosen[place] = value
        values = [chosen[place] for place in sorted(chosen)]
        missing = range(self.low - len(values))
        return [*values, *(self.otherwise.guess(case, draw, skip + index) for index in missing)]


class Recall(msgspec.Struct, frozen=True):
    """The value of the demo that is most alike, for values that are neither labels nor spans."""

    values: tuple[Any, ...]

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """The nearest demo's value among those that have one."""
        order = [
            index for index in case.nearest(len(self.values)) if self.values[index] is not msgspec.UNSET
        ][:_TOP]
        scores = [case.similarities[index] for index in order]
        return self.values[order[draw.pick(scores, _RECALL_SHARPNESS, skip)]]


class Average(msgspec.Struct, frozen=True):
    """The mean of the nearest demos' numbers, more alike ones counting more."""

    values: tuple[float | None, ...]
    leaf: Leaf

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A number that the field admits."""
        near = [i for i in case.nearest(len(self.values)) if self.values[i] is not None][: _NEAREST + skip]
        weights = [0.01 + case.similarities[index] ** 2 for index in near]
        total = sum(weight * (self.values[index] or 0.0) for weight, index in zip(weights, near, strict=True))
        return admissible(total / sum(weights), self.leaf)


class PlainNumber(msgspec.Struct, frozen=True):
    """Without demos: the first number in the text that the field admits, else the middle of its range."""

    leaf: Leaf

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """A number that the field admits, however unlikely."""
        low = self.leaf.low if self.leaf.low is not None else -math.inf
        high = self.leaf.high if self.leaf.high is not None else math.inf
        whole = self.leaf.kind == "integer"
        fits = [n for n in numbers_in(case.text) if low <= n <= high and not (whole and isinstance(n, float))]
        if fits:
            return admissible(fits[min(skip, len(fits) - 1)], self.leaf)
        bounds = [bound for bound in (low, high) if math.isfinite(bound)]
        return admissible(sum(bounds) / len(bounds) if bounds else 0.0, self.leaf)


class FirstClause(msgspec.Struct, frozen=True):
    """Without demos: a span that fits the field's pattern, else the first clause of the longest input."""

    pattern: str = ""

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """Some text."""
        longest = max(case.documents, key=lambda document: len(document.text), default=None)
        if longest is None:
            return ""
        if self.pattern:
            size = len(longest.tokens)
            windows = (
                (i, j) for i in range(size) for j in range(min(size, i + _LONGEST_CLAUSE) - 1, i - 1, -1)
            )
            fits = (
                longest.piece(i, j) for i, j in windows if fits_pattern(self.pattern, longest.piece(i, j))
            )
            found = next(fits, None)
            if found is not None:
                return found
        clauses = [clause.strip() for clause in _CLAUSE_END.split(longest.text) if clause.strip()]
        clause = clauses[min(skip, len(clauses) - 1)] if clauses else longest.text
        return " ".join(clause.split()[:_LONGEST_CLAUSE])


class Constant(msgspec.Struct, frozen=True):
    """Always the same: the last resort for a shape that nothing is known about."""

    value: Any

    def guess(self, case: Case, draw: Draw, skip: int) -> Any:
        """That value."""
        return self.value


def usable(
    ranked: Sequence[tuple[float, Place]], documents: Sequence[Document], rewrite: Rewrite, leaf: Leaf
) -> list[tuple[float, Any]]:
    """The best ranked spans' values, each once, as far as they can be rewritten and the field admits them."""
    found: dict[Any, float] = {}
    for score, (index, start, end) in ranked:
        value = rewrite.apply(documents[index].piece(start, end))
        if value not in found and admits(leaf, value):
            found[value] = score
            if len(found) >= _TOP:
                break
    return [(score, value) for value, score in found.items()]


def admits(leaf: Leaf, value: Any) -> bool:
    """Whether a value made from a span is one for the field: of its kind, in its range, by its pattern."""
    if isinstance(value, str):
        return leaf.kind not in {"integer", "number"} and fits_pattern(leaf.pattern, value)
    if value is None or (leaf.kind == "integer" and isinstance(value, float)):
        return False
    return bool((leaf.low is None or leaf.low <= value) and (leaf.high is None or value <= leaf.high))


def admissible(number: float, leaf: Leaf) -> int | float:
    """The number moved into the field's range and onto its step, whole for an integer."""
    step = leaf.step or (1.0 if leaf.kind == "integer" else None)
    if step:
        number = round(number / step) * step
    if leaf.low is not None and number < leaf.low:
        number = leaf.low if not step else math.ceil(leaf.low / step) * step
    if leaf.high is not None and number > leaf.high:
        number = leaf.high if not step else math.floor(leaf.high / step) * step
    return int(number) if leaf.kind == "integer" else round(number, 6)


def fits_pattern(pattern: str, text: str) -> bool:
    """Whether a text satisfies a JSON Schema pattern; one that Python cannot read is satisfied by all."""
    if not pattern:
        return True
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _overlap(one: Place, other: Place) -> bool:
    return one[0] == other[0] and one[1] <= other[2] and other[1] <= one[2]
