"""What a sweep came to, in words; how its cells are called in a report."""

from __future__ import annotations

from collections.abc import Collection

from promptc.cli.reports.figures import bounds, change, count, counted, dollars, interval, probability, score
from promptc.cli.reports.verdict import Mood, Verdict
from promptc.cli.sweep_labels import fitted, label_of, value_text
from promptc.cli.untrusted import one_line
from promptc.runners.comparison import fell
from promptc.runners.leaderboard import CellResult, Leaderboard
from promptc.runners.ranking import cost_of

MOST_LABEL = 120
GRAVE = frozenset({1, 2, 3, 4, 5, 6, 7})
"""Exit codes that make a sweep's verdict bad news."""


def cell_label(cell: CellResult, keys: Collection[str] | None = None) -> str:
    """What a cell changes: `models.task=a/b, run.seed=1`; of these `keys` alone."""
    return label_of((key, value) for key, value in cell.values.items() if keys is None or key in keys)


def telling_keys(board: Leaderboard) -> tuple[str, ...]:
    """The keys that tell the cells apart: those that are not the same in all of them."""
    keys = tuple(dict.fromkeys(key for cell in board.cells for key in cell.values))
    first = board.cells[0].values
    differ = [key for key in keys if any(cell.values.get(key) != first.get(key) for cell in board.cells)]
    return tuple(differ) or keys


def cell_labels(board: Leaderboard, longest: int) -> dict[int, str]:
    """A short name for each cell by its number: the values alone where all cells change the same keys."""
    keys = telling_keys(board) if board.cells else ()
    if any(tuple(cell.values) != tuple(board.cells[0].values) for cell in board.cells):
        return {cell.number: one_line(cell_label(cell, keys), longest) for cell in board.cells}
    texts = {cell.number: [value_text(cell.values[key]) for key in keys] for cell in board.cells}
    return {number: fitted(values, longest, " · ") for number, values in texts.items()}


def sweep_verdict(board: Leaderboard) -> Verdict:
    """Which cell is best, how sure that is, and what it reached on test."""
    failed = sum(1 for cell in board.cells if cell.error)
    open_ = f"Unfinished: {count(failed)} of {counted(len(board.cells), 'cell')} failed. " if failed else ""
    best = next((cell for cell in board.cells if cell.rank == 1), None)
    if best is None:
        return Verdict(f"{open_}No cell has a figure on {board.split} that can be trusted", "bad")
    sentence = f"{open_}Best on {board.split}: {_name(board, best)}, {_figure(best)}"
    clear, others = _others(board)
    mood: Mood = "bad" if failed or board.exit_code in GRAVE else "good" if clear else "neutral"
    return Verdict(f"{sentence}{others}{_test(best)}", mood)


def _name(board: Leaderboard, cell: CellResult) -> str:
    return one_line(cell_label(cell, telling_keys(board)), MOST_LABEL)


def _figure(cell: CellResult) -> str:
    return f"{score(cell.score)} {interval(cell.ci_low, cell.ci_high)}".rstrip()


def _others(board: Leaderboard) -> tuple[bool, str]:
    """Whether all others are worse, and how that is said."""
    others = [cell for cell in board.cells if cell.rank is not None and cell.rank > 1]
    if not others:
        return True, ""
    alike = [cell for cell in others if cell.to_best is not None and not fell(cell.to_best)]
    if not alike:
        whole = "the other cell is" if len(others) == 1 else f"all {len(others)} others are"
        return True, f"; {whole} significantly worse"
    if len(others) == 1:
        return False, f"; the other cell is not significantly worse{_cheaper(board, alike)}"
    if len(alike) == len(others):
        return False, f"; none of the {len(others)} others is significantly worse{_cheaper(board, alike)}"
    verb = "is" if len(alike) == 1 else "are"
    some = f"{len(alike)} of {len(others)} others {verb}"
    return False, f"; {some} not significantly worse{_cheaper(board, alike)}"


def _cheaper(board: Leaderboard, alike: list[CellResult]) -> str:
    """The cheapest of the cells that may be as good as the best, where it costs less."""
    best = board.cells[0]
    known = [(cost, cell) for cell in alike if (cost := cost_of(cell, board.cost_measure)) is not None]
    own = cost_of(best, board.cost_measure)
    if not known or own is None:
        return ""
    cost, cell = min(known, key=lambda found: (found[0], found[1].number))
    if cost >= own:
        return ""
    if board.cost_measure == "usd_per_1000_rows":
        figures = f"{dollars(cost)} for 1,000 rows, not {dollars(own)}"
    else:
        figures = f"{count(cost)} tokens a row, not {count(own)}"
    return f", and {_name(board, cell)} costs less ({figures})"


def _test(best: CellResult) -> str:
    test = best.test
    if test is None:
        return ""
    words = f"; on test {score(test.score)} {interval(test.ci_low, test.ci_high)}".rstrip()
    found = test.improvement
    if found is None or test.start is None:
        return words
    if found.difference == 0 and found.p == 1 and found.ci_low == found.ci_high == 0:
        return f"{words}, its own start"
    low, high = bounds(found.ci_low, found.ci_high)
    p = probability(test.p_adjusted if test.p_adjusted is not None else found.p)
    return f"{words}, {change(found.difference)} over its start (95 % CI {low} to {high}, {p})"
