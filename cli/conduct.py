"""Carries a run out from its directory to its report: what `eval` and `optimize` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shlex
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.announcing import announce
from promptc.cli.baselines import Held, save_baseline
from promptc.cli.console import Terminal
from promptc.cli.dependencies import write_rule
from promptc.cli.finish import (
    judged,
    manifest_bytes,
    resolved_bytes,
    summary_bytes,
    write_compiled,
    write_every_report,
    write_front,
)
from promptc.cli.opening import (
    RUNS,
    Choices,
    Company,
    Prepared,
    company,
    identity_of,
    not_recorded,
    open_directory,
    open_session,
)
from promptc.cli.planning import Forecast
from promptc.cli.promoting import promote
from promptc.cli.reports.details import ReportDetails, worst_rows
from promptc.cli.reports.diff import prompt_diff
from promptc.cli.reports.stored import stored_run
from promptc.cli.skipping import reason_to_skip, skipped
from promptc.runners.baselines import scoring_digest
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.looks import looks_at_test
from promptc.runners.models.stack import ModelStack
from promptc.runners.rows import Example
from promptc.runners.run_directory import RunDirectory, point_latest
from promptc.runners.session import Session
from promptc.runners.summary import Summary
from promptc.runners.timing import Timing
from promptc.runners.tools.checking import refuse_without_stubs
from promptc.runners.trust import require
from promptc.spec.errors import Interrupted, RunError, Untrusted
from promptc.spec.model import Budget, Gate

RARE_COLLECTIONS = (10_000, 20, 20)
"""A run makes many small objects and few cycles; Python's default looks for cycles every 700 of them. 263 → 217 µs of
CPU a row were measured."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the work of a command came to.

    `shown` are the rows that a report may quote; `front` has a candidate per member of the summary's front. Of an
    evaluation, which has no winner, `seen` are the digests of the rows that the program was made with before.
    """

    summary: Summary
    start: Candidate
    winner: Candidate | None = None
    front: tuple[Candidate, ...] = ()
    seen: frozenset[str] = frozenset()
    shown: tuple[tuple[RowRecord, Example], ...] = ()


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the result, which changes no figure. `shown_as` is how reports call the run directory."""

    gates: tuple[Gate, ...] = ()
    fail_if_no_improvement: bool = False
    as_json: bool = False
    arguments: tuple[str, ...] = ()
    held: Held = Held()
    warnings: tuple[str, ...] = ()
    shown_as: Path | None = None


