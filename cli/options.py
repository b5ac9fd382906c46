"""Options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

target = click.argument("spec", required=False, type=click.Path(path_type=Path), metavar="[SPEC]")
"""A spec, or a compiled program; `promptc.yaml` or `spec.yaml` of the working folder where it is left out."""


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in --help in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


spec_options = options(
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="Override a key of the spec, e.g. --set run.seed=1; checked like the file. Repeatable.",
    ),
    click.option(
        "--model", "models", multiple=True, metavar="[ROLE=]NAME",
        help="Use another model: --model openai/gpt-4.1, or --model judge=…; address, key and price stay as the "
        "spec gives them. Repeatable.",
    ),
    click.option(
        "--env-file", "env_files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Read environment variables (keys) from a file. Repeatable.",
    ),
)  # fmt: skip

sweep_options = options(
    click.option(
        "--sweep", "sweeps", multiple=True, metavar="KEY=V1,V2|FILE",
        help="Run once for each value of a key, or for each line of a JSONL file of patches; of several, every "
        "combination. Repeatable.",
    ),
    click.option("--no-sweep", is_flag=True, help="Run the spec alone, without its sweep."),
)  # fmt: skip

view_options = options(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="No progress; errors only."),
    click.option("-v", "--verbose", count=True, help="Say more; repeatable."),
    click.option(
        "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
        help="Colour the output.",
    ),
)  # fmt: skip

run_options = options(
    click.option(
        "-o", "--output", "output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
        help="The run directory. Default: runs/<name>-<command>-<identity>.",
    ),
    click.option("-f", "--force", is_flag=True, help="Give up an unfinished other run that stands in DIR."),
    click.option("--fresh", is_flag=True, help="Read no cache, and start a finished run anew."),
    click.option("--max-age", metavar="AGE", help="Use cached replies up to this age, e.g. 12h or 7d."),
    click.option("--offline", is_flag=True, help="Open no socket: only what is recorded; list what is missing."),
    click.option("--retry-failed", is_flag=True, help="Ask recorded provider failures again."),
    click.option(
        "-j", "--jobs", type=click.IntRange(min=1), metavar="N",
        help="Rows under way at once; of a sweep, cells.",
    ),
    click.option(
        "--depfile", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Write a rule for make: the run's manifest.json depends on spec, includes, data and code.",
    ),
    click.option(
        "--skip-if-no-key", is_flag=True,
        help="Exit 0 where a model's key is not set, as for pull requests from forks; reports say so.",
    ),
    click.option(
        "--allow-code", is_flag=True, help="Let the spec's own code run: metrics, steps, tools and their servers."
    ),
    click.option(
        "--allow-effects", is_flag=True,
        help="Call tools that change something outside, which stubs answer for otherwise.",
    ),
)  # fmt: skip
