"""The trials that no other beats at all objectives: score against tokens, cost and other metrics."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import MISSING, count, counted, dollars, score
from promptc.cli.reports.look import GOOD, QUIET, Look, bold, grid, quiet, section
from promptc.cli.untrusted import one_line, path_line, plain
from promptc.runners.objectives import COST, TOKENS
from promptc.runners.summary import FRONT_FOLDER, FrontMember, Summary

MOST_MEMBERS = 8
LONGEST_ORIGIN = 36
ASIDE = "on dev, each better at something than any of the others"


def front(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Each member with its figures on dev, the winner first, and where their candidates lie."""
    summary = details.summary
    if not summary.front:
        return []
    header: list[RenderableType] = [
        Text(""),
        Text(""),
        Text(""),
        *(quiet(one_line(name, 20)) for name in summary.objectives),
    ]
    rows = [header, *(_row(member, summary, look) for member in summary.front[:MOST_MEMBERS])]
    right = (1, *range(3, 3 + len(summary.objectives)))
    place = path_line(f"{details.run_directory.rstrip('/')}/{FRONT_FOLDER}")
    hidden = len(summary.front) - MOST_MEMBERS
    more = (
        f"{counted(hidden, 'more')}, each with its candidate, in "
        if hidden > 0
        else "each with its candidate in "
    )
    return section(
        "Front",
        [grid(rows, right=right), Text(more + place, style=QUIET, overflow="fold")],
        aside=ASIDE,
    )


def shown(name: str, value: float | None) -> str:
    """A figure of an objective: tokens and dollars per row, scores with three decimals."""
    if value is None:
        return MISSING
    if name == TOKENS:
        return f"{count(value)} a row"
    return f"{dollars(value)} a row" if name == COST else score(value)


def _row(member: FrontMember, summary: Summary, look: Look) -> list[RenderableType]:
    style = "bold" if member.won else ""
    figures = [shown(name, member.figures.get(name)) for name in summary.objectives]
    return [
        Text(look.marks.best if member.won else " ", style=f"bold {GOOD}"),
        quiet(count(member.number)),
        plain(one_line(member.origin, LONGEST_ORIGIN), style),
        *(bold(figure) if member.won else Text(figure) for figure in figures),
    ]
