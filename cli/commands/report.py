"""`promptc report`: a finished run as a page, as Markdown, and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptc.cli.options import view_options

FORMATS = ("html", "md", "junit", "csv", "parquet", "json", "text")


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path), metavar="[RUN]")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS),
    help="What to write. Default: what -o's name ends in, else html.",
)  # fmt: skip
@click.option(
    "-o", "--output", "output", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), metavar="FILE",
    help="Where to; - is stdout. Default: RUN/report.html for html, stdout for the rest; parquet needs a file.",
)  # fmt: skip
@click.option("--open", "show", is_flag=True, help="Show report.html in the browser.")
@click.option(
    "--rows", "most_rows", type=click.IntRange(min=1), default=2_000, show_default=True, metavar="N",
    help="Rows that the page holds, those that went worst.",
)  # fmt: skip
@click.option("--include-text", is_flag=True, help="Put inputs, outputs and reasons into junit.")
@click.option(
    "--pass-at", type=click.FloatRange(0, 1), metavar="X",
    help="The score from which on a row passes in junit. Default: anything above 0.",
)  # fmt: skip
@view_options
def report(run: Path | None, **typed: Any) -> int:
    """Write a finished run as a page, as Markdown, or for other programs. RUN defaults to the newest in ./runs.

    html is one file that opens without a network: plots, the prompt's changes, every row with its trace. csv and
    parquet hold the rows, junit a test case per row and per gate, json is summary.json.

    \b
    Examples:
      promptc report --open
      promptc report runs/triage-optimize-latest --format md > comment.md
      promptc report runs/triage-eval-latest -o rows.parquet
      promptc report runs/triage-eval-latest --format junit --pass-at 0.8 -o junit.xml
    """
    from promptc.cli.entry import open_view
    from promptc.cli.reporting import Request, write_report

    terminal = open_view(typed)
    request = Request(
        run=run,
        kind=typed["kind"],
        as_json=typed["as_json"],
        output=typed["output"],
        show=typed["show"],
        most_rows=typed["most_rows"],
        include_text=typed["include_text"],
        pass_at=typed["pass_at"],
    )
    write_report(request, terminal)
    return 0
