"""`promptc trace`: what happened to one row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import options, view_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--row", "row_id", required=True, metavar="ID", help="The row, by its id in rows.jsonl.")
@options(
    click.option("--step", metavar="NAME", help="Only this step, or this predictor."),
    click.option(
        "--candidate", type=click.Choice(["start", "winner"]),
        help="Whose way to show, where the run scored both. Default: the winner's.",
    ),
    click.option("--env-file", "env_files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
                 help="Read environment variables from a file. Repeatable."),
)  # fmt: skip
@view_options
def trace(run: Path, **typed: Any) -> int:
    """Show one row of a finished run as a tree: steps, messages sent and received, re-asks, failed checks.

    All of it comes from what the run recorded: nothing is asked. -v shows every message whole.

    \b
    Examples:
      promptc trace runs/triage-optimize-latest --row t005
      promptc trace runs/handbook-eval-latest --row q12 --step answer -v
      promptc trace runs/handbook-eval-latest --row q12 --json | jq '.steps[].predictor'
    """
    import asyncio

    from promptc.cli.entry import open_view
    from promptc.cli.loading import read_environment
    from promptc.cli.trace_view import trace_document, trace_tree
    from promptc.cli.tracing import traced
    from promptc.spec.errors import UsageError

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    found = asyncio.run(traced(run, typed["row_id"], typed["candidate"], terminal, environment))
    step = typed["step"]
    names = list(dict.fromkeys(one.predictor for one in found.steps))
    if step is not None and not any(name == step or name.startswith(f"{step}.") for name in names):
        raise UsageError(f"--step {step}: the row took no such step", f"there are: {', '.join(names)}")
    if typed["as_json"]:
        terminal.write(trace_document(found))
    else:
        terminal.answer(trace_tree(found, step=step, whole=terminal.verbosity > 0))
    return 0
