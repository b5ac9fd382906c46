"""`promptc eval`: score a spec or a compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from promptc.cli.options import run_options, spec_options, target, view_options

SPLITS = ("dev", "train", "test", "all")


@click.command(name="eval")
@target
@click.option(
    "--split", type=click.Choice(SPLITS), default="dev", show_default=True, help="The rows to score."
)
@click.option(
    "--rows", "row_ids", metavar="ID[,ID…]", help="Only these rows, by id; @FILE reads one id a line."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows of the split.")
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Score an edited candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@click.option(
    "--fail-under", "floors", multiple=True, metavar="[METRIC=]X", help="Exit 1 below this score. Repeatable."
)
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
    """
    from promptc.cli.conduct import Outcome, Wishes, conduct, selected
    from promptc.cli.entry import choices_of, open_view
    from promptc.cli.loading import load, read_environment
    from promptc.cli.main import version
    from promptc.cli.opening import prepare
    from promptc.cli.planning import planned_eval
    from promptc.runners.evaluation import evaluate_split
    from promptc.runners.session import Session

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    prepared = prepare(loaded, terminal, candidate=typed["candidate"])
    split = typed["split"]
    ids = wanted_ids(typed["row_ids"])
    examples = chosen_rows(prepared.dataset.part(split), ids, typed["limit"], split)
    planned_eval(prepared, split, len(examples))
    overlap = sum(1 for e in examples if e.digest in loaded.seen_rows)

    async def work(session: Session) -> Outcome:
        summary, records = await evaluate_split(session, split, examples, prepared.start, overlap=overlap)
        return Outcome(
            summary=summary,
            start=prepared.start,
            seen=loaded.seen_rows,
            shown=tuple(zip(records, examples, strict=True)),
        )

    return conduct(
        "eval",
        prepared,
        choices_of(typed),
        Wishes(
            gates=(*loaded.spec.gates, *floor_gates(typed["floors"], split, loaded.spec)),
            as_json=typed["as_json"],
            arguments=click.get_current_context().find_object(tuple) or (),
        ),
        terminal,
        work,
        selection=selected(ids, typed["limit"], split),
        budget=loaded.spec.budget,
        environment=environment,
        version=version(),
    )


def wanted_ids(text: str | None) -> tuple[str, ...]:
    """The ids of --rows; @FILE reads them from a file."""
    if not text:
        return ()
    if text.startswith("@"):
        from promptc.spec.errors import UsageError

        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"--rows: {text[1:]} cannot be read: {error.strerror}") from error
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(part.strip() for part in text.split(",") if part.strip())


def chosen_rows(
    examples: Sequence[Any], ids: Sequence[str], limit: int | None, split: str
) -> tuple[Any, ...]:
    """The rows that were selected. Raises NothingSelected."""
    from promptc.spec.errors import NothingSelected

    chosen = tuple(examples)
    if ids:
        wanted = set(ids)
        chosen = tuple(e for e in chosen if e.id in wanted)
        missing = wanted - {e.id for e in chosen}
        if missing:
            shown = ", ".join(sorted(missing)[:5])
            raise NothingSelected(
                f"--rows: no row of split {split} has the id {shown}", "other splits: --split train|test|all"
            )
    if not chosen:
        raise NothingSelected(f"split {split} has no rows", "see `promptc plan` for the sizes of the splits")
    return chosen[:limit]


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
