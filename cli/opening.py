"""Opens a run: spec, data, checks, trust, directory, models. One place, in one order, for every command that calls."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.checking import spec_findings
from promptc.cli.console import Terminal
from promptc.cli.loading import Loaded, read_candidate
from promptc.cli.progress import LiveProgress, RunProgress, Spent
from promptc.cli.signals import Signals
from promptc.cli.untrusted import excerpt, plain
from promptc.runners.attachments import AttachmentRefused, content_digest, store_of
from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.runners.data_checks import check_data, check_files
from promptc.runners.dataset import Dataset, column_types, load_examples
from promptc.runners.effects import Effects, Recall
from promptc.runners.evaluate import Evaluator
from promptc.runners.failures import RowFailed
from promptc.runners.finished_run import open_run
from promptc.runners.hook_source import hook_digest
from promptc.runners.hooks import HookPool
from promptc.runners.identity import run_identity
from promptc.runners.journal import Journal
from promptc.runners.judging import Judge, build_judge
from promptc.runners.labelled import pooled_start, wants_rows
from promptc.runners.ledger import Ledger
from promptc.runners.models.cache import Cache
from promptc.runners.models.cache_file import cache_path
from promptc.runners.models.retry import RetryPolicy
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.stack import Commons, ModelStack, StackSettings, open_models
from promptc.runners.program import Program
from promptc.runners.retrievers.embedding import embedding_names
from promptc.runners.retrievers.opening import OpenRetrievers, open_retrievers
from promptc.runners.run_directory import (
    Marker,
    RunDirectory,
    SessionNote,
    default_path,
    keep_out_of_git,
)
from promptc.runners.sandbox import Sandbox
from promptc.runners.session import Session
from promptc.runners.tools.opening import open_tools
from promptc.runners.trust import CodeUse, code_of, require
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import DataError, SpecError, Untrusted
from promptc.spec.model import MODEL_ROLES, Budget, Spec
from promptc.spec.pipeline import judging_steps
from promptc.spec.tuning import tuned_models

RUNS = Path("runs")
MISSING_SHOWN = 10
MISSING_TEXT = 90
"""How many missing replies an offline run names, and how many characters of each request."""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen on the command line for a run, beyond the spec itself."""

    output: Path | None = None
    force: bool = False
    fresh: bool = False
    max_age: float | None = None
    offline: bool = False
    retry_failed: bool = False
    jobs: int | None = None
    allow_code: bool = False
    allow_effects: bool = False
    candidate: Path | None = None
    source: Path | None = None
    depfile: Path | None = None
    skip_if_no_key: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is ready to be opened: everything is checked, nothing is written, no socket is open."""

    loaded: Loaded
    program: Program
    judge: Judge
    dataset: Dataset
    start: Candidate
    code: tuple[CodeUse, ...]

    @property
    def spec(self) -> Spec:
        """The spec."""
        return self.loaded.spec


def prepare(loaded: Loaded, terminal: Terminal, *, candidate: Path | None = None) -> Prepared:
    """Build the program, read the rows and check both against each other. Raises SpecError, DataError."""
    prepared, findings = prepared_with(loaded, load_examples, candidate=candidate)
    show_warnings(terminal, (*loaded.warnings, *findings))
    return prepared


def prepared_with(
    loaded: Loaded, read: Callable[..., Dataset], *, candidate: Path | None = None
) -> tuple[Prepared, tuple[Diagnostic, ...]]:
    """A run that is ready, with warnings about its rows, which `read` brings. Raises SpecError, DataError."""
    spec_problems = spec_findings(loaded.spec)
    if not loaded.spec.metrics:
        said = "nothing judges an answer: the spec needs metrics:"
        spec_problems.append(Diagnostic(message=said, path="metrics", hint="such as metrics: [exact_match]"))
    if spec_problems:
        raise SpecError((*loaded.warnings, *spec_problems))
    dataset, findings = checked_data(loaded.spec, read)
    if dataset is None or any(f.severity == "error" for f in findings):
        raise SpecError((*loaded.warnings, *findings))
    prepared = prepared_from(loaded, dataset)
    if candidate is not None:
        prepared = msgspec.structs.replace(prepared, start=read_candidate(candidate, prepared.program))
    return prepared, findings


def checked_data(
    spec: Spec, read: Callable[..., Dataset] = load_examples
) -> tuple[Dataset | None, tuple[Diagnostic, ...]]:
    """The rows of a spec, and what is wrong with them; no dataset where a file is missing."""
    findings = check_files(spec, spec.positions)
    if findings:
        return None, tuple(findings)
    judge = build_judge(spec)
    dataset = read(spec.data, seed=spec.run.seed, gold=judge.gold_columns(), types=column_types(spec))
    return dataset, tuple(check_data(spec, dataset, judge.metrics, spec.positions))


def prepared_from(loaded: Loaded, dataset: Dataset) -> Prepared:
    """A run of a spec on rows that were checked."""
    program, judge = build_program(loaded.spec), build_judge(loaded.spec)
    return Prepared(
        loaded=loaded,
        program=program,
        judge=judge,
        dataset=dataset,
        start=loaded.candidate or pooled_start(program, judge, dataset.train),
        code=tuple(code_of(loaded.spec)),
    )


def own_candidate(loaded: Loaded, program: Program) -> Candidate:
    """An artifact's candidate, else the one that the spec describes, for which the rows are read only if needed."""
    if loaded.candidate is not None:
        return loaded.candidate
    if not wants_rows(program):
        return program.start()
    dataset, findings = checked_data(loaded.spec)
    if dataset is None:
        raise SpecError(findings)
    return pooled_start(program, build_judge(loaded.spec), dataset.train)


