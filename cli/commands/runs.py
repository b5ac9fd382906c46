"""`promptc runs`: what was run, what it cost, and away with what is old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import options, view_options
from promptc.cli.quantities import read_age, read_moment

STATES = ("finished", "failed", "unfinished", "running")
PERIODS = ("day", "week", "month")

_filters = options(
    click.option("--name", "names", multiple=True, metavar="GLOB",
        help="Only runs of specs with this name. Repeatable."),
    click.option(
        "--command", "commands", multiple=True, metavar="NAME",
        help="Only eval, optimize, eval-sweep or optimize-sweep. Repeatable.",
    ),
    click.option(
        "--state", "states", multiple=True, type=click.Choice(STATES),
        help="Only runs in this state; failed ones ended with an exit code other than 0. Repeatable.",
    ),
    click.option(
        "--since", callback=read_moment, metavar="AGE|DATE",
        help="Only runs since then: 7d, or 2026-01-31.",
    ),
    click.option("--older-than", callback=read_age, metavar="AGE", help="Only runs that are older, e.g. 30d."),
    click.option(
        "--where", metavar="EXPR",
        help="Only runs for which a CEL expression is true: \"run.score < 0.5 && run.usd > 1.0\".",
    ),
)  # fmt: skip


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR…]")
@_filters
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@click.option("--cells", is_flag=True, help="List the cells of sweeps, too.")
@click.option("--spend", type=click.Choice(PERIODS), help="Show what was paid, by day, week or month.")
@click.option("--delete", is_flag=True, help="Delete the runs that are left; asks first.")
@click.option(
    "--unfinished", is_flag=True, help="With --delete: unfinished runs, too, and the replies they paid for."
)
@click.option("-y", "--yes", is_flag=True, help="With --delete: do not ask.")
@view_options
def runs(paths: tuple[Path, ...], **typed: Any) -> int:
    """List runs, newest first: when, what they scored and cost, and how they ended.

    DIR is a folder of runs, or one run; runs/ where none is named. Of a sweep the best cell's score is shown. Deleting
    never touches a folder that promptc did not make, and no run that is under way.

    \b
    Examples:
      promptc runs --name triage --since 7d
      promptc runs --state failed --where "run.command == 'optimize'"
      promptc runs --spend month
      promptc runs --delete --older-than 30d
    """
    from promptc.cli.entry import open_view
    from promptc.cli.listing import Filter, delete_runs, list_runs

    wanted = Filter(
        names=typed["names"],
        commands=typed["commands"],
        states=typed["states"],
        since=typed["since"],
        older_than=typed["older_than"],
        where=typed["where"] or "",
        limit=typed["limit"],
    )
    terminal = open_view(typed)
    if typed["delete"]:
        return delete_runs(
            paths,
            wanted,
            terminal,
            unfinished=typed["unfinished"],
            sure=typed["yes"],
            as_json=typed["as_json"],
        )
    return list_runs(
        paths, wanted, terminal, cells=typed["cells"], spend=typed["spend"], as_json=typed["as_json"]
    )
