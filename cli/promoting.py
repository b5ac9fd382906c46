"""`promote:`: the compiled program goes into the repository where the verdict allows it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.writing import replace_file
from promptc.runners.artifact import artifact_bytes, is_artifact, read_artifact
from promptc.runners.summary import Summary
from promptc.spec.errors import UsageError
from promptc.spec.model import Promotion, Spec


def check_promotion(spec: Spec) -> None:
    """Raise UsageError, before anything is paid, where something else than a compiled program stands at the place."""
    if spec.promote is None:
        return
    target = _target(spec, spec.promote)
    if target.exists() and not is_artifact(target):
        raise UsageError(
            f"promote: {_shown(target)} is no compiled program, and would be replaced by one",
            "name another file, or remove this one",
        )


def promote(spec: Spec, run: Path, summary: Summary, terminal: Terminal) -> None:
    """Copy the winner of a finished search to its place, or say why not. Equal bytes keep their time."""
    if spec.promote is None or summary.command != "optimize":
        return
    target = _target(spec, spec.promote)
    reason = withheld(spec.promote, summary)
    if reason:
        terminal.say(f"not promoted to {_shown(target)}: {reason}")
        return
    artifact = read_artifact(run / "compiled" / "program.json")
    base = os.path.relpath(spec.base, target.parent)
    changed = replace_file(target, artifact_bytes(msgspec.structs.replace(artifact, base=base)))
    terminal.say(
        f"promoted to {_shown(target)}" if changed else f"{_shown(target)} holds this winner already"
    )


def withheld(promotion: Promotion, summary: Summary) -> str:
    """Why the verdict does not allow it; "" where it does."""
    if summary.exit_code:
        return f"the exit code is {summary.exit_code}"
    if promotion.when == "gates":
        return ""
    held_out = summary.test
    if held_out is None or held_out.improvement is None:
        return "there is no held-out figure to show an improvement by (promote: {when: gates} does without)"
    return "" if held_out.improvement.verdict == "improvement" else "no significant improvement"


def _target(spec: Spec, promotion: Promotion) -> Path:
    return Path(os.path.normpath(Path(spec.base) / promotion.path))


def _shown(path: Path) -> str:
    """The path as seen from here, where it is not far away."""
    near = os.path.relpath(path)
    return str(path) if near.startswith(os.path.join("..", "..")) else near
