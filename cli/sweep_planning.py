"""What a sweep would ask for, before it asks: cell by cell, and together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.opening import Prepared
from promptc.cli.planning import Forecast, build_optimizer, planned, planned_eval, wall
from promptc.cli.reports.figures import count
from promptc.cli.selection import default_split
from promptc.cli.sweep_cells import Cell, for_each
from promptc.cli.sweep_checks import prepare_cells
from promptc.cli.sweep_labels import label_of
from promptc.cli.sweep_notices import axes_text, wall_text, walls_of

if TYPE_CHECKING:
    from rich.console import RenderableType

Range = tuple[float, float]
Split = Literal["train", "dev", "test", "all"]


class SweepForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What one command would ask for: each cell's forecast in order, and the sums.

    `test` are the calls that score test for the best cell alone, after all others; None where each cell's forecast
    holds its own. `usd` is None where a model has no price.
    """

    command: str
    cells: tuple[Forecast, ...]
    total: tuple[int, int]
    worst: int
    usd: Range | None
    test: tuple[int, int] | None = None


def plan_sweep(
    cells: Sequence[Cell], command: str | None, split: Split | None, terminal: Terminal, *, as_json: bool
) -> int:
    """Show what a sweep would do and cost."""
    prepared = prepare_cells(cells, terminal)
    wanted = split or default_split(prepared[0].dataset)
    forecasts = []
    if command in (None, "eval"):
        forecasts.append(forecast_eval(cells, prepared, wanted))
    can_search = all(one.dataset.train and one.dataset.dev for one in prepared)
    if command == "optimize" or (command is None and can_search):
        forecasts.append(forecast_search(cells, prepared))
    if as_json:
        terminal.write(_document(cells, prepared, forecasts))
    else:
        terminal.answer(_report(cells, prepared, forecasts))
    return 0


def forecast_eval(cells: Sequence[Cell], prepared: Sequence[Prepared], split: Split) -> SweepForecast:
    """What an `eval` of every cell would ask for. Raises SpecError."""
    found = for_each(
        _labelled(cells, prepared), lambda one: planned_eval(one, split, len(one.dataset.part(split)))
    )
    return _together(f"eval --split {split}", found, None)


def forecast_search(cells: Sequence[Cell], prepared: Sequence[Prepared]) -> SweepForecast:
    """What an `optimize` of every cell would ask for, test of the best included. Raises SpecError."""
    alone = for_each(
        _labelled(cells, prepared), lambda one: planned(one, build_optimizer(one.spec), tested=False)
    )
    whole = [planned(one, build_optimizer(one.spec)) for one in prepared]
    tests = [
        (after.total[0] - before.total[0], after.total[1] - before.total[1])
        for before, after in zip(alone, whole, strict=True)
    ]
    test = (min(low for low, _ in tests), max(high for _, high in tests))
    return _together("optimize", alone, test)


def _labelled(cells: Sequence[Cell], prepared: Sequence[Prepared]) -> list[tuple[str, Prepared]]:
    return [(cell.label, one) for cell, one in zip(cells, prepared, strict=True)]


def _together(command: str, found: Sequence[Forecast], test: tuple[int, int] | None) -> SweepForecast:
    low, high = test or (0, 0)
    prices = [forecast.usd for forecast in found if forecast.usd is not None]
    return SweepForecast(
        command=command,
        cells=tuple(found),
        total=(low + sum(one.total[0] for one in found), high + sum(one.total[1] for one in found)),
        worst=sum(one.worst for one in found),
        usd=(sum(p[0] for p in prices), sum(p[1] for p in prices)) if len(prices) == len(found) else None,
        test=test,
    )


def _document(cells: Sequence[Cell], prepared: Sequence[Prepared], forecasts: Sequence[SweepForecast]) -> str:
    document: dict[str, Any] = {
        "name": prepared[0].spec.name,
        "cells": [
            {
                "values": dict(cell.values),
                "models": {name: model.model for name, model in one.spec.models.items()},
                "share": walls_of(one.spec.budget),
                "code": [use.reference for use in one.code],
            }
            for cell, one in zip(cells, prepared, strict=True)
        ],
        "forecasts": forecasts,
        "notes": list(dict.fromkeys(note for one in prepared for note in one.dataset.notes)),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _report(
    cells: Sequence[Cell], prepared: Sequence[Prepared], forecasts: Sequence[SweepForecast]
) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"plan of {prepared[0].spec.name}", style="bold"), Text()]
    facts = Table.grid(padding=(0, 2))
    for label, value in _facts(cells, prepared):
        facts.add_row(Text(label, style="dim"), Text(value))
    parts += [facts, Text()]
    for forecast in forecasts:
        parts += [_table(cells, forecast), *_below(forecast, prepared), Text()]
    for note in dict.fromkeys(note for one in prepared for note in one.dataset.notes):
        parts.append(Text(f"note: {note}"))
    return Group(*parts)


def _facts(cells: Sequence[Cell], prepared: Sequence[Prepared]) -> list[tuple[str, str]]:
    data = prepared[0].dataset
    same = len({one.dataset.digest for one in prepared}) == 1
    rows = f"train {len(data.train)}, dev {len(data.dev)}, test {len(data.test)}"
    walls = [walls_of(one.spec.budget) for one in prepared]
    facts = [
        ("sweep", axes_text(cells)),
        ("rows", rows if same else f"{rows}; other rows in other cells"),
    ]
    if any(walls):
        alike = all(wall == walls[0] for wall in walls)
        share = wall_text(walls[0].items()) if alike else "each cell has its own"
        facts.append(("budget", f"each cell has 1/{len(cells)} of it: {share}" if alike else share))
    code = dict.fromkeys(use.reference for one in prepared for use in one.code)
    if code:
        facts.append(("user code", f"{', '.join(code)} (runs only with --allow-code or a trusted folder)"))
    return facts


def _table(cells: Sequence[Cell], forecast: SweepForecast) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=forecast.command, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for column in ("calls, fewest", "calls, most", "dollars"):
        table.add_column(column, justify="right", no_wrap=True)
    for cell, one in zip(cells, forecast.cells, strict=True):
        table.add_row(Text(label_of(cell.values)), *_figures(one.total, one.usd))
    if forecast.test is not None:
        table.add_row("test of the best on dev", count(forecast.test[0]), count(forecast.test[1]), "")
    table.add_row("all", *_figures(forecast.total, forecast.usd), style="bold")
    return table


def _figures(total: tuple[int, int], usd: Range | None) -> tuple[str, str, str]:
    dollars = "unknown" if usd is None else f"${usd[0]:.2f} to ${usd[1]:.2f}" if usd[1] else "$0.00"
    return count(total[0]), count(total[1]), dollars


def _below(forecast: SweepForecast, prepared: Sequence[Prepared]) -> list[RenderableType]:
    """What the table does not say: prices that nobody knows, and the walls where there is no budget."""
    from rich.text import Text

    lines = []
    if forecast.usd is None:
        lines.append("dollars: unknown, a model has no known price")
    if forecast.command != "optimize":
        lines.append(f"with every re-ask at most {count(forecast.worst)} calls")
    elif not any(walls_of(one.spec.budget) for one in prepared):
        walls = [wall(planned(one, build_optimizer(one.spec)), one.spec)[0].calls or 0 for one in prepared]
        lines.append(f"no budget: the walls are {count(sum(walls))} calls together, every re-ask included")
    return [Text(line) for line in lines]
