"""The report that a person reads: verdict, figures, prompt, rows, and where everything lies. Loads rich."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from promptc.cli.reports import facts, reading, scores
from promptc.cli.reports.details import ReportDetails, is_search
from promptc.cli.reports.figures import counted, dollars
from promptc.cli.reports.look import BAD, CAUTION, GOOD, QUIET, Look, look_of
from promptc.cli.reports.verdict import Verdict, verdict
from promptc.cli.untrusted import visible

TWO_COLUMNS = 160
"""From so many columns on, figures and facts stand side by side."""
WIDEST = 220
GUTTER = 4

Section = Callable[[ReportDetails, Look], list[RenderableType]]

FIGURES: Sequence[Section] = (scores.scores, scores.metrics, scores.slices, scores.tallies)
FACTS: Sequence[Section] = (facts.gates, scores.failures, facts.search, facts.cost, facts.time)
READING: Sequence[Section] = (reading.prompt, reading.worst, reading.notes, facts.ending)

_COLORS = {"good": GOOD, "neutral": CAUTION, "bad": BAD}


def report(details: ReportDetails) -> RenderableType:
    """The whole report. It suits itself to the console: its width, its encoding, a terminal or a file."""
    return Report(details)


class Report:
    """A report as something that rich can show."""

    def __init__(self, details: ReportDetails) -> None:
        self._details = details

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Compose the sections for this console."""
        look = look_of(console, options.update(width=min(options.max_width, WIDEST)))
        yield headline(self._details, look)
        if look.width >= TWO_COLUMNS:
            yield _side_by_side(self._details, look)
        else:
            yield from _sections(FIGURES, self._details, look)
            yield from _sections(FACTS, self._details, look)
        yield from _sections(READING, self._details, look)
        yield Text("")


def headline(details: ReportDetails, look: Look) -> RenderableType:
    """The verdict, framed on a terminal; plain lines elsewhere."""
    found = verdict(details.summary)
    sentence = _sentence(found, look)
    aside = Text(look.words(" · ".join(_in_short(details))), style=QUIET)
    title = f"promptc {visible(details.title())}"
    if not look.terminal:
        return Group(Text(title, style="bold"), Text(""), sentence, aside)
    return Panel(
        Group(sentence, aside),
        title=Text(title, style="bold"),
        title_align="left",
        border_style=_COLORS[found.mood],
        box=ROUNDED,
        padding=(0, 1),
        width=min(look.width, 118),
    )


def _sentence(found: Verdict, look: Look) -> Text:
    """The verdict with its first words in colour."""
    head, separator, rest = look.words(visible(found.sentence)).partition(":")
    text = Text(head + separator, style=f"bold {_COLORS[found.mood]}") if separator else Text()
    return text.append(rest if separator else head, style="bold default")


def _in_short(details: ReportDetails) -> Iterable[str]:
    summary = details.summary
    if is_search(summary):
        if summary.optimizer:
            yield visible(summary.optimizer)
        yield counted(len(summary.trials), "trial")
    yield counted(summary.calls, "call")
    yield dollars(summary.usd)


def _sections(chosen: Sequence[Section], details: ReportDetails, look: Look) -> list[RenderableType]:
    return [part for compose in chosen for part in compose(details, look)]


def _side_by_side(details: ReportDetails, look: Look) -> RenderableType:
    half = (look.width - GUTTER) // 2
    table = Table.grid(padding=(0, GUTTER, 0, 0))
    table.add_column(width=half)
    table.add_column(width=half)
    narrow = look.narrowed(half)
    table.add_row(
        Group(*_sections(FIGURES, details, narrow)),
        Group(*_sections(FACTS, details, narrow)),
    )
    return table
