"""Runs for report.html: the figures of report_cases with rows beside them, and a model that means harm."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from report_cases import QUEUES, failing_eval, triage

from promptc.cli.page.report import html_report
from promptc.cli.reports.details import ReportDetails
from promptc.runners.baselines import BaselineComparison
from promptc.runners.repeat_figures import RepeatFigures
from promptc.runners.summary import Figure, Summary

HARM = (
    "<script>window.harmed = 1</script>",
    "</script><script>window.harmed = 2</script>",
    "<img src=x onerror='window.harmed = 3'>",
    '"><svg onload="window.harmed = 4">',
    "javascript:window.harmed=5",
    "<a href='javascript:window.harmed=6'>click</a>",
    "[link](javascript:window.harmed=7)",
    "{{ 7 * 7 }}{% for x in y %}",
    "<style>body { display: none }</style></style><!-- -->",
    "]]></title></textarea></noscript><iframe src='https://harm.example/'></iframe>",
    "<meta http-equiv=refresh content='0; url=https://harm.example/'><base href='https://harm.example/'>",
    "right \u202e tfel \u2066 hidden \u200b\u00ad\ufeff \x1b[31m\x07\x00",
    "${alert(8)} `alert(9)` &lt;b&gt; &amp; \\u003cscript\\u003e",
)
"""What a model, a row or a file name may say to a page."""


def row(number: int, score: float | None = 1.0, **rest: Any) -> dict[str, Any]:
    """A line of rows.jsonl."""
    return {
        "id": f"r{number:03d}",
        "split": "dev",
        "candidate": "47c7645326fb",
        "score": score,
        "metrics": {"exact_match": score},
        "inputs": {"message": f"message number {number}"},
        "outputs": {"queue": QUEUES[number % 6]},
        "expected": {"queue": QUEUES[(number if score else number + 1) % 6]},
        "tokens": {"input": 200 + number, "output": 12},
        "cost": 0.0,
        **rest,
    }


def searched_rows(count: int = 60) -> list[dict[str, Any]]:
    """Rows of a search: the start's, then the winner's, which is better on most and worse on a few."""
    before = [
        row(n, float(n % 3 == 0), split="test", candidate="start", outputs={"queue": "billing"})
        for n in range(count)
    ]
    after = [
        row(n, float(n % 5 != 0), split="test", candidate="winner", reasks=int(n % 4 == 1))
        for n in range(count)
    ]
    return before + after


def failing_rows(count: int = 40) -> list[dict[str, Any]]:
    """Rows of an evaluation in which everything happens that can happen to a row."""
    rows = [row(n, (1.0, 0.5, 0.0)[n % 3], metrics={"json_fields": 0.5, "polite": 1.0}) for n in range(count)]
    for n in range(0, count, 10):
        rows[n] = row(
            n,
            None if n % 20 else 0.0,
            outputs=None,
            failure={"kind": "provider" if n % 20 else "parse", "message": "no section [[ queue ]]"},
        )
    rows[7] = row(7, None, metrics={"json_fields": None}, expected={})
    rows[8] = row(
        8,
        0.25,
        outputs={"order": {"items": [{"name": "绿茶", "quantity": 12}], "customer": {"name": "Köln"}}},
        feedback={"json_fields": "items[0].quantity: expected 2, got 12", "polite": "says please"},
        steps=[
            {"predictor": "answer.extract", "outputs": {"reasoning": "Twelve boxes stand\nin the mail."}},
            {"predictor": "shorten", "kind": "skipped", "outputs": {}, "notes": ["when: was false"]},
        ],
    )
    return rows


def harmful_rows(payloads: Iterable[str] = HARM) -> list[dict[str, Any]]:
    """A row for each payload, with it in every place that somebody else fills."""
    rows = []
    for number, text in enumerate(payloads):
        said = {
            "id": f"{number} {text}",
            "inputs": {text: text, "nested": {text: [text]}},
            "outputs": {"queue": text, text: text},
            "expected": {text: text},
            "feedback": {text: text},
            "metrics": {text: 0.0, "other": 0.5},
            "steps": [{"predictor": text, "outputs": {text: text}, "notes": [text]}],
        }
        rows.append(row(number, 0.0, split="test", candidate="start") | said)
        rows.append(row(number, 0.0, split="test", candidate="winner") | said)
        rows.append(
            row(number, 0.0, split="test", candidate="winner")
            | said
            | {
                "id": f"failed {number} {text}",
                "failure": {"kind": "parse", "message": text},
                "outputs": None,
            }
        )
    return rows


def written(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A run directory with these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def page(folder: Path, details: ReportDetails, rows: Iterable[Mapping[str, Any]], **rest: Any) -> Path:
    """report.html of a run with these figures and rows."""
    run = written(folder, rows)
    manifest = {"promptc": "0.1.0", "arguments": ["optimize", "spec.yaml"], "seed": 0}
    target = run / "report.html"
    target.write_bytes(html_report(details, run, manifest, **rest))
    return target


def nothing_scored() -> ReportDetails:
    """An evaluation that came to no figure at all."""
    return msgspec.structs.replace(
        failing_eval(), summary=Summary(command="eval", name="empty"), worst=(), timing=None, start=None
    )


def told() -> ReportDetails:
    """An evaluation with everything that can stand beside a score: a baseline, repeats, a calibration."""
    details = failing_eval()
    dev = details.summary.dev
    assert dev is not None
    bins = [
        {
            "low": n / 10,
            "high": (n + 1) / 10,
            "rows": 5 + 4 * n,
            "probability": n / 10 + 0.05,
            "came_true": n / 14,
        }
        for n in range(1, 10)
    ]
    figures = {"brier": 0.181, "ece": 0.094, "overconfidence": 0.031, "bins": bins}
    repeats = RepeatFigures(
        count=3, reduce="mean", scores=(0.79, 0.81, 0.8), variance=0.0123, noise=0.2, unsteady=17
    )
    dev = msgspec.structs.replace(
        dev,
        tallies={**dev.tallies, "calibration": figures},
        passed=Figure(score=0.7, ci_low=0.62, ci_high=0.77, n=139),
        repeats=repeats,
    )
    baseline = BaselineComparison(
        source="baseline.json", verdict="regression", before=0.86, after=0.8, difference=-0.06, ci_low=-0.1,
        ci_high=-0.02, p=0.004, n=139, wins=3, ties=120, losses=16, detectable=0.04, max_drop=0.02, alpha=0.05, new=2,
    )  # fmt: skip
    return msgspec.structs.replace(
        details, summary=msgspec.structs.replace(details.summary, dev=dev, baseline=baseline)
    )


def repeated_rows() -> list[dict[str, Any]]:
    """Rows that were run three times each."""
    runs = [{"score": 1.0, "outputs": {"queue": "billing"}}, {"score": 0.0, "outputs": {"queue": "moving"}}]
    failed = {"score": 0.0, "outputs": None, "failure": {"kind": "parse", "message": "no section"}}
    return [row(n, 0.333, passed=False, repeats=[*runs, failed]) for n in range(5)]


def searched(folder: Path) -> Path:
    """The page of the triage search."""
    return page(folder, triage(), searched_rows())
