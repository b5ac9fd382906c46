"""What a run did, as sections of a report: gates, search, cost, time, and where everything lies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from promptc.cli.reports.charts import Row, Span, charted, plot, taken
from promptc.cli.reports.details import ReportDetails, is_search, start_won
from promptc.cli.reports.figures import (
    count,
    counted,
    dollars,
    duration,
    interval,
    score,
    told_apart,
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
    quiet,
    section,
)
from promptc.cli.untrusted import one_line, path_line, plain
from promptc.runners.summary import GateResult, Summary, TrialLine
from promptc.runners.timing import Timing

MOST_TRIALS = 5
NOTICEABLE = 0.05
"""Seconds from which on a model's latency is worth a line; the embedded ones stay below."""

STOP_REASONS = {
    "finished": "everything planned was tried",
    "budget": "the budget ended",
    "score": "the highest score was reached",
    "no_improvement": "nothing better was in sight",
    "minutes": "the time was up",
    "stop_file": "a stop file was found",
}
"""Why a search ended, in words."""

_THRESHOLD = re.compile(r"(?:>=|<=|==|!=|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*$")


def gates(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Each gate with its figure, and by how much it was met or missed."""
    rows = [_gate(gate, look) for gate in details.summary.gates]
    return section("Gates", [grid(rows, right=(2,))] if rows else [])


def _gate(gate: GateResult, look: Look) -> list[RenderableType]:
    signs = {
        "met": (look.marks.met, GOOD),
        "failed": (look.marks.failed, BAD),
        "missing": (look.marks.failed, BAD),
    }
    mark, style = signs.get(gate.status, (look.marks.dash, QUIET))
    value, distance = gate_figures(gate)
    words = {
        "met": f"by {distance}" if distance else "",
        "failed": f"missed by {distance}" if distance else "failed",
        "missing": "no figure: the budget ended",
        "not applicable": "not applicable to this run",
    }[gate.status]
    text = plain(one_line(gate.text, 80), "" if gate.status != "not applicable" else QUIET)
    return [Text(mark, style=f"bold {style}"), text, Text(value, style=style), Text(words, style=style)]


def gate_figures(gate: GateResult) -> tuple[str, str]:
    """A gate's figure and its distance from the threshold, precise enough to show on which side it is."""
    found = _THRESHOLD.search(gate.text)
    if gate.value is None:
        return "", ""
    if found is None:
        return score(gate.value), ""
    shown, _, distance = told_apart(gate.value, float(found[1]))
    return shown, distance


def search(details: ReportDetails, look: Look) -> list[RenderableType]:
    """How many candidates were tried, why it stopped, and the best of them."""
    summary = details.summary
    if not is_search(summary):
        return []
    facts = [summary.optimizer] if summary.optimizer else []
    facts.append(counted(len(summary.trials), "trial"))
    if summary.stop_reason:
        facts.append(stopped(summary.stop_reason))
    rows = trial_rows(summary, look)
    place = plot(look, taken(rows))
    parts = [charted(rows, place, right=(1, 5)) if rows else quiet("nothing was tried")]
    return section("Search", parts, aside=f" {look.marks.dot} ".join(one_line(fact) for fact in facts))


def stopped(reason: str) -> str:
    """A stop reason in words."""
    return STOP_REASONS.get(reason, reason.replace("_", " "))


def best_trials(summary: Summary, most: int = MOST_TRIALS) -> list[TrialLine]:
    """The winner, then the highest scores; the start is always among them."""
    winner = summary.winner
    ranked = sorted(
        summary.trials,
        key=lambda t: (
            winner is None or t.number != winner.number,
            t.score is None,
            -(t.score or 0.0),
            t.number,
        ),
    )
    chosen = ranked[:most]
    start = next((trial for trial in ranked if trial.number == 0), None)
    if start is not None and start not in chosen:
        chosen[-1:] = [start]
    return chosen


def trial_rows(summary: Summary, look: Look) -> list[Row]:
    """A row per trial: its number, where it came from, its score on dev, the length of its prompt."""
    return [
        _trial(trial, look, won=summary.winner is not None and trial.number == summary.winner.number)
        for trial in best_trials(summary)
    ]


def _trial(trial: TrialLine, look: Look, *, won: bool) -> Row:
    style = "bold" if won else ""
    cells = [
        Text(look.marks.best if won else " ", style=f"bold {GOOD}"),
        quiet(count(trial.number)),
        plain(one_line(trial.origin or "candidate", 36), style),
        Text(score(trial.score) if trial.score is not None else "invalid", style=style),
        quiet(interval(trial.ci_low, trial.ci_high)),
        quiet(f"{count(trial.prompt_characters)} chars" if trial.prompt_characters else ""),
    ]
    if trial.score is None or trial.ci_low is None or trial.ci_high is None:
        return Row(cells)
    return Row(cells, Span(trial.ci_low, trial.score, trial.ci_high, GOOD if won else QUIET))


def cost(details: ReportDetails, look: Look) -> list[RenderableType]:
    """Calls, tokens and dollars by role at recorded prices; the time it took, and what was really paid."""
    summary = details.summary
    rows: list[list[RenderableType]] = []
    for role, part in sorted(summary.cost.items()):
        rows.append([plain(one_line(role, 30)), *_amounts(part.calls, part.tokens), bold(dollars(part.usd))])
    if len(rows) > 1:
        rows.append([bold("total"), *_amounts(summary.calls, summary.tokens), bold(spent(details))])
    parts: list[RenderableType] = [grid(rows, right=(1, 2, 3))] if rows else []
    unknown = unpriced(details)
    if unknown:
        parts.append(Text(f"price unknown for {', '.join(unknown)}: the dollars leave it out", style=CAUTION))
    if details.timing is None:
        return section("Cost", parts)
    if details.finished_before:
        parts.append(Text("nothing was asked or paid this time; when it ran:"))
    return section("Cost and time", [*parts, *_time(details.timing, look)])


def _amounts(calls: int, tokens: int) -> list[RenderableType]:
    return [counted(calls, "call"), quiet(counted(tokens, "token"))]


def spent(details: ReportDetails) -> str:
    """All dollars of a run; a lower bound where a price is not known."""
    usd = details.summary.usd
    if not unpriced(details):
        return dollars(usd)
    return f"at least {dollars(usd)}" if usd else "price unknown"


def unpriced(details: ReportDetails) -> list[str]:
    """Models whose price is not known; just `a model` where a cost is missing and nothing says whose."""
    if details.timing is not None:
        named = [one_line(name, 60) for name, model in details.timing.models.items() if model.unpriced]
        if named:
            return named
    missing = any(split.rows and split.cost is None for _, split in details.splits())
    return ["a model"] if missing else []


def _time(timing: Timing, look: Look) -> list[RenderableType]:
    facts = [duration(timing.seconds)]
    if timing.rows_per_second:
        facts.append(f"{timing.rows_per_second:,.1f} rows/s")
    if timing.retries:
        facts.append(counted(timing.retries, "retry", "retries"))
    models = [
        quiet(
            f"{one_line(name, 60)}: median {duration(model.median_latency)}, "
            f"p95 {duration(model.p95_latency)} a reply"
        )
        for name, model in timing.models.items()
        if model.calls and model.median_latency >= NOTICEABLE
    ]
    return [Text(f" {look.marks.dot} ".join((*facts, *_paid(timing)))), *models]


def _paid(timing: Timing) -> list[str]:
    paid = [f"{counted(timing.paid_calls, 'call')} paid, {dollars(timing.paid_usd)}"]
    if timing.cache_hits:
        paid.append(f"{count(timing.cache_hits)} from the cache")
    if timing.replayed:
        paid.append(f"{count(timing.replayed)} replayed")
    return paid


def ending(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The run directory, and what one would type next."""
    parts: list[RenderableType] = [Text(path_line(details.run_directory), style=ACCENT, overflow="fold")]
    parts += [
        Text(continued(c, look.width - 2), style=QUIET, overflow="fold") for c in next_commands(details)
    ]
    return section("Run directory", parts)


def continued(command: str, width: int) -> str:
    """A command for the shell, its lines joined by backslashes where it is too long for one."""
    lines = [""]
    for word in command.split(" "):
        if lines[-1].strip() and len(lines[-1]) + len(word) + 3 > width and len(command) > width:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def next_commands(details: ReportDetails) -> Sequence[str]:
    """Commands that are worth typing after this run, ready to be copied."""
    if details.next_commands is not None:
        return details.next_commands
    if not is_search(details.summary):
        return ()
    place = path_line(details.run_directory).rstrip("/")
    artifact = shlex.quote(f"{place}/compiled/program.json")
    if start_won(details.summary):
        return (f"promptc run {artifact} rows.jsonl",)
    return (
        f"less {shlex.quote(f'{place}/compiled/prompts.diff')}",
        f"promptc run {artifact} rows.jsonl",
        f"promptc eval {artifact} --split test",
    )
