"""The stream of `promptc run`: rows come in, predictions go out in the same order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.checking import model_findings
from promptc.cli.console import Terminal
from promptc.cli.loading import Loaded, nearby, read_candidate
from promptc.cli.main import READER
from promptc.cli.opening import Choices, not_recorded, open_effects, own_candidate
from promptc.cli.progress import LiveProgress
from promptc.runners.build import build_program
from promptc.runners.evaluate import Arm, Evaluator, RowRecord
from promptc.runners.rows import Example, read_rows
from promptc.spec.errors import BudgetEnded, NothingSelected, PromptcError, SpecError, UsageError

READ_AHEAD = 256
"""Rows that are read before there is a place for them."""


async def in_thread(rows: Iterator[Example]) -> AsyncIterator[Example]:
    """The rows of a source that may let one wait, read in a thread of its own. Raises what the source raises."""
    loop = asyncio.get_running_loop()
    places = threading.Semaphore(READ_AHEAD)
    read: asyncio.Queue[Example | BaseException | None] = asyncio.Queue()

    def pump() -> None:
        end: BaseException | None = None
        try:
            for example in rows:
                places.acquire()
                loop.call_soon_threadsafe(read.put_nowait, example)
        except (PromptcError, OSError, ValueError) as error:
            end = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            loop.call_soon_threadsafe(read.put_nowait, end)

    threading.Thread(target=pump, daemon=True, name=READER).start()
    while (item := await read.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        places.release()
        yield item


class InOrder:
    """Holds predictions back until those before them are out."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._waiting: dict[int, RowRecord] = {}
        self.written = 0
        self.unscored = 0
        self.cut = 0

    def add(self, place: int, record: RowRecord) -> None:
        """Take one prediction; write what is next in line."""
        self._waiting[place] = record
        while self.written in self._waiting:
            self._write(self._waiting.pop(self.written))
            self.written += 1

    def _write(self, record: RowRecord) -> None:
        line: dict[str, Any] = {"id": record.id}
        if record.failure is not None:
            line["failure"] = record.failure
            self.unscored += not record.failure.scored
            self.cut += record.failure.kind == "budget"
        else:
            line["outputs"] = record.outputs
        self._terminal.write(msgspec.json.encode(line).decode() + "\n")
        self._terminal.out.file.flush()


async def predict_rows(
    loaded: Loaded,
    source: str,
    choices: Choices,
    terminal: Terminal,
    *,
    environment: Mapping[str, str],
    limit: int | None,
) -> int:
    """Read, predict, write; the exit code is 6 when too many rows failed for no fault of the program.

    Raises BudgetEnded, with every row that was read accounted for.
    """
    spec = loaded.spec
    findings = model_findings(spec)
    if findings:
        raise SpecError(tuple(findings))
    if source != "-" and not Path(source).exists():
        raise UsageError(f"there is no {source}", nearby(Path(source)))
    program = build_program(spec)
    if choices.candidate is not None:
        candidate = read_candidate(choices.candidate, program)
    else:
        candidate = own_candidate(loaded, program)
    compiled = program.compile(candidate)
    types = {field.name: field.schema for field in spec.inputs}
    rows = read_rows(
        Path(source) if source != "-" else "-",
        id_field=spec.data.id,
        on_error=spec.data.on_error,
        limit=limit,
        unique=False,
        types=types,
    )
    order = InOrder(terminal)
    beside = Path(source) if source != "-" else Path.cwd() / "-"
    async with open_effects(loaded, choices, terminal, environment=environment, rows=beside) as (
        effects,
        models,
    ):
        progress = LiveProgress(
            terminal,
            spent=lambda: (int(effects.ledger.spent.calls), effects.ledger.spent.usd),
            waiting_for=lambda: models.waiting_for,
            streaming=terminal.out.is_terminal,
        )
        progress.phase("run", None)
        evaluator = Evaluator(effects=effects, judge=None, on_row=progress.row)
        try:
            await evaluator.stream_rows(Arm(compiled=compiled), in_thread(rows), order.add)
        finally:
            progress.close()
    if not order.written:
        raise NothingSelected(f"there are no rows in {'standard input' if source == '-' else source}")
    if models.missing:
        raise not_recorded(models)
    if order.cut:
        raise BudgetEnded(
            f"the budget ended: {order.cut} of the {order.written} rows that were read were not asked",
            "raise it for this run, e.g. with --set budget.calls=100000",
        )
    if order.unscored > spec.run.max_unscored * order.written:
        terminal.complain(f"{order.unscored} of {order.written} rows failed without a fault of the program")
        return 6
    return 0
