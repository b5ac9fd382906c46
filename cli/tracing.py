"""One row of a finished run once more, from what the run recorded: every step, message, reply and re-ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.loading import Loaded, load
from promptc.cli.opening import Choices, Missing, company, hook_digests_of, not_recorded, open_stack
from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.runners.effects import Effects
from promptc.runners.failures import Failure, RowFailed
from promptc.runners.finished_run import open_run
from promptc.runners.journal import Journal
from promptc.runners.ledger import Ledger
from promptc.runners.phase import Lane
from promptc.runners.program import CompiledProgram
from promptc.runners.step_call import TraceStep
from promptc.runners.trust import code_of
from promptc.spec.errors import NothingSelected, RunError
from promptc.spec.model import Budget, Spec
from promptc.spec.suggest import did_you_mean

_NO_WALL = 1 << 60


class RowLine(msgspec.Struct, frozen=True, kw_only=True):
    """What rows.jsonl says of a row."""

    id: str
    split: str = ""
    candidate: str = ""
    score: float | None = None
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] | None = None
    expected: dict[str, Any] = {}
    feedback: dict[str, str] = {}
    failure: Failure | None = None


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """A row with everything that happened on the way to its outputs, or to its failure."""

    line: RowLine
    steps: tuple[TraceStep, ...]


async def traced(
    run: Path, row: str, candidate: str | None, terminal: Terminal, environment: Mapping[str, str]
) -> Traced:
    """The row of that id. `candidate` is start or winner where a run has both. Raises what a missing run raises."""
    loaded = past_run(run, environment)
    line = _line(run, row, candidate)
    compiled = _compiled(loaded, run, line)
    async with past_effects(loaded.spec, run, terminal, environment) as effects:
        steps = await steps_of(compiled, line.inputs, effects)
    return Traced(line=line, steps=steps)


async def steps_of(
    compiled: CompiledProgram, inputs: Mapping[str, Any], effects: Effects
) -> tuple[TraceStep, ...]:
    """What happens on the way of a row through a program, whether it ends with outputs or with a failure."""
    effects.watching = True
    steps: list[TraceStep] = []

    async def job(lane: Lane) -> None:
        with contextlib.suppress(RowFailed):  # the trace says what failed
            await compiled.run(lane, inputs, trace=steps)

    await effects.phase("trace", {}).run([job], lambda _, __: None)
    return tuple(steps)


def past_run(run: Path, environment: Mapping[str, str]) -> Loaded:
    """The program that a finished run compiled. Raises UsageError."""
    return load(open_run(run).path, environment=environment)


@contextlib.asynccontextmanager
async def past_effects(
    spec: Spec, run: Path, terminal: Terminal, environment: Mapping[str, str]
) -> AsyncIterator[Effects]:
    """Effects that know what a run recorded, and ask nobody. Raises Untrusted where something is missing."""
    async with contextlib.AsyncExitStack() as stack:
        recorded = open_run(run).recorded()
        stack.callback(recorded.close)
        journal = Journal(None, identity="", version="")
        stack.callback(journal.close)
        choices = Choices(offline=True)
        beside = stack.enter_context(company(terminal, environment))
        models = open_stack(spec, choices, environment, beside, stack, Missing())
        counts = Ledger(spec.budget).counts_tokens
        effects = Effects(
            journal,
            Ledger(Budget(tokens=_NO_WALL) if counts else Budget()),
            models,
            _Recorded(),
            hook_digests=hook_digests_of(spec, code_of(spec)),
            recall=recorded.find,
        )
        yield effects
        if models.missing:
            raise not_recorded(models)


class _Recorded:
    """Stands for the user's functions: what they returned is in the journal, and nothing is called."""

    async def call(self, reference: str, payload: Any) -> Any:
        """There is no recorded result."""
        raise RowFailed("hook", f"{reference} was not called in that run, or has changed since")


def _line(run: Path, row: str, candidate: str | None) -> RowLine:
    """The last line of that row that fits; Raises NothingSelected."""
    found: RowLine | None = None
    ids: list[str] = []
    try:
        with open(run / "rows.jsonl", "rb") as lines:
            for text in lines:
                line = msgspec.json.decode(text, type=RowLine)
                if line.id == row and candidate in (None, line.candidate):
                    found = line
                elif len(ids) < 1000:
                    ids.append(line.id)
    except OSError as error:
        raise RunError(f"{run / 'rows.jsonl'} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise RunError(f"{run / 'rows.jsonl'} is damaged: {error}") from error
    if found is None:
        of = f" of the {candidate}" if candidate else ""
        hint = did_you_mean(row, ids) or f"ids look like {', '.join(dict.fromkeys(ids[:3]))}"
        raise NothingSelected(f"{run} has no row {row}{of}", hint)
    return found


def _compiled(loaded: Loaded, run: Path, line: RowLine) -> CompiledProgram:
    program = build_program(loaded.spec)
    candidate = loaded.candidate or program.start()
    if line.candidate == "start" and (run / "candidates.jsonl").is_file():
        with open(run / "candidates.jsonl", "rb") as lines:
            first = msgspec.json.decode(lines.readline())
        candidate = msgspec.convert(first["candidate"], Candidate)
    return program.compile(candidate)
