"""Carries a sweep out: every cell a run of its own below one directory, then the leaderboard."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.conduct import RARE_COLLECTIONS, Run, again, carry_out, resuming, test_warnings
from promptc.cli.console import Terminal
from promptc.cli.opening import RUNS, Company, company
from promptc.cli.reports.stored import stored_run
from promptc.cli.selection import default_split
from promptc.cli.sweep_checks import role_notes
from promptc.cli.sweep_ending import Ended, Ending, finish_sweep
from promptc.cli.sweep_notices import announcement, outcome
from promptc.cli.sweep_progress import SweepProgress
from promptc.cli.sweep_tasks import Sweep, Task, common_share, identity_of, tasks_of
from promptc.runners.ranking import ranked
from promptc.runners.run_directory import (
    SWEEP_SUFFIX,
    Marker,
    RunDirectory,
    default_path,
    is_finished,
    keep_out_of_git,
    point_latest,
)
from promptc.spec.errors import Interrupted, PromptcError


def conduct_sweep(sweep: Sweep, terminal: Terminal) -> int:
    """Run every cell, rank them, report; returns the exit code. What was finished before is not run again."""
    tasks = tasks_of(sweep, terminal)
    first = tasks[0].run.prepared
    name, split = first.spec.name, sweep.split or default_split(first.dataset)
    command = f"{sweep.command}{SWEEP_SUFFIX}"
    identity = identity_of(command, tasks)
    terminal.say(announcement(sweep.cells, [task.run for task in tasks], sweep.choices.jobs or 1))
    notes = role_notes(
        [task.run.prepared.spec for task in tasks],
        {role for task in tasks for role in task.run.forecast.calls},
    )
    for note in notes:
        terminal.say(f"note: {note}")
    gc.set_threshold(*RARE_COLLECTIONS)
    path = sweep.choices.output
    if path is None:
        keep_out_of_git(RUNS)
        path = default_path(RUNS, name, command, identity)
    directory = RunDirectory.open(
        path,
        Marker(identity=identity, command=command, name=name),
        force=sweep.choices.force,
        fresh=sweep.choices.fresh,
    )
    try:
        _reopen(sweep, tasks, directory, terminal)
        ended = _ended(sweep, tasks, split, directory, terminal)
        ending = Ending(
            command=sweep.command,
            name=name,
            split=split,
            directory=directory,
            arguments=sweep.arguments,
            version=tasks[0].run.version,
            base=Path(first.spec.base),
            test=first.dataset.test_digest,
            share=common_share(tasks),
            notes=tuple(notes),
        )
        code = finish_sweep(ending, ended, terminal, as_json=sweep.as_json)
        if sweep.choices.output is None:
            point_latest(RUNS, name, command, directory.path)
        return code
    except Interrupted as error:
        error.hint = resuming(sweep.arguments)
        raise
    finally:
        directory.close()


def _reopen(sweep: Sweep, tasks: Sequence[Task], directory: RunDirectory, terminal: Terminal) -> None:
    """Say that a sweep was finished before, or let it go on where more is wanted of it than it has."""
    if directory.work != directory.path:
        terminal.say(f"{directory.path} holds another finished run: it is replaced once this one is complete")
    if not directory.finished:
        return
    folders = [directory.path / task.folder for task in tasks]
    there = all(is_finished(folder) for folder in folders) and not sweep.choices.retry_failed
    if there and sweep.command == "optimize" and sweep.test_all and can_test(tasks[0].run):
        there = all(has_test(folder) for folder in folders)
    if there:
        terminal.say(
            "this sweep was finished before: its leaderboard again, without a call; --fresh starts it anew"
        )
    else:
        directory.reopen()


def _ended(
    sweep: Sweep, tasks: Sequence[Task], split: str, directory: RunDirectory, terminal: Terminal
) -> list[Ended]:
    """What every cell came to, in order."""
    scored = split if sweep.command == "eval" else None
    data = tasks[0].run.prepared
    warnings = () if directory.finished else test_warnings(data, scored, directory, terminal)
    progress = SweepProgress(terminal, len(tasks))
    try:
        with company(terminal, sweep.environment) as beside:
            cells = _Cells(sweep, tasks, directory, beside, progress, split=split, warnings=warnings)
            return asyncio.run(cells.run())
    finally:
        progress.close()


class _Cells:
    """The cells of a sweep under way, in one process: they share signals, limits of providers, and the cache."""

    def __init__(
        self,
        sweep: Sweep,
        tasks: Sequence[Task],
        directory: RunDirectory,
        beside: Company,
        progress: SweepProgress,
        *,
        split: str,
        warnings: tuple[str, ...],
    ) -> None:
        self._sweep = sweep
        self._split = split
        self._warnings = warnings
        self._tasks = tasks
        self._directory = directory
        self._beside = beside
        self._progress = progress
        self._finished = directory.finished
        self._places = asyncio.Semaphore(sweep.choices.jobs or 1)

    async def run(self) -> list[Ended]:
        """What every cell came to, in order."""
        sweep = self._sweep
        with self._beside.signals.heard():
            ended = await together([self._cell(task, task.run, sweep.measures_all) for task in self._tasks])
            self._beside.signals.check()
            if sweep.measures_all or any(one.error is not None for one in ended):
                return ended
            for entry in ranked([one.entry() for one in ended], self._split)[:1]:
                place = entry.number - 1
                task = self._tasks[place]
                ended[place] = await self._cell(task, sweep.make(task.run.prepared, True), True)
            self._beside.signals.check()
        return ended

    async def _cell(self, task: Task, run: Run, measured: bool) -> Ended:
        """One cell, from its directory to its figures. A cell that fails does not stop the others."""
        async with self._places:
            self._beside.signals.check()
            began = time.perf_counter()
            plain = Ended(cell=task.cell, folder=task.folder, path=self._directory.work / task.folder)
            try:
                ended = await self._carried_out(plain, task, run, measured)
            except Interrupted:
                raise
            except PromptcError as error:
                ended = msgspec.structs.replace(plain, error=error)
            if not self._finished:
                said = outcome(ended, self._split, time.perf_counter() - began)
                self._progress.ended(task.cell.number, task.cell.label, said)
            return ended

    async def _carried_out(self, plain: Ended, task: Task, run: Run, measured: bool) -> Ended:
        name = run.prepared.spec.name
        directory = RunDirectory.open(
            plain.path, Marker(identity=task.identity, command=run.command, name=name)
        )
        with contextlib.closing(directory):
            tested = directory.finished and has_test(directory.path)
            wanted = measured and run.command == "optimize" and can_test(run)
            run = self._as_cell(task, run, measured or tested)
            if directory.finished and not run.choices.retry_failed and (tested or not wanted):
                return msgspec.structs.replace(plain, details=again(directory, run.wishes), before=True)
            if directory.finished:
                directory.reopen()
            opener = self._progress.opener(task.cell.number, task.cell.label)
            beside = msgspec.structs.replace(self._beside, progress=opener)
            return msgspec.structs.replace(plain, details=await carry_out(run, directory, beside))

    def _as_cell(self, task: Task, run: Run, measured: bool) -> Run:
        """The run with what is another thing for a cell: where it stands, and what is asked of unmeasured ones."""
        place = self._directory.path / task.folder
        wishes = msgspec.structs.replace(run.wishes, shown_as=place, warnings=self._warnings)
        if not measured:
            kept = tuple(gate for gate in wishes.gates if not gate.path.startswith("test."))
            wishes = msgspec.structs.replace(wishes, gates=kept, warnings=(), fail_if_no_improvement=False)
        return msgspec.structs.replace(
            run, wishes=wishes, choices=msgspec.structs.replace(run.choices, jobs=None)
        )


def has_test(run: Path) -> bool:
    """True where a finished run has figures on test."""
    return stored_run(run).details.summary.test is not None


def can_test(run: Run) -> bool:
    """True where there are rows that tell how good a search's winner is."""
    data = run.prepared.dataset
    return data.held_out or bool(data.folds)


async def together(works: Sequence[Any]) -> list[Any]:
    """The results of works in order. After a bug the others are given up; after a signal they end by themselves."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    broken = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    if any(error is not None and not isinstance(error, Interrupted) for error in broken):
        for task in tasks:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    errors.sort(key=lambda error: isinstance(error, asyncio.CancelledError | Interrupted))
    if errors:
        raise errors[0]
    return results
