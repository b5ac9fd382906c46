"""What came out, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from promptc.cli.reports.details import is_search, scored_splits, start_won
from promptc.cli.reports.figures import bounds, change, counted, measured, probability, score
from promptc.runners.summary import Improvement, SplitSummary, Summary

Mood = Literal["good", "neutral", "bad"]

SIGNIFICANT = 0.05
UNTRUSTED, BUDGET_ENDED = 6, 7
_WORDS: Mapping[str, tuple[str, Mood]] = {"improvement": ("Improved", "good"), "regression": ("Worse", "bad")}


class Verdict(msgspec.Struct, frozen=True):
    """A sentence that a person reads first, and whether it is good news."""

    sentence: str
    mood: Mood


def verdict(summary: Summary) -> Verdict:
    """The verdict on a run: whether it can be trusted, then what changed or how it scored, then the gates."""
    if summary.skipped:
        return Verdict(f"Skipped: {summary.skipped}", "neutral")
    found = _search_verdict(summary) if is_search(summary) else _score_verdict(summary)
    found = _with_gates(_with_baseline(found, summary), summary)
    for code, words in ((UNTRUSTED, "Not to be trusted"), (BUDGET_ENDED, "Unfinished")):
        reasons = [line.message for line in summary.verdicts if line.code == code]
        if reasons:
            return Verdict(f"{words}: {'; '.join(reasons)}. {found.sentence}", "bad")
    return found


_BESIDE_BASELINE: Mapping[str, tuple[str, Mood]] = {
    "regression": ("a regression against the baseline", "bad"),
    "improvement": ("an improvement on the baseline", "good"),
    "tie": ("no worse than the baseline", "good"),
    "not enough data": ("too few rows to tell it from the baseline", "neutral"),
}


def _with_baseline(found: Verdict, summary: Summary) -> Verdict:
    if summary.baseline is None:
        return found
    words, mood = _BESIDE_BASELINE[summary.baseline.verdict]
    return Verdict(f"{found.sentence}; {words}", mood)


def _with_gates(found: Verdict, summary: Summary) -> Verdict:
    held = [gate.status for gate in summary.gates if gate.status != "not applicable"]
    met = held.count("met")
    if met < len(held):
        return Verdict(f"{found.sentence}; {len(held) - met} of {counted(len(held), 'gate')} failed", "bad")
    if held:
        judged = is_search(summary) or summary.baseline is not None
        mood: Mood = found.mood if judged else "good"
        return Verdict(f"{found.sentence}; {counted(met, 'gate')} met", mood)
    return found


def _search_verdict(summary: Summary) -> Verdict:
    if start_won(summary):
        return Verdict(_start_won(summary), "neutral")
    for name, split in scored_splits(summary):
        if split.improvement is None:
            continue
        words, mood = _judged(split.improvement)
        figures = _change(name, split, split.improvement)
        if name in ("test", "all"):
            return Verdict(f"{words}: {figures}", mood)
        return Verdict(
            f"{words} on {name}, where the winner was chosen: {figures}; no held-out figure", "neutral"
        )
    return Verdict("A winner was chosen on dev, and there is no figure to compare it by", "neutral")


def _start_won(summary: Summary) -> str:
    tried = sum(1 for trial in summary.trials if trial.number != 0)
    sentence = "The start won: " + ("no candidate was better on dev" if tried else "no candidate was tried")
    figures = [f"{name} {measured(split)}" for name, split in scored_splits(summary)]
    return f"{sentence} ({', '.join(figures)})" if figures else sentence


def _judged(improvement: Improvement) -> tuple[str, Mood]:
    """Improved or worse only where the interval and p agree."""
    found = improvement.verdict
    if not found and improvement.p < SIGNIFICANT and not improvement.ci_low <= 0 <= improvement.ci_high:
        found = "improvement" if improvement.difference > 0 else "regression"
    return _WORDS.get(found, ("No significant change", "neutral"))


def _change(name: str, split: SplitSummary, improvement: Improvement) -> str:
    before = split.start.score if split.start is not None else None
    low, high = bounds(improvement.ci_low, improvement.ci_high)
    return (
        f"{name} {score(before)} → {score(split.score)}, {change(improvement.difference)} "
        f"(95 % CI {low} to {high}, {probability(improvement.p)}), {counted(split.n, 'row')}"
    )


def _score_verdict(summary: Summary) -> Verdict:
    splits = scored_splits(summary)
    if not splits:
        return Verdict("Nothing was scored", "neutral")
    parts = [f"{name} {measured(split)} ({counted(split.n, 'row')})" for name, split in splits]
    failures = sum(sum(split.failures.values()) for _, split in splits)
    sentence = f"Scored {', '.join(parts)}"
    return Verdict(f"{sentence}, {counted(failures, 'row')} failed" if failures else sentence, "neutral")
