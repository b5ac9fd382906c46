"""The answer of `promptc compare` for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from promptc.cli.reports.baseline import COLORS
from promptc.cli.reports.charts import Axis, Move, Row, Span, charted, plot, taken
from promptc.cli.reports.figures import (
    MISSING,
    bounds,
    change,
    count,
    counted,
    dollars,
    duration,
    interval,
    points,
    probability,
    score,
    signed_interval,
)
from promptc.cli.reports.look import ACCENT, BAD, GOOD, QUIET, Look, bold, grid, look_of, quiet, section
from promptc.cli.reports.sweep_details import values
from promptc.cli.reports.terminal import WIDEST, WIDEST_TEXT, headlined, lined
from promptc.cli.reports.verdict import Mood, Verdict
from promptc.cli.untrusted import one_line, path_line, plain
from promptc.runners.comparison_document import Answered, ComparedRun, Comparison, Flip, Part, RunDifference

LONGEST_PATH_SHOWN = 34
LONGEST_NAME = 24
MOST_SLICES = 12

_WORDS: Mapping[str, tuple[str, Mood]] = {
    "improvement": ("is an improvement on", "good"),
    "regression": ("is a regression from", "bad"),
    "tie": ("ties with", "neutral"),
    "not enough data": ("cannot be told from", "neutral"),
}


def comparison_report(found: Comparison) -> RenderableType:
    """The report. It suits itself to the console, as that of a run does."""
    return ComparisonReport(found)


class ComparisonReport:
    """A comparison as something that rich can show."""

    def __init__(self, found: Comparison) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Compose the sections for this console."""
        look = look_of(console, options.update(width=min(options.max_width, WIDEST)))
        found = self._found
        narrow = look.narrowed(min(look.width, WIDEST_TEXT))
        facts = [counted(len(found.runs), "run"), f"on {found.split}"]
        title = f"compare {' and '.join(sorted({run.name for run in found.runs}))}"
        parts = [headlined(title, title, comparison_verdict(found), facts, look)]
        for compose in (_runs, _differences, _costs, _metrics, _slices, _flips):
            parts += compose(found, narrow)
        yield from lined(Group(*parts), console, options.update(width=look.width))


def comparison_verdict(found: Comparison) -> Verdict:
    """What the comparison came to; of several runs, what each did."""
    first = found.runs[0].letter
    if len(found.differences) == 1:
        one = found.differences[0]
        words, mood = _WORDS[one.verdict]
        whole = one.whole
        low, high = bounds(whole.ci_low, whole.ci_high)
        sentence = (
            f"{one.letter} {words} {first}: {score(whole.before)} → {score(whole.after)}, "
            f"{change(whole.difference)} ({100 * (1 - found.alpha):g} % CI {low} to {high}, "
            f"{probability(whole.p_adjusted)}), {counted(whole.n, 'row')}"
        )
        return Verdict(f"{sentence}; {_meaning(found, one)}", mood)
    kinds: dict[str, list[str]] = {}
    for one in found.differences:
        kinds.setdefault(one.verdict, []).append(one.letter)
    said = [f"{', '.join(letters)}: {verdict}" for verdict, letters in kinds.items()]
    bad, good = "regression" in kinds, "improvement" in kinds
    return Verdict(f"Against {first}: {'; '.join(said)}", "bad" if bad else "good" if good else "neutral")


def _meaning(found: Comparison, one: RunDifference) -> str:
    """What the verdict rests on."""
    drop = points(found.max_drop)
    changed = one.whole.wins or one.whole.losses
    said = {
        "regression": f"a fall of more than {drop} that is no chance",
        "improvement": "a rise that is no chance",
        "tie": f"a fall of more than {drop} is ruled out" if changed else "every row scores the same",
        "not enough data": f"a fall of more than {drop} is neither shown nor ruled out",
    }[one.verdict]
    if one.verdict == "not enough data" and one.detectable is not None:
        said += f", and rows like these show {points(one.detectable)} four times out of five"
    return said


def _runs(found: Comparison, look: Look) -> list[RenderableType]:
    """Each run alone."""
    rows = [_run(run) for run in found.runs]
    rows.insert(0, Row([Text()] * len(rows[0].cells), Axis()))
    return section("Runs", [charted(rows, plot(look, taken(rows)))], aside=f"on {found.split}")


def _run(run: ComparedRun) -> Row:
    cells = [
        Text(run.letter, style=f"bold {ACCENT}"),
        plain(_tail(run.path, LONGEST_PATH_SHOWN)),
        bold(score(run.score)),
        quiet(interval(run.ci_low, run.ci_high)),
        quiet(f"{count(run.n)} rows"),
    ]
    if run.score is None or run.ci_low is None or run.ci_high is None:
        return Row(cells)
    return Row(cells, Span(run.ci_low, run.score, run.ci_high, ACCENT))


def _tail(path: str, limit: int) -> str:
    """The end of a path, which tells runs apart."""
    flat = path_line(path)
    return flat if len(flat) <= limit else f"…{flat[len(flat) - limit + 1 :]}"


