"""What is counted over all rows, as sections of a report: tallies of metrics, failed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.charts import Move, Row, charted, plot, taken
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import count, counted, score
from promptc.cli.reports.look import BAD, CAUTION, QUIET, Look, bold, grid, quiet, section
from promptc.cli.reports.scores import LONGEST_NAME, line_rows, line_table, lines_of, telling
from promptc.cli.reports.tallies import Confusion, bins, confusions, fields, figure, scalars
from promptc.cli.untrusted import one_line, plain
from promptc.runners.failures import SCORED_AS_ZERO
from promptc.runners.summary import SplitSummary


def tallies(details: ReportDetails, look: Look) -> list[RenderableType]:
    """What metrics say of all rows together: means over labels, and the largest confusions."""
    shown: list[RenderableType] = []
    for name, split in details.splits()[:1]:
        before = split.start.tallies if split.start is not None else {}
        for metric, tally in sorted(split.tallies.items()):
            parts = _tally(tally, before.get(metric, {}), look)
            shown += section(title_of(tally), parts, aside=f"{one_line(metric, LONGEST_NAME)} on {name}")
    return shown


_TITLES = {
    "human_agreement": "Agreement with people",
    "bins": "Calibration",
    "confusion": "Labels",
    "fields": "Fields",
}


def title_of(tally: Mapping[str, Any]) -> str:
    """What figures over all rows are about."""
    return next((title for key, title in _TITLES.items() if key in tally), "All rows together")


def _tally(tally: Mapping[str, Any], before: Mapping[str, Any], look: Look) -> list[RenderableType]:
    parts: list[RenderableType] = []
    olds = scalars(before)
    rows = [_scalar(name, value, olds.get(name), look) for name, value in scalars(tally).items()]
    if rows:
        parts.append(grid(rows, right=(1,)))
    lines = telling(lines_of(fields(tally), fields(before)))
    if lines:
        parts.append(line_table(lines, plot(look, taken(line_rows(lines, look)))))
    reliability = _bins(tally, look)
    if reliability:
        parts.append(charted(reliability, plot(look, taken(reliability)), right=(1, 2, 3)))
    found = confusions(tally)
    if found:
        parts.append(quiet("most often taken for another:"))
        parts.append(grid([_confusion(confusion, look) for confusion in found], right=(3,)))
    return parts


def _bins(tally: Mapping[str, Any], look: Look) -> list[Row]:
    """A row per bin of probabilities: what was said, and how often it came true."""
    found = bins(tally)
    if not found:
        return []
    head = [quiet("said"), quiet("rows"), quiet("mean"), quiet("came true")]
    rows = [
        Row(
            [
                plain(look.words(f"{one.low:.1f} – {one.high:.1f}")),
                quiet(count(one.rows)),
                quiet(score(one.probability)),
                bold(score(one.came_true)),
            ],
            Move(one.probability, one.came_true),
        )
        for one in found
    ]
    return [Row(head), *rows]


def _scalar(name: str, value: float, old: float | None, look: Look) -> list[RenderableType]:
    was = f"{figure(old)} {look.marks.arrow} " if old is not None else ""
    return [one_line(name, LONGEST_NAME), Text.assemble((was, QUIET), (figure(value), "bold"))]


def _confusion(confusion: Confusion, look: Look) -> list[RenderableType]:
    return [
        plain(one_line(confusion.expected, LONGEST_NAME)),
        quiet(look.marks.arrow),
        plain(one_line(confusion.predicted, LONGEST_NAME)),
        quiet(f"{count(confusion.rows)} of {count(confusion.support)}"),
    ]


def failures(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Failed rows by kind and split, and whether a kind counts as 0 or is left out."""
    splits = details.splits()
    kinds = sorted({k for _, s in splits for k in (*s.failures, *(s.start.failures if s.start else ()))})
    rows: list[list[RenderableType]] = [["", *(quiet(name) for name, _ in splits), ""]]
    for kind in kinds:
        counts = kind in SCORED_AS_ZERO
        label = Text(one_line(kind, LONGEST_NAME), style=CAUTION if counts else BAD)
        meaning = quiet("counts as 0" if counts else "unscored, left out")
        rows.append([label, *(_failed(split, kind) for _, split in splits), meaning])
    parts: list[RenderableType] = [grid(rows)] if kinds else []
    facts = [fact for name, split in splits for fact in _facts(name, split)]
    if facts:
        parts.append(quiet(f" {look.marks.dot} ".join(facts)))
    return section("Failed rows" if kinds else "Rows", parts)


def _failed(split: SplitSummary, kind: str) -> RenderableType:
    text = Text(count(split.failures.get(kind, 0)))
    if split.start is not None:
        text.append(f" (start {count(split.start.failures.get(kind, 0))})", style=QUIET)
    return text


def _facts(name: str, split: SplitSummary) -> list[str]:
    facts = []
    if split.reasks:
        facts.append(f"{counted(split.reasks, 're-ask')} on {name}")
    if split.abstained:
        facts.append(f"{counted(split.abstained, 'row')} of {name} without gold")
    return facts
