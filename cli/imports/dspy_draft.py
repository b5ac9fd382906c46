"""From a predictor's state and its signature to a spec: names, sides, types, demos, model."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.cli.imports.dspy_source import SourceField, SourceSignature
from promptc.cli.imports.imported import Tree, Wanted
from promptc.cli.wishes import plain_name
from promptc.spec.errors import DataError, UsageError
from promptc.spec.signature import name_problem
from promptc.spec.suggest import did_you_mean

REASONING = "reasoning"
"""What DSPy's ChainOfThought calls the field that it adds."""
_DSPYS_OWN = ("augmented", "dspy_uuid", "dspy_split")
"""What DSPy adds to a demo."""
_PARAMS = ("temperature", "max_tokens", "top_p", "stop", "seed", "reasoning_effort", "presence_penalty")
"""Of a language model's state what belongs to the request; the rest is how DSPy asks."""


class Predictor(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor's state; `fields` are pairs of prefix and description, as DSPy writes them."""

    name: str
    instructions: str
    fields: tuple[tuple[str, str], ...]
    demos: tuple[dict[str, Any], ...]
    lm: dict[str, Any]


class Notes(msgspec.Struct, frozen=True):
    """What is to be said about an import, as it is found out."""

    guessed: list[str] = []
    lost: list[str] = []


class _Sides(msgspec.Struct, frozen=True):
    """Which fields go in, which come out, and whether the module reasons in between."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reasons: bool


def predictor_draft(
    wanted: Wanted, predictor: Predictor, signature: SourceSignature | None, name: str, notes: Notes
) -> Tree:
    """The spec of one predictor's state; what is guessed and lost is noted. Raises UsageError, DataError."""
    names = _field_names(predictor, signature)
    sides = _sides(wanted, predictor, signature, names, notes)
    described = dict(zip(names, (said for _, said in predictor.fields), strict=False))
    typed = {field.name: field for field in (*signature.inputs, *signature.outputs)} if signature else {}
    if signature is None:
        notes.guessed.append(
            "types, from the values of the demos: a state has none, --signature FILE.py has them"
        )

    def fields(side: Sequence[str]) -> Tree:
        return {
            each: _field(each, typed.get(each) or _by_values(each, predictor), described.get(each, ""))
            for each in side
        }

    return _spec(
        name,
        _model(wanted, predictor.lm, notes),
        wanted,
        {"inputs": fields(sides.inputs), "outputs": fields(sides.outputs)},
        predictor.instructions,
        _module(sides, described.get(REASONING, "")),
        _demos(predictor, sides, notes),
    )


def signature_draft(wanted: Wanted, signature: SourceSignature, module: str) -> Tree:
    """The spec of a signature alone, as no optimizer has seen it yet. Raises DataError."""
    if not signature.inputs or not signature.outputs:
        raise DataError(wanted.file, f"signature {signature.name}: no field goes in, or none comes out")
    fields = {
        side: {field.name: _field(field.name, field, field.description) for field in own}
        for side, own in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }
    model = wanted.model or "embedded/icl"
    return _spec(plain_name(signature.name), model, wanted, fields, signature.instructions, module, [])


def _spec(
    name: str, model: Any, wanted: Wanted, fields: Tree, instructions: str, module: Any, demos: list[Tree]
) -> Tree:
    """The spec in the order in which it is written."""
    data = {}
    if wanted.data is not None:
        data = {"data": {"path": os.path.relpath(wanted.data.absolute(), wanted.folder.absolute())}}
    return {
        "version": 1,
        "name": name,
        "models": {"task": model},
        **data,
        "fields": fields,
        **({"instructions": instructions} if instructions.strip() else {}),
        "module": module,
        **({"demos": demos} if demos else {}),
        "metrics": [_metric(field, kind) for field, kind in fields["outputs"].items()],
    }


def _field_names(predictor: Predictor, signature: SourceSignature | None) -> list[str]:
    """The names of a state's fields: the source's, `${name}` in a description, or a prefix in the form of a name."""
    if signature is not None:
        inputs, outputs = ([f.name for f in side] for side in (signature.inputs, signature.outputs))
        added = [REASONING] if len(predictor.fields) > len(inputs) + len(outputs) else []
        return [*inputs, *added, *outputs]
    known = list(dict.fromkeys(key for demo in predictor.demos for key in demo if key not in _DSPYS_OWN))
    return [_field_name(prefix, said, known) for prefix, said in predictor.fields]


def _field_name(prefix: str, described: str, known: Sequence[str]) -> str:
    exact = re.fullmatch(r"\$\{(\w+)\}", described)
    if exact:
        return exact[1]
    if prefix.startswith("Reasoning:"):
        return REASONING
    words = "_".join(re.findall(r"\w+", prefix.lower()))
    name = next((key for key in known if key.lower().replace("_", "") == words.replace("_", "")), words)
    return f"field_{name}"[:64] if name_problem(name) else name


def _sides(
    wanted: Wanted,
    predictor: Predictor,
    signature: SourceSignature | None,
    names: Sequence[str],
    notes: Notes,
) -> _Sides:
    """What goes in and what comes out. Without a source: what follows the reasoning comes out, else the last field."""
    if signature is not None:
        inputs, outputs = (tuple(f.name for f in side) for side in (signature.inputs, signature.outputs))
        return _Sides(inputs, outputs, REASONING in names and REASONING not in outputs)
    for name in wanted.outputs:
        if name not in names:
            raise UsageError(f"--output-field {name}: the state has no such field", did_you_mean(name, names))
    reasons = REASONING in names and REASONING not in wanted.outputs
    outputs = wanted.outputs or tuple(names[names.index(REASONING) + 1 :] if reasons else names[-1:])
    if not wanted.outputs and not reasons:
        notes.guessed.append(
            f"that only {', '.join(outputs)} comes out: --output-field or --signature say otherwise"
        )
    inputs = tuple(name for name in names if name not in (*outputs, REASONING))
    if not inputs or not outputs:
        where = f"predictor {predictor.name}" if predictor.name else "the predictor"
        raise DataError(wanted.file, f"{where}: no field goes in, or none comes out")
    return _Sides(inputs, outputs, reasons)


def _field(name: str, typed: SourceField, described: str) -> Tree:
    """A field as a spec says it. A description that is DSPy's placeholder says nothing."""
    said = "" if described == f"${{{name}}}" else described or typed.description
    return {**typed.type, **({"description": said} if said else {})}


def _by_values(name: str, predictor: Predictor) -> SourceField:
    """A field whose type the values of the demos suggest."""
    from promptc.runners.guess_columns import schema

    values = [demo[name] for demo in predictor.demos if demo.get(name) is not None]
    text = not values or all(isinstance(value, str) for value in values)
    return SourceField(name=name, type={"type": "string"} if text else schema(values))


def _module(sides: _Sides, described: str) -> Any:
    if not sides.reasons:
        return "predict"
    own = described not in ("", f"${{{REASONING}}}")
    return {"chain_of_thought": {"description": described}} if own else "chain_of_thought"


def _demos(predictor: Predictor, sides: _Sides, notes: Notes) -> list[Tree]:
    """The demos that have every field; DSPy shows incomplete ones too, a spec does not."""
    needed = (*sides.inputs, *sides.outputs)
    shown = (*sides.inputs, REASONING, *sides.outputs) if sides.reasons else needed
    demos = [{name: demo[name] for name in shown if demo.get(name) is not None} for demo in predictor.demos]
    whole = [demo for demo in demos if all(name in demo for name in needed)]
    if len(whole) < len(demos):
        notes.lost.append(f"{len(demos) - len(whole)} of {len(demos)} demos, which lack a field")
    return whole


def _model(wanted: Wanted, lm: Mapping[str, Any], notes: Notes) -> Any:
    """The state's model with its parameters."""
    if wanted.model is not None:
        return wanted.model
    name = lm.get("model")
    if not isinstance(name, str) or not name:
        notes.lost.append(
            "the model, which the state does not name: embedded/icl stands in for it (--model NAME)"
        )
        return "embedded/icl"
    if lm.get("api_base"):
        notes.lost.append("the model's address: write api_base: under models:")
    params = {key: lm[key] for key in _PARAMS if lm.get(key) is not None}
    return {"model": name, "params": params} if params else name


def _metric(name: str, field: Mapping[str, Any]) -> Tree:
    """A metric by the field's type."""
    kind = field.get("type")
    if kind == "object":
        return {"json_fields": {"field": name}}
    return {"f1" if kind == "string" and "enum" not in field else "exact_match": {"field": name}}
