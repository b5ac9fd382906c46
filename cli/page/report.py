"""report.html: one file that opens without a network, made from a run's figures and rows."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.cli.page.drawing import HINT, Draw, drawing
from promptc.cli.page.matrix import Matrix, matrix
from promptc.cli.page.pictures import (
    Picture,
    calibration_picture,
    score_pictures,
    search_pictures,
    slice_pictures,
)
from promptc.cli.page.prompt import prompt_view
from promptc.cli.page.tables import Table, cost_table, failure_table, front_table, tally_table, trial_table
from promptc.cli.reports import baseline, repeats
from promptc.cli.reports.counts import title_of
from promptc.cli.reports.details import ReportDetails, is_search
from promptc.cli.reports.facts import NOTICEABLE, gate_figures, next_commands, spent, stopped, unpriced
from promptc.cli.reports.figures import (
    MISSING,
    bounds,
    change,
    count,
    counted,
    dollars,
    duration,
    interval,
    measured,
    probability,
    score,
)
from promptc.cli.reports.reading import noted
from promptc.cli.reports.row_views import MOST_SHOWN, shown_rows
from promptc.cli.reports.scores import remarks
from promptc.cli.reports.verdict import verdict
from promptc.cli.untrusted import path_line, visible
from promptc.runners.summary import GateResult, Improvement

if TYPE_CHECKING:
    from jinja2 import Environment

GATE_WORDS = {
    "met": ("✓", "good", "met"),
    "failed": ("✗", "bad", "failed"),
    "missing": ("✗", "bad", "no figure: the budget ended"),
    "not applicable": ("–", "quiet", "not applicable to this run"),
}


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the headline: what it is, the figure, and what to know beside it."""

    label: str
    figure: str
    note: str = ""
    tone: str = ""


class GateLine(msgspec.Struct, frozen=True, kw_only=True):
    """A gate as it is shown."""

    text: str
    value: str
    sign: str
    tone: str
    words: str


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric says of all rows together: its figures, a confusion matrix and a calibration where it has them."""

    title: str
    metric: str
    split: str
    figures: Table
    matrix: Matrix | None
    calibration: Picture | None


def html_report(
    details: ReportDetails,
    run: Path,
    manifest: Mapping[str, Any],
    *,
    most_rows: int = MOST_SHOWN,
    draw: Draw | None = None,
) -> bytes:
    """The page. `run` is where the rows and prompts of the run stand; what cannot be drawn is shown as tables.

    Equal runs give equal bytes. Raises RunError where rows.jsonl is not a run's.
    """
    template = _environment().get_template("report.html")
    style, script, bare = (_part(name) for name in ("report.css", "report.js", "bare.css"))
    page = template.render(
        policy=content_policy(script, (style, bare)),
        style=_trusted(style),
        script=_trusted(script),
        bare=_trusted(bare),
        **_content(details, run, manifest, most_rows, draw or drawing()),
    )
    # Jinja ends a template without its last line feed.
    return page.encode() + b"\n"


def content_policy(script: str, styles: Sequence[str]) -> str:
    """A Content-Security-Policy that lets nothing in from outside, and runs no script but the page's own."""
    hashes = " ".join(_hash(style) for style in styles)
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {hashes}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _part(name: str) -> str:
    return resources.files("promptc.cli.page").joinpath("templates", name).read_text(encoding="utf-8")


def _trusted(text: str) -> Any:
    """The page's own style and script, and drawings, whose library escapes what they say."""
    from markupsafe import Markup

    return Markup(text)


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Whatever a template prints: others' text has its control and direction characters written out."""
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_part),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters.update(score=score, change=change, count=count, trusted=_trusted, quoted=shlex.quote)
    environment.globals.update(counted=counted, dollars=dollars, missing=MISSING)
    return environment


def _content(
    details: ReportDetails, run: Path, manifest: Mapping[str, Any], most_rows: int, draw: Draw | None
) -> dict[str, Any]:
    summary = details.summary
    found = verdict(summary)
    head, separator, rest = found.sentence.partition(": ")
    return {
        "title": details.spec_name or summary.name,
        "command": summary.command,
        "mood": found.mood,
        "head": head if separator else "",
        "sentence": rest if separator else head,
        "tiles": list(_tiles(details)),
        "gates": [_gate(gate) for gate in summary.gates],
        "searched": is_search(summary),
        "scores": score_pictures(details, draw),
        "slices": slice_pictures(details, draw),
        "remarks": remarks(details),
        "repeats": _repeats(details),
        "baseline": summary.baseline,
        "baseline_says": [baseline.figures(summary.baseline), *baseline.remarks(summary.baseline)]
        if summary.baseline is not None
        else [],
        "labels": _labels(details, draw),
        "search": search_pictures(summary, draw),
        "tried": trial_table(summary),
        "front": front_table(summary),
        "stopped": stopped(summary.stop_reason) if summary.stop_reason else "",
        "optimizer": summary.optimizer,
        "trials": len(summary.trials),
        "prompt": prompt_view(details, run),
        "rows": shown_rows(run, summary, most_rows),
        "failures": failure_table(details),
        "cost": cost_table(details),
        "unpriced": unpriced(details),
        "times": _times(details),
        "notes": [*noted(summary), *(details.timing.warnings if details.timing is not None else ())],
        "facts": list(_facts(details, manifest)),
        "commands": next_commands(details),
        "trace": f"promptc trace {shlex.quote(path_line(details.run_directory))} --row",
        "plots_hint": "" if draw is not None else HINT,
    }


