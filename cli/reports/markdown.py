"""The report as GitHub Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from promptc.cli.reports import baseline, repeats
from promptc.cli.reports.details import ReportDetails, is_search
from promptc.cli.reports.diff import excerpted_changes
from promptc.cli.reports.facts import best_trials, gate_figures, next_commands, stopped, unpriced
from promptc.cli.reports.figures import (
    MISSING,
    change,
    count,
    counted,
    dollars,
    interval,
    measured,
    probability,
    score,
    signed_interval,
)
from promptc.cli.reports.front import ASIDE, shown
from promptc.cli.reports.reading import MOST_NOTES, noted, restated
from promptc.cli.reports.scores import Line, metric_lines, slice_lines, telling
from promptc.cli.reports.tallies import confusions, figure, scalars
from promptc.cli.reports.verdict import verdict
from promptc.cli.untrusted import LONGEST_PATH, one_line, path_line, visible
from promptc.runners.summary import SplitSummary

MOST_DIFF_LINES = 80
MOST_CELL = 160

_SIGNS = {"good": "✅", "neutral": "➖", "bad": "❌"}
_GATES = {
    "met": "✅ met",
    "failed": "❌ failed",
    "missing": "❌ no figure",
    "not applicable": "➖ not applicable",
}
_SPECIAL = re.compile(r"([\\`*_\[\]|~$@#]|^[-+=])")
_LIST = re.compile(r"^(\d+)([.)])")
_REFERENCE = re.compile(r"(\\[@#](?=\w)|\bGH-(?=\d)|:(?=//)|www(?=\.))", re.IGNORECASE)
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown_report(details: ReportDetails) -> str:
    """The whole report, without times and latencies."""
    found = verdict(details.summary)
    blocks = [
        f"### {_SIGNS[found.mood]} promptc {escaped(details.title())}",
        f"**{escaped(found.sentence, 2000)}**",
        *_scores(details),
        *_folds(details),
        *_repeats(details),
        *_metrics(details),
        *_slices(details),
        *_tallies(details),
        *_baseline(details),
        *_gates(details),
        *_failures(details),
        *_search(details),
        *_front(details),
        *_cost(details),
        *_prompt(details),
        *_worst(details),
        *_notes(details),
        *_ending(details),
    ]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str, limit: int = MOST_CELL) -> str:
    """Others' text as Markdown that shows just that: no cell, link, mention or tag of its own."""
    safe = _LIST.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", one_line(text, limit))).translate(_HTML)
    # GitHub looks for mentions, issues and addresses where a backslash has long gone; a comment parts them.
    return _REFERENCE.sub(r"\1<!-- -->", safe)


def code(text: str, limit: int = MOST_CELL) -> str:
    """Others' text as a code span."""
    flat = one_line(text, limit)
    if not flat:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def cell(text: str, limit: int = MOST_CELL) -> str:
    """Others' text as a code span inside a table, where a bar has to be escaped even in code."""
    return code(text, limit).replace("|", "\\|")


