"""Several runs of each row as a section of a report: how much they differ, and how many rows pass."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import counted, measured, score
from promptc.cli.reports.look import Look, bold, grid, quiet, section
from promptc.cli.untrusted import one_line
from promptc.runners.repeat_figures import RepeatFigures
from promptc.runners.summary import SplitSummary

MOST_RUNS = 8
"""Runs whose means are shown."""


def repeats(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The split that matters most: the mean of each run, unsteady rows, and the rows that pass."""
    for name, split in details.splits()[:1]:
        rows: list[Sequence[RenderableType]] = [
            (quiet(label), Text(look.words(said))) for label, said in facts(split)
        ]
        if split.passed is not None:
            rows.insert(0, (quiet("passed"), bold(measured(split.passed))))
        title = "Repeats" if split.repeats is not None else "Passed"
        return section(title, [grid(rows)] if rows else [], aside=_aside(name, split, look))
    return []


def _aside(name: str, split: SplitSummary, look: Look) -> str:
    found = split.repeats
    if found is None:
        return f"on {name}"
    told = (f"{counted(found.count, 'run')} of each row", one_line(found.reduce, 20), f"on {name}")
    return f" {look.marks.dot} ".join(told)


def facts(split: SplitSummary) -> list[tuple[str, str]]:
    """Each fact with its label; none where rows were run once."""
    found = split.repeats
    if found is None:
        return []
    means = "  ".join(score(mean) for mean in found.scores[:MOST_RUNS])
    more = f"  and {found.count - MOST_RUNS} more" if found.count > MOST_RUNS else ""
    rows = [("each run", means + more)]
    rows.append(("unsteady", f"{found.unsteady:,} of {split.rows:,} rows score differently from run to run"))
    if found.variance is not None:
        rows.append(("variance", _variance(found)))
    if found.failures:
        kinds = ", ".join(f"{count:,} {one_line(kind, 30)}" for kind, count in found.failures.items())
        rows.append(("failed runs", kinds))
    return rows


def _variance(found: RepeatFigures) -> str:
    words = f"{found.variance:.4f} between the runs of a row"
    if found.noise is None:
        return words
    return f"{words}: {found.noise:.0%} of what the rows' scores vary by is chance"
