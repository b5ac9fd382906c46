"""`promptc render`: the exact prompt, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import spec_options, target, view_options


@click.command()
@target
@click.option(
    "--row", "row_id", metavar="ID", help="The row to render. Without it, inputs are shown as gaps."
)
@click.option("--step", metavar="NAME", help="Only this predictor.")
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Render an edited candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@spec_options
@view_options
def render(spec: Path | None, **typed: Any) -> int:
    """Print the exact messages that would be sent for a row. Makes no call and runs no code.

    \b
    Examples:
      promptc render spec.yaml --row t007
      promptc render spec.yaml --row t007 --candidate runs/triage-optimize-latest
      promptc render spec.yaml --json | jq -r '.[0].messages[0].content'
    """
    from promptc.cli.entry import open_view
    from promptc.cli.loading import load, read_candidate, read_environment
    from promptc.cli.rendering import rendered_json, rendered_text
    from promptc.runners.build import build_program

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    program = build_program(loaded.spec)
    candidate = (
        read_candidate(typed["candidate"], program)
        if typed["candidate"]
        else loaded.candidate or program.start()
    )
    row = _row(loaded, typed["row_id"]) if typed["row_id"] else None
    show = rendered_json if typed["as_json"] else rendered_text
    terminal.write(show(program.compile(candidate), row, typed["step"]))
    return 0


def _row(loaded: Any, row_id: str) -> dict[str, Any]:
    from promptc.cli.opening import checked_data
    from promptc.spec.errors import NothingSelected, SpecError

    dataset, findings = checked_data(loaded.spec)
    if dataset is None:
        raise SpecError(findings)
    for example in dataset.part("all"):
        if example.id == row_id:
            return dict(example.row)
    near = [e.id for e in dataset.part("all")[:3]]
    raise NothingSelected(f"no row has the id {row_id}", f"ids look like {', '.join(near)}")