def _tiles(details: ReportDetails) -> list[Tile]:
    tiles = []
    for name, split in details.splits()[:1]:
        spread = interval(split.ci_low, split.ci_high)
        was = f"was {score(split.start.score)}" if split.start is not None else counted(split.n, "row")
        tiles.append(
            Tile(label=f"Score on {name}", figure=score(split.score), note=f"{spread} · {was}".strip(" ·"))
        )
        if split.improvement is not None:
            tiles += _change(name, split.improvement)
    summary = details.summary
    if is_search(summary):
        tiles.append(Tile(label="Trials", figure=count(len(summary.trials)), note=summary.optimizer))
    tiles.append(Tile(label="Cost", figure=spent(details), note=counted(summary.calls, "call")))
    held = [gate.status for gate in summary.gates if gate.status != "not applicable"]
    if held:
        met = held.count("met")
        tone = "good" if met == len(held) else "bad"
        tiles.append(Tile(label="Gates", figure=f"{met} of {len(held)}", note="met", tone=tone))
    return tiles


def _change(name: str, found: Improvement) -> list[Tile]:
    low, high = bounds(found.ci_low, found.ci_high)
    tone = "good" if found.ci_low > 0 else "bad" if found.ci_high < 0 else ""
    tiles = [
        Tile(
            label=f"Change on {name}",
            figure=change(found.difference),
            note=f"95 % CI {low} to {high} · {probability(found.p)}",
            tone=tone,
        )
    ]
    if found.wins + found.ties + found.losses:
        tiles.append(
            Tile(
                label="Rows better, worse",
                figure=f"{count(found.wins)}, {count(found.losses)}",
                note=f"{count(found.ties)} the same",
            )
        )
    return tiles


def _gate(gate: GateResult) -> GateLine:
    sign, tone, words = GATE_WORDS[gate.status]
    value, distance = gate_figures(gate)
    said = f"{'missed' if gate.status == 'failed' else words} by {distance}" if distance else words
    return GateLine(text=gate.text, value=value or MISSING, sign=sign, tone=tone, words=said)


def _labels(details: ReportDetails, draw: Draw | None) -> list[Labels]:
    found = []
    for name, split in details.splits()[:1]:
        before = split.start.tallies if split.start is not None else {}
        for metric, tally in sorted(split.tallies.items()):
            one = Labels(
                title=title_of(tally),
                metric=metric,
                split=name,
                figures=tally_table(f"{metric} over all rows of {name}", tally, before.get(metric, {})),
                matrix=matrix(tally),
                calibration=calibration_picture(tally, draw),
            )
            if one.matrix is not None or one.calibration is not None or one.figures.rows:
                found.append(one)
    return found


def _repeats(details: ReportDetails) -> list[tuple[str, str]]:
    for _, split in details.splits()[:1]:
        passed = [("passed", measured(split.passed))] if split.passed is not None else []
        return [*passed, *repeats.facts(split)]
    return []


def _times(details: ReportDetails) -> list[tuple[str, str]]:
    timing = details.timing
    if timing is None:
        return []
    paid = f"{counted(timing.paid_calls, 'call')}, {dollars(timing.paid_usd)}"
    lines = [("time", duration(timing.seconds)), ("really paid", paid)]
    for label, number in (
        ("from the cache", timing.cache_hits),
        ("replayed", timing.replayed),
        ("retries", timing.retries),
    ):
        if number:
            lines.append((label, count(number)))
    lines += [
        (name, f"median {duration(model.median_latency)}, p95 {duration(model.p95_latency)} a reply")
        for name, model in timing.models.items()
        if model.calls and model.median_latency >= NOTICEABLE
    ]
    return lines


def _facts(details: ReportDetails, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What somebody needs who wants to have the same result again."""
    git, digests = manifest.get("git") or {}, manifest.get("digests", {})
    commit = str(git.get("commit", ""))[:12]
    served = (f"{name}: {', '.join(models)}" for name, models in details.summary.served_models.items())
    facts = [
        ("command", " ".join(("promptc", *map(str, manifest.get("arguments", ()))))),
        ("run", details.run_directory),
        ("identity", details.summary.identity),
        ("promptc", str(manifest.get("promptc", ""))),
        ("seed", str(manifest.get("seed", ""))),
        ("digest of the data", str(digests.get("data", ""))),
        ("digest of the spec", str(digests.get("spec", ""))),
        ("commit", f"{commit} with changes that are not committed" if git.get("dirty") else commit),
        ("models that answered", "; ".join(served)),
    ]
    return [(name, value) for name, value in facts if value]
