"""The report of a sweep as files: text, picture, Markdown."""

from __future__ import annotations

from promptc.cli.reports.figures import change, count, counted, dollars, interval, probability, score
from promptc.cli.reports.files import picture_of, text_of
from promptc.cli.reports.markdown import cell as quoted
from promptc.cli.reports.markdown import escaped, table
from promptc.cli.reports.sweep import sweep_report
from promptc.cli.reports.sweep_details import SweepDetails
from promptc.cli.reports.sweep_words import cell_label, sweep_verdict
from promptc.cli.untrusted import one_line
from promptc.runners.leaderboard import CellResult

_SIGNS = {"good": "✅", "neutral": "➖", "bad": "❌"}


def sweep_reports(details: SweepDetails) -> dict[str, bytes]:
    """The files by name. Writes nothing."""
    title = one_line(f"promptc {details.board.command} sweep of {details.board.name}")
    report = sweep_report(details)
    return {
        "report.txt": text_of(report).encode(),
        "report.svg": picture_of(report, title).encode(),
        "report.md": sweep_markdown(details).encode(),
    }


def sweep_markdown(details: SweepDetails) -> str:
    """The verdict and the leaderboard as GitHub Markdown."""
    board = details.board
    found = sweep_verdict(board)
    blocks = [
        f"### {_SIGNS[found.mood]} promptc {escaped(f'{board.command} sweep of {board.name}')}",
        f"**{escaped(found.sentence, 2000)}**",
    ]
    if board.cells:
        header = ("", "cell", board.split, "from the best", "p (Holm)", "$/1,000 rows", "tokens/row", "spent")
        rows = [_row(cell) for cell in board.cells]
        blocks.append(table(header, rows, right=(0, 5, 6, 7)))
    blocks += [f"- {escaped(note, 500)}" for note in board.notes]
    cells = counted(len(board.cells), "cell")
    blocks.append(f"{cells}, {counted(sum(cell.calls for cell in board.cells), 'call')}; {_place(details)}")
    return "\n\n".join(blocks) + "\n"


def _row(cell: CellResult) -> tuple[str, ...]:
    distance = cell.to_best
    scored = f"{score(cell.score)} {interval(cell.ci_low, cell.ci_high)}" if not cell.error else "failed"
    return (
        count(cell.rank) if cell.rank is not None else "",
        quoted(cell_label(cell)),
        scored.rstrip(),
        change(distance.difference) if distance is not None else "",
        probability(distance.p_adjusted) if distance is not None else "",
        dollars(cell.usd_per_1000_rows) if cell.usd_per_1000_rows is not None else "",
        count(cell.tokens_per_row) if cell.tokens_per_row is not None else "",
        dollars(cell.usd),
    )


def _place(details: SweepDetails) -> str:
    return quoted(details.run_directory)
