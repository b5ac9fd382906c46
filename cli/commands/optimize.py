"""`promptc optimize`: search for a better prompt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import run_options, spec_options, sweep_options, target, view_options
from promptc.spec.errors import UsageError

if TYPE_CHECKING:
    from promptc.cli.conduct import Run
    from promptc.cli.opening import Prepared


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
@sweep_options
@click.option(
    "--test-all", is_flag=True, help="Of a sweep: score test for every cell, not for the best on dev alone."
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
      promptc optimize spec.yaml --sweep optimizer=gepa,copro --sweep run.seed=0,1 --jobs 2
    """
    from promptc.cli.conduct import conduct
    from promptc.cli.entry import open_view
    from promptc.cli.loading import load, read_environment
    from promptc.cli.opening import prepare
    from promptc.cli.sweep_cells import read_cells

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    if typed["optimizer"]:
        typed["overrides"] = (*typed["overrides"], f"optimizer={typed['optimizer']}")
    cells = read_cells(spec, typed, environment)
    if cells:
        from promptc.cli.sweep_tasks import Sweep
        from promptc.cli.sweeping import conduct_sweep

        sweep = Sweep.of(
            "optimize",
            cells,
            typed,
            environment,
            make=lambda prepared, measured: optimization(prepared, typed, environment, measured=measured),
            split="dev",
        )
        return conduct_sweep(sweep, terminal)
    if typed["test_all"]:
        raise UsageError(
            "--test-all is for a sweep", "name what varies with --sweep KEY=V1,V2 or sweep: in the spec"
        )
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    run = optimization(prepare(loaded, terminal, candidate=typed["start"]), typed, environment)
    if run.notice:
        terminal.say(run.notice)
    return conduct(run, terminal)


def optimization(
    prepared: Prepared, typed: Mapping[str, Any], environment: Mapping[str, str], *, measured: bool = True
) -> Run:
    """The run that the options ask for; unless `measured`, it ends where test would be scored. Raises SpecError."""
    from promptc.cli.conduct import Outcome, Run, Wishes
    from promptc.cli.entry import choices_of
    from promptc.cli.main import version
    from promptc.cli.planning import build_optimizer, planned, wall
    from promptc.cli.promoting import check_promotion
    from promptc.optimizers.compile import optimize as search
    from promptc.runners.session import Session

    spec = prepared.spec
    check_promotion(spec)
    optimizer = build_optimizer(spec)
    whole = planned(prepared, optimizer)
    budget, said = wall(whole, spec)

    async def work(session: Session) -> Outcome:
        found = await search(
            session, optimizer, skip_metric_check=typed["skip_metric_check"], score_test=measured
        )
        return Outcome(
            summary=found.summary,
            start=prepared.start,
            winner=found.winner.candidate,
            front=found.front,
            shown=found.shown,
        )

    return Run(
        command="optimize",
        prepared=prepared,
        choices=choices_of(typed),
        wishes=Wishes(
            gates=spec.gates,
            fail_if_no_improvement=typed["fail_if_no_improvement"],
            as_json=typed["as_json"],
            arguments=click.get_current_context().find_object(tuple) or (),
        ),
        work=work,
        selection={"skip_metric_check": typed["skip_metric_check"]},
        budget=budget,
        forecast=whole if measured else planned(prepared, optimizer, tested=False),
        notice=said,
        environment=environment,
        version=version(),
    )
