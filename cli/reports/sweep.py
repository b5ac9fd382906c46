"""The report of a sweep for a person: the best cell, all cells by score, what each costs, rows that tell them apart."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from promptc.cli.reports.charts import Axis, Row, Span, charted, plot, taken
from promptc.cli.reports.figures import (
    MISSING,
    change,
    count,
    counted,
    dollars,
    duration,
    interval,
    probability,
    score,
)
from promptc.cli.reports.look import (
    ACCENT,
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    Look,
    bold,
    grid,
    look_of,
    quiet,
    section,
)
from promptc.cli.reports.reading import MOST_NOTE
from promptc.cli.reports.scatter import Point, scatter
from promptc.cli.reports.sweep_details import DifferingRow, SweepDetails
from promptc.cli.reports.sweep_words import cell_label, cell_labels, sweep_verdict
from promptc.cli.reports.terminal import WIDEST, WIDEST_TEXT, headlined, lined
from promptc.cli.untrusted import one_line, path_line, plain
from promptc.runners.comparison import fell
from promptc.runners.leaderboard import CellResult
from promptc.runners.ranking import cost_of

LONGEST_LABEL, SHORT_LABEL = 30, 22
WIDE_LABEL, WIDE = 46, 116
"""Columns of a cell's name beside few figures and many, and in a window so wide that a longer one has room."""
SIGNS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""A sign for each rank in the plot."""


def sweep_report(details: SweepDetails) -> RenderableType:
    """The report. It suits itself to the console, as that of a run does."""
    return SweepReport(details)


class SweepReport:
    """A sweep's report as something that rich can show."""

    def __init__(self, details: SweepDetails) -> None:
        self._details = details

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Compose the sections for this console."""
        look = look_of(console, options.update(width=min(options.max_width, WIDEST)))
        details = self._details
        board = details.board
        title = f"{board.command} sweep of {board.name}"
        parts = [headlined(title, title, sweep_verdict(board), _in_short(details), look)]
        for compose in (_leaderboard, _tests, _costs, _plot, _failed, _differing, _notes, _ending):
            parts += compose(details, look.narrowed(min(look.width, WIDEST_TEXT)))
        yield from lined(Group(*parts), console, options.update(width=look.width))


def _in_short(details: SweepDetails) -> Iterable[str]:
    board = details.board
    yield counted(len(board.cells), "cell")
    yield counted(sum(cell.calls for cell in board.cells), "call")
    yield dollars(sum(cell.usd for cell in board.cells))


def _labels(details: SweepDetails, look: Look, longest: int = LONGEST_LABEL) -> dict[int, str]:
    return cell_labels(details.board, WIDE_LABEL if look.width >= WIDE else longest)


def _ranked(details: SweepDetails) -> list[CellResult]:
    return [cell for cell in details.board.cells if cell.rank is not None]


def _leaderboard(details: SweepDetails, look: Look) -> list[RenderableType]:
    """Every cell that can be trusted, with its distance from the best."""
    board, cells = details.board, _ranked(details)
    if not cells:
        return []
    labels = _labels(details, look)
    rows = [_place(cell, labels[cell.number], look) for cell in cells]
    rows.insert(0, Row([Text()] * len(rows[0].cells), Axis()))
    place = plot(look, taken(rows))
    parts: list[RenderableType] = [charted(rows, place, right=(1, 5))]
    as_good = [cell for cell in cells[1:] if cell.to_best is not None and not fell(cell.to_best)]
    if as_good:
        words = f"{look.marks.bullet} not significantly worse than the best (p by Holm over {len(cells) - 1})"
        parts.append(quiet(look.words(words)))
    sizes = {cell.n for cell in cells}
    aside = f"on {board.split} {look.marks.dot} {counted(max(sizes), 'row')}" + (
        " at most" if len(sizes) > 1 else ""
    )
    return section("Leaderboard", parts, aside=aside)


def _place(cell: CellResult, label: str, look: Look) -> Row:
    best = cell.rank == 1
    distance = cell.to_best
    equal = distance is not None and not fell(distance)
    mark = look.marks.best if best else look.marks.bullet if equal else " "
    cells = [
        Text(mark, style=f"bold {GOOD}"),
        quiet(count(cell.rank or 0)),
        plain(label, "bold" if best else ""),
        bold(score(cell.score)),
        quiet(interval(cell.ci_low, cell.ci_high)),
        Text(change(distance.difference) if distance is not None else "", style="" if equal else BAD),
        quiet(probability(distance.p_adjusted) if distance is not None else ""),
    ]
    if cell.score is None or cell.ci_low is None or cell.ci_high is None:
        return Row(cells)
    style = GOOD if best else ACCENT if equal else QUIET
    return Row(cells, Span(cell.ci_low, cell.score, cell.ci_high, style))


def _tests(details: SweepDetails, look: Look) -> list[RenderableType]:
    """What was found on test: of the best cell, or of all."""
    board = details.board
    tested = [cell for cell in board.cells if cell.test is not None]
    labels = _labels(details, look, SHORT_LABEL)
    rows: list[list[RenderableType]] = []
    for cell in tested:
        test = cell.test
        if test is None:
            continue
        row: list[RenderableType] = [
            quiet(count(cell.rank) if cell.rank is not None else MISSING),
            plain(labels[cell.number]),
            bold(score(test.score)),
            quiet(interval(test.ci_low, test.ci_high)),
        ]
        found = test.improvement
        if found is not None and test.start is not None:
            p = test.p_adjusted if test.p_adjusted is not None else found.p
            style = GOOD if found.ci_low > 0 else BAD if found.ci_high < 0 else CAUTION
            row += [
                quiet(f"start {score(test.start.score)}"),
                Text(change(found.difference), style=style),
                quiet(probability(p)),
            ]
        rows.append(row)
    aside = "of the best on dev alone" if len(tested) == 1 else f"p by Holm over {len(tested)}"
    return section("Test", [grid(rows, right=(0, 5))] if rows else [], aside=aside)


def _costs(details: SweepDetails, look: Look) -> list[RenderableType]:
    """What a row costs with each cell's program, how long a reply took, and what the run itself asked for."""
    rows: list[list[RenderableType]] = []
    labels = _labels(details, look, SHORT_LABEL)
    for cell in _ranked(details):
        latency = details.latencies.get(cell.directory)
        per_row = cell.usd_per_1000_rows
        rows.append(
            [
                quiet(count(cell.rank or 0)),
                plain(labels[cell.number]),
                bold(dollars(per_row) if per_row is not None else "?"),
                Text(count(cell.tokens_per_row) if cell.tokens_per_row is not None else MISSING),
                quiet(duration(latency) if latency is not None else MISSING),
                quiet(count(cell.calls)),
                quiet(dollars(cell.usd)),
            ]
        )
    if not rows:
        return []
    head = ["", "", "$/1,000 rows", "tokens/row", "a reply", "calls", "spent"]
    header: list[RenderableType] = [quiet(look.words(name)) for name in head]
    return section("Cost", [grid([header, *rows], right=(0, 2, 3, 4, 5, 6))])