def _differences(found: Comparison, look: Look) -> list[RenderableType]:
    """Every run against the first, and which rows could not be compared."""
    rows = [_difference(one) for one in found.differences]
    parts: list[RenderableType] = [grid(rows, right=(1,))]
    for one in found.differences:
        left = [
            f"{count(number)} {what}"
            for number, what in (
                (one.other_content, "with other content"),
                (one.only_before, f"in {found.runs[0].letter} alone"),
                (one.only_after, f"in {one.letter} alone"),
            )
            if number
        ]
        if left:
            parts.append(quiet(f"{one.letter}: rows left out: {', '.join(left)}"))
    holm = f", p by Holm over {len(found.differences)}" if len(found.differences) > 1 else ""
    return section(f"Differences from {found.runs[0].letter}", parts, aside=f"on the rows of both{holm}")


def _difference(one: RunDifference) -> list[RenderableType]:
    whole, color = one.whole, COLORS[one.verdict]
    rows = f"{count(whole.wins)} better, {count(whole.ties)} same, {count(whole.losses)} worse"
    return [
        Text(one.letter, style=f"bold {ACCENT}"),
        Text(change(whole.difference), style=f"bold {color}"),
        quiet(signed_interval(whole.ci_low, whole.ci_high)),
        quiet(probability(whole.p_adjusted)),
        Text(one.verdict, style=color),
        quiet(rows),
    ]


def _costs(found: Comparison, look: Look) -> list[RenderableType]:
    """What a row costs, and how long a reply took."""
    head = ["", "$/1,000 rows", "tokens/row", "a reply", "calls", "spent"]
    rows: list[list[RenderableType]] = [[quiet(name) for name in head]]
    for run in found.runs:
        usd, latency = run.usd_per_1000_rows, run.median_latency
        rows.append(
            [
                Text(run.letter, style=f"bold {ACCENT}"),
                bold(dollars(usd) if usd is not None else "?"),
                Text(count(run.tokens_per_row) if run.tokens_per_row is not None else MISSING),
                quiet(duration(latency) if latency is not None else MISSING),
                quiet(count(run.calls)),
                quiet(dollars(run.usd)),
            ]
        )
    return section("Cost", [grid(rows, right=(1, 2, 3, 4, 5))])


def _metrics(found: Comparison, look: Look) -> list[RenderableType]:
    """Every metric, where there are several."""
    parts: list[RenderableType] = []
    for one in found.differences:
        if one.metrics:
            parts += section(f"Metrics of {one.letter}", [_parts(one.metrics, look)], aside="p by Holm")
    return parts


def _slices(found: Comparison, look: Look) -> list[RenderableType]:
    """Every value of each sliced column; of many, those that fell most."""
    parts: list[RenderableType] = []
    for one in found.differences:
        for column, groups in one.slices.items():
            kept = sorted(groups, key=lambda value: (groups[value].difference, value))[:MOST_SLICES]
            shown = {value: groups[value] for value in groups if value in kept}
            body: list[RenderableType] = [_parts(shown, look)]
            if len(shown) < len(groups):
                body.append(quiet(f"and {counted(len(groups) - len(shown), 'more value')} with --json"))
            title = f"{one.letter} by {one_line(column, LONGEST_NAME)}"
            parts += section(title, body, aside="p by Holm")
    return parts


def _parts(groups: Mapping[str, Part], look: Look) -> RenderableType:
    rows = [_part_row(name, part, look) for name, part in groups.items()]
    return charted(rows, plot(look, taken(rows)), right=(1,))


def _part_row(name: str, part: Part, look: Look) -> Row:
    style = GOOD if part.difference > 0 else BAD if part.difference < 0 else QUIET
    cells = [
        plain(one_line(name, LONGEST_NAME)),
        quiet(f"{count(part.n)} rows" if part.n != 1 else "1 row "),
        quiet(score(part.before)),
        bold(score(part.after)),
        Text(change(part.difference), style=style),
        quiet(probability(part.p_adjusted)),
    ]
    if part.before is None or part.after is None:
        return Row(cells)
    return Row(cells, Move(part.before, part.after))


def _flips(found: Comparison, look: Look) -> list[RenderableType]:
    """The rows that changed most, with both answers."""
    parts: list[RenderableType] = []
    first = found.runs[0].letter
    for one in found.differences:
        moved = one.whole.wins + one.whole.losses
        shown = [line for flip in one.flips for line in _flip(flip, first, one.letter, look)]
        aside = f"{count(moved)} of {count(one.whole.n)}, losses first"
        if len(one.flips) < moved:
            aside += f"; {count(len(one.flips))} shown, more with --rows"
        parts += section(f"Rows that {one.letter} changed", shown, aside=aside)
    return parts


def _flip(flip: Flip, before: str, after: str, look: Look) -> Sequence[RenderableType]:
    head = plain(f"{one_line(flip.id, 24)}  ", ACCENT)
    head.append_text(plain(values(flip.inputs)))
    lines = [head]
    if flip.expected:
        lines.append(plain(f"   expected {values(flip.expected)}", QUIET))
    lines += [_answer(flip.before, before, look), _answer(flip.after, after, look)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _answer(answered: Answered, letter: str, look: Look) -> Text:
    right = answered.score is not None and answered.score >= 1.0
    mark, style = (look.marks.met, GOOD) if right else (look.marks.failed, BAD)
    text = Text("   ")
    text.append(mark if answered.score in (0.0, 1.0, None) else score(answered.score), style=style)
    text.append(f" {letter}  ", style=QUIET)
    said = (
        one_line(answered.failure)
        if answered.failure and answered.outputs is None
        else values(answered.outputs or {})
    )
    return text.append_text(plain(said))
