"""What the steps of a pipeline do, one class each: ask a model, retrieve, call a function, compute, repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.values import conform
from promptc.runners.modules.protocol import Module, judge_calls
from promptc.runners.pipeline import Graph, Row, Scope, evaluated, results_of
from promptc.runners.step_call import StepCall
from promptc.spec.expressions import Expression
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Step


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A module carries a signature out."""

    step: Step
    module: Module

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Those of the module."""
        return self.module.calls() if only is None or self.step.name in only else (0, 0)

    def judge_calls(self) -> int:
        """Those of the module."""
        return judge_calls(self.module)

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The module's outputs."""
        given = {field.name: value_of(field, args, self.step.name) for field in self.step.signature.inputs}
        call = StepCall(
            row.compiled,
            self.step,
            row.lane,
            row.trace,
            row.role,
            row.rollout,
            steady=row.steady,
            scope=scope,
        )
        return await self.module.run(call, self.step.signature, given)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A retriever finds passages for a query, or for several at once.

    `k` None leaves the number to the retriever. `filter` is a mapping, or an expression that gives one.
    """

    name: str
    retriever: str
    k: int | None
    filter: dict[str, Any] | Expression | None

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """None: a retriever is no predictor."""
        return 0, 0

    def judge_calls(self) -> int:
        """None."""
        return 0

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """`passages`, the texts, and `hits`, the objects; those of several queries by rank, each document once."""
        query = args.get("query")
        queries = query if isinstance(query, list) else [query]
        texts = [text for text in queries if isinstance(text, str) and text.strip()]
        where = self.filter
        if isinstance(where, Expression):
            where = evaluated(where, scope, f"{self.name}: filter")
        found = await row.lane.retrieve(self.retriever, texts, self.k, where) if texts else []
        hits = _by_rank(found)
        outputs = {"passages": [hit["text"] for hit in hits], "hits": hits}
        row.note(self.name, "retrieve", inputs={"query": query}, outputs={"hits": hits})
        return outputs


def _by_rank(found: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The first hits of all queries, then the second ones, and so on; each document where it comes first."""
    seen: set[Any] = set()
    hits = []
    for rank in range(max(map(len, found), default=0)):
        for each in found:
            if rank < len(each) and each[rank]["id"] not in seen:
                seen.add(each[rank]["id"])
                hits.append(each[rank])
    return hits


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A function of the user's is called with what was wired in, by name."""

    name: str
    reference: str
    signature: Signature | None

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """None."""
        return 0, 0

    def judge_calls(self) -> int:
        """None."""
        return 0

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The mapping that it returned, checked against the declared outputs; of a single output, its value alone."""
        given = args
        if self.signature is not None:
            given = {field.name: value_of(field, args, self.name) for field in self.signature.inputs}
        result = await row.lane.hook(self.reference, given)
        outputs = self._outputs(result)
        row.note(self.name, "python", inputs=given, outputs=outputs)
        return outputs

    def _outputs(self, result: Any) -> dict[str, Any]:
        fields = self.signature.outputs if self.signature is not None else ()
        if not isinstance(result, Mapping):
            if len(fields) != 1:
                raise RowFailed(
                    "hook", f"{self.reference} returned {type(result).__name__}, not a mapping of outputs"
                )
            result = {fields[0].name: result}
        if self.signature is None:
            return dict(result)
        outputs = {}
        for field in fields:
            if field.name not in result and field.required:
                raise RowFailed("hook", f"{self.reference} returned no `{field.name}`")
            value = result.get(field.name, None if field.required else field.default)
            try:
                outputs[field.name] = conform(field, value) if value is not None or field.required else value
            except ParseError as error:
                raise RowFailed("hook", f"{self.reference}: {error}") from error
        return outputs


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """Values by expressions."""

    name: str
    values: dict[str, Expression]

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """None."""
        return 0, 0

    def judge_calls(self) -> int:
        """None."""
        return 0

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The values by name."""
        outputs = {name: evaluated(e, scope, f"{self.name}: set.{name}") for name, e in self.values.items()}
        row.note(self.name, "set", outputs=outputs)
        return outputs


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """Steps run round after round, `most` at the most, until an expression is true."""

    name: str
    graph: Graph
    most: int
    until: Expression | None

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Those of one round at least and of all at most; without `until` all rounds take place."""
        low, high = self.graph.calls(only)
        return low * (1 if self.until is not None else self.most), high * self.most

    def judge_calls(self) -> int:
        """Those of all rounds."""
        return self.graph.judge_calls() * self.most

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """`rounds`, and what each step gave in the last one by the step's name."""
        before: dict[str, Any] = {
            node.name: dict.fromkeys(f.name for f in node.outputs) for node in self.graph.nodes
        }
        rounds = 0
        while rounds < self.most:
            rounds += 1
            values = await self.graph.run(row, {**scope, "previous": before})
            row.note(self.name, "round", outputs={"rounds": rounds})
            done = self.until is not None and evaluated(
                self.until, {**scope, **values, "previous": before}, f"{self.name}: until"
            )
            before = values
            if done is True:
                break
        return {"rounds": rounds, **before}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Another program, in a scope of its own."""

    name: str
    graph: Graph
    inputs: tuple[Field, ...]
    results: dict[str, Expression]

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Those of its steps."""
        return self.graph.calls(only)

    def judge_calls(self) -> int:
        """Those of its steps."""
        return self.graph.judge_calls()

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The program's outputs."""
        inner = {"inputs": {field.name: value_of(field, args, self.name) for field in self.inputs}}
        values = await self.graph.run(row, inner)
        return results_of(self.results, {**inner, **values}, self.name)


def value_of(field: Field, given: Mapping[str, Any], where: str) -> Any:
    """An input's value, or its default. Raises RowFailed where there is neither."""
    value = given.get(field.name)
    if value is None and not field.required:
        return field.default
    if field.name not in given:
        raise RowFailed("data", f"{where}: there is no `{field.name}`")
    return value
