"""One row of a finished run once more, from what the run recorded: every step, message, reply and re-ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
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
from promptc.runners.finished_run import open_run, scored_rows
from promptc.runners.journal import Journal
from promptc.runners.ledger import Ledger
from promptc.runners.phase import Lane
from promptc.runners.program import CompiledProgram, Program
from promptc.runners.sandbox import Code, Ran
from promptc.runners.step_call import TraceStep
from promptc.runners.tools.opening import open_tools
from promptc.runners.tools.protocol import Function
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
        steps = await steps_of(compiled, line.inputs, effects, place=_place(run, line))
    return Traced(line=line, steps=steps)


async def steps_of(
    compiled: CompiledProgram, inputs: Mapping[str, Any], effects: Effects, *, place: int = 0
) -> tuple[TraceStep, ...]:
    """What happens on the way of a row through a program, whether it ends with outputs or with a failure.

    `place` is the row's place among those that were worked on together.
    """
    effects.watching = True
    steps: list[TraceStep] = []

    async def job(lane: Lane) -> None:
        with contextlib.suppress(RowFailed):  # the trace says what failed
            await compiled.run(Lane(lane.phase, place), inputs, trace=steps)

    await effects.phase("trace", {}).run([job], lambda _, __: None)
    return tuple(steps)


async def past_functions(
    program: Program, keys: Sequence[str], run: Path, terminal: Terminal, environment: Mapping[str, str]
) -> dict[str, tuple[Function, ...]]:
    """What these tools offered in a run. Raises Untrusted where the run did not ask them."""
    found: dict[str, tuple[Function, ...]] = {}
    async with past_effects(program.spec, run, terminal, environment) as effects:
        tools = effects.tools
        assert tools is not None, "past effects have tools"

        async def job(lane: Lane) -> None:
            for key in keys:
                found[key] = tuple(one.function for one in await tools.offered(lane, [key]))

        await effects.phase("render", {}).run([job], lambda _, __: None)
    return found


def past_run(run: Path, environment: Mapping[str, str]) -> Loaded:
    """The program that a finished run compiled. Raises UsageError."""
    return load(open_run(run).path, environment=environment)


@contextlib.asynccontextmanager
async def past_effects(
    spec: Spec, run: Path, terminal: Terminal, environment: Mapping[str, str]
) -> AsyncIterator[Effects]:
    """Effects that know what a run recorded, and ask nobody. Raises Untrusted where something is missing."""
    async with contextlib.AsyncExitStack() as stack:
        finished = open_run(run)
        recorded = finished.recorded()
        stack.callback(recorded.close)
        journal = Journal(None, identity="", version="")
        stack.callback(journal.close)
        choices = Choices(offline=True)
        beside = stack.enter_context(company(terminal, environment))
        models = open_stack(spec, choices, environment, beside, stack, Missing())
        counts = Ledger(spec.budget).counts_tokens
        digests = hook_digests_of(spec, code_of(spec))
        tools = open_tools(
            build_program(spec),
            environment=environment,
            redactor=models.redactor,
            digests=digests,
            acting=finished.acted,
            offline=True,
        )
        effects = Effects(
            journal,
            Ledger(Budget(tokens=_NO_WALL) if counts else Budget()),
            models,
            _Recorded(),
            tools=await stack.enter_async_context(tools),
            sandbox=_NoSandbox(),
            hook_digests=digests,
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


class _NoSandbox:
    """Stands for the sandbox: how programs ended is in the journal, and none is run."""

    async def run(self, code: Code) -> Ran:
        """There is no recorded end."""
        raise RowFailed("tool", "a program of the model's was not run in that run")


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


def _place(run: Path, line: RowLine) -> int:
    """How many rows of the same split and candidate stand before it."""
    place = 0
    for row in scored_rows(run):
        if row.id == line.id and (row.split, row.candidate) == (line.split, line.candidate):
            break
        place += (row.split, row.candidate) == (line.split, line.candidate)
    return place


def _compiled(loaded: Loaded, run: Path, line: RowLine) -> CompiledProgram:
    program = build_program(loaded.spec)
    candidate = loaded.candidate or program.start()
    if line.candidate == "start" and (run / "candidates.jsonl").is_file():
        with open(run / "candidates.jsonl", "rb") as lines:
            first = msgspec.json.decode(lines.readline())
        candidate = msgspec.convert(first["candidate"], Candidate)
    return program.compile(candidate)
