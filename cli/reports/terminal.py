"""The report that a person reads: verdict, figures, prompt, rows, and where everything lies. Loads rich."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from promptc.cli.console import MOST_MESSAGE
from promptc.cli.reports import baseline, counts, facts, folds, front, reading, repeats, scores
from promptc.cli.reports.details import ReportDetails, is_search
from promptc.cli.reports.figures import counted
from promptc.cli.reports.look import BAD, CAUTION, GOOD, QUIET, Look, look_of
from promptc.cli.reports.verdict import Verdict, verdict
from promptc.cli.untrusted import one_line

TWO_COLUMNS = 160
"""From so many columns on, figures and facts stand side by side."""
WIDEST = 220
WIDEST_TEXT = 120
"""Longer lines of running text are hard to read, however wide the window is."""
GUTTER = 4

Section = Callable[[ReportDetails, Look], list[RenderableType]]

FIGURES: Sequence[Section] = (
    scores.scores,
    folds.folds,
    repeats.repeats,
    scores.metrics,
    scores.slices,
    counts.tallies,
)
FACTS: Sequence[Section] = (
    baseline.baseline,
    facts.gates,
    counts.failures,
    facts.search,
    front.front,
    facts.cost,
)
BRIEF: Sequence[Section] = (*FIGURES, baseline.baseline, facts.gates, facts.search, front.front, facts.cost)
READING: Sequence[Section] = (reading.prompt, reading.worst, reading.notes, facts.ending)

_COLORS = {"good": GOOD, "neutral": CAUTION, "bad": BAD}


def report(details: ReportDetails, *, brief: bool = False) -> RenderableType:
    """The report. It suits itself to the console: its width, its encoding, a terminal or a file.

    With `brief` it holds the verdict, the figures and the search, and quotes neither prompts nor rows.
    """
    return Report(details, brief=brief)


class Report:
    """A report as something that rich can show."""

    def __init__(self, details: ReportDetails, *, brief: bool) -> None:
        self._details = details
        self._brief = brief

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Compose the sections for this console. Lines end where their text ends, to be copied."""
        look = look_of(console, options.update(width=min(options.max_width, WIDEST)))
        parts = [headline(self._details, look), *self._body(look)]
        yield from lined(Group(*parts), console, options.update(width=look.width))

    def _body(self, look: Look) -> list[RenderableType]:
        if self._brief:
            return _sections(BRIEF, self._details, look)
        if look.width >= TWO_COLUMNS:
            figures = [_side_by_side(self._details, look)]
        else:
            figures = _sections((*FIGURES, *FACTS), self._details, look)
        readable = look.narrowed(min(look.width, WIDEST_TEXT))
        return [*figures, Constrain(Group(*_sections(READING, self._details, readable)), readable.width)]


def lined(content: RenderableType, console: Console, options: ConsoleOptions) -> RenderResult:
    """The content line by line, each ending where its text ends."""
    for line in console.render_lines(content, options, pad=False):
        yield from _without_end(line)
        yield Segment.line()


def _without_end(line: list[Segment]) -> list[Segment]:
    """The line without the spaces at its end."""
    kept = list(line)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(" "), kept[-1].style)
    return kept


def headline(details: ReportDetails, look: Look) -> RenderableType:
    """The verdict on a run."""
    frame = details.spec_name or details.summary.name
    return headlined(details.title(), frame, verdict(details.summary), _in_short(details), look)


def headlined(title: str, frame: str, found: Verdict, facts: Iterable[str], look: Look) -> RenderableType:
    """A verdict with facts below it: on a terminal in a frame of its own title, elsewhere as plain lines."""
    sentence = _sentence(found, look)
    aside = Text(look.words(" · ".join(facts)), style=QUIET)
    if not look.terminal:
        return Group(Text(f"promptc {one_line(title)}", style="bold"), Text(""), sentence, aside)
    return Panel(
        Group(sentence, aside),
        title=Text(one_line(frame), style="bold"),
        title_align="left",
        border_style=_COLORS[found.mood],
        box=ROUNDED,
        padding=(0, 1),
        width=min(look.width, WIDEST_TEXT),
    )


def _sentence(found: Verdict, look: Look) -> Text:
    """The verdict with its first words in colour."""
    head, separator, rest = look.words(one_line(found.sentence, MOST_MESSAGE)).partition(":")
    text = Text(head + separator, style=f"bold {_COLORS[found.mood]}") if separator else Text()
    return text.append(rest if separator else head, style="bold default")


def _in_short(details: ReportDetails) -> Iterable[str]:
    summary = details.summary
    if is_search(summary):
        if summary.optimizer:
            yield one_line(summary.optimizer, 60)
        yield counted(len(summary.trials), "trial")
    yield counted(summary.calls, "call")
    yield facts.spent(details)


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
