"""`promptc run`: rows in, predictions out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from promptc.cli.options import options, spec_options, target


@click.command()
@target
@click.argument("data", required=False, type=click.Path(path_type=Path, allow_dash=True), metavar="[DATA]")
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Run an edited candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows.")
@options(
    click.option("--fresh", is_flag=True, help="Read no cache."),
    click.option("--max-age", metavar="AGE", help="Use cached replies up to this age, e.g. 12h or 7d."),
    click.option("--offline", is_flag=True, help="Open no socket: only what is recorded."),
    click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Rows under way at once."),
    click.option(
        "--allow-code",
        is_flag=True,
        help="Let the spec's own code run: steps, tools and their servers, key commands.",
    ),
)
@spec_options
@options(
    click.option("-q", "--quiet", is_flag=True, help="No progress; errors only."),
    click.option("-v", "--verbose", count=True, help="Say more; repeatable."),
    click.option(
        "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True
    ),
)
def run(spec: Path | None, data: Path | None, **typed: Any) -> int:
    """Predict: JSONL rows in (a file, or standard input), JSONL predictions out, in the order of the rows.

    A line is {"id": …, "outputs": {…}}, or {"id": …, "failure": {"kind": …, "message": …}} for a row that failed.

    \b
    Examples:
      promptc run runs/triage-optimize-latest new.jsonl > predictions.jsonl
      tail -f inbox.jsonl | promptc run program.json - | jq .outputs.queue
    """
    import asyncio

    from promptc.cli.entry import open_view, seconds
    from promptc.cli.loading import load, read_environment
    from promptc.cli.opening import Choices
    from promptc.cli.predicting import predict_rows

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    choices = Choices(
        fresh=typed["fresh"],
        max_age=seconds(typed["max_age"]) if typed["max_age"] else None,
        offline=typed["offline"],
        jobs=typed["jobs"],
        allow_code=typed["allow_code"],
        candidate=typed["candidate"],
    )
    source = str(data) if data is not None else "-"
    if source == "-" and sys.stdin.isatty():
        terminal.say("reading rows from standard input; end with Ctrl-D")
    return asyncio.run(
        predict_rows(loaded, source, choices, terminal, environment=environment, limit=typed["limit"])
    )