def show_warnings(terminal: Terminal, warnings: Sequence[Diagnostic]) -> None:
    """Findings that do not stop a run, on stderr."""
    if warnings and terminal.verbosity >= 0:
        from promptc.cli.diagnostics_view import print_diagnostics

        print_diagnostics(terminal, warnings)


def identity_of(prepared: Prepared, command: str, selection: Mapping[str, Any]) -> str:
    """The identity of a run of this command."""
    spec = prepared.spec
    return run_identity(
        spec,
        command=command,
        selection=selection,
        data=prepared.dataset.digest + _attached(prepared),
        hooks=hook_digests(prepared),
        start=prepared.start,
    )


def _attached(prepared: Prepared) -> str:
    """The digest of the files that the rows attach. Raises DataError for one that cannot be had."""
    try:
        return content_digest(prepared.spec, (example.row for example in prepared.dataset.part("all")))
    except (AttachmentRefused, RowFailed) as error:
        raise DataError(prepared.spec.data.path or prepared.spec.source, str(error)) from error


def hook_digests(prepared: Prepared) -> dict[str, str]:
    """The user's functions that a run may call, with the digest of their code."""
    return hook_digests_of(prepared.spec, prepared.code)


def hook_digests_of(spec: Spec, code: Sequence[CodeUse]) -> dict[str, str]:
    """The digests of a spec's functions, by their references."""
    return {u.reference: hook_digest(spec.base, u.reference) for u in code if u.kind == "function"}


def open_directory(prepared: Prepared, command: str, identity: str, choices: Choices) -> RunDirectory:
    """The run directory, locked. Raises RunError."""
    spec = prepared.spec
    path = choices.output
    if path is None:
        keep_out_of_git(RUNS)
        path = default_path(RUNS, spec.name, command, identity)
    return RunDirectory.open(
        path,
        Marker(identity=identity, command=command, name=spec.name),
        force=choices.force,
        fresh=choices.fresh,
    )


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """What a run shares with those beside it in this process: signals, the cache, and what providers see of them.

    `progress` opens what shows one run, told of calls and dollars so far and of what is waited for.
    """

    signals: Signals
    progress: Callable[[Spent, Callable[[], str]], RunProgress]
    redactor: Redactor
    cache: Cache
    commons: Commons


@contextlib.contextmanager
def company(terminal: Terminal, environment: Mapping[str, str]) -> Iterator[Company]:
    """The company of a run that is alone, or of the cells of a sweep."""
    redactor = Redactor()
    cache = Cache(cache_path(environment), redactor=redactor, warn=terminal.warn)
    try:
        yield Company(
            signals=Signals(lambda text: _note(terminal, text)),
            progress=lambda spent, waiting: LiveProgress(terminal, spent=spent, waiting_for=waiting),
            redactor=redactor,
            cache=cache,
            commons=Commons(),
        )
    finally:
        cache.close()


def _note(terminal: Terminal, text: str) -> None:
    if terminal.verbosity >= 0:
        terminal.err.print(plain(f"note: {text}", "yellow"), soft_wrap=True)


