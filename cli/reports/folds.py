"""The searches of a cross-validation as a section of a report."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.charts import Move, Row, charted, plot, taken
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.figures import change, counted, score
from promptc.cli.reports.look import BAD, GOOD, QUIET, Look, bold, quiet, section
from promptc.cli.untrusted import one_line, plain
from promptc.runners.summary import FoldLine


def folds(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Per fold what its search's start and winner scored on the rows that the search never saw."""
    rows = [_fold(fold) for fold in details.summary.folds]
    parts = [charted(rows, plot(look, taken(rows)), right=(1,))] if rows else []
    return section("Folds", parts, aside="each row held out once")


def _fold(fold: FoldLine) -> Row:
    cells = [
        plain(f"{fold.fold}"),
        quiet(counted(fold.rows, "row")),
        quiet(score(fold.start_score)),
        bold(score(fold.score)),
    ]
    winner = quiet(one_line(fold.winner, 24))
    if fold.score is None or fold.start_score is None:
        return Row([*cells, Text(), winner])
    moved = fold.score - fold.start_score
    style = GOOD if moved > 0 else BAD if moved < 0 else QUIET
    return Row([*cells, Text(change(moved), style=style), winner], Move(fold.start_score, fold.score))
