"""Which estimator a field gets: decided by its type and by what its demos' values look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from promptc.runners.icl.case import Lessons
from promptc.runners.icl.chooser import learn_labels
from promptc.runners.icl.composites import Items, Members, Nullable, Rows
from promptc.runners.icl.copier import Copier, Place, Shown, learn_spans
from promptc.runners.icl.estimators import (
    Average,
    Choose,
    ChooseSeveral,
    Constant,
    Copy,
    CopySeveral,
    Estimator,
    FirstClause,
    PlainNumber,
    Recall,
)
from promptc.runners.icl.rewrites import AsItIs, AsNumber, Rewrite, rewrites_for
from promptc.runners.icl.rules import Hints
from promptc.runners.icl.text import name_words
from promptc.runners.icl.wanted import Label, Leaf, Listing, Node, Record

Values = Sequence[Any]
"""A demo's value for each demo; UNSET where it has none."""

_MOSTLY = 0.5
_NEARLY_ALWAYS = 0.8
_SMALL_RANGE = 10
_UNBOUNDED = 1000


class Teacher(msgspec.Struct, frozen=True):
    """Makes the estimators of one output field.

    `hints` are what the instructions say about its labels, `subject` is its name and description.
    """

    lessons: Lessons
    hints: Hints
    subject: str

    def estimator(self, node: Node, values: Values) -> Estimator:
        """An estimator for the values of a node."""
        if isinstance(node, Record):
            return self._record(node, values)
        if isinstance(node, Listing):
            return self._listing(node, values)
        if node.kind == "label":
            return self._labels(node.labels, node.nullable, values)
        if node.kind == "flag":
            return self._flag(values)
        if node.kind in {"integer", "number"}:
            return self._number(node, values)
        return self._text(node, values)

    def _record(self, node: Record, values: Values) -> Estimator:
        members = Members(
            {
                name: self.estimator(member, [_member(value, name) for value in values])
                for name, member in node.members.items()
            }
        )
        if any(value is None for value in values):
            return Nullable(members, tuple(value is None for value in values))
        return members

    def _labels(self, labels: Sequence[Label], nullable: bool, values: Values) -> Choose:
        names = [label.name for label in labels]
        texts = [_label_text(label, self.hints.sentences.get(label.name, "")) for label in labels]
        rules = [self.hints.rules.get(name, ()) for name in names]
        gold = [_label_names(value) for value in values]
        if nullable and any(value is None for value in values):
            names, texts, rules = [*names, "null"], [*texts, ""], [*rules, ()]
        chooser = learn_labels(names, texts, rules, gold, self.lessons.space, self.lessons.memory)
        return Choose(chooser, tuple(None if name == "null" and nullable else name for name in names))

    def _flag(self, values: Values) -> Estimator:
        labels = (Label("true", self.subject), Label("false"))
        choose = self._labels(labels, False, [_flag_name(value) for value in values])
        return msgspec.structs.replace(choose, values=(True, False))

    def _number(self, leaf: Leaf, values: Values) -> Estimator:
        numbers = [value if _is_number(value) else None for value in values]
        known = [number for number in numbers if number is not None]
        if not known:
            return PlainNumber(leaf)
        seen = [value if value is None or _is_number(value) else msgspec.UNSET for value in values]
        instead = self._number_from_demos(leaf, numbers, known)
        copied = self._copy(leaf, seen, [AsNumber()], instead)
        if copied is not None and (
            copied[1] >= _NEARLY_ALWAYS or (copied[1] >= _MOSTLY and not _is_scale(leaf))
        ):
            return copied[0]
        absent = tuple(value is None for value in values)
        return Nullable(instead, absent) if any(absent) else instead

    def _number_from_demos(
        self, leaf: Leaf, numbers: Sequence[float | None], known: Sequence[float]
    ) -> Estimator:
        """One of the numbers seen where these are few, else a mean."""
        distinct = sorted(set(known))
        if _is_scale(leaf) or 2 * len(distinct) <= len(known):
            labels = [Label(str(number)) for number in distinct]
            names = [msgspec.UNSET if number is None else str(number) for number in numbers]
            choose = self._labels(labels, False, names)
            return msgspec.structs.replace(choose, values=tuple(distinct))
        return Average(tuple(numbers), leaf)

    def _text(self, leaf: Leaf, values: Values) -> Estimator:
        known = [value for value in values if value is not msgspec.UNSET]
        texts = [value for value in known if isinstance(value, str)]
        if not known:
            return FirstClause(leaf.pattern)
        instead = Constant(None) if leaf.nullable else FirstClause(leaf.pattern)
        copied = self._copy(leaf, values, None, instead)
        distinct = list(dict.fromkeys(texts))
        repeated = len(texts) >= 4 and 2 * len(distinct) <= len(texts)
        if copied is not None and copied[1] >= (_NEARLY_ALWAYS if repeated else _MOSTLY):
            return copied[0]
        if repeated:
            return self._labels([Label(text) for text in distinct], leaf.nullable, values)
        return Recall(tuple(values))

    def _copy(
        self, leaf: Leaf, values: Values, rewrites: Sequence[Rewrite] | None, otherwise: Estimator
    ) -> tuple[Copy, float] | None:
        """A copier, and the share of the demos' values that it can explain; None without any."""
        wanted = [
            index for index, value in enumerate(values) if value is not None and value is not msgspec.UNSET
        ]
        rewrite, places = self._explained([[values[index]] for index in wanted], wanted, rewrites)
        if not any(places):
            return None
        shown = {index: found for index, found in zip(wanted, places, strict=True) if found}
        shown.update({index: frozenset() for index, value in enumerate(values) if value is None})
        copier = self._copier(shown)
        optional = any(value is None for value in values)
        share = sum(map(bool, places)) / len(wanted)
        return Copy(copier, rewrite, leaf, optional, otherwise), share

    def _explained(
        self, wanted: Sequence[Sequence[Any]], demos: Sequence[int], rewrites: Sequence[Rewrite] | None
    ) -> tuple[Rewrite, list[frozenset[Place]]]:
        """The rewrite under which most demos' values are found in their texts, and where they are found."""
        documents = [self.lessons.documents[index] for index in demos]
        best: tuple[Rewrite, list[frozenset[Place]]] = (AsItIs(), [])
        firsts = [values[0] if values else None for values in wanted]
        for rewrite in rewrites or dict.fromkeys(rewrites_for(firsts, documents)):
            places = [
                frozenset(
                    (index, start, end)
                    for value in values
                    for index, document in enumerate(shown)
                    for start, end in rewrite.places(document, value)
                )
                for values, shown in zip(wanted, documents, strict=True)
            ]
            if sum(map(bool, places)) > sum(map(bool, best[1])):
                best = rewrite, places
            if best[1] and all(best[1]):
                break
        return best

    def _copier(self, shown: Mapping[int, frozenset[Place]]) -> Copier:
        return learn_spans([Shown(self.lessons.documents[index], shown[index]) for index in sorted(shown)])

    def _listing(self, node: Listing, values: Values) -> Estimator:
        high = node.high if node.high is not None else _UNBOUNDED
        lists = [value if isinstance(value, list) else None for value in values]
        if isinstance(node.item, Record):
            return self._rows(node.item, node.low, high, lists)
        if isinstance(node.item, Leaf) and node.item.kind == "label":
            return self._several(node.item.labels, node.low, high, lists)
        flat = list(chain.from_iterable(each for each in lists if each))
        if not any(each is not None for each in lists):
            return Items(self.estimator(node.item, [msgspec.UNSET] * len(values)), max(1, node.low))
        if not flat or isinstance(node.item, Listing):
            return Recall(tuple(msgspec.UNSET if each is None else each for each in lists))
        copied = self._copied_list(node.item, node.low, high, lists)
        return copied or self._recalled_list(node, high, lists, flat)

    def _recalled_list(
        self, node: Listing, high: int, lists: Sequence[list[Any] | None], flat: list[Any]
    ) -> Estimator:
        distinct = [value for value in dict.fromkeys(map(_hashable, flat)) if isinstance(value, str)]
        if distinct and 2 * len(distinct) <= len(flat):
            return self._several([Label(value) for value in distinct], node.low, high, lists)
        return Recall(tuple(msgspec.UNSET if each is None else each for each in lists))

    def _copied_list(
        self, item: Leaf, low: int, high: int, lists: Sequence[list[Any] | None]
    ) -> CopySeveral | None:
        wanted = [index for index, each in enumerate(lists) if each]
        numeric = item.kind in {"integer", "number"}
        rewrite, places = self._explained(
            [lists[index] or [] for index in wanted], wanted, [AsNumber()] if numeric else None
        )
        if sum(map(bool, places)) < _MOSTLY * len(wanted):
            return None
        shown = {index: found for index, found in zip(wanted, places, strict=True) if found}
        shown.update({index: frozenset() for index, each in enumerate(lists) if each == []})
        copier = self._copier(shown)
        threshold = self._threshold(copier, shown)
        otherwise = self.estimator(item, [each[0] if each else msgspec.UNSET for each in lists])
        return CopySeveral(copier, rewrite, item, threshold, low, high, otherwise)

    def _threshold(self, copier: Copier, shown: Mapping[int, frozenset[Place]]) -> float:
        """Half-way between the median score of right spans and that of the best wrong ones."""
        right: list[float] = []
        wrong: list[float] = []
        for index in sorted(shown):
            ranked = copier.ranked(self.lessons.documents[index])
            right.extend(score for score, place in ranked if place in shown[index])
            wrong.extend([score for score, place in ranked if place not in shown[index]][:1])
        return (_middle(right) + _middle(wrong)) / 2 if wrong else -_UNBOUNDED

    def _several(
        self, labels: Sequence[Label], low: int, high: int, lists: Sequence[list[Any] | None]
    ) -> ChooseSeveral:
        choose = self._labels(labels, False, [msgspec.UNSET if each is None else each for each in lists])
        counts = tuple(-1 if each is None else len(each) for each in lists)
        return ChooseSeveral(choose, counts, low, min(high, len(labels)))

    def _rows(self, item: Record, low: int, high: int, lists: Sequence[list[Any] | None]) -> Rows:
        members: dict[str, Estimator] = {}
        alone: dict[str, Estimator] = {}
        for name, node in item.members.items():
            columns = [None if each is None else _column(each, name) for each in lists]
            firsts = [column[0] if column else msgspec.UNSET for column in columns]
            alone[name] = self.estimator(node, firsts)
            listed = [msgspec.UNSET if column is None else column for column in columns]
            members[name] = self.estimator(Listing(node), listed)
        return Rows(members, alone, low, high)


def _member(value: Any, name: str) -> Any:
    return value.get(name, msgspec.UNSET) if isinstance(value, Mapping) else msgspec.UNSET


def _column(values: Sequence[Any], name: str) -> list[Any]:
    found = [_member(value, name) for value in values]
    return [value for value in found if value is not msgspec.UNSET and value is not None]


def _label_text(label: Label, sentence: str) -> str:
    return " ".join([*name_words(label.name), label.description, sentence])


def _label_names(value: Any) -> tuple[str, ...]:
    if value is msgspec.UNSET:
        return ()
    if isinstance(value, list):
        return tuple(chain.from_iterable(map(_label_names, value)))
    return ("null" if value is None else value if isinstance(value, str) else str(value).lower(),)


def _flag_name(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.casefold() if isinstance(value, str) else msgspec.UNSET


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scale(leaf: Leaf) -> bool:
    """A rating or the like: whole numbers in a small range."""
    return (
        leaf.kind == "integer"
        and leaf.low is not None
        and leaf.high is not None
        and leaf.high - leaf.low <= _SMALL_RANGE
    )


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else repr(value)


def _middle(scores: Sequence[float]) -> float:
    return sorted(scores)[len(scores) // 2] if scores else 0.0
