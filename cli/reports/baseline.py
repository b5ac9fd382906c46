"""A run beside its baseline as a section of a report."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import change, count, counted, points, probability, score, signed_interval
from promptc.cli.reports.look import BAD, CAUTION, GOOD, QUIET, Look, quiet, section
from promptc.cli.untrusted import one_line
from promptc.runners.baselines import BaselineComparison

COLORS = {"regression": BAD, "improvement": GOOD, "tie": QUIET, "not enough data": CAUTION}
LONGEST_SOURCE = 60


def baseline(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The verdict, the paired difference behind it, and the rows that could not be compared."""
    found = details.summary.baseline
    if found is None:
        return []
    head = Text(found.verdict, style=f"bold {COLORS[found.verdict]}")
    head.append(f"  {look.words(figures(found))}", style="not bold default")
    parts: list[RenderableType] = [head, *(quiet(look.words(said)) for said in remarks(found))]
    aside = f"{one_line(found.source, LONGEST_SOURCE)} {look.marks.dot} {counted(found.n, 'row')}"
    return section("Baseline", parts, aside=aside)


def figures(found: BaselineComparison) -> str:
    """Means before and after, the difference with its interval, and the rows that changed."""
    moved = f"{change(found.difference)} {signed_interval(found.ci_low, found.ci_high)}"
    rows = f"{count(found.wins)} better, {count(found.ties)} same, {count(found.losses)} worse"
    return f"{score(found.before)} → {score(found.after)}, {moved}, {probability(found.p)}, {rows}"


def remarks(found: BaselineComparison) -> list[str]:
    """What the verdict means, and which rows were left out of it."""
    drop = points(found.max_drop)
    changed = found.wins or found.losses
    said = {
        "regression": f"a fall of more than {drop} that is no chance",
        "improvement": "a rise that is no chance",
        "tie": f"a fall of more than {drop} is ruled out" if changed else "every row scores the same",
        "not enough data": f"a fall of more than {drop} is neither shown nor ruled out",
    }[found.verdict]
    if found.verdict == "not enough data" and found.detectable is not None:
        said += f"; rows like these show {points(found.detectable)} four times out of five"
    apart = [
        f"{count(number)} {what}"
        for number, what in (
            (found.changed, "changed"),
            (found.new, "new"),
            (found.missing, "not scored now"),
        )
        if number
    ]
    return [said, *([f"rows left out: {', '.join(apart)}"] if apart else [])]
