"""Programs that judge: another spec, or an artifact, in the place of a rubric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.build import build_program
from promptc.runners.metrics.verdicts import verdict_name
from promptc.runners.program import CompiledProgram
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.model import MetricUse, Spec, Stage
from promptc.spec.pipeline import asking_steps


def judging_program(spec: Spec, use: MetricUse) -> CompiledProgram:
    """The program that judges for a metric. Raises SpecError for one without a verdict.

    It is built as the only step of a spec that has the outer one's models, retrievers and code.
    """
    inner = use.program
    assert inner is not None
    stage = Stage(
        name=use.plugin.name,
        action=inner,
        outputs=inner.outputs,
        inputs={field.name: f"inputs.{field.name}" for field in inner.inputs},
        position=use.position,
    )
    program = build_program(
        msgspec.structs.replace(
            spec,
            steps=asking_steps((stage,)),
            stages=(stage,),
            inputs=inner.inputs,
            outputs=inner.outputs,
            results={field.name: f"{use.plugin.name}.{field.name}" for field in inner.outputs},
        )
    )
    problem = _problem(inner.outputs, use.plugin.params.get("scale"))
    if problem:
        hint = "name an output `verdict` that is pass or fail, a boolean, or a number from 0 to 1"
        raise SpecError((Diagnostic(message=problem, position=use.position, path="metrics", hint=hint),))
    return program.compile(program.start())


def says_pass_or_fail(compiled: CompiledProgram) -> bool:
    """True where the verdict can only be pass or fail."""
    schema = _verdict_schema(compiled.program.outputs)
    return schema is not None and (schema.get("type") == "boolean" or _is_words(schema))


def _problem(outputs: Any, scale: Any) -> str:
    """Why the outputs hold no verdict; "" where they do."""
    schema = _verdict_schema(outputs)
    names = ", ".join(field.name for field in outputs)
    if schema is None:
        return f"the program that judges has no output `verdict` (it has {names})"
    if schema.get("type") == "boolean" or _is_words(schema):
        return ""
    bounded = schema.get("minimum", -1) >= 0 and schema.get("maximum", 2) <= 1
    if schema.get("type") in ("number", "integer") and (bounded or scale is not None):
        return ""
    return "the verdict of the program that judges can be something else than a verdict"


def _verdict_schema(outputs: Any) -> Mapping[str, Any] | None:
    fields = {field.name: field for field in outputs}
    name = verdict_name(fields)
    return fields[name].schema if name is not None else None


def _is_words(schema: Mapping[str, Any]) -> bool:
    values = schema.get("enum") or ()
    return bool(values) and {str(value).casefold() for value in values} <= {"pass", "fail"}
