"""Every check that needs no call: the spec's own, those of models, metrics and optimizers, and the data's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from promptc.cli.loading import Loaded, load
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.model import Spec


def check(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
    environment: Mapping[str, str],
    with_data: bool = True,
) -> tuple[Diagnostic, ...]:
    """All findings, errors and warnings, as far as the checks got."""
    try:
        loaded = load(path, overrides=overrides, models=models, environment=environment)
    except SpecError as error:
        return error.diagnostics
    spec = loaded.spec
    findings = [*loaded.warnings, *spec_findings(spec), *_built(spec)]
    if with_data and not any(f.severity == "error" for f in findings):
        findings += _data_findings(loaded)
    return tuple(findings)


def spec_findings(spec: Spec) -> list[Diagnostic]:
    """What is wrong with models, code, templates and gates of a valid spec; reads no rows, opens no socket."""
    from promptc.runners.gate_paths import gate_findings

    return [*model_findings(spec), *code_findings(spec), *template_findings(spec), *gate_findings(spec)]


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


def code_findings(spec: Spec) -> list[Diagnostic]:
    """What is wrong with the user's code that the spec names, without running it."""
    from promptc.runners.hook_source import check_reference
    from promptc.runners.trust import code_of

    return [
        Diagnostic(message=finding, position=use.position, path="")
        for use in code_of(spec)
        if use.kind == "function"
        for finding in check_reference(spec.base, use.reference)
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
    return tuple(findings)


def _data_findings(loaded: Loaded) -> list[Diagnostic]:
    """What the rows say, and whether the budget can hold a search over them."""
    from promptc.cli.opening import checked_data, prepared_from
    from promptc.cli.planning import build_optimizer, planned

    spec = loaded.spec
    dataset, findings = checked_data(spec)
    if dataset is None or any(f.severity == "error" for f in findings):
        return list(findings)
    if spec.optimizer is not None and dataset.train and dataset.dev:
        try:
            planned(prepared_from(loaded, dataset), build_optimizer(spec))
        except SpecError as error:
            findings = (*findings, *error.diagnostics)
    return list(findings)