def _plot(details: SweepDetails, look: Look) -> list[RenderableType]:
    """Score against cost; the cells that no other one beats stand out."""
    board = details.board
    points = [
        Point(cost, cell.score, SIGNS[(cell.rank - 1) % len(SIGNS)], cell.frontier)
        for cell in _ranked(details)
        if cell.rank is not None
        and cell.score is not None
        and (cost := cost_of(cell, board.cost_measure)) is not None
    ]
    if len(points) < 2:
        return []
    priced = board.cost_measure == "usd_per_1000_rows"
    lines = scatter(points, look, x=dollars if priced else count, y=score)
    aside = "dollars for 1,000 rows" if priced else "tokens a row"
    return section("Score against cost", lines, aside=f"{aside}; numbers are ranks, the best value in colour")


def _failed(details: SweepDetails, look: Look) -> list[RenderableType]:
    """Cells without a rank, and why."""
    rows: list[list[RenderableType]] = []
    for cell in details.board.cells:
        if cell.rank is None:
            why = cell.error or f"its figures on {details.board.split} are not to be trusted"
            rows.append(
                [Text(look.marks.failed, style=f"bold {BAD}"), plain(f"{cell_label(cell)}: {one_line(why)}")]
            )
    return section("Without a rank", [grid(rows)] if rows else [])


def _differing(details: SweepDetails, look: Look) -> list[RenderableType]:
    """Rows that tell the cells apart, with what each said."""
    found = details.differing
    parts: list[RenderableType] = []
    for row in found.rows:
        parts += _row(row, look)
    aside = f"{count(found.count)} of {count(found.common)}; all of them in rows.jsonl"
    return section("Rows on which cells differ", parts, aside=aside)


def _row(row: DifferingRow, look: Look) -> list[RenderableType]:
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append_text(plain(f"{one_line(row.id, 24)}  ", ACCENT))
    head.append_text(plain(one_line(row.inputs, 200)))
    parts: list[RenderableType] = [head]
    if row.expected:
        expected = plain(f"   expected {one_line(row.expected, 200)}", QUIET)
        expected.no_wrap, expected.overflow = True, "ellipsis"
        parts.append(expected)
    alike: dict[tuple[str, float | None], list[int]] = {}
    for answer in row.answers:
        alike.setdefault((answer.text, answer.score), []).append(answer.cell)
    return [*parts, *(_answer(text, reached, cells, look) for (text, reached), cells in alike.items())]


def _answer(answered: str, reached: float | None, cells: Sequence[int], look: Look) -> Text:
    """An answer with its score, and the ranks of the cells that gave it."""
    right = reached is not None and reached >= 1.0
    mark, style = (look.marks.met, GOOD) if right else (look.marks.failed, BAD)
    text = Text("   ", no_wrap=True, overflow="ellipsis")
    text.append(mark if reached in (0.0, 1.0, None) else score(reached), style=style)
    text.append(f" {' '.join(count(cell) for cell in cells)}  ", style=QUIET)
    text.append_text(plain(answered))
    return text


def _notes(details: SweepDetails, look: Look) -> list[RenderableType]:
    return section("Notes", [plain(look.words(one_line(note, MOST_NOTE))) for note in details.board.notes])


def _ending(details: SweepDetails, look: Look) -> list[RenderableType]:
    """Where everything lies, and what one would type next."""
    place = path_line(details.run_directory).rstrip("/")
    parts: list[RenderableType] = [Text(place, style=ACCENT, overflow="fold")]
    best = shlex.quote(f"{place}/best")
    if details.board.best is not None:
        commands: Sequence[str] = (f"promptc compare {shlex.quote(place)}",)
        if details.board.command == "optimize":
            commands = (f"promptc run {best} rows.jsonl", *commands)
        parts += [Text(command, style=QUIET, overflow="fold") for command in commands]
    return section("Directory", parts)
