"""How long a user waits before anything happens: whole processes, medians."""

from __future__ import annotations

import sys

from measuring import SPECS, Section, Settings, environment_for, middle, promptc, spend

SPEC = SPECS / "startup.yaml"
TIMES = 10


def measure(settings: Settings) -> Section:
    """Ten starts of each command, in turn, after one that is not counted."""
    lines = len(SPEC.read_text(encoding="utf-8").splitlines())
    commands = {
        "Python alone": ("python -c pass", [sys.executable, "-c", "pass"]),
        "Python and click": ('python -c "import click"', [sys.executable, "-c", "import click"]),
        "version": ("promptc --version", [promptc(), "--version"]),
        "help": ("promptc --help", [promptc(), "--help"]),
        f"check a spec of {lines} lines with its rows": (
            "promptc validate benchmarks/specs/startup.yaml",
            [promptc(), "validate", str(SPEC)],
        ),
    }
    environment = environment_for(settings)
    walls: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(TIMES + 1):
        for name, (_, command) in commands.items():
            spent = spend(command, settings.work, environment)
            if turn:
                walls[name].append(spent.wall * 1000)
    rows = [(name, middle(walls[name]), f"`{shown}`") for name, (shown, _) in commands.items()]
    return Section(
        header=("what", "ms", "command"), rows=rows, notes=[f"Medians of {TIMES}, with their range."]
    )
