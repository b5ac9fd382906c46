"""`promptc optimize`: search for a better prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import run_options, spec_options, target, view_options


@click.command()
@target
@click.option("--optimizer", metavar="NAME", help="Use another optimizer than the spec's, with its defaults.")
@click.option(
    "--start", type=click.Path(path_type=Path), metavar="FILE|RUN",
    help="Search from a candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@click.option(
    "--skip-metric-check", is_flag=True, help="Search even if the metrics cannot tell gold from noise."
)
@click.option(
    "--fail-if-no-improvement", is_flag=True, help="Exit 8 when nothing significantly better was found."
)
@run_options
@spec_options
@view_options
def optimize(spec: Path | None, **typed: Any) -> int:
    """Search for a better prompt within a budget, and measure it on rows that the search never saw.

    \b
    Examples:
      promptc optimize samples/triage/spec.yaml
      promptc optimize spec.yaml --set budget.calls=500 -o runs/mine
      promptc optimize spec.yaml --optimizer labeled_few_shot --fail-if-no-improvement
    """
    from promptc.cli.conduct import Outcome, Wishes, conduct
    from promptc.cli.entry import choices_of, open_view
    from promptc.cli.loading import load, read_environment
    from promptc.cli.main import version
    from promptc.cli.opening import prepare
    from promptc.cli.planning import build_optimizer, planned, wall
    from promptc.cli.promoting import check_promotion
    from promptc.optimizers.compile import optimize as search
    from promptc.runners.session import Session

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    overrides = list(typed["overrides"])
    if typed["optimizer"]:
        overrides.append(f"optimizer={typed['optimizer']}")
    loaded = load(spec, overrides=overrides, models=typed["models"], environment=environment)
    prepared = prepare(loaded, terminal, candidate=typed["start"])
    check_promotion(loaded.spec)
    optimizer = build_optimizer(loaded.spec)
    plan = planned(prepared, optimizer)
    budget, said = wall(plan, loaded.spec)
    if said:
        terminal.say(said)

    async def work(session: Session) -> Outcome:
        found = await search(session, optimizer, skip_metric_check=typed["skip_metric_check"])
        return Outcome(
            summary=found.summary,
            start=prepared.start,
            winner=found.winner.candidate,
            front=found.front,
            shown=found.shown,
        )

    return conduct(
        "optimize",
        prepared,
        choices_of(typed),
        Wishes(
            gates=loaded.spec.gates,
            fail_if_no_improvement=typed["fail_if_no_improvement"],
            as_json=typed["as_json"],
            arguments=click.get_current_context().find_object(tuple) or (),
        ),
        terminal,
        work,
        selection={"skip_metric_check": typed["skip_metric_check"]},
        budget=budget,
        environment=environment,
        version=version(),
    )
