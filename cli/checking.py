"""Every check that needs no call: the spec's own, those of models, metrics and optimizers, and the data's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptc.cli.loading import Loaded
from promptc.runners.dataset import Dataset, load_examples
from promptc.spec.diagnostics import Diagnostic, Position
from promptc.spec.errors import SpecError
from promptc.spec.model import MetricUse, Spec
from promptc.spec.suggest import did_you_mean

Read = Callable[..., Dataset]
"""Reads rows as `load_examples` does."""


def check(loaded: Loaded, *, with_data: bool = True, read: Read = load_examples) -> tuple[Diagnostic, ...]:
    """All findings, errors and warnings, as far as the checks got."""
    spec = loaded.spec
    findings = [*loaded.warnings, *_unjudged(spec), *spec_findings(spec), *_built(spec)]
    if with_data and not any(f.severity == "error" for f in findings):
        findings += _data_findings(loaded, read)
    return tuple(findings)


def spec_findings(spec: Spec) -> list[Diagnostic]:
    """What is wrong with models, code, templates, metrics and gates of a valid spec; reads no rows, opens no socket."""
    from promptc.runners.gate_paths import gate_findings
    from promptc.runners.retrievers.checking import retriever_findings
    from promptc.runners.tools.checking import tool_findings

    return [
        *model_findings(spec),
        *sight_findings(spec),
        *code_findings(spec),
        *template_findings(spec),
        *tool_findings(spec),
        *metric_findings(spec),
        *retriever_findings(spec),
        *gate_findings(spec),
    ]


def template_findings(spec: Spec) -> list[Diagnostic]:
    """Placeholders of a prompt template that are no field, and fields that no placeholder shows."""
    from promptc.runners.formats.registry import FORMATS
    from promptc.runners.formats.template import Template
    from promptc.runners.plugins import build

    findings = []
    for step in spec.steps:
        if step.format.name == "template":
            template: Template = build(FORMATS, step.format)
            findings += [
                Diagnostic(message=problem, position=step.format.position, path="format")
                for problem in template.check(step.signature)
            ]
    return findings


def metric_findings(spec: Spec) -> list[Diagnostic]:
    """Paths of json_fields, of its weights and lists too, that the judged output cannot have."""
    from promptc.runners.judging import build_judge
    from promptc.runners.metrics.json_fields import JsonFields

    if not any(use.plugin.name == "json_fields" for use in spec.metrics):
        return []
    try:
        applied = build_judge(spec).metrics
    except SpecError:
        return []  # What cannot be built is reported where it is built.
    schemas = {field.name: field.schema for field in spec.outputs}
    return [
        _unknown_path(spec, index, metric.use, path, schemas[metric.field])
        for index, metric in enumerate(applied)
        if isinstance(metric.metric, JsonFields) and metric.field in schemas
        for path in metric.metric.unknown_paths(schemas[metric.field])
    ]


def _unknown_path(spec: Spec, index: int, use: MetricUse, path: str, schema: Mapping[str, Any]) -> Diagnostic:
    from promptc.runners.metrics.json_fields import known_paths

    section = f"metrics.{index}.json_fields"
    written = [f"{section}.{part}.{path}" for part in ("fields", "weights", "align")]
    places = [spec.key_positions[key] for key in written if key in spec.key_positions]
    return Diagnostic(
        message=f"json_fields: the output has no path `{path}`",
        position=places[0] if places else use.position,
        path=f"metrics.{index}",
        hint=did_you_mean(path, known_paths(schema)),
    )


def _unjudged(spec: Spec) -> list[Diagnostic]:
    """A word to those whose spec has no metric yet; an optimizer without one is an error already."""
    if spec.metrics:
        return []
    message = "nothing judges an answer: eval and optimize need metrics:"
    hint = "add metrics: [exact_match], say"
    place = Position(spec.source, 1, 1, 2)
    return [Diagnostic(message=message, position=place, path="metrics", hint=hint, severity="warning")]


def model_findings(spec: Spec) -> list[Diagnostic]:
    """What is wrong with the models, as far as it shows without a network."""
    from promptc.runners.models.prices import PriceMap
    from promptc.runners.models.settings import diagnose

    prices = PriceMap()
    return [
        Diagnostic(
            message=f"model `{name}`: {finding}",
            position=spec.positions.get(f"models.{name}") or model.position,
            path=f"models.{name}",
        )
        for name, model in spec.models.items()
        for finding in diagnose(model, prices)
    ]


def sight_findings(spec: Spec) -> list[Diagnostic]:
    """Steps with images, recordings or files whose model is the embedded one, which reads text only."""
    return [
        Diagnostic(
            message=f"embedded/icl reads text only, and `{field.name}` is of the type {field.attachment}",
            position=spec.key_positions.get(f"fields.inputs.{field.name}") or step.position,
            path=f"fields.inputs.{field.name}",
            hint="name a model under models: that takes it",
        )
        for step in spec.steps
        if spec.model_named(step.model).model == "embedded/icl"
        for field in step.signature.inputs
        if field.attachment is not None
    ]


def code_findings(spec: Spec) -> list[Diagnostic]:
    """What is wrong with the user's code that the spec names, without running it."""
    from promptc.runners.hook_source import check_reference
    from promptc.runners.trust import code_of

    return [
        Diagnostic(message=finding, position=use.position, path="")
        for use in code_of(spec)
        if use.kind == "function"
        for finding in check_reference(spec.base, use.reference, use.arguments)
    ]


def _built(spec: Spec) -> tuple[Diagnostic, ...]:
    """What building the program, its metrics and its optimizer finds."""
    from promptc.cli.planning import build_optimizer
    from promptc.runners.build import build_program
    from promptc.runners.judging import build_judge

    findings: list[Diagnostic] = []
    for build in (build_program, build_judge, build_optimizer):
        try:
            build(spec)
        except SpecError as error:
            findings.extend(error.diagnostics)
    return (*findings, *(() if findings else _unfit_choices(spec)))


def _unfit_choices(spec: Spec) -> list[Diagnostic]:
    """Values under `tune:` that the program cannot take, such as a module that wants assertions."""
    from promptc.runners.build import build_program
    from promptc.spec.nodes import dotted
    from promptc.spec.tuning import variants

    program = build_program(spec)
    findings = []
    for choice in variants(spec.tune):
        ((key, value),) = choice.items()
        try:
            program.variant(choice)
        except SpecError as error:
            path = dotted(("tune", key, spec.tune[key].index(value)))
            said = error.diagnostics[0].message
            findings.append(Diagnostic(message=f"tune: {said}", position=spec.positions.get(path), path=path))
    return findings


def _data_findings(loaded: Loaded, read: Read) -> list[Diagnostic]:
    """What the rows say, and whether the budget can hold a search over them."""
    from promptc.cli.opening import checked_data, prepared_from
    from promptc.cli.planning import build_optimizer, planned
    from promptc.runners.retrievers.checking import document_findings

    spec = loaded.spec
    dataset, findings = checked_data(spec, read)
    findings = (*findings, *document_findings(spec))
    if dataset is None or any(f.severity == "error" for f in findings):
        return list(findings)
    if spec.optimizer is not None and dataset.train and dataset.dev:
        try:
            planned(prepared_from(loaded, dataset), build_optimizer(spec))
        except SpecError as error:
            findings = (*findings, *error.diagnostics)
    return list(findings)
