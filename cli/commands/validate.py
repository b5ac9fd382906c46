"""`promptc validate`: is the spec right, and does it fit its data?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import spec_options, target, view_options


@click.command()
@target
@click.option("--no-data", is_flag=True, help="Check the spec alone; read no rows.")
@spec_options
@view_options
def validate(spec: Path | None, **typed: Any) -> int:
    """Check a spec and its data: every finding at once, with its place. Makes no call and runs no code.

    \b
    Examples:
      promptc validate
      promptc validate spec.yaml --json | jq '.diagnostics[].message'
    """
    from promptc.cli.checking import check
    from promptc.cli.diagnostics_view import annotate, print_diagnostics
    from promptc.cli.entry import open_view
    from promptc.cli.loading import find_target, read_environment
    from promptc.cli.reports.machine import findings_document

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    path = find_target(spec)
    findings = check(
        path,
        overrides=typed["overrides"],
        models=typed["models"],
        environment=environment,
        with_data=not typed["no_data"],
    )
    errors = sum(1 for f in findings if f.severity == "error")
    if typed["as_json"]:
        terminal.write(findings_document(str(path), findings))
        annotate(terminal, findings)
    else:
        if findings:
            print_diagnostics(terminal, findings)
        if not errors:
            terminal.write(f"{path}: ok\n")
    return 2 if errors else 0