@contextlib.asynccontextmanager
async def open_session(
    prepared: Prepared,
    directory: RunDirectory,
    choices: Choices,
    beside: Company,
    *,
    environment: Mapping[str, str],
    version: str,
    budget: Budget,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[tuple[Session, ModelStack]]:
    """Everything that the run works with; closed in the reverse order, also when it fails."""
    spec = prepared.spec
    async with contextlib.AsyncExitStack() as stack:
        journal = Journal(
            directory.journal_path if spec.run.journal == "file" else None,
            identity=directory.marker.identity,
            version=version,
        )
        stack.callback(journal.close)
        if choices.retry_failed:
            journal.drop_failures()
        missing, digests = Missing(), hook_digests(prepared)
        models = open_stack(spec, choices, environment, beside, stack, missing)
        retrievers = await _retrievers(spec, choices, environment, models, stack)
        pool = HookPool(spec.base, environment=environment) if digests else None
        tools = open_tools(
            prepared.program,
            environment=environment,
            redactor=models.redactor,
            digests=digests,
            acting=choices.allow_effects,
            offline=choices.offline or choices.source is not None,
        )
        effects = Effects(
            journal,
            Ledger(budget),
            models,
            await stack.enter_async_context(pool) if pool is not None else None,
            retrievers=retrievers,
            tools=await stack.enter_async_context(tools),
            sandbox=_sandbox(stack),
            concurrency=choices.jobs or spec.run.concurrency,
            minutes=budget.minutes,
            clock=clock,
            version=version,
            stop_file=directory.work / "stop",
            hook_digests=digests,
            missing=missing.keys,
            recall=_recalled(choices, stack),
        )
        effects.on_stop = models.stop
        stack.callback(_note_session, directory, models)
        stack.push_async_callback(effects.drain)
        progress = _shown_progress(beside, effects, models, stack)
        with beside.signals.stopping(effects):
            yield (
                Session(
                    spec=spec,
                    program=prepared.program,
                    judge=prepared.judge,
                    dataset=prepared.dataset,
                    effects=effects,
                    evaluator=Evaluator(effects=effects, judge=prepared.judge, on_row=progress.row),
                    directory=directory,
                    progress=progress,
                    version=version,
                    start=prepared.start,
                ),
                models,
            )


def _note_session(directory: RunDirectory, models: ModelStack) -> None:
    """Keep what this session paid, however it ended."""
    figures = models.figures().values()
    calls = sum(one.calls for one in figures)
    if calls:
        usd = sum(one.paid_usd for one in figures)
        directory.note_session(SessionNote(ended=time.time(), paid_calls=calls, paid_usd=usd))


def _sandbox(stack: contextlib.AsyncExitStack) -> Sandbox:
    """Where programs of models run; it begins with the first one."""
    sandbox = Sandbox()
    stack.push_async_callback(sandbox.close)
    return sandbox


def _shown_progress(
    beside: Company, effects: Effects, models: ModelStack, stack: contextlib.AsyncExitStack
) -> RunProgress:
    progress = beside.progress(
        lambda: (int(effects.ledger.spent.calls), effects.ledger.spent.usd), lambda: models.waiting_for
    )
    stack.callback(progress.close)
    return progress


def _recalled(choices: Choices, stack: contextlib.AsyncExitStack) -> Recall | None:
    """What the run that replies are taken from recorded."""
    if choices.source is None:
        return None
    recorded = open_run(choices.source).recorded()
    stack.callback(recorded.close)
    return recorded.find


@contextlib.asynccontextmanager
async def open_effects(
    loaded: Loaded,
    choices: Choices,
    terminal: Terminal,
    *,
    environment: Mapping[str, str],
    rows: Path | None = None,
) -> AsyncIterator[tuple[Effects, ModelStack]]:
    """Effects without a run directory: the cache remembers, nothing is resumed, tools act. For `promptc run`.

    Metrics are not asked, so their code needs no trust.
    """
    spec = loaded.spec
    code = code_of(msgspec.structs.replace(spec, metrics=()))
    require(code, spec.base, flag=choices.allow_code, environment=os.environ)
    async with contextlib.AsyncExitStack() as stack:
        journal = Journal(None, identity="run", version="")
        stack.callback(journal.close)
        beside = stack.enter_context(company(terminal, environment))
        models = open_stack(spec, choices, environment, beside, stack, Missing(), rows)
        retrievers = await _retrievers(spec, choices, environment, models, stack)
        digests = hook_digests_of(spec, code)
        pool = HookPool(spec.base, environment=environment) if digests else None
        tools = open_tools(
            build_program(spec),
            environment=environment,
            redactor=models.redactor,
            digests=digests,
            acting=True,
            offline=choices.offline,
        )
        effects = Effects(
            journal,
            Ledger(spec.budget),
            models,
            await stack.enter_async_context(pool) if pool is not None else None,
            retrievers=retrievers,
            tools=await stack.enter_async_context(tools),
            sandbox=_sandbox(stack),
            concurrency=choices.jobs or spec.run.concurrency,
            hook_digests=digests,
        )
        effects.on_stop = models.stop
        stack.push_async_callback(effects.drain)
        yield effects, models


class Missing:
    """Notes the keys of the replies that an offline run asks for and nobody has recorded."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()

    def __call__(self, key: bytes) -> None:
        """Nothing is recorded beside cache and journal, which were asked before."""
        self.keys.add(key)


def not_recorded(models: ModelStack, source: Path | None = None) -> Untrusted:
    """The error of a run whose replies should all be recorded, in `source` say, with a list of those that are not."""
    missing = list({request.key(): request for request in models.missing}.values())
    lines = [f"{r.model}: {excerpt(r.messages[-1].content, MISSING_TEXT)}" for r in missing[:MISSING_SHOWN]]
    if len(missing) > MISSING_SHOWN:
        lines.append(f"and {len(missing) - MISSING_SHOWN} more")
    replies = "1 reply is" if len(missing) == 1 else f"{len(missing)} replies are"
    if source is not None:
        hint = "the program, its model or its rows are not those of that run; score it without --from"
        return Untrusted("\n".join([f"{replies} not recorded in {source}:", *lines]), hint)
    return Untrusted("\n".join([f"{replies} not recorded:", *lines]), "run once without --offline")


def open_stack(
    spec: Spec,
    choices: Choices,
    environment: Mapping[str, str],
    beside: Company,
    stack: contextlib.AsyncExitStack,
    missing: Missing,
    rows: Path | None = None,
) -> ModelStack:
    """Every model that the spec may ask, with its layers; closed by `stack`. `rows` is a file of other rows."""
    for name, value in environment.items():
        if not name.startswith("PROMPTC_"):
            os.environ.setdefault(
                name, value
            )  # litellm reads credentials of several parts (AWS, Vertex) only there
    settings = StackSettings(
        concurrency=choices.jobs or spec.run.concurrency,
        timeout=spec.run.timeout,
        retry=RetryPolicy(retries=spec.run.retries),
        fresh=choices.fresh,
        max_age=choices.max_age,
        offline=choices.offline,
        recorded_only=_answered_before(spec) if choices.source is not None else frozenset(),
        base=spec.base,
        seed=spec.run.seed,
        attachments=store_of(spec, rows),
    )
    models = open_models(
        {name: spec.model_named(name) for name in model_names(spec)},
        environment=environment,
        redactor=beside.redactor,
        cache=beside.cache if spec.run.cache else None,
        settings=settings,
        commons=beside.commons,
        recorded=missing,
        embedding=embedding_names(spec),
    )
    stack.push_async_callback(models.close)
    return models


def _answered_before(spec: Spec) -> frozenset[str]:
    """The models whose replies an earlier run has to hold: all but those that judge."""
    judges = {step.model for step in judging_steps(spec.metrics)} | {metric.model for metric in spec.metrics}
    return frozenset(model_names(spec)) - judges


async def _retrievers(
    spec: Spec,
    choices: Choices,
    environment: Mapping[str, str],
    models: ModelStack,
    stack: contextlib.AsyncExitStack,
) -> OpenRetrievers | None:
    """The retrievers of the spec, closed by `stack`; None where it has none."""
    if not spec.retrievers:
        return None
    opening = open_retrievers(
        spec, environment=environment, redactor=models.redactor, offline=choices.offline
    )
    return await stack.enter_async_context(opening)


def model_names(spec: Spec) -> tuple[str, ...]:
    """Every name that a request may be made to: the spec's, the roles, and those of steps and metrics."""
    roles = [role for role in MODEL_ROLES if role != "embed"] if "task" in spec.models else []
    steps = (*spec.steps, *judging_steps(spec.metrics))
    used = [
        *(step.model for step in steps),
        *tuned_models(spec),
        *(metric.model for metric in spec.metrics),
    ]
    return tuple(dict.fromkeys([*spec.models, *roles, *used, *embedding_names(spec)]))
