"""promptfoo's assertions as promptc's metrics, what a test wants of its answer in columns of the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from promptc.cli.imports.imported import Tree
from promptc.cli.imports.promptfoo_files import Left, as_text
from promptc.cli.imports.promptfoo_prompts import filled
from promptc.cli.wishes import plain_name
from promptc.runners.modules.protocol import free_name

OUTPUT = "output"
"""The one output field: promptfoo judges a whole reply."""
_CODE = ("javascript", "python", "ruby", "webhook")
_MOST_SAID = 60


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One assertion of one test: the metric and its parameters, and the row's own value.

    `gold` is what the metric compares with (`expected:`), `told` what a judge reads in a column.
    """

    metric: str
    params: Tree = {}
    gold: Any = None
    told: str = ""
    negate: bool = False
    weight: float = 1
    name: str = ""

    def kind(self, number: int) -> str:
        """Equal for wishes that one entry under `metrics:` can stand for."""
        return json.dumps(
            [self.metric, self.params, self.negate, self.weight, self.name, bool(self.told), number]
        )


def wishes_of(test: Mapping[str, Any], values: Mapping[str, Any], note: Callable[[str], None]) -> list[Wish]:
    """The assertions of a test that can be carried over; the others are noted."""
    found = []
    for entry in flattened(test.get("assert") or (), note):
        kind = str(entry.get("type") or "")
        try:
            found.append(_wish(kind, entry, values))
        except Left as left:
            note(f"the assertion {kind or '?'}{f': {left}' if str(left) else ''}")
    return found


def flattened(entries: Any, note: Callable[[str], None]) -> list[Mapping[str, Any]]:
    """The assertions, those of sets among them."""
    found: list[Mapping[str, Any]] = []
    for entry in entries if isinstance(entries, list | tuple) else ():
        if not isinstance(entry, dict):
            continue
        if entry.get("type") == "assert-set":
            if entry.get("threshold") is not None:
                note("the threshold of an assert-set: its assertions count one by one")
            found += flattened(entry.get("assert") or (), note)
        else:
            found.append(entry)
    return found


class Judging:
    """Gathers wishes over all tests, and names the columns that hold their values."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._taken = list(taken)
        self._columns: dict[str, str] = {}
        self._wishes: dict[str, Wish] = {}

    def columns(self, wishes: Sequence[Wish]) -> dict[str, Any]:
        """What a row of a test with these wishes holds besides its variables."""
        counts: dict[str, int] = {}
        cells: dict[str, Any] = {}
        for wish in wishes:
            alike = wish.kind(0)
            counts[alike] = counts.get(alike, 0) + 1
            cells[self._column(wish, wish.kind(counts[alike]))] = wish.told or wish.gold
        return cells

    def names(self) -> list[str]:
        """All columns."""
        return list(self._columns.values())

    def metrics(self) -> list[Tree]:
        """The entries under `metrics:`."""
        names: list[str] = []
        entries = []
        for kind, wish in self._wishes.items():
            name = free_name(plain_name(wish.name or self._columns[kind]).replace(".", "_"), names)
            names.append(name)
            own: Tree = dict(wish.params)
            column = self._columns[kind]
            own |= {"field": OUTPUT, "name": name}
            if wish.told:
                said = f"The answer meets what `{column}` asks for."
                own |= {"rubric": said, "columns": [column], "when": f"row.{column} != null"}
            else:
                own |= {"expected": column}
            own |= {"negate": True} if wish.negate else {}
            own |= {"weight": wish.weight} if wish.weight != 1 else {}
            entries.append({wish.metric: own})
        return entries

    def _column(self, wish: Wish, kind: str) -> str:
        if kind not in self._columns:
            wanted = "rubric" if wish.told else "expected" if wish.metric == "exact_match" else wish.metric
            column = free_name(f"not_{wanted}" if wish.negate else wanted, self._taken)
            self._taken.append(column)
            self._columns[kind] = column
            self._wishes[kind] = wish
        return self._columns[kind]


def _wish(kind: str, entry: Mapping[str, Any], values: Mapping[str, Any]) -> Wish:
    """One assertion. Raises Left."""
    negate = kind.startswith("not-")
    base = kind.removeprefix("not-")
    if base in _CODE:
        raise Left("it is code")
    if entry.get("transform") or entry.get("contextTransform"):
        raise Left("it has a transform, which is code")
    read = _READERS.get(base)
    if read is None:
        raise Left("promptc has no metric that says the same")
    metric, params, gold, told = read(_rendered(entry.get("value"), values), entry)
    weight = entry.get("weight", 1)
    return Wish(
        metric=metric,
        params=params,
        gold=gold,
        told=told,
        negate=negate,
        weight=weight if isinstance(weight, int | float) and not isinstance(weight, bool) else 1,
        name=str(entry.get("metric") or "")[:_MOST_SAID],
    )


def _rendered(value: Any, values: Mapping[str, Any]) -> Any:
    """An assertion's value with the test's variables in it. Raises Left."""
    if isinstance(value, str):
        if value.startswith("file://"):
            raise Left(f"its value is the file {value[:80]}")
        return filled(value, values)
    if isinstance(value, list):
        return [_rendered(item, values) for item in value]
    return value


Reading = tuple[str, Tree, Any, str]
"""Metric, its parameters, the row's gold, and what a judge is told."""


def _equals(value: Any, entry: Mapping[str, Any]) -> Reading:
    if isinstance(value, dict | list):
        raise Left("its value is an object: declare its parts as output fields, and json_fields judges them")
    return "exact_match", {}, as_text(value), ""


def _contains(params: Tree) -> Callable[[Any, Mapping[str, Any]], Reading]:
    def read(value: Any, entry: Mapping[str, Any]) -> Reading:
        golds = [as_text(item) for item in value] if isinstance(value, list) else [as_text(value)]
        several = {"require": "all"} if params.get("require") == "all" else {}
        return "contains", {**params, **several}, golds if len(golds) != 1 else golds[0], ""

    return read


def _starts_with(value: Any, entry: Mapping[str, Any]) -> Reading:
    return "regex", {}, rf"\A{re.escape(as_text(value))}", ""


def _regex(value: Any, entry: Mapping[str, Any]) -> Reading:
    try:
        re.compile(as_text(value))
    except re.error as error:
        raise Left(f"its pattern is none in Python: {error}") from error
    return "regex", {}, as_text(value), ""


def _rouge(value: Any, entry: Mapping[str, Any]) -> Reading:
    return "rouge", {"variant": "rouge1"}, as_text(value), ""


def _bleu(value: Any, entry: Mapping[str, Any]) -> Reading:
    return "bleu", {}, as_text(value), ""


def _rubric(value: Any, entry: Mapping[str, Any]) -> Reading:
    if not isinstance(value, str) or not value.strip():
        raise Left("its rubric is no text")
    return "llm_judge", {}, None, value.strip()


_READERS: Mapping[str, Callable[[Any, Mapping[str, Any]], Reading]] = {
    "equals": _equals,
    "contains": _contains({}),
    "icontains": _contains({"ignore_case": True}),
    "contains-any": _contains({}),
    "contains-all": _contains({"require": "all"}),
    "icontains-any": _contains({"ignore_case": True}),
    "icontains-all": _contains({"ignore_case": True, "require": "all"}),
    "starts-with": _starts_with,
    "regex": _regex,
    "rouge-n": _rouge,
    "bleu": _bleu,
    "llm-rubric": _rubric,
    "g-eval": _rubric,
    "model-graded-closedqa": _rubric,
}
