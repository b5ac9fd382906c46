"""A finished run as its directory holds it: all that a report is made from, long after the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.reports.details import ReportDetails, WorstRow, is_search, start_won
from promptc.cli.reports.row_views import RowView, shown_rows
from promptc.runners.artifact import read_artifact
from promptc.runners.candidate import Candidate
from promptc.runners.run_directory import MANIFEST
from promptc.runners.summary import Summary
from promptc.runners.timing import Timing
from promptc.spec.errors import RunError, UsageError

REPORT_DETAILS = ".report.json"
"""What a report was made from. Archives of CI often leave files out whose names begin with a dot."""
SUMMARY = "summary.json"
MOST_WORST = 5


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run's directory says."""

    path: Path
    details: ReportDetails
    manifest: Mapping[str, Any]


def stored_run(path: Path) -> StoredRun:
    """The run in this directory. Raises UsageError where there is none, RunError where it is not finished."""
    if not (path / MANIFEST).is_file() or not (path / SUMMARY).is_file():
        begun = any((path / name).exists() for name in (".promptc.json", "spec.resolved.yaml"))
        if begun:
            raise RunError(f"{path} is not finished", "run its command again: it goes on where it stopped")
        raise UsageError(f"{path} is no run of promptc", "name the directory of an eval or an optimize")
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=dict[str, Any])
        return StoredRun(path=path, details=_details(path), manifest=manifest)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise RunError(
            f"{path} holds what this promptc cannot read: {error}", "was another version at work?"
        ) from error


def newest_run(folder: Path) -> Path:
    """The run in this folder that was finished last. Raises UsageError where there is none."""
    found = [
        (manifest.stat().st_mtime_ns, manifest.parent)
        for manifest in folder.glob(f"*/{MANIFEST}")
        if not manifest.parent.is_symlink()
    ]
    if not found:
        raise UsageError(f"no run: there is none in {folder}", "name the directory of an eval or an optimize")
    return max(found)[1]


def _details(path: Path) -> ReportDetails:
    """What the report was made from; where it is gone, as much as the other files tell."""
    summary = msgspec.json.decode((path / SUMMARY).read_bytes(), type=Summary)
    kept = path / REPORT_DETAILS
    if kept.is_file():
        details = msgspec.json.decode(kept.read_bytes(), type=ReportDetails)
        return msgspec.structs.replace(details, summary=summary, run_directory=str(path))
    timing = path / "timing.json"
    start, winner = _candidates(path, summary)
    return ReportDetails(
        summary=summary,
        spec_name=summary.name,
        run_directory=str(path),
        start=start,
        winner=winner,
        worst=tuple(
            _worst(row) for row in shown_rows(path, summary, MOST_WORST).rows if row.outcome != "right"
        ),
        timing=msgspec.json.decode(timing.read_bytes(), type=Timing) if timing.is_file() else None,
    )


def _candidates(path: Path, summary: Summary) -> tuple[Candidate | None, Candidate | None]:
    """Start and winner of a search, from its candidates; of an evaluation what was scored, and no winner."""
    if not is_search(summary):
        artifact = path / "compiled" / "program.json"
        return (read_artifact(artifact).candidate if artifact.is_file() else None), None
    log = path / "candidates.jsonl"
    if summary.winner is None or not log.is_file():
        return None, None
    wanted = summary.trials[0].candidate if summary.trials else "", summary.winner.candidate
    found: dict[str, Candidate] = {}
    with log.open("rb") as lines:
        for line in lines:
            entry = msgspec.json.decode(line)
            if entry["digest"] in wanted:
                found[entry["digest"]] = msgspec.convert(entry["candidate"], Candidate)
    start = found.get(wanted[0])
    return start, start if start_won(summary) else found.get(wanted[1])


def _worst(row: RowView) -> WorstRow:
    return WorstRow(
        id=row.id,
        score=row.score,
        inputs=row.input,
        expected=row.wanted,
        got=row.got,
        reason=row.failure or row.why,
    )