Work = Callable[[Session], Awaitable[Outcome]]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a command wants carried out: on what, how, and what is asked of the result.

    `selection` is the part of its identity that the spec does not hold. `forecast` is what it will take; `notice` is
    what the user has to know before it starts, "" for nothing.
    """

    command: str
    prepared: Prepared
    choices: Choices
    wishes: Wishes
    work: Work
    selection: Mapping[str, Any]
    budget: Budget
    forecast: Forecast
    notice: str = ""
    environment: Mapping[str, str]
    version: str

    def identity(self) -> str:
        """The digest that names it."""
        acting = {"allow_effects": True} if self.choices.allow_effects else {}
        return identity_of(self.prepared, self.command, {**self.selection, **acting})


def conduct(run: Run, terminal: Terminal) -> int:
    """Run, write, report; returns the exit code. A run that was finished before gives its verdict again."""
    prepared, choices, wishes = run.prepared, run.choices, run.wishes
    require(prepared.code, prepared.spec.base, flag=choices.allow_code, environment=os.environ)
    if not choices.allow_effects:
        refuse_without_stubs(prepared.program)
    gc.set_threshold(*RARE_COLLECTIONS)
    directory = open_directory(prepared, run.command, run.identity(), choices)
    try:
        if directory.work != directory.path:
            terminal.say(
                f"{directory.path} holds another finished run: it is replaced once this one is complete"
            )
        if choices.depfile is not None:
            write_rule(choices.depfile, directory.path, prepared, choices)
        if directory.finished and not choices.retry_failed:
            details = again(directory, wishes)
            terminal.say(
                "this run was finished before: its verdict again, without a call; --fresh starts it anew"
            )
        elif reason := reason_to_skip(prepared, choices, run.environment):
            details = skipped(run.command, prepared, directory, reason)
            _show(details, wishes, terminal)
            return details.summary.exit_code
        else:
            directory.reopen()
            warnings = test_warnings(prepared, run.selection.get("split"), directory, terminal)
            run = msgspec.structs.replace(run, wishes=msgspec.structs.replace(wishes, warnings=warnings))
            with company(terminal, run.environment) as beside:
                details = asyncio.run(_alone(run, directory, beside))
            if choices.output is None:
                point_latest(RUNS, prepared.spec.name, run.command, directory.path)
        _show(details, wishes, terminal)
        save_baseline(wishes.held, details.summary, directory.path, scoring_digest(prepared.spec), terminal)
        promote(prepared.spec, directory.path, details.summary, terminal)
        return details.summary.exit_code
    except Interrupted as error:
        error.hint = resuming(wishes.arguments)
        raise
    finally:
        directory.close()


def resuming(arguments: Sequence[str]) -> str:
    """The command that goes on with what was interrupted."""
    return f"the same command goes on from here: {shlex.join(('promptc', *arguments))}"


async def _alone(run: Run, directory: RunDirectory, beside: Company) -> ReportDetails:
    with beside.signals.heard():
        return await carry_out(run, directory, beside)


async def carry_out(run: Run, directory: RunDirectory, beside: Company) -> ReportDetails:
    """Do the work of a run and write its files, the manifest last; what a report shows of it."""
    began = time.perf_counter()
    prepared, wishes = run.prepared, run.wishes
    if not run.choices.allow_effects:
        refuse_without_stubs(prepared.program)
    directory.write("spec.resolved.yaml", resolved_bytes(prepared.spec))
    async with open_session(
        prepared,
        directory,
        run.choices,
        beside,
        environment=run.environment,
        version=run.version,
        budget=run.budget,
    ) as (session, models):
        outcome = await _worked(run.work, session, models, run.choices.source)
        timing = _timing(session, models, time.perf_counter() - began, wishes.warnings)
    summary = _judged(outcome.summary, timing, wishes, directory)
    details = ReportDetails(
        summary=summary,
        spec_name=prepared.spec.name,
        run_directory=str(wishes.shown_as or directory.path),
        start=outcome.start,
        winner=outcome.winner,
        worst=worst_rows(outcome.shown, session.judge, prepared.spec.inputs),
        timing=timing,
    )
    manifest = manifest_bytes(session, run.command, wishes.arguments, summary)
    _write(session, outcome, details, manifest)
    directory.complete(manifest)
    return details


async def _worked(work: Work, session: Session, models: ModelStack, source: Path | None) -> Outcome:
    """What the work came to; nothing where replies are missing offline, since what is left would mislead."""
    try:
        outcome = await work(session)
    except Untrusted as error:
        if models.missing:
            raise not_recorded(models, source) from error
        raise
    if models.missing:
        raise not_recorded(models, source)
    return outcome


def _write(session: Session, outcome: Outcome, details: ReportDetails, manifest: bytes) -> None:
    directory = session.directory
    winner = outcome.winner or outcome.start
    write_compiled(session, winner, diff=prompt_diff(outcome.start, winner), seen=outcome.seen)
    write_front(directory, details.summary.front, outcome.front)
    directory.write("timing.json", msgspec.json.format(msgspec.json.encode(details.timing), indent=2) + b"\n")
    directory.write("summary.json", summary_bytes(details.summary))
    write_every_report(directory, details, msgspec.json.decode(manifest))


def again(directory: RunDirectory, wishes: Wishes) -> ReportDetails:
    """The verdict of a finished run; gates may have changed since, so they are held anew."""
    run = stored_run(directory.path)
    details, timing = run.details, run.details.timing
    if timing is None:
        raise RunError(f"{directory.path} has lost its timing.json", "--fresh starts the run anew")
    if wishes.shown_as is not None:
        details = msgspec.structs.replace(details, run_directory=str(wishes.shown_as))
    summary = _judged(details.summary, timing, wishes, directory)
    if summary != details.summary:
        directory.write("summary.json", summary_bytes(summary))
        details = msgspec.structs.replace(details, summary=summary)
        write_every_report(directory, details, run.manifest)
    return msgspec.structs.replace(details, finished_before=True)


def _judged(summary: Summary, timing: Timing, wishes: Wishes, directory: RunDirectory) -> Summary:
    return judged(
        summary,
        timing,
        wishes.gates,
        fail_if_no_improvement=wishes.fail_if_no_improvement,
        baseline=wishes.held.compared(directory.work),
    )


def _show(details: ReportDetails, wishes: Wishes, terminal: Terminal) -> None:
    from promptc.cli.reports.machine import as_document
    from promptc.cli.reports.terminal import report

    summary = details.summary
    with contextlib.suppress(BrokenPipeError):  # whoever reads may have seen enough; the verdict stands
        if wishes.as_json:
            terminal.write(as_document(summary, str(details.run_directory)))
        else:
            terminal.answer(report(details))
    for verdict in summary.verdicts:
        terminal.complain(verdict.message)
    announce(details, wishes.gates, terminal)


def test_warnings(
    prepared: Prepared, split: str | None, directory: RunDirectory, terminal: Terminal
) -> tuple[str, ...]:
    """A warning where earlier runs have scored the test rows that this one is about to score; it is said, too.

    `split` is what `eval` scores, None for `optimize`.
    """
    if not prepared.dataset.test or split in ("train", "dev"):
        return ()
    folders = (RUNS, directory.path.absolute().parent)
    runs = looks_at_test(folders, prepared.dataset.test_digest, besides=directory.marker.identity)
    if not runs:
        return ()
    times = "once" if len(runs) == 1 else f"{len(runs)} times"
    said = (
        f"the test rows were scored {times} before, last in {runs[-1].name}: what was changed since then was chosen "
        "with them in sight, and only rows that nobody has looked at tell how good it is"
    )
    terminal.warn(said)
    return (said,)


def _timing(session: Session, models: ModelStack, seconds: float, warnings: tuple[str, ...]) -> Timing:
    figures, rows = models.figures(), session.effects.rows
    return Timing(
        seconds=seconds,
        rows=rows,
        rows_per_second=rows / seconds if seconds else 0.0,
        calls=int(session.effects.ledger.spent.calls),
        replayed=session.effects.replayed,
        cache_hits=sum(f.cache_hits for f in figures.values()),
        paid_calls=sum(f.calls for f in figures.values()),
        paid_usd=sum(f.paid_usd for f in figures.values()),
        retries=sum(sum(f.retries.values()) for f in figures.values()),
        warnings=warnings,
        models=figures,
    )
