"""The answer of `promptc plan`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.cli.opening import Prepared
from promptc.cli.planning import Forecast, wall
from promptc.cli.reports.figures import points
from promptc.runners.dataset import Dataset
from promptc.runners.grouping import independent
from promptc.runners.models.settings import transport_of
from promptc.runners.power import detectable_difference
from promptc.runners.rows import Example
from promptc.spec.model import Spec

if TYPE_CHECKING:
    from rich.console import RenderableType


def plan_report(prepared: Prepared, forecasts: Sequence[Forecast]) -> RenderableType:
    """What would run, for a person."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"plan of {prepared.spec.name}", style="bold"), Text()]
    facts = Table.grid(padding=(0, 2))
    for label, value in _facts(prepared):
        facts.add_row(Text(label, style="dim"), Text(value))
    parts += [facts, Text()]
    for forecast in forecasts:
        table = Table(
            title=forecast.command, title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        for column in ("role", "calls, fewest", "calls, most"):
            table.add_column(column, justify="left" if column == "role" else "right")
        for role, (low, high) in forecast.calls.items():
            table.add_row(role, f"{low:,}", f"{high:,}")
        table.add_row("all", f"{forecast.total[0]:,}", f"{forecast.total[1]:,}", style="bold")
        parts += [table, Text(_cost_line(forecast)), Text(_budget_line(prepared, forecast)), Text()]
    for note in (*prepared.dataset.notes, *(note for f in forecasts for note in f.notes)):
        parts.append(Text(f"note: {note}"))
    return Group(*parts)


def plan_document(prepared: Prepared, forecasts: Sequence[Forecast]) -> str:
    """What would run, as one JSON document."""
    document: dict[str, Any] = {
        "name": prepared.spec.name,
        "models": {name: model.model for name, model in prepared.spec.models.items()},
        "code": [use.reference for use in prepared.code],
        "forecasts": forecasts,
        "detectable": detectable(prepared),
        "notes": list(prepared.dataset.notes),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _facts(prepared: Prepared) -> list[tuple[str, str]]:
    spec, data = prepared.spec, prepared.dataset
    facts = [
        ("rows", _rows(data)),
        *((f"model {name}", f"{m.model} ({transport_of(m)})") for name, m in spec.models.items()),
        ("predictors", ", ".join(prepared.program.predictors)),
        *_can_show(prepared),
        *_repeated(spec),
        ("metrics", ", ".join(m.use.name for m in prepared.judge.metrics) or "none"),
    ]
    if prepared.code:
        places = ", ".join(use.reference for use in prepared.code)
        facts.append(("user code", f"{places} (runs only with --allow-code or a trusted folder)"))
    return facts


def detectable(prepared: Prepared) -> dict[str, float]:
    """By split, the smallest difference between two programs that its rows can show."""
    data, column = prepared.dataset, prepared.spec.data.cluster
    parts: dict[str, Sequence[Example]] = {"dev": data.dev, "test": data.test}
    if data.folds:
        parts = {"test": data.part("all")}
    return {name: detectable_difference(independent(rows, column)) for name, rows in parts.items() if rows}


def _can_show(prepared: Prepared) -> list[tuple[str, str]]:
    shown = [
        f"{name} differences from about {points(found)}" if found < 1 else f"{name} no difference at all"
        for name, found in detectable(prepared).items()
    ]
    return [("can show", f"{', '.join(shown)} (docs/statistics.md)")] if shown else []


def _rows(data: Dataset) -> str:
    if data.folds:
        sizes = " + ".join(str(len(fold.test)) for fold in data.folds)
        return f"{len(data.part('all'))}, in {len(data.folds)} folds: {sizes}"
    return f"train {len(data.train)}, dev {len(data.dev)}, test {len(data.test)}"


def _repeated(spec: Spec) -> list[tuple[str, str]]:
    if spec.run.repeat == 1:
        return []
    return [("repeat", f"each row is run {spec.run.repeat} times on dev and test ({spec.run.reduce})")]


def _cost_line(forecast: Forecast) -> str:
    if forecast.usd is None:
        return "dollars: unknown, a model has no known price"
    low, high = forecast.usd
    return f"dollars: ${low:.2f} to ${high:.2f}" if high else "dollars: $0.00"


def _budget_line(prepared: Prepared, forecast: Forecast) -> str:
    if forecast.command != "optimize":
        return f"with every re-ask at most {forecast.worst:,} calls"
    budget, said = wall(forecast, prepared.spec)
    if said:
        return said
    limits = {"calls": budget.calls, "tokens": budget.tokens, "usd": budget.usd, "minutes": budget.minutes}
    shown = ", ".join(f"{name} {value:,}" for name, value in limits.items() if value is not None)
    return f"budget: {shown or 'by role'}; with every re-ask at most {forecast.worst:,} calls"
