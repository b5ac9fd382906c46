"""What `promptc runs` does: find runs, choose among them, show them, delete them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import click
import msgspec

from promptc.cli.console import Terminal
from promptc.cli.json_output import json_text
from promptc.cli.opening import RUNS
from promptc.cli.quantities import size_text
from promptc.cli.reports.figures import counted
from promptc.runners.run_directory import is_sweep, read_marker
from promptc.runners.run_index import RunEntry, delete_run, find_runs, size_of
from promptc.spec.errors import NothingSelected, UsageError
from promptc.spec.expressions import Expression, ExpressionError, compile_expression, wrong_reference

Period = Literal["day", "week", "month"]
MOST_NAMED = 10
"""Runs that a question names."""
VARIABLES = (
    "path", "name", "command", "state", "split", "score", "ci_low", "ci_high", "exit_code", "calls", "usd",
    "paid_calls", "paid_usd", "cells", "age_days",
)  # fmt: skip
"""What `--where` knows of a run."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are meant. `since` is a moment in seconds since the epoch, `older_than` an age in seconds."""

    names: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    since: float | None = None
    older_than: float | None = None
    where: str = ""
    limit: int | None = None

    @property
    def empty(self) -> bool:
        """True where nothing was said."""
        return self == Filter()


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid in a period, which is named by its first day; `runs` had a session in it."""

    period: str
    runs: int
    paid_calls: int
    paid_usd: float


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """What `promptc runs` found; with `--delete`, what it removed, and what it left and why."""

    version: int = 1
    runs: tuple[RunEntry, ...] = ()
    spend: tuple[Spending, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: dict[str, str] = {}


def list_runs(
    paths: Sequence[Path],
    wanted: Filter,
    terminal: Terminal,
    *,
    cells: bool,
    spend: Period | None,
    as_json: bool,
) -> int:
    """Show the runs that are meant, or what they cost."""
    found = chosen(read_runs(paths, cells=cells), wanted, time.time())
    spending = spent_by(found, spend) if spend is not None else ()
    if as_json:
        terminal.write(json_text(RunList(runs=tuple(found), spend=spending)))
        return 0
    from promptc.cli.reports.runs import runs_report, spend_report

    terminal.answer(spend_report(spending) if spend is not None else runs_report(found, time.time()))
    return 0


def read_runs(paths: Sequence[Path], *, cells: bool) -> list[RunEntry]:
    """Every run below these folders, newest first. Raises UsageError for one that is not there."""
    if not paths and not RUNS.is_dir():
        return []
    entries: dict[str, RunEntry] = {}
    for path in paths or (RUNS,):
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}", "name a folder of runs, or one run")
        entries |= {entry.path: entry for entry in find_runs(path, cells=cells)}
    return sorted(entries.values(), key=lambda entry: (-entry.when, entry.path))


def chosen(entries: Iterable[RunEntry], wanted: Filter, now: float) -> list[RunEntry]:
    """The runs that every filter leaves. Raises UsageError for an expression that is wrong."""
    expression = _expression(wanted.where)
    kept = [entry for entry in entries if _fits(entry, wanted, now)]
    if expression is not None:
        kept = [entry for entry in kept if _holds(expression, entry, now)]
    return kept[: wanted.limit]


def _fits(entry: RunEntry, wanted: Filter, now: float) -> bool:
    return (
        (not wanted.names or any(fnmatchcase(entry.name, name) for name in wanted.names))
        and (not wanted.commands or entry.command in wanted.commands)
        and (not wanted.states or entry.state in wanted.states)
        and (wanted.since is None or entry.when >= wanted.since)
        and (wanted.older_than is None or now - entry.when > wanted.older_than)
    )


def _expression(text: str) -> Expression | None:
    if not text:
        return None
    try:
        expression = compile_expression(text)
        wrong = wrong_reference(expression, {"run": frozenset(VARIABLES)})
    except ExpressionError as error:
        raise UsageError(f"--where {text}: {error.message}", error.hint) from error
    if wrong is not None:
        raise UsageError(
            f"--where {text}: {wrong.message}", wrong.hint or f"a run has {', '.join(VARIABLES)}"
        )
    return expression


def _holds(expression: Expression, entry: RunEntry, now: float) -> bool:
    """Whether it is true of a run; a run without the figure that it asks for is not meant."""
    known = {**msgspec.to_builtins(entry), "age_days": (now - entry.when) / 86400}
    try:
        return expression.evaluate({"run": {name: known[name] for name in VARIABLES}}) is True
    except ExpressionError:
        return False


def spent_by(entries: Iterable[RunEntry], period: Period) -> tuple[Spending, ...]:
    """What the sessions of runs paid, by period in local time, earliest first."""
    periods: dict[str, list[tuple[str, int, float]]] = {}
    for entry in entries:
        for note in entry.sessions:
            day = period_of(note.ended, period)
            periods.setdefault(day, []).append((entry.path, note.paid_calls, note.paid_usd))
    return tuple(
        Spending(
            period=day,
            runs=len({path for path, _, _ in notes}),
            paid_calls=sum(calls for _, calls, _ in notes),
            paid_usd=sum(usd for _, _, usd in notes),
        )
        for day, notes in sorted(periods.items())
    )


def period_of(moment: float, period: Period) -> str:
    """The first day of the period that a moment lies in; weeks begin on Monday."""
    day = datetime.fromtimestamp(moment).date()
    if period == "week":
        day -= timedelta(days=day.weekday())
    return day.replace(day=1).isoformat()[:7] if period == "month" else day.isoformat()


def delete_runs(
    paths: Sequence[Path],
    wanted: Filter,
    terminal: Terminal,
    *,
    unfinished: bool,
    sure: bool,
    as_json: bool,
) -> int:
    """Delete the runs that are meant, after a question. Raises UsageError, NothingSelected, RunError."""
    if wanted.empty and not paths:
        raise UsageError("nothing to go by", "say --older-than 30d, another filter, or name the runs")
    for path in paths:
        _check_no_cell(path)
    found = chosen(read_runs(paths, cells=False), wanted, time.time())
    kept = {entry.path: reason for entry in found if (reason := _reason_to_keep(entry, unfinished))}
    doomed = [entry for entry in found if entry.path not in kept]
    for place, reason in kept.items():
        terminal.say(f"{place} stays: {reason}")
    if not doomed:
        hint = "--unfinished deletes those, too" if kept else "`promptc runs` lists what there is"
        raise NothingSelected("no run is deleted", hint)
    if not sure and not _confirmed(doomed, terminal):
        terminal.say("nothing was deleted")
        return 0
    for entry in doomed:
        delete_run(Path(entry.path))
    if as_json:
        terminal.write(json_text(RunList(deleted=tuple(entry.path for entry in doomed), kept=kept)))
    else:
        terminal.say(f"deleted {counted(len(doomed), 'run')}")
    return 0


def _check_no_cell(path: Path) -> None:
    above = read_marker(path.absolute().parent)
    if above is not None and is_sweep(above) and read_marker(path) is not None:
        raise UsageError(
            f"{path} is a cell of the sweep in {path.absolute().parent.name}", "delete the sweep as a whole"
        )


def _reason_to_keep(entry: RunEntry, unfinished: bool) -> str:
    if entry.state == "running":
        return "a promptc process is writing it"
    if entry.state == "unfinished" and not unfinished:
        return "it is unfinished, and its command goes on from what it has paid for; --unfinished deletes it"
    return ""


def _confirmed(doomed: Sequence[RunEntry], terminal: Terminal) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("--delete asks first, and nobody is at the terminal", "pass --yes")
    for entry in doomed[:MOST_NAMED]:
        terminal.say(f"  {entry.path}")
    if len(doomed) > MOST_NAMED:
        terminal.say(f"  and {len(doomed) - MOST_NAMED} more")
    size = size_text(sum(size_of(Path(entry.path)) for entry in doomed))
    return click.confirm(f"Delete {counted(len(doomed), 'run')} ({size})?", err=True)
