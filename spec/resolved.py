"""A spec as a plain tree again: complete, in one form, with defaults left out and credentials unresolved.

What `load` reads from it says the same as the spec. `spec.resolved.yaml` shows it, artifacts hold it, and a
run's identity is computed from it.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from promptc.spec.fields import Signature, field_tree
from promptc.spec.model import (
    DEFAULT_K,
    Action,
    Budget,
    Check,
    DataSource,
    Loop,
    MetricUse,
    Model,
    Promotion,
    PythonCall,
    Retrieve,
    RetrieverUse,
    SetValues,
    Spec,
    Stage,
    Step,
    ToolUse,
)
from promptc.spec.plugin import Plugin

Tree = dict[str, Any]


def resolved_tree(spec: Spec) -> Tree:
    """The tree with its keys in the order of the grammar."""
    tree: Tree = {"version": spec.version, "name": spec.name}
    tree |= _given("description", spec.description)
    tree |= _given("models", {name: _model(model) for name, model in spec.models.items()})
    tree |= _given("data", _data(spec.data, spec.base))
    own = [
        use for name, use in spec.retrievers.items() if "." not in name
    ]  # programs keep theirs to themselves
    tree |= _given("retrievers", {use.name: _retriever(use, spec.base) for use in own})
    tree |= _given("tools", {use.name: _tool(use) for key, use in spec.tools.items() if "." not in key})
    if spec.stages:
        tree["inputs"] = {field.name: field_tree(field) for field in spec.inputs}
        tree["pipeline"] = [_stage(stage) for stage in spec.stages]
        tree["outputs"] = spec.results
    else:
        for step in spec.steps:
            tree |= _step(step)
    tree |= _given("metrics", [_metric(use) for use in spec.metrics])
    tree |= _given("objective", list(spec.objective))
    tree |= _given("slices", list(spec.slices))
    tree |= _given("optimizer", _plugin(spec.optimizer) if spec.optimizer is not None else None)
    tree |= _given("tune", {key: list(values) for key, values in spec.tune.items()})
    tree |= _given("budget", _budget(spec.budget))
    tree |= _given("gates", [gate.text for gate in spec.gates])
    tree |= _given("run", _different(spec.run))
    tree |= _given("promote", _promotion(spec.promote) if spec.promote is not None else None)
    return tree


def _given(key: str, value: Any) -> Tree:
    """The key, unless there is nothing to say."""
    return {} if value in (None, "", [], {}, ()) else {key: value}


def _different(value: msgspec.Struct) -> Tree:
    """The fields of a struct that are not at their defaults, without its position."""
    tree = {}
    for field in msgspec.structs.fields(value):
        one = getattr(value, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if field.name != "position" and one != default:
            tree[field.name] = (
                _different(one) if isinstance(one, msgspec.Struct) else msgspec.to_builtins(one)
            )
    return tree


def _model(model: Model) -> str | Tree:
    tree = _different(model)
    return model.model if tree.keys() == {"model"} else tree


def _data(source: DataSource, base: str) -> Tree:
    tree = _different(source)
    for key in ("path", "train", "dev", "test"):
        if key in tree:
            tree[key] = _relative(tree[key], base)
    return tree


def _relative(path: str, base: str) -> str:
    """Seen from the spec's folder, so that the tree is the same wherever the folder lies; unless they share
    nothing.
    """
    if os.path.commonpath([path, base]) == os.path.sep:
        return path
    return os.path.relpath(path, base)


def _step(step: Step) -> Tree:
    tree: Tree = {"fields": _fields(step.signature)}
    tree |= _given("instructions", step.signature.instructions)
    tree |= _given("demos", step.demos if isinstance(step.demos, str) else list(step.demos or ()))
    tree |= _given("keep", list(step.keep))
    tree |= _given("freeze", list(step.freeze))
    tree |= _given(
        "module", _plugin(step.module) if step.module.name != "predict" or step.module.params else None
    )
    tree |= _given(
        "format", _plugin(step.format) if step.format.name != "chat" or step.format.params else None
    )
    tree |= _given("model", step.model if step.model != "task" else None)
    return tree | _given("assert", [_check(check) for check in step.checks])


def _stage(stage: Stage) -> Tree:
    tree: Tree = {"step": stage.name}
    tree |= _given("when", stage.when)
    if stage.foreach is not None:
        tree["foreach"] = {"over": stage.foreach, "max": stage.most_items}
    tree |= _action(stage.action)
    tree |= _given("on_error", stage.on_error if stage.on_error != "fail" else None)
    return tree | _given("inputs", stage.inputs)


def _action(action: Action) -> Tree:
    if isinstance(action, Step):
        return _step(action)
    if isinstance(action, Retrieve):
        return {"retrieve": action.retriever, **_given("k", action.k), **_given("filter", action.filter)}
    if isinstance(action, PythonCall):
        fields = {"fields": _fields(action.signature)} if action.signature is not None else {}
        return {"python": action.reference, **fields}
    if isinstance(action, SetValues):
        return {"set": action.values}
    if isinstance(action, Loop):
        steps = [_stage(stage) for stage in action.stages]
        return {"loop": {"max": action.most, **_given("until", action.until), "steps": steps}}
    return {
        "program": action.source,
        **_given("model", action.model if action.model != "task" else None),
        **({"freeze": True} if action.frozen else {}),
    }


def _fields(signature: Signature) -> Tree:
    return {
        "inputs": {field.name: field_tree(field) for field in signature.inputs},
        "outputs": {field.name: field_tree(field) for field in signature.outputs},
    }


def _check(check: Check) -> str | Tree:
    tree = _different(check)
    return check.check if tree.keys() == {"check"} else tree


def _metric(use: MetricUse) -> str | Tree:
    own = _different(msgspec.structs.replace(use, program=None))
    del own["plugin"]
    if own["name"] == use.plugin.name:
        del own["name"]
    program = {"program": use.program.source} if use.program is not None else {}
    params = {**own, **use.plugin.params, **program}
    return {use.plugin.name: params} if params else use.plugin.name


def _retriever(use: RetrieverUse, base: str) -> str | Tree:
    params = dict(use.plugin.params)
    if "documents" in params:
        params["documents"] = _relative(params["documents"], base)
    if use.k != DEFAULT_K:
        params["k"] = use.k
    return _plugin(msgspec.structs.replace(use.plugin, params=params))


def _promotion(promotion: Promotion) -> str | Tree:
    tree = _different(promotion)
    return promotion.path if tree.keys() == {"path"} else tree


def _tool(use: ToolUse) -> str | Tree:
    own = {key: value for key, value in _different(use).items() if key not in ("plugin", "name", "stubs")}
    stubs = [_different(stub) for stub in use.stubs]
    params = {**own, **_given("stubs", stubs), **use.plugin.params}
    return {use.plugin.name: params} if params else use.plugin.name


def _plugin(plugin: Plugin) -> str | Tree:
    return {plugin.name: plugin.params} if plugin.params else plugin.name


def _budget(budget: Budget) -> Tree:
    tree = _different(budget)
    if "roles" in tree:
        tree["roles"] = {name: _different(role) for name, role in budget.roles.items()}
    return tree
