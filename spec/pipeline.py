"""From a checked tree to the steps of a pipeline: what each of them does, and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from promptc.spec.building import Parts, ProgramReader
from promptc.spec.fields import Field
from promptc.spec.model import Loop, MetricUse, PythonCall, Retrieve, SetValues, Stage, Step, Subprogram
from promptc.spec.nodes import Node, children, plain
from promptc.spec.program import read_signature, read_step
from promptc.spec.signature import name_problem
from promptc.spec.type_text import Schema
from promptc.spec.types import TypeBuilder

MOST_ITEMS = 32
"""How many elements `foreach` takes where the spec names no `max`."""
KINDS = ("retrieve", "python", "set", "loop", "program")
"""The keys that say what a step does where it asks no model itself."""

_ALWAYS = frozenset({"step", "when", "foreach", "on_error", "inputs"})
_SIGNATURE = frozenset({"fields", "signature"})
_KEYS: dict[str, frozenset[str]] = {
    "module": _ALWAYS
    | _SIGNATURE
    | {"module", "instructions", "demos", "keep", "freeze", "format", "model", "assert"},
    "retrieve": _ALWAYS | {"retrieve", "k", "filter"},
    "python": _ALWAYS | _SIGNATURE | {"python"},
    "set": (_ALWAYS - {"inputs"}) | {"set"},
    "loop": (_ALWAYS - {"inputs", "foreach"}) | {"loop"},
    "program": _ALWAYS | {"program", "model", "freeze"},
}
_PASSAGES: tuple[Field, ...] = (
    Field(name="passages", schema={"type": "array", "items": {"type": "string"}}),
    Field(name="hits", schema={"type": "array", "items": {"type": "object"}}),
)
_ROUNDS: tuple[Field, ...] = (Field(name="rounds", schema={"type": "integer"}),)


class Written(msgspec.Struct, frozen=True):
    """A step as it was read, with the parts of the tree that it was read from. `inner` are the steps of a loop."""

    stage: Stage
    parts: Parts
    inner: tuple[Written, ...] = ()


class StageReader:
    """Reads steps. `defaults` holds what the pipeline says for all of them: format and model."""

    def __init__(self, types: TypeBuilder, programs: ProgramReader, defaults: dict[str, Node]) -> None:
        self._types = types
        self._programs = programs
        self._defaults = defaults

    def stages(self, parts: Parts, key: str, node: Node) -> tuple[Written, ...]:
        """The steps of a list that are sound enough to be looked at further."""
        found = []
        for index, child in children(node):
            path = (key, index) if key == "pipeline" else ("loop", "steps", index)
            if parts.usable(path) and isinstance(child.value, dict):
                written = self._stage(parts.of_step(child, path))
                if written is not None:
                    found.append(written)
        return tuple(found)

    def _stage(self, parts: Parts) -> Written | None:
        name = parts.whole("step")
        if name is None:
            return None
        problem = name_problem(name.value)
        if problem:
            parts.findings.error(
                problem, name.position, path=parts.where(("step",)), hint="choose another name"
            )
            return None
        kind = _kind(parts)
        if kind is None:
            return None
        inner: tuple[Written, ...] = ()
        action: Any
        if kind == "loop":
            loop = parts.at("loop")
            inner = self.stages(parts, "loop", loop.value["steps"]) if loop is not None else ()
            action = _loop(parts, inner)
        else:
            action = getattr(self, f"_{kind}")(parts, name.value)
        if action is None:
            return None
        stage = Stage(
            name=name.value,
            action=action,
            outputs=_outputs(action),
            inputs=_texts(parts, "inputs"),
            when=_text(parts, "when"),
            on_error=_text(parts, "on_error") or "fail",  # type: ignore[arg-type]  # the grammar has three words
            position=name.position,
        )
        return Written(_under_foreach(parts, stage), parts, inner)

    def _module(self, parts: Parts, name: str) -> Step | None:
        entries = {key: node for key, node in self._defaults.items() if key not in parts.root.value}
        whole = msgspec.structs.replace(parts.root, value={**parts.root.value, **entries})
        own = parts.with_root(whole)
        signature = read_signature(own, self._types)
        step = read_step(own, signature, name=name)
        return step if signature is not None else None

    def _retrieve(self, parts: Parts, name: str) -> Retrieve | None:
        node, k, filter_ = parts.whole("retrieve"), parts.whole("k"), parts.whole("filter")
        if node is None:
            return None
        return Retrieve(
            retriever=node.value,
            k=int(k.value) if k is not None else None,
            filter=plain(filter_) if filter_ is not None else None,
        )

    def _python(self, parts: Parts, name: str) -> PythonCall | None:
        node = parts.whole("python")
        if node is None:
            return None
        declared = _SIGNATURE & parts.root.value.keys()
        signature = read_signature(parts, self._types) if declared else None
        return PythonCall(reference=node.value, signature=signature)

    def _set(self, parts: Parts, name: str) -> SetValues | None:
        return SetValues(values=_texts(parts, "set")) if parts.whole("set") is not None else None

    def _program(self, parts: Parts, name: str) -> Subprogram | None:
        node = parts.whole("program")
        return self._programs(parts, node, name) if node is not None else None


def _kind(parts: Parts) -> str | None:
    """What the step does; None, and a finding, where it is said twice or with keys that mean nothing there."""
    entries = parts.root.value
    kinds = [key for key in KINDS if key in entries]
    if not kinds or (kinds != ["python"] and _SIGNATURE & entries.keys()):
        kinds += [key for key in ("fields", "signature") if key in entries][:1]
    if len(kinds) > 1:
        parts.findings.error(
            f"a step does one thing, and here are {kinds[0]}: and {kinds[1]}:",
            entries[kinds[1]].place,
            path=parts.where((kinds[1],)),
            hint="make two steps of it",
        )
        return None
    kind = kinds[0] if kinds and kinds[0] in KINDS else "module"
    for key, node in entries.items():
        if key not in _KEYS[kind] and parts.usable((key,)):
            what = f"a step with {kind}:" if kind != "module" else "a step that asks a model"
            parts.findings.error(
                f"{key}: means nothing in {what}", node.key or node.position, path=parts.where((key,))
            )
    return kind


def _loop(parts: Parts, inner: Sequence[Written]) -> Loop | None:
    node = parts.at("loop")
    if node is None or not inner:
        return None
    until = node.value.get("until")
    return Loop(
        stages=tuple(written.stage for written in inner),
        most=int(node.value["max"].value),
        until=until.value if until is not None else None,
    )


def _outputs(action: Any) -> tuple[Field, ...] | None:
    if isinstance(action, Step):
        return action.signature.outputs
    if isinstance(action, Retrieve):
        return _PASSAGES
    if isinstance(action, PythonCall):
        return action.signature.outputs if action.signature is not None else None
    if isinstance(action, SetValues):
        return tuple(Field(name=name, schema={}) for name in action.values)
    return _ROUNDS if isinstance(action, Loop) else tuple(action.outputs)


def _under_foreach(parts: Parts, stage: Stage) -> Stage:
    """The step as its `foreach` makes it: run for each element, its outputs lists."""
    node = parts.whole("foreach")
    if node is None:
        return stage
    if isinstance(node.value, str):
        over, most = node.value, MOST_ITEMS
    else:
        over = node.value["over"].value
        most = int(node.value["max"].value) if "max" in node.value else MOST_ITEMS
    outputs = stage.outputs and tuple(listed_field(field, most) for field in stage.outputs)
    return msgspec.structs.replace(stage, foreach=over, most_items=most, outputs=outputs)


def listed_field(field: Field, most: int) -> Field:
    """A list of such fields' values."""
    schema: Schema = {"type": "array", "maxItems": most, **({"items": field.schema} if field.schema else {})}
    return Field(name=field.name, schema=schema, description=field.description)


def _text(parts: Parts, key: str) -> str | None:
    node = parts.whole(key)
    return node.value if node is not None else None


def _texts(parts: Parts, key: str) -> dict[str, str]:
    return {str(path[-1]): node.value for path, node in parts.entries(key)}


def all_stages(stages: Sequence[Stage]) -> Iterator[Stage]:
    """Steps with those of loops and programs, outer ones first."""
    for stage in stages:
        yield stage
        if isinstance(stage.action, Loop | Subprogram):
            yield from all_stages(stage.action.stages)


def judging_steps(metrics: Sequence[MetricUse]) -> tuple[Step, ...]:
    """All steps that carry a signature out in the programs that judge."""
    return tuple(
        step for use in metrics if use.program is not None for step in asking_steps(use.program.stages)
    )


def asking_steps(stages: Sequence[Stage]) -> tuple[Step, ...]:
    """All steps that carry a signature out, in order."""
    return tuple(stage.action for stage in all_stages(stages) if isinstance(stage.action, Step))
