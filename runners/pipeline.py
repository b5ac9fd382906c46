"""The steps of a program as a graph: each runs as soon as what it reads is there, independent ones at once.

What a row asks does not depend on which reply comes first: a step that fails ends its dependants, all others go on to
their end, and the first failure in the order of the steps is the row's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from promptc.runners.asking import Role
from promptc.runners.failures import RowFailed
from promptc.runners.phase import Lane
from promptc.runners.step_call import TraceStep
from promptc.spec.expressions import Expression, ExpressionError
from promptc.spec.fields import Field

if TYPE_CHECKING:
    from promptc.runners.program import CompiledProgram

Scope = Mapping[str, Any]
"""What expressions read: `inputs`, the outputs of the steps by name, and within them `item` and `previous`."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row on its way through a program: who asks, on which lane, and the trace that it leaves.

    A `steady` rollout repeats the plain requests with another seed; others are sampled to differ.
    """

    compiled: CompiledProgram
    lane: Lane
    trace: list[TraceStep]
    role: Role
    rollout: int
    steady: bool = False

    def on(self, lane: Lane, trace: list[TraceStep]) -> Row:
        """The same row on another lane, with a trace of its own."""
        return msgspec.structs.replace(self, lane=lane, trace=trace)

    def note(self, step: str, kind: str, **what: Any) -> None:
        """Leave a step that asked no model in the trace."""
        self.trace.append(TraceStep(predictor=step, kind=kind, **what))  # type: ignore[arg-type]


class Action(Protocol):
    """What a step does."""

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Fewest and most predictor calls, of all steps or of some alone, without re-asks."""
        ...

    def judge_calls(self) -> int:
        """Most model calls of metrics that are asked on the way."""
        ...

    async def run(self, row: Row, args: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The outputs for what was wired in. Raises RowFailed."""
        ...


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A step in a graph.

    `place` is its name in the whole program. `outputs` are the fields that are null where it is skipped and have
    their defaults where it may fail; `needs` the places of the steps that it reads; `exports` further names that it
    puts in scope.
    """

    name: str
    place: str
    action: Action
    inputs: dict[str, Expression]
    outputs: tuple[Field, ...]
    needs: frozenset[int]
    when: Expression | None = None
    foreach: Expression | None = None
    most_items: int = 0
    on_error: str = "fail"
    exports: tuple[str, ...] = ()

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Fewest and most predictor calls: a step that may be skipped, or has no elements, makes none."""
        low, high = self.action.calls(only)
        if self.foreach is not None:
            low, high = 0, high * self.most_items
        return (0 if self.when is not None or self.on_error != "fail" else low), high

    async def run(self, row: Row, scope: Scope) -> dict[str, Any]:
        """The step's outputs on a row, whatever becomes of it. Raises RowFailed."""
        if self.foreach is None:
            return await self._once(row, scope, self.when)
        by_item = self.when is not None and "item" in self.when.roots
        if not by_item and self._skipped(row, scope, self.when):
            return self._nothing()
        items = await self._guarded(row, lambda: self._items(scope))
        if items is None:
            return self._nothing()

        def one(item: Any) -> Callable[[Row], Awaitable[dict[str, Any]]]:
            return lambda own: self._once(own, {**scope, "item": item}, self.when if by_item else None)

        found = await together(row, [one(item) for item in items])
        names = dict.fromkeys(
            [field.name for field in self.outputs] + [name for each in found for name in each]
        )
        return {name: [each.get(name) for each in found] for name in names}

    async def _once(self, row: Row, scope: Scope, when: Expression | None) -> dict[str, Any]:
        async def act() -> dict[str, Any]:
            if self._skipped(row, scope, when):
                return self._nothing()
            args = {
                name: evaluated(e, scope, f"{self.place}: inputs.{name}") for name, e in self.inputs.items()
            }
            return await self.action.run(row, args, scope)

        outputs: dict[str, Any] | None = await self._guarded(row, act)
        if outputs is not None:
            return outputs
        return self._defaults() if self.on_error == "default" else self._nothing()

    async def _guarded(self, row: Row, work: Callable[[], Awaitable[Any]]) -> Any:
        """What the work gives; None where it fails and the step may fail. A budget that ended is nobody's failure."""
        try:
            return await work()
        except RowFailed as error:
            if self.on_error == "fail" or error.failure.kind == "budget":
                raise
            row.note(self.place, "failed", notes=(f"{error.failure.kind}: {error.failure.message}",))
            return None

    async def _items(self, scope: Scope) -> list[Any]:
        assert self.foreach is not None
        items = evaluated(self.foreach, scope, f"{self.place}: foreach")
        if items is None:
            return []
        if not isinstance(items, list):
            raise RowFailed("constraint", f"{self.place}: foreach wants a list, not {type(items).__name__}")
        if len(items) > self.most_items:
            raise RowFailed(
                "constraint",
                f"{self.place}: foreach has {len(items)} elements, and its max is {self.most_items}",
            )
        return items

    def _skipped(self, row: Row, scope: Scope, when: Expression | None) -> bool:
        if when is None or evaluated(when, scope, f"{self.place}: when") is True:
            return False
        row.note(self.place, "skipped")
        return True

    def _nothing(self) -> dict[str, Any]:
        return {field.name: None for field in self.outputs}

    def _defaults(self) -> dict[str, Any]:
        return {f.name: None if f.required else f.default for f in self.outputs}


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order in which they are written."""

    nodes: tuple[Node, ...]

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Fewest and most predictor calls of all steps."""
        ranges = [node.calls(only) for node in self.nodes]
        return sum(low for low, _ in ranges), sum(high for _, high in ranges)

    def judge_calls(self) -> int:
        """Most model calls of metrics that the steps ask on the way."""
        return sum(node.action.judge_calls() * max(1, node.most_items) for node in self.nodes)

    async def run(self, row: Row, scope: Scope) -> dict[str, Any]:
        """What every step gave, by name. Raises RowFailed."""
        values: dict[str, Any] = {}

        def work(node: Node) -> Callable[[Row], Awaitable[None]]:
            async def one(own: Row) -> None:
                outputs = await node.run(own, {**scope, **values})
                values[node.name] = outputs
                # A loop also gives what its steps gave in the last round.
                values.update({name: outputs.get(name) or {} for name in node.exports})

            return one

        if len(self.nodes) == 1:
            await work(self.nodes[0])(row)
        else:
            await together(row, [work(node) for node in self.nodes], [node.needs for node in self.nodes])
        return values


async def together(
    row: Row, works: Sequence[Callable[[Row], Awaitable[Any]]], needs: Sequence[frozenset[int]] | None = None
) -> list[Any]:
    """Do several things for a row at once, each with a lane and a trace of its own; the traces are joined in order."""
    traces: list[list[TraceStep]] = [[] for _ in works]

    def on_lane(place: int) -> Callable[[Lane], Awaitable[Any]]:
        return lambda lane: works[place](row.on(lane, traces[place]))

    try:
        return await row.lane.together([on_lane(place) for place in range(len(works))], needs)
    finally:
        for trace in traces:
            row.trace.extend(trace)


def evaluated(expression: Expression, scope: Scope, where: str) -> Any:
    """The value of an expression. Raises RowFailed where it has none: the candidate's doing if a step gave what it
    reads, else the row's.
    """
    try:
        return expression.evaluate(scope)
    except ExpressionError as error:
        kind = "data" if expression.roots <= {"inputs"} else "constraint"
        raise RowFailed(kind, f"{where}: {error.message}") from error  # type: ignore[arg-type]


def results_of(results: Mapping[str, Expression], scope: Scope, name: str) -> dict[str, Any]:
    """The outputs of a program by their expressions. Raises RowFailed."""
    return {field: evaluated(e, scope, f"{name}: outputs.{field}") for field, e in results.items()}
