"""From a checked tree to the one step of a program: fields, instructions, module, demos and assertions."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from promptc.spec.building import Parts, Scope
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Step
from promptc.spec.nodes import Node, Path, plain
from promptc.spec.plugin import Plugin
from promptc.spec.signature import parse_signature
from promptc.spec.type_text import TypeTextError
from promptc.spec.types import TypeBuilder

STEP = "main"
"""The name of the one step where there is no pipeline."""

Freeze = tuple[Literal["instructions", "descriptions", "demos"], ...]
_EVERYTHING: Freeze = ("instructions", "descriptions", "demos")


def read_signature(parts: Parts, types: TypeBuilder) -> Signature | None:
    """Inputs and outputs; None when they are missing or wrong."""
    entries = parts.root.value
    if "signature" in entries and "fields" in entries:
        place = entries["signature"].place
        parts.findings.error(
            "signature: and fields: say the same thing",
            place,
            path=parts.where(("signature",)),
            hint="keep one",
        )
        return None
    if "signature" in entries:
        node = parts.whole("signature")
        return short_signature(node, parts) if node is not None else None
    if "fields" in entries:
        return _long_signature(parts, types)
    parts.findings.error(
        "nothing says what goes in and what comes out",
        parts.root.place,
        path=parts.where(("fields",)),
        hint='add signature: "question -> answer", or fields: with inputs: and outputs:',
    )
    return None


def short_signature(node: Node, parts: Parts) -> Signature | None:
    """A signature in one line; None when it is wrong."""
    try:
        return parse_signature(node.value)
    except TypeTextError as error:
        place = node.inside(error.offset, error.length)
        parts.findings.error(error.message, place, path=parts.where(("signature",)), hint=error.hint)
        return None


def _long_signature(parts: Parts, types: TypeBuilder) -> Signature | None:
    node = parts.at("fields")
    if node is None:
        return None
    sides: dict[str, tuple[Field, ...]] = {}
    for side in ("inputs", "outputs"):
        path: Path = ("fields", side)
        if not parts.usable(path):
            continue
        child = node.value[side]
        sound = {name: field for name, field in child.value.items() if parts.sound((*path, name))}
        sides[side] = types.fields(msgspec.structs.replace(child, value=sound), (*parts.prefix, *path))
        if len(sides[side]) < len(child.value):
            del sides[side]
    _check_twice(node, parts)
    if len(sides) < 2:
        return None
    return Signature(inputs=sides["inputs"], outputs=sides["outputs"])


def _check_twice(node: Node, parts: Parts) -> None:
    inputs, outputs = node.value.get("inputs"), node.value.get("outputs")
    if inputs is None or outputs is None:
        return
    if not (isinstance(inputs.value, dict) and isinstance(outputs.value, dict)):
        return
    for name, child in outputs.value.items():
        if name in inputs.value:
            parts.findings.error(
                f'"{name}" is an input and an output',
                child.key or child.position,
                path=parts.where(("fields", "outputs", name)),
                hint="rename one of them",
            )


def read_step(parts: Parts, signature: Signature | None, *, name: str = STEP) -> Step:
    """The step with all that it says. Without a signature, what depends on fields is taken as it is."""
    model, demos, instructions = parts.whole("model"), parts.at("demos"), parts.whole("instructions")
    text: str = instructions.value if instructions is not None else ""
    known = signature or Signature(inputs=(), outputs=())
    return Step(
        name=name,
        path=parts.where(()),
        signature=msgspec.structs.replace(known, instructions=text.strip()),
        module=_plugin(parts, "module", "predict"),
        format=_plugin(parts, "format", "chat"),
        model=model.value if model is not None else "task",
        demos=_demos(parts, demos, signature) if demos is not None else None,
        keep=parts.texts("keep"),
        freeze=_freeze(parts.whole("freeze")),
        checks=parts.checks(_scope_of_checks(parts, signature)),
        position=parts.root.position,
    )


def _scope_of_checks(parts: Parts, signature: Signature | None) -> Scope | None:
    """What assertions may read; in a pipeline that is known only when all steps are."""
    return step_scope(signature, module_name(parts)) if signature is not None and not parts.prefix else None


def step_scope(signature: Signature, module: str) -> Scope:
    """What an assertion may read of its own step. Modules other than `predict` may add outputs of their own."""
    inputs = frozenset(field.name for field in signature.inputs)
    outputs = frozenset(field.name for field in signature.outputs)
    return {"args": inputs, "self": outputs if module == "predict" else None, "inputs": inputs}


def metric_scope(signature: Signature | None) -> Scope:
    """What the `when` of a metric may read: the row, also as `inputs`, and the outputs."""
    outputs = frozenset(field.name for field in signature.outputs) if signature is not None else None
    return {"inputs": None, "row": None, "outputs": outputs}


def module_name(parts: Parts) -> str:
    """The name of the step's module, "" where it is wrong."""
    node = parts.whole("module")
    if node is None:
        return "predict" if "module" not in parts.root.value else ""
    return node.value if isinstance(node.value, str) else str(next(iter(node.value)))


def _plugin(parts: Parts, kind: str, default: str) -> Plugin:
    node = parts.whole(kind)
    if node is None:
        return Plugin(kind=kind, name=default)
    return parts.plugin(kind, node, (kind,))


def _freeze(node: Node | None) -> Freeze:
    if node is None or node.value is False:
        return ()
    if node.value is True:
        return _EVERYTHING
    given = set(plain(node))
    return tuple(part for part in _EVERYTHING if part in given)


def _demos(
    parts: Parts, node: Node, signature: Signature | None
) -> tuple[dict[str, Any], ...] | Literal["none"] | None:
    """Rows with a value for every field. A demo that lacks one would teach the model to leave it out."""
    if isinstance(node.value, str):
        return "none"
    if not isinstance(node.value, list):
        return None
    rows = []
    for path, child in parts.entries("demos"):
        row = plain(child)
        if signature is None or _fits(parts, child, path, row, signature):
            rows.append(row)
    return tuple(rows)


def _fits(parts: Parts, node: Node, path: Path, row: dict[str, Any], signature: Signature) -> bool:
    import jsonschema

    fields = {field.name: field for field in (*signature.inputs, *signature.outputs)}
    missing = [field.name for field in fields.values() if field.required and field.name not in row]
    if missing:
        parts.findings.error(
            f"the demo lacks {' and '.join(missing)}",
            node.place,
            path=parts.where(path),
            hint="a demo has all fields",
        )
    sound = not missing
    for name, value in row.items():
        if name not in fields:
            continue
        error = jsonschema.exceptions.best_match(
            jsonschema.Draft202012Validator(fields[name].schema).iter_errors(value)
        )
        if error is not None:
            place = node.value[name]
            parts.findings.error(
                f'"{name}" does not fit its field: {error.message[:160]}',
                place.position,
                path=parts.where((*path, name)),
            )
            sound = False
    return sound
