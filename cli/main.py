"""`promptc`: the one place that turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from promptc.spec.errors import PromptcError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("promptc.cli.commands.init:init", "Write a first spec, from a data file or by asking."),
    "validate": ("promptc.cli.commands.validate:validate", "Check a spec and its data; no call, no code."),
    "plan": ("promptc.cli.commands.plan:plan", "Show what a run would do and cost, before it does."),
    "render": ("promptc.cli.commands.render:render", "Print the exact prompt for a row; no call."),
    "eval": (
        "promptc.cli.commands.evaluate:evaluate",
        "Score a spec or a compiled program on labelled rows.",
    ),
    "optimize": ("promptc.cli.commands.optimize:optimize", "Search for a better prompt within a budget."),
    "run": ("promptc.cli.commands.run:run", "Predict: JSONL rows in, JSONL predictions out."),
    "trace": ("promptc.cli.commands.trace:trace", "Show what happened to one row of a run."),
    "report": (
        "promptc.cli.commands.report:report",
        "Write a finished run as a page, Markdown, JUnit, a table.",
    ),
    "export": ("promptc.cli.commands.export:export", "Write a compiled program for somewhere else."),
    "import": ("promptc.cli.commands.importing:import_", "Write a spec from DSPy's or promptfoo's files."),
    "compare": ("promptc.cli.commands.compare:compare", "Hold runs against each other, row by row."),
    "runs": ("promptc.cli.commands.runs:runs", "List runs, what they cost, and delete old ones."),
    "cache": ("promptc.cli.commands.cache:cache", "Look at, prune or clear the cache of replies."),
    "schema": ("promptc.cli.commands.schema:schema", "Print a JSON Schema."),
    "doctor": ("promptc.cli.commands.doctor:doctor", "Check this machine, keys and models."),
}
"""Name → where it is, and its line in --help. A command's module is imported when it is called."""

READER = "promptc-rows"
"""The thread that waits for rows on standard input."""

EXIT_CODES = """\b
Exit codes:
  0    done, gates met            5    nothing selected, empty data
  1    a gate failed              6    not to be trusted: provider, unscored rows
  2    wrong usage or spec        7    a figure is missing: the budget ended
  3    a bug in promptc           8    no improvement (--fail-if-no-improvement)
  4    bad data, disk, locked     130, 143  interrupted; run again to resume
"""


class ReaderGone(Exception):
    """Whoever read stdout has seen enough. click has its own way with that, and its exit code would mean a gate."""


class LateGroup(click.Group):
    """A group whose commands are imported when they are used, with "did you mean" for those that do not exist."""

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        """Like click's, also where the help that it prints is not read to its end."""
        try:
            return super().make_context(*given, **named)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def invoke(self, ctx: click.Context) -> Any:
        """Like click's, also where the answer is not read to its end."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command's own object."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with a suggestion."""
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"no such command {name!r}.{_suggestion(name)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Did you mean 'promptc eval {name}'?" if name.endswith((".yaml", ".yml", ".json")) else ""


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(f"promptc {version()}")
    ctx.exit()


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("promptc")


@click.group(
    cls=LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version and exit.",
)  # fmt: skip
def promptc() -> None:
    """Compile prompts: a YAML spec and JSONL rows in, a better prompt and honest scores out.

    \b
    Examples:
      promptc init tickets.jsonl          # a first spec from your data
      promptc validate                    # is it right?
      promptc eval                        # how good is it?
      promptc optimize spec.yaml          # make it better
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    code = exit_code_of(arguments)
    if any(thread.name == READER and thread.is_alive() for thread in threading.enumerate()):
        # It holds standard input, which the interpreter would close on its way out, and abort over it.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def exit_code_of(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Whoever stops reading stdout early changes nothing about it."""
    given = sys.argv[1:] if arguments is None else arguments
    code = _code_of(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    return code


def _code_of(arguments: Sequence[str]) -> int:
    """The exit code. A bug in promptc shows its traceback and gives 3."""
    from promptc.spec.errors import Interrupted, PromptcError, RunError, UsageError

    as_json = "--json" in arguments
    try:
        result: Any = promptc.main(
            args=list(arguments),
            prog_name="promptc",
            standalone_mode=False,
            auto_envvar_prefix="PROMPTC",
            obj=tuple(arguments),
        )
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        if as_json:
            _write_document(UsageError(error.format_message()))
        return 2
    except (click.Abort, KeyboardInterrupt):
        return show_error(Interrupted(signal.SIGINT, "interrupted"), as_json=as_json)
    except PromptcError as error:
        return show_error(error, as_json=as_json)
    except ReaderGone:
        _discard_output()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _bug(error, as_json)
        _discard_output()
        click.echo("error: the output cannot be written: no space is left on the device", err=True)
        return RunError.exit_code
    except Exception as bug:  # noqa: BLE001  the one place where a bug becomes exit code 3, traceback and all
        return _bug(bug, as_json)


def _bug(bug: Exception, as_json: bool) -> int:
    """Show the traceback and say whose fault it is."""
    import traceback

    from promptc.spec.errors import PromptcError

    traceback.print_exception(bug)
    click.echo("This is a bug in promptc, not in your spec; please report it with the lines above.", err=True)
    if as_json:
        _write_document(PromptcError(f"a bug in promptc: {type(bug).__name__}: {bug}"))
    return PromptcError.exit_code


def _discard_output() -> None:
    """Whoever read stdout is gone: what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_document(error: PromptcError) -> None:
    from promptc.cli.reports.machine import error_document

    sys.stdout.write(error_document(error))


def show_error(error: PromptcError, *, as_json: bool = False) -> int:
    """Say what went wrong on stderr, and on stdout where a document is expected; returns the exit code."""
    from promptc.cli.console import open_terminal
    from promptc.cli.diagnostics_view import annotate_error, print_diagnostics
    from promptc.spec.errors import Interrupted, SpecError

    terminal = open_terminal(sys.stdout, sys.stderr, os.environ)
    if as_json:
        _write_document(error)
    if isinstance(error, SpecError):
        print_diagnostics(terminal, error.diagnostics)
    else:
        terminal.fail(error)
        annotate_error(terminal, error)
    return error.code if isinstance(error, Interrupted) else error.exit_code


if __name__ == "__main__":
    main()
