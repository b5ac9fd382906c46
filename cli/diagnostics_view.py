"""Shows what is wrong with a spec on stderr: every finding, in colour, then how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from promptc.cli.console import Terminal
from promptc.cli.github import Place, of_diagnostic
from promptc.spec.diagnostics import Diagnostic, arrange, segments
from promptc.spec.errors import DataError, PromptcError
from promptc.spec.overrides import named

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {
    "place": "bold",
    "error": "bold red",
    "warning": "bold yellow",
    "message": "bold",
    "source": "",
    "caret": "red",
    "hint": "cyan",
}
MOST_SOURCE = 4_000_000
"""Bytes of a file that are read to show a line of it."""


def print_diagnostics(
    terminal: Terminal, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str] | None = None
) -> None:
    """All findings, errors also with `-q`. `sources` maps files to their texts; without it they are read."""
    found = arrange(named(item) for item in diagnostics)
    if terminal.verbosity < 0:
        found = tuple(item for item in found if item.severity == "error")
    if not found:
        return
    texts = read_sources(found) if sources is None else sources
    for item in found:
        terminal.err.print(styled(item, texts, terminal.err.width), end="", soft_wrap=True)
    terminal.err.print(counts(found))
    annotate(terminal, found)


def annotate(terminal: Terminal, diagnostics: Iterable[Diagnostic]) -> None:
    """The findings at their lines of the spec, where a workflow shows them."""
    for item in diagnostics:
        level, message, place = of_diagnostic(item)
        terminal.annotate(level, message, place, "promptc: the spec")


def annotate_error(terminal: Terminal, error: PromptcError) -> None:
    """An error as a workflow shows it: at its line of the data, where it has one."""
    message = f"{error.message}\n{error.hint}" if error.hint else error.message
    if isinstance(error, DataError):
        place = Place(file=error.path, line=error.line or 0)
        terminal.annotate("error", message, place, "promptc: the data")
    else:
        terminal.annotate("error", message, Place(), "promptc")


def styled(diagnostic: Diagnostic, sources: Mapping[str, str], width: int) -> Text:
    """One finding with its colours."""
    from rich.text import Text

    source = sources.get(diagnostic.position.file, "") if diagnostic.position is not None else ""
    text = Text()
    for role, piece in segments(diagnostic, source, width):
        style = "yellow" if role == "caret" and diagnostic.severity == "warning" else _STYLES[role]
        text.append(piece, style=style)
    return text.append("\n")


def counts(diagnostics: Iterable[Diagnostic]) -> Text:
    """`2 errors, 1 warning`."""
    from rich.text import Text

    severities = [item.severity for item in diagnostics]
    errors, warnings = severities.count("error"), severities.count("warning")
    parts = [
        f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n
    ]
    return Text(", ".join(parts), style="bold red" if errors else "bold yellow")


def read_sources(diagnostics: Iterable[Diagnostic]) -> dict[str, str]:
    """The text of every file with a finding; of one that cannot be read no lines are shown."""
    names = {item.position.file for item in diagnostics if item.position is not None}
    texts = {}
    for name in sorted(names):
        path = Path(name)
        if name and path.is_file():
            try:
                with path.open("rb") as opened:
                    texts[name] = opened.read(MOST_SOURCE).decode("utf-8", "replace")
            except OSError:
                continue
    return texts
