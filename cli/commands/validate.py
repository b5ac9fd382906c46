"""`promptc validate`: is the spec right, and does it fit its data?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import spec_options, sweep_options, target, view_options

if TYPE_CHECKING:
    from promptc.spec.diagnostics import Diagnostic


@click.command()
@target
@click.option("--no-data", is_flag=True, help="Check the spec alone; read no rows.")
@sweep_options
@spec_options
@view_options
def validate(spec: Path | None, **typed: Any) -> int:
    """Check a spec and its data: every finding at once, with its place. Makes no call and runs no code.

    \b
    Examples:
      promptc validate
      promptc validate spec.yaml --json | jq '.diagnostics[].message'
    """
    from promptc.cli.diagnostics_view import annotate, print_diagnostics
    from promptc.cli.entry import open_view
    from promptc.cli.loading import find_target, read_environment
    from promptc.cli.reports.machine import findings_document

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    path = find_target(spec)
    findings, cells = _checked(path, typed, environment)
    errors = sum(1 for f in findings if f.severity == "error")
    if typed["as_json"]:
        terminal.write(findings_document(str(path), findings))
        annotate(terminal, findings)
    else:
        if findings:
            print_diagnostics(terminal, findings)
        if not errors:
            terminal.write(f"{path}: ok, {cells} cells\n" if cells else f"{path}: ok\n")
    return 2 if errors else 0


def _checked(
    path: Path, typed: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[tuple[Diagnostic, ...], int]:
    """All findings on a spec, or on every cell of its sweep; and how many cells there are."""
    from promptc.cli.checking import check
    from promptc.cli.loading import load
    from promptc.cli.sweep_cells import read_cells
    from promptc.spec.errors import SpecError

    with_data = not typed["no_data"]
    try:
        cells = read_cells(path, typed, environment)
        if cells:
            from promptc.cli.sweep_checks import Reader, cells_findings

            read = Reader()
            findings = cells_findings(cells, lambda one: check(one.loaded, with_data=with_data, read=read))
            return tuple(findings), len(cells)
        loaded = load(path, overrides=typed["overrides"], models=typed["models"], environment=environment)
    except SpecError as error:
        return error.diagnostics, 0
    return check(loaded, with_data=with_data), 0