def fenced(lines: Iterable[str], language: str = "") -> str:
    """Lines as a code block whose fence is longer than any inside."""
    body = "\n".join(visible(line) for line in lines)
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", body)), default=0) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A GitHub table; cells are already escaped."""
    rule = ["---:" if number in right else "---" for number in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def folded(title: str, *blocks: str) -> str:
    """Blocks behind a line that opens them; the line is HTML, in which Markdown means nothing."""
    summary = html.escape(one_line(title, MOST_CELL))
    return "\n\n".join((f"<details><summary>{summary}</summary>", *blocks, "</details>"))


def _scores(details: ReportDetails) -> list[str]:
    splits = details.splits()
    if not splits:
        return []
    if not any(split.start is not None for _, split in splits):
        return [
            table(("split", "rows", "score"), [(n, count(s.n), measured(s)) for n, s in splits], right=(1,))
        ]
    rows = [_score_row(name, split) for name, split in splits]
    return [table(("split", "rows", "start", "winner", "change", "p"), rows, right=(1,)), *_gap(details)]


def _gap(details: ReportDetails) -> list[str]:
    found = details.summary.gap
    if found is None:
        return []
    interval_ = signed_interval(found.ci_low, found.ci_high)
    return [f"Gap dev − test: {change(found.difference)} {interval_}"]


def _score_row(name: str, split: SplitSummary) -> tuple[str, ...]:
    before = measured(split.start) if split.start is not None else MISSING
    found = split.improvement
    if found is None:
        return name, count(split.n), before, f"**{measured(split)}**", MISSING, MISSING
    moved = f"**{change(found.difference)}** {signed_interval(found.ci_low, found.ci_high)}"
    return name, count(split.n), before, measured(split), moved, escaped(probability(found.p))


def _folds(details: ReportDetails) -> list[str]:
    rows = [
        (
            count(fold.fold),
            count(fold.rows),
            score(fold.start_score),
            score(fold.score),
            cell(fold.winner, 40),
        )
        for fold in details.summary.folds
    ]
    header = ("fold", "rows", "start", "winner", "from")
    return [folded("Folds: each row held out once", table(header, rows, right=(0, 1, 2, 3)))] if rows else []


def _repeats(details: ReportDetails) -> list[str]:
    for name, split in details.splits()[:1]:
        rows = [(label, escaped(said)) for label, said in repeats.facts(split)]
        if split.passed is not None:
            rows.insert(0, ("passed", f"**{measured(split.passed)}**"))
        runs = f", {counted(split.repeats.count, 'run')} of each row" if split.repeats is not None else ""
        return [table((f"{name}{escaped(runs)}", ""), rows)] if rows else []
    return []


def _metrics(details: ReportDetails) -> list[str]:
    for name, split in details.splits()[:1]:
        lines = metric_lines(split)
        if lines:
            return [_lines(f"metric on {name}", lines)]
    return []


def _slices(details: ReportDetails) -> list[str]:
    shown = []
    for name, split in details.splits()[:1]:
        for column, lines in slice_lines(split).items():
            chosen = telling(lines)
            block = _lines(f"{cell(column)} on {name}", chosen)
            if len(chosen) < len(lines):
                block += f"\n\nand {counted(len(lines) - len(chosen), 'more value')} in `summary.json`"
            shown.append(block)
    return shown


def _lines(title: str, lines: Sequence[Line]) -> str:
    if not any(line.before is not None for line in lines):
        rows = [(cell(line.name), count(line.now.n), measured(line.now)) for line in lines]
        return table((title, "rows", "score"), rows, right=(1,))
    tested = any(line.p is not None for line in lines)
    compared = [
        (
            cell(line.name),
            count(line.now.n),
            score(line.before.score if line.before is not None else None),
            score(line.now.score),
            change(line.change) + (" 🔻" if line.fell else ""),
            *([escaped(probability(line.p)) if line.p is not None else MISSING] if tested else []),
        )
        for line in lines
    ]
    head = (title, "rows", "start", "winner", "change", *(["p (Holm)"] if tested else []))
    return table(head, compared, right=(1, 2, 3, 4))


def _tallies(details: ReportDetails) -> list[str]:
    shown = []
    for name, split in details.splits()[:1]:
        for metric, tally in sorted(split.tallies.items()):
            parts = [f"{escaped(label)} {figure(value)}" for label, value in scalars(tally).items()]
            taken = [
                f"{code(c.expected, 40)} → {code(c.predicted, 40)} ({count(c.rows)} of {count(c.support)})"
                for c in confusions(tally)
            ]
            if taken:
                parts.append(f"most often taken for another: {', '.join(taken)}")
            if parts:
                shown.append(f"{code(metric)} on {name}: {'; '.join(parts)}")
    return shown


_BASELINE = {"regression": "❌", "improvement": "✅", "tie": "✅", "not enough data": "➖"}


def _baseline(details: ReportDetails) -> list[str]:
    found = details.summary.baseline
    if found is None:
        return []
    head = f"**Baseline** {code(found.source)}: {_BASELINE[found.verdict]} {found.verdict}"
    return [
        f"{head} – {escaped(baseline.figures(found), 300)}; {escaped('; '.join(baseline.remarks(found)), 300)}"
    ]


def _gates(details: ReportDetails) -> list[str]:
    rows = []
    for gate in details.summary.gates:
        value, distance = gate_figures(gate)
        rows.append(
            (cell(gate.text), value or MISSING, _GATES[gate.status] + (f" by {distance}" if distance else ""))
        )
    return [table(("gate", "figure", ""), rows, right=(1,))] if rows else []


def _failures(details: ReportDetails) -> list[str]:
    found = []
    for name, split in details.splits():
        kinds = [f"{count(number)} {escaped(kind, 40)}" for kind, number in sorted(split.failures.items())]
        if kinds:
            found.append(f"{name}: {', '.join(kinds)}")
    return [f"**Failed rows** – {'; '.join(found)}"] if found else []


def _search(details: ReportDetails) -> list[str]:
    summary = details.summary
    if not is_search(summary):
        return []
    rows = []
    for trial in best_trials(summary):
        won = summary.winner is not None and trial.number == summary.winner.number
        rows.append(
            (
                f"{count(trial.number)}{' ⭐' if won else ''}",
                cell(trial.origin, 40),
                f"{score(trial.score)} {interval(trial.ci_low, trial.ci_high)}".strip(),
                count(trial.prompt_characters) if trial.prompt_characters else MISSING,
            )
        )
    reason = f", {stopped(summary.stop_reason)}" if summary.stop_reason else ""
    title = f"Search: {summary.optimizer}, {counted(len(summary.trials), 'trial')}{reason}"
    return (
        [folded(title, table(("trial", "origin", "dev", "characters"), rows, right=(0, 3)))] if rows else []
    )


def _front(details: ReportDetails) -> list[str]:
    summary = details.summary
    rows = [
        (
            f"{count(member.number)}{' ⭐' if member.won else ''}",
            cell(member.origin, 40),
            *(escaped(shown(name, member.figures.get(name))) for name in summary.objectives),
        )
        for member in summary.front
    ]
    header = ("trial", "origin", *(cell(name, 40) for name in summary.objectives))
    return [folded(f"Front: {ASIDE}", table(header, rows, right=(0, *range(2, len(header)))))] if rows else []


def _cost(details: ReportDetails) -> list[str]:
    summary = details.summary
    parts = []
    for role, spent in sorted(summary.cost.items()):
        amounts = f"{counted(spent.calls, 'call')}, {counted(spent.tokens, 'token')}, {dollars(spent.usd)}"
        parts.append(f"{code(role, 40)} {escaped(amounts)}")
    unknown = unpriced(details)
    if unknown:
        parts.append(f"price unknown for {', '.join(map(code, unknown))}")
    return [f"**Cost** – {'; '.join(parts)}"] if parts else []


def _prompt(details: ReportDetails) -> list[str]:
    if details.start is None or details.winner is None or details.start == details.winner:
        return []
    found, hidden = excerpted_changes(details.start, details.winner)
    lines = [line for name, part in found for line in (f"@@ {name} @@", *part[1:])]
    block = fenced(lines[:MOST_DIFF_LINES], "diff")
    rest = len(lines) - MOST_DIFF_LINES
    more = [f"{counted(rest, 'more line')} of the diff"] if rest > 0 else []
    if hidden:
        more.append(counted(hidden, "more demo"))
    ends = [f"and {', '.join(more)} in `compiled/prompts.diff`"] if more else []
    return [folded("What changed in the prompt", block, *ends)]


def _worst(details: ReportDetails) -> list[str]:
    rows = [
        (
            cell(row.id, 40),
            cell(row.inputs),
            cell(row.expected),
            cell(row.got) if row.got else "no prediction",
            "" if restated(row) else cell(row.reason),
        )
        for row in details.worst
    ]
    return [folded("Worst rows", table(("row", "input", "expected", "got", "why"), rows))] if rows else []


def _notes(details: ReportDetails) -> list[str]:
    notes = noted(details.summary)[:MOST_NOTES]
    return ["\n".join(f"- {escaped(note, 500)}" for note in notes)] if notes else []


def _ending(details: ReportDetails) -> list[str]:
    where = f"Run directory: {code(path_line(details.run_directory), LONGEST_PATH)}"
    commands = next_commands(details)
    return [where, fenced(commands, "sh")] if commands else [where]
