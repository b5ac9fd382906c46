"""`tune:`: choices about the structure of a program, and what a spec says once they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.spec.building import Parts
from promptc.spec.model import Loop, Retrieve, Spec, Stage, Step
from promptc.spec.nodes import Node, Path, children, plain
from promptc.spec.plugin import Plugin
from promptc.spec.program import STEP
from promptc.spec.suggest import did_you_mean, listed

OF_A_MODULE = ("module", "format", "model", "temperature", "when")
OF_A_SEARCH = ("k", "when")
OF_OTHERS = ("when",)


def read_tune(parts: Parts, spec: Spec) -> dict[str, tuple[Any, ...]]:
    """The values of each choice. What does not fit the spec is noted and left out."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, node in parts.entries("tune"):
        key = str(path[1])
        step, _, what = key.rpartition(".")
        action = _action(spec, step)
        if action is None:
            names = sorted(_steps(spec))
            hint = did_you_mean(step, names) or f"the steps are {listed(names)}"
            _refuse(
                parts,
                node,
                path,
                f'tune: there is no step "{step}"',
                hint if names != [""] else "write module:",
            )
            continue
        known = _keys(action, single=not spec.stages)
        if what not in known:
            hint = did_you_mean(what, known) or f"what can be chosen of it: {listed(known)}"
            _refuse(parts, node, path, f'tune: "{what}" is nothing that can be chosen', hint)
            continue
        values = [_value(parts, child, (*path, index), what) for index, child in children(node)]
        if all(value is not None for value in values):
            found[key] = tuple(values)
    return found


def _steps(spec: Spec) -> dict[str, Any]:
    """What can be tuned, by the name of the step; a spec of one step has no name for it."""
    if not spec.stages:
        return {"": spec.steps[0]} if spec.steps else {}
    return {stage.name: stage.action for stage in _tunable(spec.stages)}


def _tunable(stages: Sequence[Stage]) -> list[Stage]:
    """The steps of a pipeline and of its loops. Those of another program are that program's own."""
    found = []
    for stage in stages:
        found.append(stage)
        if isinstance(stage.action, Loop):
            found += _tunable(stage.action.stages)
    return found


def _action(spec: Spec, step: str) -> Any:
    return _steps(spec).get("" if not spec.stages and step == STEP else step)


def _keys(action: Any, *, single: bool) -> tuple[str, ...]:
    if single:
        return tuple(key for key in OF_A_MODULE if key != "when")
    if isinstance(action, Step):
        return OF_A_MODULE
    return OF_A_SEARCH if isinstance(action, Retrieve) else OF_OTHERS


def _value(parts: Parts, node: Node, path: Path, what: str) -> Any:
    """One value as a candidate holds it; None, and a finding, where it is none."""
    value = plain(node)
    if what in ("module", "format"):
        parts.plugin(what, node, path)
    elif what == "when":
        if isinstance(value, bool):
            return str(value).lower()
        return value if parts.expression(node, path, None) else None
    elif what == "k":
        return int(value)
    return value


def _refuse(parts: Parts, node: Node, path: Path, message: str, hint: str) -> None:
    parts.findings.error(message, node.key or node.position, path=parts.where(path), hint=hint)


def with_choices(spec: Spec, choices: Mapping[str, Any]) -> Spec:
    """The spec with these values in the places of its own. Keys and values are those that `tune:` was read to."""
    steps = spec.steps
    stages = spec.stages
    for key, value in choices.items():
        name, _, what = key.rpartition(".")
        if not stages:
            steps = tuple(_step(step, what, value) for step in steps)
            continue
        stages = tuple(_stage(stage, name, what, value) for stage in stages)
    if stages:
        from promptc.spec.pipeline import asking_steps

        steps = asking_steps(stages)
    return msgspec.structs.replace(spec, steps=steps, stages=stages, tune={})


def _stage(stage: Stage, name: str, what: str, value: Any) -> Stage:
    action = stage.action
    if stage.name != name:
        if isinstance(action, Loop):
            inner = tuple(_stage(one, name, what, value) for one in action.stages)
            return msgspec.structs.replace(stage, action=msgspec.structs.replace(action, stages=inner))
        return stage
    if what == "when":
        return msgspec.structs.replace(stage, when=value)
    if isinstance(action, Step):
        return msgspec.structs.replace(stage, action=_step(action, what, value))
    assert isinstance(action, Retrieve)
    return msgspec.structs.replace(stage, action=msgspec.structs.replace(action, k=value))


def _step(step: Step, what: str, value: Any) -> Step:
    if what in ("module", "format"):
        name, params = (value, {}) if isinstance(value, str) else next(iter(value.items()))
        plugin = Plugin(kind=what, name=name, params=params or {}, position=step.position)
        return msgspec.structs.replace(step, **{what: plugin})
    return msgspec.structs.replace(step, **{what: value})


def tuned_models(spec: Spec) -> tuple[str, ...]:
    """The models that a choice may name."""
    return tuple(
        name for key, values in spec.tune.items() if key.rpartition(".")[2] == "model" for name in values
    )


def variants(tune: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every value of every choice, one at a time."""
    return [{key: value} for key, values in tune.items() for value in values]
