"""The list of runs for a person. Loads rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from promptc.cli.listing import Spending
from promptc.cli.quantities import age_text
from promptc.cli.reports.figures import count, counted, dollars, interval, score
from promptc.cli.reports.look import BAD, CAUTION, GOOD, QUIET, Look, bold, grid, look_of, quiet
from promptc.cli.reports.terminal import lined
from promptc.cli.untrusted import one_line, path_line, plain
from promptc.runners.run_index import RunEntry

LONGEST_NAME = 24
LONGEST_REASON = 300
WIDE = 96
"""Columns from which on a score has room for its interval."""
_COLORS = {"finished": GOOD, "failed": BAD, "unfinished": CAUTION, "running": CAUTION}


class Listed:
    """Lines that end where their text ends, as something that rich can show."""

    def __init__(self, parts: Sequence[RenderableType]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines for this console."""
        yield from lined(Group(*self._parts), console, options)


def runs_report(entries: Sequence[RunEntry], now: float) -> RenderableType:
    """Two lines for each run: its figures, and where it lies and why it failed; the sums at the end."""
    if not entries:
        return Text("no runs")
    return RunsReport(entries, now)


class RunsReport:
    """The list of runs, which suits itself to the console."""

    def __init__(self, entries: Sequence[RunEntry], now: float) -> None:
        self._entries = entries
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Compose the list for this console."""
        look = look_of(console, options)
        table = [_figures(entry, self._now, look) for entry in self._entries]
        widths = [max(cells[place].cell_len for cells in table) for place in range(len(table[0]))]
        parts: list[RenderableType] = []
        for entry, cells in zip(self._entries, table, strict=True):
            parts += [_padded(cells, widths), *_below(entry)]
        usd = sum(entry.usd for entry in self._entries)
        paid = sum(entry.paid_usd for entry in self._entries)
        parts.append(Text(""))
        parts.append(
            quiet(
                f"{counted(len(self._entries), 'run')}, {dollars(usd)} at recorded prices, {dollars(paid)} paid"
            )
        )
        yield from lined(Group(*parts), console, options)


def _figures(entry: RunEntry, now: float, look: Look) -> list[Text]:
    sure = f" {interval(entry.ci_low, entry.ci_high)}" if look.width >= WIDE else ""
    scored = f"{entry.split} {score(entry.score)}{sure}" if entry.split else ""
    times = "x" if look.ascii_only else "×"
    cells = f" {times}{count(entry.cells)}" if entry.cells else ""
    return [
        plain(one_line(entry.name, LONGEST_NAME), "bold"),
        plain(f"{one_line(entry.command, 20)}{cells}"),
        quiet(age_text(max(now - entry.when, 0.0))),
        Text(scored.rstrip()),
        Text(dollars(entry.usd)),
        Text(entry.state, style=_COLORS[entry.state]),
    ]


def _padded(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text(overflow="fold")
    for cell, width in zip(cells, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - cell.cell_len + 2))
    line.rstrip()
    return line


def _below(entry: RunEntry) -> list[RenderableType]:
    """Where it lies, and why it did not end with 0."""
    lines: list[RenderableType] = [Text(f"  {path_line(entry.path)}", style=QUIET, overflow="fold")]
    if entry.state == "failed":
        lines += [plain(f"  {one_line(reason, LONGEST_REASON)}", BAD) for reason in entry.verdicts]
    return lines


def spend_report(spending: Sequence[Spending]) -> RenderableType:
    """What was paid, period by period, and together."""
    if not spending:
        return Text("nothing was paid by the runs that are there")
    rows: list[list[RenderableType]] = [
        [
            one.period,
            quiet(counted(one.runs, "run")),
            quiet(f"{count(one.paid_calls)} calls"),
            dollars(one.paid_usd),
        ]
        for one in spending
    ]
    calls, usd = sum(one.paid_calls for one in spending), sum(one.paid_usd for one in spending)
    rows.append([bold("together"), "", quiet(f"{count(calls)} calls"), bold(dollars(usd))])
    said = quiet("paid by the runs that are there; deleted ones took theirs along")
    return Listed([grid(rows, right=(1, 2, 3)), said])
