"""`promptc plan`: what would run, and what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import spec_options, sweep_options, target, view_options


@click.command()
@target
@click.option(
    "--for",
    "command",
    type=click.Choice(["optimize", "eval"]),
    help="What to plan. Default: both where possible.",
)
@click.option(
    "--split", type=click.Choice(["dev", "train", "test", "all"]),
    help="The rows that eval would score. Default: dev (with folds: all).",
)  # fmt: skip
@sweep_options
@spec_options
@view_options
def plan(spec: Path | None, command: str | None, **typed: Any) -> int:
    """Show what a run would do and cost before it does: rows, calls by role, dollars, and user code it would run.

    \b
    Examples:
      promptc plan spec.yaml
      promptc plan spec.yaml --for optimize --json
      promptc plan spec.yaml --for eval --sweep models.task=openai/gpt-4.1-mini,openai/gpt-4.1
    """
    from promptc.cli.entry import open_view
    from promptc.cli.loading import load, read_environment
    from promptc.cli.opening import prepare
    from promptc.cli.planning import build_optimizer, planned, planned_eval
    from promptc.cli.reports.plan import plan_document, plan_report
    from promptc.cli.selection import default_split
    from promptc.cli.sweep_cells import read_cells

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    cells = read_cells(spec, typed, environment)
    if cells:
        from promptc.cli.sweep_planning import plan_sweep

        return plan_sweep(cells, command, typed["split"], terminal, as_json=typed["as_json"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    prepared = prepare(loaded, terminal)
    split = typed["split"] or default_split(prepared.dataset)
    rows = len(prepared.dataset.part(split))
    forecasts = []
    if command in (None, "eval"):
        forecasts.append(planned_eval(prepared, split, rows))
    can_search = bool(prepared.dataset.train and prepared.dataset.dev)
    if command == "optimize" or (command is None and can_search):
        forecasts.append(planned(prepared, build_optimizer(loaded.spec)))
    if typed["as_json"]:
        terminal.write(plan_document(prepared, forecasts))
    else:
        terminal.answer(plan_report(prepared, forecasts))
    return 0
