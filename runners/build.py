"""Builds a program from a spec: plug-in names become modules and formats, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from promptc.runners.actions import Ask, Call, Compute, Repeat, Run, Search
from promptc.runners.asking import Predictor
from promptc.runners.candidate import PredictorTexts
from promptc.runners.formats.protocol import Format
from promptc.runners.formats.registry import FORMATS
from promptc.runners.modules.inner import unfit
from promptc.runners.modules.protocol import Module, neighbours, talking_module
from promptc.runners.modules.registry import MODULES
from promptc.runners.pipeline import Action, Graph, Node
from promptc.runners.plugins import build
from promptc.runners.program import Assertion, Program
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.expressions import Expression, compile_expression
from promptc.spec.model import Loop, PythonCall, Retrieve, SetValues, Spec, Stage, Step, Subprogram
from promptc.spec.pipeline import all_stages
from promptc.spec.suggest import did_you_mean
from promptc.spec.wiring import names_within, needs


def build_program(spec: Spec) -> Program:
    """The runnable form of a spec. Raises SpecError where a plug-in's parameters do not fit."""
    modules: dict[str, Module] = {}
    predictors: dict[str, Predictor] = {}
    for step in spec.steps:
        module = _module(step, spec)
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
        graph=_graph(spec.stages, modules, "") if spec.stages else None,
        results={name: compile_expression(text) for name, text in spec.results.items()},
        texts=_texts(spec.stages, predictors),
    )


def _graph(stages: Sequence[Stage], modules: Mapping[str, Module], prefix: str) -> Graph:
    """The steps with their expressions compiled. `prefix` is the name of the program that they are steps of."""
    nodes = []
    for stage, wanted in zip(stages, needs(stages), strict=True):
        place = f"{prefix}.{stage.name}" if prefix else stage.name
        nodes.append(
            Node(
                name=stage.name,
                place=place,
                action=_action(stage, place, modules, prefix),
                inputs=_compiled(stage.inputs),
                outputs=stage.outputs or (),
                needs=wanted,
                when=compile_expression(stage.when) if stage.when is not None else None,
                foreach=compile_expression(stage.foreach) if stage.foreach is not None else None,
                most_items=stage.most_items,
                on_error=stage.on_error,
                exports=names_within(stage)[1:],
            )
        )
    return Graph(nodes=tuple(nodes))


def _action(stage: Stage, place: str, modules: Mapping[str, Module], prefix: str) -> Action:
    action = stage.action
    if isinstance(action, Step):
        return Ask(step=action, module=modules[action.name])
    if isinstance(action, Retrieve):
        where = compile_expression(action.filter) if isinstance(action.filter, str) else action.filter
        return Search(name=place, retriever=action.retriever, k=action.k, filter=where)
    if isinstance(action, PythonCall):
        return Call(name=place, reference=action.reference, signature=action.signature)
    if isinstance(action, SetValues):
        return Compute(name=place, values=_compiled(action.values))
    if isinstance(action, Loop):
        until = compile_expression(action.until) if action.until is not None else None
        return Repeat(name=place, graph=_graph(action.stages, modules, prefix), most=action.most, until=until)
    return Run(
        name=place,
        graph=_graph(action.stages, modules, place),
        inputs=action.inputs,
        results=_compiled(action.results),
    )


def _compiled(texts: Mapping[str, str]) -> dict[str, Expression]:
    return {name: compile_expression(text) for name, text in texts.items()}


def _texts(stages: Sequence[Stage], predictors: Mapping[str, Predictor]) -> dict[str, PredictorTexts]:
    """What the predictors of artifacts among the steps say. Raises SpecError for what does not fit them."""
    texts = {}
    for stage in all_stages(stages):
        action = stage.action
        if not isinstance(action, Subprogram):
            continue
        for name, tree in action.texts.items():
            if name not in predictors:
                finding = Diagnostic(
                    message=f"the program has texts for {name}, and no such predictor",
                    position=stage.position,
                    path="pipeline",
                )
                raise SpecError((finding,))
            texts[name] = msgspec.convert(tree, PredictorTexts)
    return texts


def _module(step: Step, spec: Spec) -> Module:
    module: Module = build(MODULES, step.module)
    reason = unfit(module, step.signature, len(step.checks)) or _unknown_tool(step, module, spec)
    if reason:
        finding = Diagnostic(message=reason, position=step.module.position, path="module")
        raise SpecError((finding,))
    return module


def _unknown_tool(step: Step, module: Module, spec: Spec) -> str:
    """A tool that the module names and the step's program has not; "" where there is none."""
    talking = talking_module(module)
    if talking is None:
        return ""
    prefix = step.name.rpartition(".")[0]
    known = [use.name for key, use in spec.tools.items() if key.rpartition(".")[0] == prefix]
    unknown = next((name for name in talking.tool_names() or () if name not in known), None)
    if unknown is None:
        return ""
    hint = did_you_mean(unknown, known) or "declare it under tools:"
    return f'no tool is called "{unknown}"; {hint}'


def _assertions(step: Step) -> tuple[Assertion, ...]:
    return tuple(Assertion(check, compile_expression(check.check)) for check in step.checks)


def _predictors(step: Step, module: Module) -> dict[str, Predictor]:
    format_: Format = build(FORMATS, step.format)
    params = {} if step.temperature is None else {"temperature": step.temperature}
    nearest = neighbours(module, step.signature)
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
                params=params,
                nearest=nearest.get(suffix),
            )
        ]
    }
