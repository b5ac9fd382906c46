"""`promptc init`: a first spec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import view_options

if TYPE_CHECKING:
    from promptc.cli.wishes import Wishes


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--file", "file", type=click.Path(path_type=Path, allow_dash=True), default=Path("promptc.yaml"),
    show_default=True, metavar="FILE", help="Where the spec goes; - is stdout.",
)  # fmt: skip
@click.option("--name", help="The program's name.")
@click.option("--input", "inputs", multiple=True, metavar="COL", help="A column that goes in; repeatable.")
@click.option(
    "--output", "outputs", multiple=True, metavar="COL", help="A column that comes out; repeatable."
)
@click.option("--instructions", metavar="TEXT", help="What the model is told to do.")
@click.option("--model", metavar="NAME", help="The model: any litellm name, or embedded/icl.")
@click.option("--metric", metavar="NAME", help="What judges the outputs, e.g. exact_match.")
@click.option("--module", metavar="NAME", help="predict or chain_of_thought.")
@click.option(
    "--schema/--no-schema", default=True, show_default=True,
    help="Write promptc.schema.json beside the spec, for completion in editors.",
)  # fmt: skip
@click.option("--no-input", is_flag=True, help="Ask nothing, even on a terminal.")
@click.option("-f", "--force", is_flag=True, help="Replace a spec that is there. Data is never replaced.")
@view_options
def init(data: Path | None, **typed: Any) -> int:
    """Write a first spec: from a data file, whose fields, types and labels are guessed, or a small example.

    On a terminal it asks, with the guess as each answer's default. Without DATA it writes a spec with a few
    rows of its own, so that every command can be tried at once.

    \b
    Examples:
      promptc init
      promptc init tickets.jsonl
      promptc init qa.csv --input question --output answer --model openai/gpt-4.1-mini --no-input
      promptc init tickets.jsonl -o -
    """
    from promptc.cli.entry import open_view
    from promptc.cli.init_files import check_places, tell, write
    from promptc.spec.errors import UsageError

    terminal = open_view(typed)
    wishes = _wishes(typed)
    asking = _may_ask(typed)
    file: Path = typed["file"]
    if asking and data is None and not (wishes.inputs or wishes.outputs):
        from promptc.cli.asking import ask_for_data

        data = ask_for_data()
    if data is None and (wishes.inputs or wishes.outputs):
        raise UsageError(
            "--input and --output name columns of a data file", "promptc init DATA --input COL …"
        )
    check_places(file, data, force=typed["force"], schema=typed["schema"])
    if data is not None:
        from promptc.cli.init_plans import from_data

        plan = from_data(data, file, wishes, terminal if asking else None)
    else:
        from promptc.cli.init_plans import from_nothing

        plan = from_nothing(file, wishes, asking=asking)
    if str(file) == "-":
        terminal.write(plan.text)
        return 0
    written = write(plan, file, schema=typed["schema"])
    tell(terminal, plan, file, written, as_json=typed["as_json"])
    return 0


def _wishes(typed: dict[str, Any]) -> Wishes:
    from promptc.cli.wishes import Wishes, check_metric, check_model, check_module, check_name

    if typed["name"] is not None:
        check_name(typed["name"])
    if typed["model"] is not None:
        check_model(typed["model"])
    if typed["metric"] is not None:
        check_metric(typed["metric"])
    if typed["module"] is not None:
        check_module(typed["module"])
    return Wishes(**{name: typed[name] for name in Wishes.__struct_fields__})


def _may_ask(typed: dict[str, Any]) -> bool:
    """Only a person at a terminal is asked."""
    import os
    import sys

    from promptc.cli.console import in_ci

    quiet = typed["no_input"] or typed["as_json"] or typed["quiet"] or str(typed["file"]) == "-"
    return not quiet and sys.stdin.isatty() and sys.stderr.isatty() and not in_ci(os.environ)
