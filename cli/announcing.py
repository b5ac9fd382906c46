"""Tells a GitHub workflow what came out: failed gates at their lines of the spec, the report in the step's summary."""

from __future__ import annotations

from collections.abc import Sequence

from promptc.cli.console import Terminal
from promptc.cli.github import Place, of_diagnostic
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.facts import gate_figures
from promptc.runners.summary import GateResult
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.model import Gate


def announce(details: ReportDetails, gates: Sequence[Gate], terminal: Terminal) -> None:
    """Nothing outside of a workflow. `gates` are those that the summary's results belong to, in the same order."""
    if terminal.actions is None:
        return
    summary = details.summary
    for gate, result in zip(gates, summary.gates, strict=True):
        if result.status in ("failed", "missing"):
            found = Diagnostic(message=_missed(result), position=gate.position, path="gates")
            terminal.annotate(*of_diagnostic(found), "promptc: a gate")
    for verdict in summary.verdicts:
        if not verdict.message.startswith("gate "):
            terminal.annotate("error", verdict.message, Place(), f"promptc {details.title()}")
    if terminal.actions.summary:
        _append(terminal.actions.summary, details, terminal)


def _missed(result: GateResult) -> str:
    value, distance = gate_figures(result)
    if not value:
        return f"{result.text}: there is no figure"
    return f"{result.text}: it is {value}{f', missed by {distance}' if distance else ''}"


def _append(path: str, details: ReportDetails, terminal: Terminal) -> None:
    """The report below whatever else the step has said."""
    from promptc.cli.reports.markdown import markdown_report

    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown_report(details))
    except OSError as error:
        terminal.warn(f"the step's summary cannot be written: {error.strerror}")
