"""`promptc doctor`: is this machine ready, and can the spec's models be used?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import spec_options, target, view_options

if TYPE_CHECKING:
    from promptc.cli.diagnosis_view import Diagnosis
    from promptc.cli.loading import Loaded
    from promptc.cli.model_health import ModelHealth


@click.command()
@target
@click.option("--call", "call", is_flag=True, help="Ask each model one tiny question, as a run would.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
    metavar="SECONDS", help="How long --call waits for a reply.",
)  # fmt: skip
@click.option("--allow-code", is_flag=True, help="Let api_key_command run, for --call.")
@spec_options
@view_options
def doctor(spec: Path | None, **typed: Any) -> int:
    """Check this machine, and the models of a spec: versions, cache, terminal, proxies, keys, prices.

    Without --call no socket is opened. Keys are never shown. Exit 6 when a key is missing or a model cannot
    be used, 2 when the spec is wrong.

    \b
    Examples:
      promptc doctor
      promptc doctor spec.yaml --call --env-file .env
      promptc doctor --json | jq '.models[] | select(.usable | not)'
    """
    from promptc.cli.diagnosis import machine_findings
    from promptc.cli.diagnosis_view import Diagnosis, diagnosis_document, diagnosis_report
    from promptc.cli.diagnostics_view import print_diagnostics
    from promptc.cli.entry import open_view
    from promptc.cli.loading import read_environment
    from promptc.cli.main import version
    from promptc.cli.reports.look import look_of

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    diagnosis = Diagnosis(findings=machine_findings(environment, terminal, version(), typed["color"]))
    diagnosis = _examined(diagnosis, spec, typed, environment)
    if typed["as_json"]:
        terminal.write(diagnosis_document(diagnosis))
        return diagnosis.exit_code
    look = look_of(terminal.out, terminal.out.options)
    terminal.answer(diagnosis_report(diagnosis, look, verbose=typed["verbose"] > 0))
    if diagnosis.diagnostics:
        print_diagnostics(terminal, diagnosis.diagnostics)
    return diagnosis.exit_code


def _examined(
    diagnosis: Diagnosis, typed_spec: Path | None, typed: dict[str, Any], environment: Mapping[str, str]
) -> Diagnosis:
    """The diagnosis with what the spec says; as it is where there is no spec and none was named."""
    from msgspec.structs import replace

    from promptc.cli.checking import model_findings
    from promptc.cli.loading import DEFAULT_NAMES, find_target, load
    from promptc.spec.errors import SpecError

    if typed_spec is None and not any(Path(name).is_file() for name in DEFAULT_NAMES):
        return diagnosis
    path = find_target(typed_spec)
    diagnosis = replace(diagnosis, spec=path)
    try:
        loaded = load(path, overrides=typed["overrides"], models=typed["models"], environment=environment)
    except SpecError as error:
        return replace(diagnosis, diagnostics=error.diagnostics)
    findings = (*loaded.warnings, *model_findings(loaded.spec))
    if any(finding.severity == "error" for finding in findings):
        return replace(diagnosis, diagnostics=findings)
    models = _healths(loaded, typed, environment)
    return replace(diagnosis, models=models, diagnostics=findings, called=typed["call"])


def _healths(
    loaded: Loaded, typed: dict[str, Any], environment: Mapping[str, str]
) -> tuple[ModelHealth, ...]:
    """The spec's models, asked when that is wanted. Raises TrustError."""
    import asyncio
    import os

    from promptc.cli.model_health import ask_all, examine, used_models
    from promptc.runners.models.prices import PriceMap
    from promptc.runners.trust import code_of, require

    spec, prices = loaded.spec, PriceMap()
    models = used_models(spec)
    healths = tuple(examine(name, model, environment, prices, spec.base) for name, model in models.items())
    if not typed["call"]:
        return healths
    commands = [use for use in code_of(spec) if use.kind == "command"]
    # Only the process's own environment counts: an env file could come with the spec.
    require(commands, spec.base, flag=typed["allow_code"], environment=os.environ)
    return asyncio.run(ask_all(models, healths, environment, base=spec.base, timeout=typed["timeout"]))
