"""The two streams of the command line: stdout is the answer, stderr is the conversation.

rich is loaded when a terminal is opened, not when this file is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TextIO

import msgspec

from promptc.cli.github import Actions, actions_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from promptc.cli.github import Level, Place
    from promptc.spec.errors import PromptcError

ColorChoice = Literal["auto", "always", "never"]

REPORT_WIDTH = 100
"""Columns of a report that goes to a file or a pipe: what report.txt and report.svg have."""
FEWEST_COLUMNS = 60
"""A report is laid out for no less; a narrower window breaks its lines, which is better than cut figures."""
MOST_MESSAGE = 4_000
"""Characters of an error's message that are shown; a provider's error page can be a whole document."""


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command writes. `out` takes the answer, `err` everything that is said on the way.

    `verbosity` is -1 with `-q`, 0, 1 with `-v`, 2 with `-vv`. `animated` is true where lines of `err` may be
    drawn over: a terminal that is neither dumb nor a CI log. `actions` is the step of a GitHub workflow, if it is one.
    """

    out: Console
    err: Console
    verbosity: int = 0
    animated: bool = False
    actions: Actions | None = None

    def answer(self, renderable: RenderableType) -> None:
        """Show the answer on stdout."""
        self._print(self.out, renderable)

    def write(self, text: str) -> None:
        """Put text on stdout as it is: a JSON document, a line of JSONL, a compiled prompt."""
        self.out.file.write(text)

    def say(self, renderable: RenderableType) -> None:
        """Tell something on stderr; nothing with `-q`."""
        if self.verbosity >= 0:
            self._print(self.err, renderable)

    def detail(self, renderable: RenderableType) -> None:
        """Tell something on stderr that only `-v` wants to know."""
        if self.verbosity >= 1:
            self._print(self.err, renderable)

    def warn(self, message: str) -> None:
        """A warning on stderr; nothing with `-q`."""
        if self.verbosity >= 0:
            self._print(self.err, labelled("warning", "yellow", message))

    def complain(self, message: str, hint: str = "") -> None:
        """An error on stderr, with what to do about it; also with `-q`."""
        self._print(self.err, labelled("error", "red", message))
        if hint:
            self._print(self.err, labelled("hint", "cyan", hint))

    def fail(self, error: PromptcError) -> None:
        """An error of promptc's own tree; `diagnostics_view` shows the findings of a SpecError."""
        self.complain(error.message, error.hint)

    def annotate(self, level: Level, message: str, place: Place, title: str) -> None:
        """Let a workflow show a message at its place; nothing anywhere else."""
        from promptc.cli.github import annotation

        if self.actions is not None:
            self.err.file.write(annotation(self.actions, level, message, place, title) + "\n")

    def _print(self, console: Console, renderable: RenderableType) -> None:
        if self.actions is None:
            console.print(renderable)
            return
        from promptc.cli.github import harmless

        with console.capture() as captured:
            console.print(renderable)
        console.file.write(harmless(captured.get()))


def open_terminal(
    stdout: TextIO,
    stderr: TextIO,
    environment: Mapping[str, str],
    *,
    color: ColorChoice = "auto",
    verbosity: int = 0,
) -> Terminal:
    """The terminal for these streams and this environment."""
    from promptc.cli.streams import open_console

    dumb = environment.get("TERM", "") == "dumb"
    width = columns(environment)
    out = open_console(stdout, color=wants_color(stdout, environment, color), dumb=dumb, width=width)
    if out.width < FEWEST_COLUMNS:
        out.width = FEWEST_COLUMNS
    return Terminal(
        out=out,
        err=open_console(stderr, color=wants_color(stderr, environment, color), dumb=dumb, width=width),
        verbosity=verbosity,
        animated=stderr.isatty() and not dumb and not in_ci(environment),
        actions=actions_of(environment),
    )


def wants_color(stream: TextIO, environment: Mapping[str, str], choice: ColorChoice = "auto") -> bool:
    """The flag decides, else NO_COLOR, else FORCE_COLOR or CLICOLOR_FORCE, else whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "") not in ("", "0", "false") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return environment.get("TERM", "") != "dumb" and stream.isatty()


def columns(environment: Mapping[str, str]) -> int | None:
    """The width that COLUMNS asks for; None where it says nothing usable."""
    text = environment.get("COLUMNS", "")
    return max(int(text), FEWEST_COLUMNS) if text.isascii() and text.isdigit() and int(text) > 0 else None


def in_ci(environment: Mapping[str, str]) -> bool:
    """True where the output is a build's log, whatever it pretends to be."""
    return environment.get("CI", "") not in ("", "0", "false")


def labelled(label: str, style: str, message: str) -> RenderableType:
    """`label: message` with the label in colour; further lines of the message are indented below it."""
    from rich.text import Text

    from promptc.cli.untrusted import visible

    cut = message if len(message) <= MOST_MESSAGE else message[:MOST_MESSAGE] + "…"
    text = Text(f"{label}: ", style=f"bold {style}")
    return text.append(visible(cut).replace("\n", "\n  "), style="default")
