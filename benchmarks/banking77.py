"""banking77 with the embedded model: what demonstrations are worth, through the real command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from measuring import SPECS, Section, Settings, environment_for, forget_replies, promptc, spend

SPEC = SPECS / "banking77.yaml"
SIZES = (77, 154, 231, 308, 770)
"""Demonstrations: one, two, three, four and ten for each label on average."""

RANDOM_SEARCH = (
    "{bootstrap_random_search: {candidates: 16, max_labeled_demos: 231, max_bootstrapped_demos: %d}}"
)
BOOTSTRAPPED = (16, 0)
"""Most bootstrapped demonstrations of the random searches: some, and none."""

NEIGHBOURS = ("{knn: {k: 4}}", "{knn: {}}")
"""Searches over neighbours: few of them, and as many as dev says."""

HEADER = ("what", "dev", "test", "test − start", "p", "calls", "wall s", "prompt characters", "with")


def measure(settings: Settings) -> Section:
    """The start, labelled demonstrations of several sizes, and a random search."""
    folder = settings.data("banking77", "train.jsonl", "test.jsonl", "intents.json")
    searches = [(f"labeled_few_shot, k {k}", f"{{labeled_few_shot: {{k: {k}}}}}") for k in SIZES]
    searches += [
        (f"bootstrap_random_search, {most} bootstrapped", RANDOM_SEARCH % most) for most in BOOTSTRAPPED
    ]
    evaluated, wall = _promptc(settings, folder, "start", "eval", "--split", "test")
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for number, (what, optimizer) in enumerate(searches):
        setting = f"optimizer={optimizer}"
        found, took = _promptc(settings, folder, f"search{number}", "optimize", "--set", setting)
        if not rows:
            rows.append(_start(evaluated, found, wall))
        rows.append(_line(what, found, took, f"`optimize … --set '{setting}'`"))
        notes += found.get("notes", ())
    said = "; ".join(dict.fromkeys(notes))
    return Section(header=HEADER, rows=rows, notes=[f"Noted by promptc: {said}."] if said else [])


def measure_knn(settings: Settings) -> Section:
    """The start, and the training rows that are most like each row."""
    folder = settings.data("banking77", "train.jsonl", "test.jsonl", "intents.json")
    evaluated, wall = _promptc(settings, folder, "start", "eval", "--split", "test")
    rows: list[tuple[str, ...]] = []
    for number, optimizer in enumerate(NEIGHBOURS):
        setting = f"optimizer={optimizer}"
        found, took = _promptc(settings, folder, f"knn{number}", "optimize", "--set", setting)
        if not rows:
            rows.append(_start(evaluated, found, wall))
        rows.append(_line("knn", found, took, f"`optimize … --set '{setting}'`"))
    return Section(header=HEADER, rows=rows)


def _start(evaluated: dict[str, Any], found: dict[str, Any], wall: float) -> tuple[str, ...]:
    """The start as `eval` scored it on test, with its dev score and length from a search, which begins with it."""
    test, again = evaluated["test"], found["test"]["start"]
    if (test["score"], test["n"]) != (again["score"], again["n"]):
        raise RuntimeError(f"eval gives the start {test['score']} on test, optimize {again['score']}")
    [trial, *_] = found["trials"]
    length = f"{trial['prompt_characters']:,}"
    calls = f"{evaluated['calls']:,}"
    return (
        "start",
        _figure(trial),
        _figure(test),
        "",
        "",
        calls,
        f"{wall:.1f}",
        length,
        "`eval … --split test`",
    )


def _line(what: str, found: dict[str, Any], wall: float, command: str) -> tuple[str, ...]:
    gain = found["test"]["improvement"]
    difference = f"{gain['difference']:+.3f} [{gain['ci_low']:+.3f}, {gain['ci_high']:+.3f}]"
    return (
        f"{what} ({found['winner']['origin']})",
        _figure(found["dev"]),
        _figure(found["test"]),
        difference,
        f"{gain['p']:.1g}",
        f"{found['calls']:,}",
        f"{wall:.1f}",
        f"{found['winner']['prompt_characters']:,}",
        command,
    )


def _promptc(
    settings: Settings, folder: Path, run: str, command: str, *arguments: str
) -> tuple[dict[str, Any], float]:
    """The JSON document of a run without anything in the cache, and its wall time in seconds."""
    forget_replies(settings)
    typed = [promptc(), command, str(SPEC), *_labels(folder), *arguments]
    typed += ["-o", str(settings.work / run), "--json", "--quiet"]
    spent = spend(typed, settings.work, environment_for(settings, BANKING77=str(folder)))
    found: dict[str, Any] = msgspec.json.decode(spent.stdout)
    return found, spent.wall


def _labels(folder: Path) -> list[str]:
    return ["--set", f"fields.outputs.intent.enum={(folder / 'intents.json').read_text(encoding='utf-8')}"]


def _figure(figures: dict[str, Any]) -> str:
    return f"{figures['score']:.3f} [{figures['ci_low']:.3f}, {figures['ci_high']:.3f}]"
