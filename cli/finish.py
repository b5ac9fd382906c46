"""Ends a run: gates, exit code, every file of the run directory, the manifest last."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from promptc.cli.reports.details import ReportDetails, scored_splits
from promptc.cli.reports.stored import REPORT_DETAILS
from promptc.runners.artifact import artifact_bytes, candidate_tree, make_artifact, prompt_markdown
from promptc.runners.baselines import BaselineComparison, scoring_digest
from promptc.runners.candidate import Candidate
from promptc.runners.failures import FailureKind
from promptc.runners.gates import held_against
from promptc.runners.run_directory import RunDirectory
from promptc.runners.session import Session
from promptc.runners.summary import FRONT_FOLDER, FrontMember, SplitSummary, Summary, VerdictLine
from promptc.runners.timing import Timing
from promptc.runners.verdicts import baseline_verdicts, exit_code, gate_verdicts
from promptc.spec.model import Gate, Spec


def judged(
    summary: Summary,
    timing: Timing,
    gates: Sequence[Gate],
    *,
    fail_if_no_improvement: bool = False,
    baseline: BaselineComparison | None = None,
) -> Summary:
    """The summary with its gates held and its exit code decided. Gates and baseline are no part of a run's identity."""
    summary = msgspec.structs.replace(summary, baseline=baseline)
    results = held_against(gates, every_figure(summary), every_figure(timing))
    verdicts = [v for v in summary.verdicts if v.code not in (1, 8) and not v.message.startswith("gate ")]
    verdicts += [*gate_verdicts(results), *baseline_verdicts(baseline)]
    if fail_if_no_improvement and not _improved(summary):
        verdicts.append(VerdictLine(code=8, message="no significant improvement"))
    return msgspec.structs.replace(
        summary, gates=tuple(results), verdicts=tuple(verdicts), exit_code=exit_code(verdicts)
    )


def every_figure(value: Any) -> Any:
    """Structs as plain data with nothing left out, as gates need it: a count that is 0 is a figure too."""
    if isinstance(value, msgspec.Struct):
        tree = {name: every_figure(part) for name, part in msgspec.structs.asdict(value).items()}
        if isinstance(value, SplitSummary):
            tree["failures"] = dict.fromkeys(get_args(FailureKind), 0) | value.failures
        return tree
    if isinstance(value, Mapping):
        return {name: every_figure(part) for name, part in value.items()}
    return value


def _improved(summary: Summary) -> bool:
    figures = summary.test or summary.dev
    found = figures.improvement if figures is not None else None
    return found is not None and found.verdict == "improvement"


def summary_bytes(summary: Summary) -> bytes:
    """summary.json: indented, keys in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(summary, order="deterministic"), indent=2) + b"\n"


def write_compiled(
    session: Session, winner: Candidate, *, diff: str, seen: frozenset[str] = frozenset()
) -> None:
    """compiled/: the artifact, the candidate that a person can edit, the prompts, and what changed.

    An evaluation made nothing new: its artifact remembers the rows that were `seen` before.
    """
    from promptc.spec.dump import dump_tree

    directory, data = session.directory, session.dataset
    searched = directory.marker.command == "optimize"
    artifact = make_artifact(
        session.spec,
        session.program,
        winner,
        folder=directory.path.absolute() / "compiled",
        version=session.version,
        trained_on=data.digests["train"] if searched else (),
        chosen_on=data.digests["dev"] if searched else tuple(sorted(seen)),
    )
    directory.write("compiled/program.json", artifact_bytes(artifact))
    directory.write("compiled/candidate.yaml", dump_tree(candidate_tree(winner)).encode())
    compiled = session.program.compile(winner)
    for name, speaker in compiled.speakers.items():
        text = prompt_markdown(name, speaker.prefix, speaker.predictor.format.version)
        if speaker.pool is not None:
            text += f"\nThen each row sees {speaker.pool.nearest.in_words()}.\n".encode()
        directory.write(f"compiled/prompts/{name}.md", text)
    directory.write("compiled/prompts.diff", diff.encode())


def write_every_report(directory: RunDirectory, details: ReportDetails, manifest: Mapping[str, Any]) -> None:
    """Every form in which a person or a build reads a run. Its rows and prompts have been written before."""
    from promptc.cli.page.report import html_report
    from promptc.cli.reports.files import write_reports
    from promptc.cli.reports.junit import junit_parts

    for name, content in write_reports(details).items():
        directory.write(name, content)
    directory.write("report.html", html_report(details, directory.work, manifest))
    directory.write_parts("junit.xml", junit_parts(details, directory.work))
    directory.write(REPORT_DETAILS, msgspec.json.encode(details))


def write_front(
    directory: RunDirectory, members: Sequence[FrontMember], candidates: Sequence[Candidate]
) -> None:
    """compiled/front/: of each member a candidate that can be scored, edited and searched from, and its figures."""
    from promptc.spec.dump import dump_tree

    directory.clear(FRONT_FOLDER, keep={member.folder for member in members})
    for member, candidate in zip(members, candidates, strict=True):
        directory.write(f"{member.folder}/candidate.yaml", dump_tree(candidate_tree(candidate)).encode())
        figures = msgspec.json.format(msgspec.json.encode(member, order="deterministic"), indent=2)
        directory.write(f"{member.folder}/figures.json", figures + b"\n")


def manifest_bytes(session: Session, command: str, arguments: Sequence[str], summary: Summary) -> bytes:
    """manifest.json: what made this run, for whoever wants to make it again."""
    from importlib.metadata import version

    libraries = (
        "click",
        "litellm",
        "msgspec",
        "polars",
        "aiohttp",
        "scipy",
        "jsonschema",
        "common-expression-language",
    )
    manifest: dict[str, Any] = {
        "promptc": session.version,
        "command": command,
        "arguments": list(arguments),
        "identity": session.directory.marker.identity,
        "name": session.spec.name,
        "seed": session.spec.run.seed,
        "digests": {
            "spec": session.spec.digest(),
            "data": session.dataset.digest,
            "start": session.start.digest(),
            "scoring": scoring_digest(session.spec),
            "test": session.dataset.test_digest,
        },
        "scored": [name for name, _ in scored_splits(summary)],
        "rows": {part: len(session.dataset.part(part)) for part in ("train", "dev", "test")},
        "git": git_state(Path(session.spec.base)),
        "python": platform.python_version(),
        "platform": sys.platform,
        "libraries": {name: version(name) for name in libraries},
    }
    return bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2)) + b"\n"


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether anything is uncommitted; None outside of a repository, or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()


def resolved_bytes(spec: Spec) -> bytes:
    """spec.resolved.yaml."""
    from promptc.spec.dump import to_yaml

    return to_yaml(spec).encode()
