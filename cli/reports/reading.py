"""What a report quotes, as sections: the prompt's diff, the worst rows, notes. All of it is others' text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from promptc.cli.reports.details import ReportDetails, WorstRow
from promptc.cli.reports.diff import excerpted_changes
from promptc.cli.reports.figures import count, counted, score
from promptc.cli.reports.look import ACCENT, BAD, CAUTION, GOOD, QUIET, Look, bold, grid, quiet, section
from promptc.cli.untrusted import one_line, plain
from promptc.runners.candidate import Candidate, Demo
from promptc.runners.summary import Summary

MOST_DIFF_LINES = 60
LONGEST_ID = 24
SHORT_OUTCOME = 44
MOST_NOTES = 20
MOST_NOTE = 500

_DIFF_STYLES = {"+": GOOD, "-": BAD, "@": ACCENT}


def prompt(details: ReportDetails, look: Look) -> list[RenderableType]:
    """What the winner's prompt says that the start's did not."""
    start, winner = details.start, details.winner
    if start is None or winner is None:
        return []
    facts = prompt_facts(details, look)
    if start == winner:
        return section("Prompt", [quiet("unchanged")], aside=facts)
    found, hidden = excerpted_changes(start, winner)
    parts: list[RenderableType] = []
    for name, lines in found:
        parts += [Text(name, style=ACCENT), *_diff_lines(lines)]
    if hidden:
        parts.append(quiet(look.words(f"… and {counted(hidden, 'more demo')}")))
    return section("Prompt", parts, aside=facts)


def prompt_facts(details: ReportDetails, look: Look) -> str:
    """Length and demos before and after, in a few words."""
    facts = []
    first = next((trial for trial in details.summary.trials if trial.number == 0), None)
    winner = details.summary.winner
    if first is not None and winner is not None and winner.prompt_characters:
        facts.append(
            look.words(f"{count(first.prompt_characters)} → {count(winner.prompt_characters)} characters")
        )
    if details.start is not None and details.winner is not None:
        before, after = _demos(details.start), _demos(details.winner)
        if before or after:
            bootstrapped = sum(1 for demo in after if demo.source == "bootstrapped")
            chosen = [t.nearest.k for t in details.winner.predictors.values() if t.nearest is not None]
            shown = f", {count(max(chosen))} for each row" if chosen else ""
            kinds = f" ({count(bootstrapped)} bootstrapped)" if bootstrapped else ""
            facts.append(look.words(f"{count(len(before))} → {counted(len(after), 'demo')}{kinds}{shown}"))
    return f" {look.marks.dot} ".join(facts)


def _demos(candidate: Candidate) -> list[Demo]:
    return [demo for texts in candidate.predictors.values() for demo in texts.demos]


def _diff_lines(lines: list[str]) -> list[RenderableType]:
    """One text per line, so that what is too long goes on below its own text. The first `@@` says nothing."""
    shown: list[RenderableType] = []
    for line in lines[1 : MOST_DIFF_LINES + 1]:
        if line.startswith("@@"):
            shown.append(quiet("  ⋮"))
            continue
        shown.append(_hanging(line, _DIFF_STYLES.get(line[0], QUIET)))
    rest = len(lines) - 1 - MOST_DIFF_LINES
    if rest > 0:
        shown.append(quiet(f"and {counted(rest, 'more line')}"))
    return shown


def _hanging(line: str, style: str) -> RenderableType:
    """The sign of a diff line in a column of its own."""
    body = line[1:]
    indent = len(body) - len(body.lstrip(" "))
    cells = [Text(line[0], style=style), Text(body[indent:], style=style)]
    return grid([cells], gap=1 + indent)


def worst(details: ReportDetails, look: Look) -> list[RenderableType]:
    """The rows that went worst: what went in, what was expected, what came, and why that is wrong."""
    limit = max(look.width * 2 - 50, 120)
    rows = [_row(row, limit) for row in details.worst]
    return section("Worst rows", [grid(rows)] if rows else [])


def _row(row: WorstRow, limit: int) -> list[RenderableType]:
    lines = [plain(one_line(row.inputs, limit)), *_outcome(row, limit)]
    if row.reason and not restated(row):
        lines.append(_labelled("why", one_line(row.reason, limit), ""))
    given = score(row.score) if row.score is not None else "unscored"
    return [bold(one_line(row.id, LONGEST_ID)), quiet(given), Group(*lines)]


def _outcome(row: WorstRow, limit: int) -> list[Text]:
    """What was expected and what came: on one line where both are short."""
    expected = _labelled("expected", one_line(row.expected, limit), GOOD) if row.expected else Text()
    got = _labelled("got", one_line(row.got, limit), CAUTION) if row.got else Text("no prediction", style=BAD)
    if expected.cell_len + got.cell_len <= SHORT_OUTCOME:
        return [expected + Text("  " if expected else "") + got]
    return [expected, got] if expected else [got]


def _labelled(label: str, text: str, style: str) -> Text:
    return Text.assemble((f"{label} ", QUIET), (text, style))


def restated(row: WorstRow) -> bool:
    """True where the reason says no more than what was expected and what came."""
    return restates(row.reason, row.expected, row.got)


def restates(reason: str, expected: str, got: str) -> bool:
    """True where a reason holds both values and little else."""
    both = expected and got and expected in reason and got in reason
    return bool(both) and len(reason) <= len(expected) + len(got) + len('expected "", got ""')


def notes(details: ReportDetails, look: Look) -> list[RenderableType]:
    """What is worth knowing besides: notes of the run, and warnings of the moment."""
    lines = [*noted(details.summary), *(details.timing.warnings if details.timing is not None else ())]
    return section("Notes", list(bullets(lines, look)))


def noted(summary: Summary) -> list[str]:
    """The notes of a run, and which models were exchanged while it went on."""
    changed = [
        f"{model} answered as {', '.join(served)}: it was exchanged during the run"
        for model, served in summary.served_models.items()
        if len(served) > 1
    ]
    return list(dict.fromkeys((*summary.notes, *changed)))


def bullets(lines: Iterable[str], look: Look) -> Iterable[RenderableType]:
    """A list of sentences; each once, the first twenty."""
    unique = list(dict.fromkeys(lines))
    for line in unique[:MOST_NOTES]:
        yield grid([[quiet(look.marks.bullet), plain(one_line(line, MOST_NOTE))]], gap=1)
    if len(unique) > MOST_NOTES:
        yield quiet(f"and {counted(len(unique) - MOST_NOTES, 'more note')} in summary.json")
