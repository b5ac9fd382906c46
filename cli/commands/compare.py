"""`promptc compare`: runs held against each other, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import view_options

SHOWN, SHOWN_OF_EACH = 8, 3
"""Rows that are shown of one run against another, and of each of several."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A B [C…]")
@click.option(
    "--split", type=click.Choice(["test", "dev", "train", "all"]),
    help="The rows to compare. Default: the most telling split that all runs scored.",
)  # fmt: skip
@click.option(
    "--max-drop", type=click.FloatRange(min=0, max=1), default=0.02, show_default=True, metavar="X",
    help="How far a score may fall and still be called a tie.",
)  # fmt: skip
@click.option(
    "--alpha", type=click.FloatRange(min=0, max=1, min_open=True, max_open=True), default=0.05, show_default=True,
    metavar="P", help="How unlikely a difference has to be by chance, to count.",
)  # fmt: skip
@click.option(
    "--rows", "shown", type=click.IntRange(min=0), metavar="N",
    help="Rows to show whose score changed, losses first. Default: 8, of several runs 3 each.",
)  # fmt: skip
@click.option("--fail-on-regression", is_flag=True, help="Exit 1 when a run is worse than the first.")
@view_options
def compare(runs: tuple[Path, ...], **typed: Any) -> int:
    """Compare runs row by row: the first is what the others are held against.

    A run is its directory below runs/ or where -o put it; a sweep stands for its cells, the best of them first. The
    verdict on each is one of improvement, regression, tie, and not enough data; with several, p-values are adjusted
    by Holm's method.

    \b
    Examples:
      promptc compare runs/triage-eval-latest runs/mine
      promptc compare runs/before runs/after --fail-on-regression --json
      promptc compare runs/triage-eval-sweep-latest
    """
    from promptc.cli.comparing import read_candidates
    from promptc.cli.entry import open_view
    from promptc.cli.json_output import json_text
    from promptc.cli.reports.comparison import comparison_report
    from promptc.runners.baselines import Allowance
    from promptc.runners.run_comparison import check_scoring, common_split, compared_runs

    terminal = open_view(typed)
    candidates = read_candidates(runs)
    split = common_split(candidates, typed["split"])
    check_scoring(candidates)
    allowance = Allowance(max_drop=typed["max_drop"], alpha=typed["alpha"])
    usual = SHOWN if len(candidates) == 2 else SHOWN_OF_EACH
    flips = usual if typed["shown"] is None else typed["shown"]
    found = compared_runs(candidates, split, allowance, flips=flips)
    worse = [one.letter for one in found.differences if one.verdict == "regression"]
    if typed["as_json"]:
        terminal.write(json_text(found))
    else:
        terminal.answer(comparison_report(found))
    if worse and typed["fail_on_regression"]:
        terminal.complain(f"{' and '.join(worse)}: worse than {found.runs[0].letter}")
        return 1
    return 0
