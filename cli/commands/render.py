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
@click.option("--step", metavar="NAME", help="Only this step, or this predictor.")
@click.option(
    "--from",
    "run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Fill in what earlier steps gave the row in that run.",
)
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
      promptc render handbook.yaml --row q12 --step answer --from runs/handbook-eval-latest
      promptc render spec.yaml --json | jq -r '.[0].messages[0].content'
    """
    from promptc.cli.entry import open_view
    from promptc.cli.loading import load, read_candidate, read_environment
    from promptc.cli.opening import own_candidate
    from promptc.cli.rendering import View, rendered_json, rendered_text
    from promptc.runners.build import build_program

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    program = build_program(loaded.spec)
    candidate = (
        read_candidate(typed["candidate"], program) if typed["candidate"] else own_candidate(loaded, program)
    )
    row = _row(loaded, typed["row_id"]) if typed["row_id"] else None
    upstream = _upstream(typed["run"], typed["row_id"], terminal, environment) if typed["run"] else {}
    show = rendered_json if typed["as_json"] else rendered_text
    compiled = program.compile(candidate)
    functions = _functions(compiled.program, typed["run"], terminal, environment)
    terminal.write(
        show(View(compiled=compiled, row=row, step=typed["step"], upstream=upstream, functions=functions))
    )
    return 0


def _functions(program: Any, run: Path | None, terminal: Any, environment: Any) -> dict[str, Any]:
    """What each tool offers: as its source says, or as a server said in a run."""
    import asyncio

    from promptc.cli.tracing import past_functions
    from promptc.runners.tools.checking import known_functions

    used = program.tools()
    known = {key: found for key, found in known_functions(program.spec).items() if key in used}
    asked = [key for key, found in known.items() if found is None]
    if asked and run is not None:
        known |= asyncio.run(past_functions(program, asked, run, terminal, environment))
    elif asked:
        names = ", ".join(program.spec.tools[key].name for key in asked)
        terminal.warn(f"what {names} offers is known once a run has asked: name one with --from RUN")
    return {key: found or () for key, found in known.items()}


def _upstream(run: Path, row_id: str | None, terminal: Any, environment: Any) -> dict[str, dict[str, Any]]:
    """By predictor what went into it in a run, the last time where there were several."""
    import asyncio

    from promptc.cli.tracing import traced
    from promptc.spec.errors import UsageError

    if row_id is None:
        raise UsageError("--from shows what a run gave one row", "name it with --row")
    found = asyncio.run(traced(run, row_id, None, terminal, environment))
    return {step.predictor: step.inputs for step in found.steps if step.kind == "predict"}


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
