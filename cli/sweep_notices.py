"""What a sweep says on stderr: what it is going to do, and what each cell came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from promptc.cli.conduct import Run
from promptc.cli.reports.figures import count, counted, dollars, duration, measured
from promptc.cli.sweep_cells import Cell
from promptc.cli.sweep_ending import Ended
from promptc.spec.model import Budget

UNITS = ("calls", "tokens", "usd", "minutes")


def announcement(cells: Sequence[Cell], runs: Sequence[Run], jobs: int) -> str:
    """How many cells there are, how they are run, and on what budget."""
    low = sum(run.forecast.total[0] for run in runs)
    high = sum(run.forecast.total[1] for run in runs)
    calls = count(low) if low == high else f"{count(low)} to {count(high)}"
    at_once = min(jobs, len(cells))
    order = "one after another" if at_once == 1 else f"{at_once} at once"
    return f"sweep: {axes_text(cells)}, {order}; {calls} calls without re-asks; {budget_text(runs)}"


def axes_text(cells: Sequence[Cell]) -> str:
    """`6 cells (models.task × 3, optimizer × 2)`."""
    values: dict[str, set[str]] = {}
    for cell in cells:
        for key, value in cell.values:
            values.setdefault(key, set()).add(repr(value))
    axes = ", ".join(f"{key} × {len(found)}" for key, found in values.items())
    return f"{counted(len(cells), 'cell')} ({axes})"


def budget_text(runs: Sequence[Run]) -> str:
    """How the budget is divided."""
    walls = [walls_of(run.prepared.spec.budget) for run in runs]
    if not any(walls):
        whole = sum(run.budget.calls or 0 for run in runs)
        return (
            f"no budget: the walls of the cells are {count(whole)} calls together" if whole else "no budget"
        )
    if any(wall != walls[0] for wall in walls):
        return "each cell has its own budget"
    return f"each cell has 1/{len(runs)} of the budget: {wall_text(walls[0].items())}"


def walls_of(budget: Budget) -> dict[str, float]:
    """The walls that a budget has, by unit, those of roles as `proposer.calls`."""
    walls = {unit: value for unit in UNITS if (value := getattr(budget, unit)) is not None}
    for role, limits in budget.roles.items():
        for unit in UNITS[:3]:
            value = getattr(limits, unit)
            if value is not None:
                walls[f"{role}.{unit}"] = value
    return walls


def wall_text(walls: Iterable[tuple[str, float]]) -> str:
    """`calls 500, usd $0.42`."""
    return ", ".join(
        f"{unit} {dollars(value) if unit.endswith('usd') else f'{value:,.6g}'}" for unit, value in walls
    )


def outcome(ended: Ended, split: str, seconds: float) -> str:
    """What a cell came to, in a few words."""
    if ended.error is not None:
        return f"failed: {ended.entry().error}"
    if ended.details is None:
        return "nothing"
    summary = ended.details.summary
    figures = summary.split(split)
    tested = f", test {measured(summary.test)}" if summary.test is not None and split != "test" else ""
    scored = f"{split} {measured(figures)}" if figures is not None else f"no figure on {split}"
    if ended.before:
        return f"{scored}{tested}; finished before"
    spent = f"{counted(summary.calls, 'call')}, {dollars(summary.usd)}, {duration(seconds)}"
    return f"{scored}{tested}; {spent}"
