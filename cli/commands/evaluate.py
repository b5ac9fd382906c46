"""`promptc eval`: score a spec or a compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import run_options, spec_options, sweep_options, target, view_options

if TYPE_CHECKING:
    from promptc.cli.conduct import Run
    from promptc.cli.console import Terminal
    from promptc.cli.opening import Prepared

SPLITS = ("dev", "train", "test", "all")
ONE_RUN = {
    "--last-failed": "last_failed",
    "--from": "source",
    "--save-baseline": "save_baseline",
}
"""Options that mean one run, and the names of their values."""


@click.command(name="eval")
@target
@click.option(
    "--split", type=click.Choice(SPLITS),
    help="The rows to score. Default: dev (with folds: all), and with --from the split of that run.",
)  # fmt: skip
@click.option(
    "--rows", "row_ids", metavar="ID[,ID…]", help="Only these rows, by id; @FILE reads one id a line."
)
@click.option(
    "--where", metavar="EXPR", help="Only rows for which a CEL expression is true: \"row.language == 'de'\"."
)
@click.option(
    "--last-failed", is_flag=True, help="Only rows that went wrong in the last eval, or in --from RUN."
)
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Only N of the rows, drawn by run.seed."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows of the split.")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="RUN",
    help="Take the program's replies from RUN's journal and score its rows anew; only judges are called.",
)  # fmt: skip
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Score an edited candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@click.option(
    "--fail-under", "floors", multiple=True, metavar="[METRIC=]X", help="Exit 1 below this score. Repeatable."
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="Compare row by row with an earlier run or a saved baseline; exit 1 on a regression.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0, max=1),
    metavar="X",
    help="How far the score may fall below the baseline's. Default: 0.02.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    metavar="P",
    help="How unlikely a difference has to be by chance, to count. Default: 0.05.",
)
@click.option(
    "--save-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the scores of the rows as a baseline, to be kept in the repository.",
)
@sweep_options
@run_options
@spec_options
@view_options
def evaluate(spec: Path | None, **typed: Any) -> int:
    """Score a spec or a compiled program on labelled rows.

    \b
    Examples:
      promptc eval                                   # the dev split of ./promptc.yaml
      promptc eval spec.yaml --split test --fail-under 0.8
      promptc eval runs/triage-optimize-latest --split test
      promptc eval spec.yaml --candidate edited.yaml --rows t007,t012 -v
      promptc eval --save-baseline baseline.json     # then, on every change:
      promptc eval --baseline baseline.json --max-drop 0.02
      promptc eval --last-failed                     # after a change: only what went wrong
      promptc eval --from runs/triage-eval-latest    # after a change of a metric: no call
      promptc eval --sweep models.task=openai/gpt-4.1-mini,openai/gpt-4.1
    """
    from promptc.cli.conduct import conduct
    from promptc.cli.entry import open_view
    from promptc.cli.loading import load, read_environment
    from promptc.cli.opening import prepare
    from promptc.cli.sweep_cells import read_cells

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    cells = read_cells(spec, typed, environment)
    if cells:
        from promptc.cli.sweep_tasks import Sweep
        from promptc.cli.sweeping import conduct_sweep

        check_of_one_run(typed)
        sweep = Sweep.of(
            "eval",
            cells,
            typed,
            environment,
            make=lambda prepared, _: evaluation(prepared, typed, environment, terminal),
            split=typed["split"],
        )
        return conduct_sweep(sweep, terminal)
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    prepared = prepare(loaded, terminal, candidate=typed["candidate"])
    return conduct(evaluation(prepared, typed, environment, terminal), terminal)


def check_of_one_run(typed: Mapping[str, Any]) -> None:
    """Raise UsageError for options of a sweep that can be meant for one run alone."""
    from promptc.spec.errors import UsageError

    given = [option for option, name in ONE_RUN.items() if typed[name]]
    if given:
        raise UsageError(
            f"{given[0]} is for a single run, and this is a sweep",
            "--no-sweep runs the spec alone; `promptc compare` holds runs against each other",
        )


def evaluation(
    prepared: Prepared, typed: Mapping[str, Any], environment: Mapping[str, str], terminal: Terminal
) -> Run:
    """The run that the options ask for. Raises SpecError, UsageError, NothingSelected."""
    from promptc.cli.baselines import held_against
    from promptc.cli.conduct import Outcome, Run, Wishes
    from promptc.cli.entry import choices_of
    from promptc.cli.main import version
    from promptc.cli.planning import planned_eval
    from promptc.cli.selection import select, wanted_rows
    from promptc.runners.evaluation import evaluate_split
    from promptc.runners.session import Session

    loaded = prepared.loaded
    chosen = select(prepared.dataset, loaded.spec, wanted_rows(typed), terminal, typed["output"])
    split, examples = chosen.split, chosen.examples
    forecast = planned_eval(prepared, split, len(examples))
    overlap = sum(1 for e in examples if e.digest in loaded.seen_rows)

    async def work(session: Session) -> Outcome:
        summary, records = await evaluate_split(session, split, examples, prepared.start, overlap=overlap)
        return Outcome(
            summary=summary,
            start=prepared.start,
            seen=loaded.seen_rows,
            shown=tuple(zip(records, examples, strict=True)),
        )

    return Run(
        command="eval",
        prepared=prepared,
        choices=choices_of(typed),
        wishes=Wishes(
            gates=(*loaded.spec.gates, *floor_gates(typed["floors"], split, loaded.spec)),
            held=held_against(typed, prepared, examples),
            as_json=typed["as_json"],
            arguments=click.get_current_context().find_object(tuple) or (),
        ),
        work=work,
        selection=chosen.identity,
        budget=loaded.spec.budget,
        forecast=forecast,
        environment=environment,
        version=version(),
    )


def floor_gates(floors: Sequence[str], split: str, spec: Any) -> tuple[Any, ...]:
    """--fail-under as gates. Raises UsageError for what is no number, and for a metric that the spec has not."""
    from promptc.spec.errors import UsageError
    from promptc.spec.gates import parse_gate
    from promptc.spec.suggest import did_you_mean

    metrics = [use.name for use in spec.metrics]
    gates = []
    for floor in floors:
        metric, _, number = floor.rpartition("=")
        if metric and metric not in metrics:
            raise UsageError(
                f"--fail-under {floor}: no metric is called {metric}", did_you_mean(metric, metrics)
            )
        path = f"{split}.metrics.{metric}.score" if metric else f"{split}.score"
        try:
            float(number)
        except ValueError:
            raise UsageError(f"--fail-under {floor}: expected a number or METRIC=NUMBER") from None
        gates.append(parse_gate(f"{path} >= {number}"))
    return tuple(gates)
