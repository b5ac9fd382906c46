"""Builds a program from a spec: plug-in names become modules and formats, once."""

from __future__ import annotations

from promptc.runners.asking import Predictor
from promptc.runners.formats.protocol import Format
from promptc.runners.formats.registry import FORMATS
from promptc.runners.modules.inner import unfit
from promptc.runners.modules.protocol import Module
from promptc.runners.modules.registry import MODULES
from promptc.runners.plugins import build
from promptc.runners.program import Assertion, Program
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.expressions import compile_expression
from promptc.spec.model import Spec, Step


def build_program(spec: Spec) -> Program:
    """The runnable form of a spec. Raises SpecError where a plug-in's parameters do not fit."""
    modules: dict[str, Module] = {}
    predictors: dict[str, Predictor] = {}
    for step in spec.steps:
        module = _module(step)
        modules[step.name] = module
        predictors.update(_predictors(step, module))
    return Program(
        spec=spec,
        steps=spec.steps,
        modules=modules,
        predictors=predictors,
        checks={step.name: _assertions(step) for step in spec.steps if step.checks},
        inputs=spec.inputs,
        outputs=spec.outputs,
    )


def _module(step: Step) -> Module:
    module: Module = build(MODULES, step.module)
    reason = unfit(module, step.signature, len(step.checks))
    if reason:
        finding = Diagnostic(message=reason, position=step.module.position, path="module")
        raise SpecError((finding,))
    return module


def _assertions(step: Step) -> tuple[Assertion, ...]:
    return tuple(Assertion(check, compile_expression(check.check)) for check in step.checks)


def _predictors(step: Step, module: Module) -> dict[str, Predictor]:
    format_: Format = build(FORMATS, step.format)
    return {
        predictor.name: predictor
        for suffix, signature in module.predictors(step.signature).items()
        for predictor in [
            Predictor(
                name=f"{step.name}.{suffix}" if suffix else step.name,
                step=step.name,
                suffix=suffix,
                signature=signature,
                format=format_,
                model=step.model,
            )
        ]
    }
