"""`--skip-if-no-key`: a pull request from a fork has no secrets, and that is nobody's mistake."""

from __future__ import annotations

from collections.abc import Mapping

from promptc.cli.finish import summary_bytes
from promptc.cli.opening import Choices, Prepared, model_names
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.files import write_reports
from promptc.runners.models.keys import missing_key
from promptc.runners.run_directory import RunDirectory
from promptc.runners.summary import Summary
from promptc.spec.model import Spec


def reason_to_skip(prepared: Prepared, choices: Choices, environment: Mapping[str, str]) -> str:
    """Which key is missing; "" where the run may begin, or nobody asked for it to be skipped."""
    if not choices.skip_if_no_key or choices.offline:
        return ""
    missing = keys_missing(prepared.spec, environment)
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set" if missing else ""


def keys_missing(spec: Spec, environment: Mapping[str, str]) -> list[str]:
    """The variables that hold no key for a model that a run may ask."""
    names = (missing_key(spec.model_named(name), environment) for name in model_names(spec))
    return [name for name in dict.fromkeys(names) if name]


def skipped(command: str, prepared: Prepared, directory: RunDirectory, reason: str) -> ReportDetails:
    """Write a summary and reports that say why nothing was done. The run stays unfinished: with a key it begins."""
    summary = Summary(
        command=command,
        name=prepared.spec.name,
        identity=directory.marker.identity,
        skipped=reason,
        notes=("nothing was asked and nothing was scored; gates were not held against anything",),
    )
    details = ReportDetails(
        summary=summary,
        spec_name=prepared.spec.name,
        run_directory=str(directory.path),
        next_commands=(),
    )
    directory.write("summary.json", summary_bytes(summary))
    for name, content in write_reports(details).items():
        directory.write(name, content)
    return details
