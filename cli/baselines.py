"""`eval --baseline` and `--save-baseline`: what a run is held against, and what the next one will be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.opening import Prepared
from promptc.runners.baselines import (
    Allowance,
    Baseline,
    BaselineComparison,
    BaselineRow,
    baseline_bytes,
    check_comparable,
    compared_with,
    read_baseline,
    scoring_digest,
)
from promptc.runners.finished_run import scored_rows
from promptc.runners.rows import Example
from promptc.runners.summary import Summary
from promptc.runners.verdicts import REGRESSION
from promptc.spec.errors import RunError, UsageError

UNTRUSTED = (6, 7)
"""Exit codes of runs whose scores are not to be held against anything."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline that a run is held against, and where a new one goes; either may be None."""

    baseline: Baseline | None = None
    source: str = ""
    allowance: Allowance = Allowance()
    clusters: dict[str, Hashable] | None = None
    seed: int = 0
    save: Path | None = None

    def compared(self, folder: Path) -> BaselineComparison | None:
        """The rows that a run left in its folder beside the baseline."""
        if self.baseline is None:
            return None
        return compared_with(
            self.baseline,
            scored_rows(folder),
            self.allowance,
            source=self.source,
            clusters=self.clusters,
            seed=self.seed,
        )


def held_against(typed: Mapping[str, Any], prepared: Prepared, examples: Sequence[Example]) -> Held:
    """What the options ask for, checked before anything is paid. Raises UsageError, DataError."""
    path, save = typed["baseline"], typed["save_baseline"]
    if path is None and (typed["max_drop"] is not None or typed["alpha"] is not None):
        raise UsageError("--max-drop and --alpha say how to compare with a --baseline", "name one")
    if save is not None and (not save.absolute().parent.is_dir() or save.is_dir()):
        raise UsageError(f"--save-baseline {save}: name a file in a folder that exists")
    if path is None:
        return Held(save=save)
    baseline = read_baseline(path)
    check_comparable(baseline, examples, scoring_digest(prepared.spec), str(path))
    column = prepared.spec.data.cluster
    usual = Allowance()
    return Held(
        baseline=baseline,
        source=str(path),
        allowance=Allowance(
            max_drop=usual.max_drop if typed["max_drop"] is None else typed["max_drop"],
            alpha=usual.alpha if typed["alpha"] is None else typed["alpha"],
        ),
        clusters=None if column is None else {e.id: _cluster(e, column) for e in examples},
        seed=prepared.spec.run.seed,
        save=save,
    )


def save_baseline(held: Held, summary: Summary, folder: Path, scoring: str, terminal: Terminal) -> None:
    """Write the scores of a run as the new baseline, unless they are not to be trusted or are a regression."""
    if held.save is None:
        return
    if summary.exit_code in UNTRUSTED:
        terminal.warn(f"{held.save} was not written: the scores are incomplete or not to be trusted")
        return
    if any(verdict.message.startswith(REGRESSION) for verdict in summary.verdicts):
        terminal.warn(f"{held.save} was not written: the run is a regression")
        return
    rows = list(scored_rows(folder))
    split = rows[0].split if rows else ""
    figures = summary.split(split)
    baseline = Baseline(
        name=summary.name,
        split=split,
        identity=summary.identity,
        scoring=scoring,
        score=figures.score if figures is not None else None,
        rows=tuple(BaselineRow(row.id, row.digest, row.score) for row in rows),
    )
    _write(held.save, baseline_bytes(baseline))
    terminal.say(f"{held.save}: the scores of {len(rows)} rows, for eval --baseline")


def _cluster(example: Example, column: str) -> Hashable:
    value = example.row.get(column)
    return None if value is None else str(value)


def _write(path: Path, content: bytes) -> None:
    """Write the file whole; equal bytes keep their time. Raises RunError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.exists() and path.read_bytes() == content:
            return
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: {error.strerror or error}", "name another file with --save-baseline"
        ) from error
