"""JSON fields: every value of a nested object judged by a metric of its own."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.metrics import alignment
from promptc.runners.metrics.golds import acceptable
from promptc.runners.metrics.protocol import Case, Metric, Score, Services
from promptc.runners.metrics.registry import build
from promptc.runners.metrics.tally import RunningMean
from promptc.runners.metrics.text import quote

_LISTS_ON_THE_WAY = re.compile(r"(?:\[\])+\.")

MOST_REPORTED = 8
"""Wrong values that the feedback names."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One judged place: `path` has list indices, `pattern` has none. What is absent is UNSET."""

    path: str
    pattern: str
    value: Any
    gold: Any
    metric: Metric


class JsonFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The weighted mean over the paths of an object; a path inside a list counts as the mean over its items.

    Paths are dotted and pass through lists: `items.price` is the price of every item, `tags[]` each item of a
    list of plain values, `tags` that list as a whole, `.` the whole value. Items are paired by a key, in
    order, or so that they are most alike. A value that is missing counts as 0, and so does one that the gold
    does not have. Absent, null and an empty list or object are the same.
    """

    fields: Annotated[
        dict[str, str | dict[str, Any]],
        msgspec.Meta(
            description="Metrics by path. Other values are judged by `rest`.",
            examples=[{"total": {"numeric": {"tolerance": 0.01}}, "items.name": "f1"}],
        ),
    ] = {}
    rest: Annotated[
        str | dict[str, Any] | None,
        msgspec.Meta(
            description="The metric for every value that `fields` does not name; null leaves them out.",
            examples=[{"exact_match": {"normalize": True}}],
        ),
    ] = "exact_match"
    align: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="Lists whose items belong together when they agree in a key: path to key.",
            examples=[{"items": "sku"}],
        ),
    ] = {}
    ordered: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Paths of lists that are compared item by item in order.", examples=[["steps"]]
        ),
    ] = ()
    weights: Annotated[
        dict[str, Annotated[float, msgspec.Meta(ge=0)]],
        msgspec.Meta(
            description="Weights by path, for it and all below it; 1 elsewhere.", examples=[{"total": 3}]
        ),
    ] = {}
    extra: Annotated[
        Literal["penalize", "ignore"],
        msgspec.Meta(description="What a value counts that the gold does not have.", examples=["ignore"]),
    ] = "penalize"

    binary: ClassVar[bool] = False
    reads_gold: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for path, metric in [*self._metrics.items(), ("rest", self._rest)]:
            if metric is not None and metric.calls():
                raise ValueError(
                    f"`{path}` has a metric that calls a model; json_fields takes none, because the number "
                    "of calls would depend on the reply: judge the field in an entry of its own"
                )

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> JsonFieldsTally:
        """The mean of every path over all rows."""
        return JsonFieldsTally()

    async def score(self, case: Case, services: Services) -> Score | None:
        """Judge every value against the gold; against several acceptable objects, the best counts."""
        if case.expected is msgspec.UNSET:
            return None
        expected, value = _decoded(case.expected), case.value
        if isinstance(value, str) and isinstance(expected, dict | list):
            try:
                value = msgspec.json.decode(value)
            except msgspec.DecodeError as error:
                return Score(0.0, f"expected JSON, got {quote(value)}: {error}")
        decoded = msgspec.structs.replace(case, value=value)
        scores = [await self._judged(decoded, gold, services) for gold in acceptable(value, expected)]
        judged = [score for score in scores if score is not None]
        return max(judged, key=lambda score: score.value) if judged else None

    def unknown_paths(self, schema: Mapping[str, Any]) -> tuple[str, ...]:
        """Paths of the parameters that a field with that JSON Schema cannot have: mostly typing errors."""
        named = [*self.fields, *self.align, *self.ordered, *self.weights]
        return tuple(path for path in dict.fromkeys(named) if not _in_schema(schema, _canonical(path)))

    @functools.cached_property
    def _metrics(self) -> dict[str, Metric]:
        return {_canonical(path): build(entry) for path, entry in self.fields.items()}

    @functools.cached_property
    def _rest(self) -> Metric | None:
        return None if self.rest is None else build(self.rest)

    async def _judged(self, case: Case, gold: Any, services: Services) -> Score | None:
        """The score against one gold; None where there is nothing to judge."""
        scores: dict[str, list[float]] = {}
        wrong: list[str] = []
        for leaf in self._leaves("", "", case.value, gold):
            score = await self._judged_leaf(leaf, case, services)
            if score is None:
                continue
            scores.setdefault(leaf.pattern or ".", []).append(score.value)
            if score.value < 1:
                wrong.append(f"{leaf.path or 'the value'}: {score.feedback}")
        means = {path: sum(values) / len(values) for path, values in scores.items()}
        weights = {path: self._weight(path) for path in means}
        total = sum(weights.values())
        if not scores and self._rest is not None:
            return Score(1.0, "nothing was expected, and nothing is there")
        if not total:
            return None
        mean = sum(means[path] * weights[path] for path in means) / total
        return Score(min(1.0, mean), _reported(wrong, len(means)), {"fields": means})

    async def _judged_leaf(self, leaf: Leaf, case: Case, services: Services) -> Score | None:
        value, gold = leaf.value, leaf.gold
        if _nothing(gold):
            if gold is msgspec.UNSET and (self.extra == "ignore" or _nothing(value)):
                return None
            return Score(1.0) if _nothing(value) else Score(0.0, f"got {quote(value)}, nothing was expected")
        if _nothing(value):
            return Score(0.0, f"missing, expected {quote(gold)}")
        if isinstance(gold, list) and not isinstance(value, list):
            return Score(0.0, f"expected the list {quote(gold)}, got {quote(value)}")
        try:
            return await leaf.metric.score(
                msgspec.structs.replace(case, value=value, expected=gold), services
            )
        except ValueError as error:
            raise ValueError(f"{leaf.path or 'the value'}: {error}") from error

    def _leaves(self, path: str, pattern: str, value: Any, gold: Any) -> Iterator[Leaf]:
        """The places to judge, in the order of the gold."""
        metric = self._metrics.get(_canonical(pattern))
        shape = value if _nothing(gold) and gold is not None else gold
        if metric is not None:
            yield Leaf(path=path, pattern=pattern, value=value, gold=gold, metric=metric)
        elif isinstance(shape, Mapping) and shape:
            yield from self._object_leaves(path, pattern, value, gold)
        elif isinstance(shape, list) and shape:
            yield from self._list_leaves(path, pattern, value, gold)
        elif self._rest is not None:
            yield Leaf(path=path, pattern=pattern, value=value, gold=gold, metric=self._rest)

    def _object_leaves(self, path: str, pattern: str, value: Any, gold: Any) -> Iterator[Leaf]:
        golds = gold if isinstance(gold, Mapping) else {}
        values = value if isinstance(value, Mapping) else {}
        for key in [*golds, *(key for key in values if key not in golds)]:
            below = (_joined(path, key), _joined(pattern, key))
            yield from self._leaves(*below, values.get(key, msgspec.UNSET), golds.get(key, msgspec.UNSET))

    def _list_leaves(self, path: str, pattern: str, value: Any, gold: Any) -> Iterator[Leaf]:
        golds = gold if isinstance(gold, list) else []
        values = value if isinstance(value, list) else []
        for g, v in self._paired(pattern, golds, values):
            place = f"{path}[{g if g is not None else v}]"
            yield from self._leaves(
                place,
                f"{pattern}[]",
                msgspec.UNSET if v is None else values[v],
                msgspec.UNSET if g is None else golds[g],
            )

    def _paired(self, pattern: str, golds: list[Any], values: list[Any]) -> list[alignment.Pair]:
        path = _canonical(pattern)
        key = next((key for listed, key in self.align.items() if _canonical(listed) == path), None)
        if key is not None:
            return alignment.by_key(golds, values, key)
        if any(_canonical(listed) == path for listed in self.ordered):
            return alignment.in_order(golds, values)
        return alignment.by_likeness(golds, values)

    def _weight(self, pattern: str) -> float:
        """The weight of the longest listed path that this one is, or is below."""
        path = _canonical(pattern)
        above = [p for p in self.weights if _is_below(path, _canonical(p))]
        return self.weights[max(above, key=len)] if above else 1.0


class JsonFieldsTally:
    """The mean of every path over the rows in which it was judged."""

    def __init__(self) -> None:
        self._paths: dict[str, RunningMean] = {}

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        for path, mean in score.details.get("fields", {}).items():
            self._paths.setdefault(path, RunningMean()).add(mean)

    def figures(self) -> dict[str, Any]:
        """Score and number of rows by path."""
        listed = {path: {"score": m.mean, "rows": m.count} for path, m in sorted(self._paths.items())}
        return {"fields": listed} if listed else {}


def _nothing(value: Any) -> bool:
    return value is msgspec.UNSET or value is None or value == [] or value == {}


def _decoded(gold: Any) -> Any:
    """The gold as a value; text is taken for JSON, which is how a CSV column holds an object."""
    if not isinstance(gold, str):
        return gold
    try:
        return msgspec.json.decode(gold)
    except msgspec.DecodeError as error:
        raise ValueError(f"the gold {quote(gold)} is not JSON: {error}") from error


def _canonical(path: str) -> str:
    """One spelling of a path: lists on the way are not marked, `.` is the whole value."""
    return _LISTS_ON_THE_WAY.sub(".", path).lstrip(".") or "."


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_below(path: str, above: str) -> bool:
    return above == "." or path == above or path.startswith((f"{above}.", f"{above}["))


def _in_schema(schema: Mapping[str, Any], path: str) -> bool:
    """True when values of that schema can have the path; open objects and unions may have any."""
    while (
        schema.get("type") == "array" and path not in (".", "[]") and isinstance(schema.get("items"), Mapping)
    ):
        schema = schema["items"]
    if path in (".", "[]") or "properties" not in schema:
        return True
    key = next((k for k in schema["properties"] if path == k or path.startswith((f"{k}.", f"{k}["))), None)
    if key is None:
        return False
    return _in_schema(schema["properties"][key], path[len(key) :].lstrip(".") or ".")


def known_paths(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths that values of a JSON Schema have, as `fields` names them, from the top down."""
    while schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        schema = schema["items"]
    below = [(key, known_paths(inner)) for key, inner in schema.get("properties", {}).items()]
    return (*(key for key, _ in below), *(_joined(key, path) for key, paths in below for path in paths))


def _reported(wrong: list[str], paths: int) -> str:
    if not wrong:
        return f"all {paths} fields are right" if paths != 1 else "the field is right"
    more = len(wrong) - MOST_REPORTED
    return "; ".join(wrong[:MOST_REPORTED]) + (f"; and {more} more" if more > 0 else "")
