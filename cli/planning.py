"""What a run would ask for, before it asks: calls, dollars, and whether the budget can hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from promptc.cli.opening import Prepared
from promptc.optimizers.protocol import Optimizer, Plan, Sizes
from promptc.optimizers.registry import OPTIMIZERS
from promptc.optimizers.structure import structure_runs
from promptc.runners.asking import EXTRACT
from promptc.runners.ledger import Amount, total
from promptc.runners.models.prices import PriceMap, pricing_of
from promptc.runners.models.request import Usage
from promptc.runners.objectives import COST, objectives
from promptc.runners.plugins import build
from promptc.runners.program import CHARACTERS_PER_TOKEN, EXPECTED_REPLY_TOKENS, Program
from promptc.runners.retrievers.checking import documents_of
from promptc.runners.retrievers.embedding import asked_for_vectors, embedding_names
from promptc.runners.retrievers.vectors import EMBED, TEXTS_AT_ONCE
from promptc.runners.rows import Example
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError, UsageError
from promptc.spec.model import Budget, RoleBudget, Spec
from promptc.spec.plugin import Plugin

PROPOSER = "proposer"
"""The role whose runs are single calls, not runs of the program over rows."""

DEFAULT_OPTIMIZER = "auto"
"""Used where a spec names none."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` says: rows, trials, calls by role (fewest, most without re-asks), and the wall with every re-ask.

    `usd` is (low, high) in dollars, None where a model has no price. `walls` says what the budget allows.
    """

    command: str
    rows: dict[str, int]
    calls: dict[str, tuple[int, int]]
    total: tuple[int, int]
    worst: int
    usd: tuple[float, float] | None
    trials: int = 0
    first_trial: int = 0
    notes: tuple[str, ...] = ()


def build_optimizer(spec: Spec) -> Optimizer:
    """The spec's optimizer. Raises SpecError for parameters that do not fit."""
    plugin = spec.optimizer or Plugin(kind="optimizer", name=DEFAULT_OPTIMIZER)
    optimizer: Optimizer = build(OPTIMIZERS, plugin)
    return optimizer


def planned(prepared: Prepared, optimizer: Optimizer, *, tested: bool = True) -> Forecast:
    """The forecast of `optimize`, with both passes over test. Raises SpecError where no trial fits the budget."""
    data = prepared.dataset
    if not data.dev or not data.train:
        raise UsageError("optimize needs rows to learn from and rows to choose on", "see data.split")
    plan, sizes = _plan(prepared, optimizer)
    runs = dict(plan.runs)
    low, high = runs.get("task", (0, 0))
    if tested:
        runs["task"] = (low + sizes.test, high + 2 * sizes.test)
    forecast = _forecast(prepared, "optimize", runs, plan)
    findings = [
        *_check_budget(prepared, plan, sizes),
        *_check_prices(prepared.spec, forecast),
        *_check_objective(prepared),
    ]
    if findings:
        raise SpecError(tuple(findings))
    return forecast


def _plan(prepared: Prepared, optimizer: Optimizer) -> tuple[Plan, Sizes]:
    """What all searches would ask for, and how many runs a pass over the rows takes on which they are measured."""
    data, repeat = prepared.dataset, prepared.spec.run.repeat

    def search(
        program: Program, train: Sequence[Example], dev: Sequence[Example], test: Sequence[Example]
    ) -> tuple[Plan, Sizes]:
        sizes = Sizes(len(train), len(dev) * repeat, len(test) * repeat)
        plan = optimizer.plan(program, sizes)
        low, high = plan.runs.get("task", (0, 0))
        structure = structure_runs(prepared.spec.tune, sizes)
        return msgspec.structs.replace(plan, runs={**plan.runs, "task": (low, high + structure)}), sizes

    if not data.folds:
        return search(prepared.program, data.train, data.dev, data.test)
    program = _with_share(prepared.program, 1 + len(data.folds))
    plans = [search(program, part.train, part.dev, ())[0] for part in data.searched()]
    whole = Sizes(len(data.train), len(data.dev) * repeat, len(data.part("all")) * repeat)
    return _together(plans), whole


def _together(plans: Sequence[Plan]) -> Plan:
    """Several searches that share a budget in equal parts, the one on all rows first."""
    roles = dict.fromkeys(role for plan in plans for role in plan.runs)
    ranges = {role: [plan.runs.get(role, (0, 0)) for plan in plans] for role in roles}
    shared = f"{len(plans)} searches share the budget: one on all rows, one beside each fold"
    return Plan(
        runs={role: (sum(low for low, _ in of), sum(high for _, high in of)) for role, of in ranges.items()},
        first_trial=len(plans) * max(plan.first_trial for plan in plans),
        trials=plans[0].trials,
        notes=(*plans[0].notes, shared),
    )


def _with_share(program: Program, searches: int) -> Program:
    """The program as each of several searches sees it: with its part of the budget."""
    budget = program.spec.budget
    if budget.calls is None:
        return program
    part = msgspec.structs.replace(budget, calls=max(1, budget.calls // searches))
    return msgspec.structs.replace(program, spec=msgspec.structs.replace(program.spec, budget=part))


def planned_eval(prepared: Prepared, split: str, rows: int) -> Forecast:
    """The forecast of `eval`. Raises SpecError for a budget in dollars that cannot be kept."""
    plan = Plan(runs={}, first_trial=0, trials=0)
    runs = rows * prepared.spec.run.repeat
    forecast = _forecast(prepared, f"eval --split {split}", {"task": (runs, runs)}, plan)
    findings = _check_prices(prepared.spec, forecast)
    if findings:
        raise SpecError(tuple(findings))
    return forecast


def wall(forecast: Forecast, spec: Spec) -> tuple[Budget, str]:
    """The budget to run with: the spec's, or the forecast's worst case where the spec has none."""
    budget = spec.budget
    if (budget.calls, budget.tokens, budget.usd, budget.minutes) != (None, None, None, None) or budget.roles:
        return budget, ""
    return Budget(calls=forecast.worst), (
        f"no budget: the wall is {forecast.worst} calls, every re-ask included "
        f"({forecast.total[0]} to {forecast.total[1]} without)"
    )


def _forecast(prepared: Prepared, command: str, runs: dict[str, tuple[int, int]], plan: Plan) -> Forecast:
    program, judge, data = prepared.program, prepared.judge, prepared.dataset
    low_calls, high_calls = program.widest_calls()
    rowwise = {role: range_ for role, range_ in runs.items() if role not in (PROPOSER, EMBED)}
    calls = {role: (low * low_calls, high * high_calls) for role, (low, high) in rowwise.items() if high}
    if runs.get(PROPOSER, (0, 0))[1]:
        calls[PROPOSER] = runs[PROPOSER]
    least, most = program.extractions()
    if most:
        low, high = sum(r[0] for r in rowwise.values()), sum(r[1] for r in rowwise.values())
        calls[EXTRACT] = (low * least, high * most)
    if judge.calls() or program.judge_calls():
        low, high = sum(r[0] for r in rowwise.values()), sum(r[1] for r in rowwise.values())
        calls["judge"] = (low * judge.calls(), high * (judge.calls() + program.judge_calls()))
    vectors = _vectors(prepared)
    least, most = runs.get(EMBED, (0, 0))
    low, high = sum(r[0] for r in rowwise.values()), sum(r[1] for r in rowwise.values())
    if vectors.per_row or most:
        calls[EMBED] = (
            least + low * vectors.per_row + vectors.once,
            most + high * vectors.per_row + vectors.once,
        )
    total = (sum(low for low, _ in calls.values()), sum(high for _, high in calls.values()))
    return Forecast(
        command=command,
        rows={part: len(data.part(part)) for part in ("train", "dev", "test")},
        calls=calls,
        total=total,
        worst=total[1] * (1 + program.most_reasks()),
        usd=_dollars(prepared, calls, vectors),
        trials=plan.trials,
        first_trial=plan.first_trial,
        notes=plan.notes,
    )


class _Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """Requests for vectors: of each row at most, and once for documents and demos, with the tokens of the latter."""

    per_row: int = 0
    once: int = 0
    tokens: int = 0


def _vectors(prepared: Prepared) -> _Vectors:
    compiled = prepared.program.compile(prepared.start)
    per_row = compiled.vector_calls()
    if not per_row:
        return _Vectors()
    once = characters = 0
    for use in asked_for_vectors(prepared.spec):
        documents = documents_of(use)
        texts = [document.searched for document in documents.entries] if documents is not None else []
        once += math.ceil(len(texts) / use.plugin.params.get("batch", TEXTS_AT_ONCE))
        characters += sum(map(len, texts))
    for speaker in compiled.speakers.values():
        if speaker.pool is not None and speaker.pool.asks_a_model:
            once += math.ceil(len(speaker.pool.demos) / TEXTS_AT_ONCE)
            characters += sum(len(str(demo.inputs)) for demo in speaker.pool.demos)
    return _Vectors(per_row=per_row, once=once, tokens=characters // CHARACTERS_PER_TOKEN)


def _dollars(
    prepared: Prepared, calls: dict[str, tuple[int, int]], vectors: _Vectors
) -> tuple[float, float] | None:
    compiled = prepared.program.compile(prepared.start)
    rows = prepared.dataset.part("all")[:50]
    characters = sum(len(str(e.row)) for e in rows) // max(1, len(rows))
    prices = PriceMap()
    low = high = 0.0
    for role, (fewest, most) in calls.items():
        name = next(iter(embedding_names(prepared.spec)), EMBED) if role == EMBED else role
        pricing = pricing_of(prepared.spec.model_named(name), prices)
        if pricing is None:
            return None
        if role == EMBED:
            each, whole = pricing.cost(Usage(characters)), pricing.cost(Usage(vectors.tokens))
            low += (fewest - vectors.once) * each + whole
            high += (most - vectors.once) * each + whole
            continue
        tokens = int(compiled.call_estimate(characters, 0, lambda *_: 0.0).tokens)
        low += fewest * pricing.cost(Usage(tokens, EXPECTED_REPLY_TOKENS // 4))
        high += most * pricing.cost(Usage(2 * tokens, 2 * EXPECTED_REPLY_TOKENS))
    return low, high


def _check_budget(prepared: Prepared, plan: Plan, sizes: Sizes) -> list[Diagnostic]:
    """The walls that are too low for one trial: to be said before anything is paid."""
    spec = prepared.spec
    needed = _first_trial(prepared, plan, sizes)
    runs = f"{plan.first_trial} program runs on train and dev, and {2 * sizes.test} on test"
    walls: list[tuple[str, Budget | RoleBudget, Amount]] = [("budget", spec.budget, total(needed))]
    walls += [
        (f"budget.roles.{role}", wall, needed.get(role, Amount())) for role, wall in spec.budget.roles.items()
    ]
    findings = []
    for path, wall, amount in walls:
        figures = [
            ("calls", wall.calls, f"{amount.calls:.0f}", amount.calls),
            ("tokens", wall.tokens, f"about {amount.tokens:.0f}", amount.tokens),
            ("usd", wall.usd, f"about {amount.usd:.2g}", amount.usd),
        ]
        findings += [
            Diagnostic(
                message=f"{path}.{unit} is {limit:g}, and one trial needs {said}: {runs}",
                position=spec.positions.get(f"{path}.{unit}") or spec.budget.position,
                path=f"{path}.{unit}",
                hint="allow more, or use fewer rows (data.split)",
            )
            for unit, limit, said, least in figures
            if limit is not None and limit < least
        ]
    return findings


def _first_trial(prepared: Prepared, plan: Plan, sizes: Sizes) -> dict[str, Amount]:
    """What must fit before anything but the start can win, by role.

    Calls are exact. Tokens and dollars are estimates, so they cover only what the search would refuse to begin
    without: the start on dev and two passes over test.
    """
    teacher = plan.runs.get("teacher", (0, 0))[0]
    runs = {"task": plan.first_trial - teacher + 2 * sizes.test, "teacher": teacher}
    calls = {role: count * prepared.program.calls()[1] for role, count in runs.items()}
    calls["judge"] = sum(runs.values()) * prepared.judge.calls()
    calls[EXTRACT] = sum(runs.values()) * prepared.program.extractions()[1]
    begin = (sizes.dev + 2 * sizes.test) * prepared.program.calls()[1]
    tokens, usd = _expected_call(prepared)
    return {
        role: Amount(count, begin * tokens if role == "task" else 0, begin * usd if role == "task" else 0)
        for role, count in calls.items()
    }


def _expected_call(prepared: Prepared) -> tuple[float, float]:
    """Tokens and US dollars of one call of the start, as the search would estimate them before its first reply."""
    pricing = pricing_of(prepared.spec.model_named("task"), PriceMap())
    rows = prepared.dataset.dev[:50]
    characters = sum(len(str(e.row)) for e in rows) // max(1, len(rows))
    compiled = prepared.program.compile(prepared.start)
    amount = compiled.call_estimate(
        characters,
        EXPECTED_REPLY_TOKENS,
        lambda _, into, out: pricing.cost(Usage(into, out)) if pricing is not None else 0.0,
    )
    return amount.tokens, amount.usd


def _check_prices(spec: Spec, forecast: Forecast) -> list[Diagnostic]:
    """A wall in dollars on a model whose price nobody knows cannot be kept."""
    walls = {"budget": spec.budget.usd} | {f"budget.roles.{r}": w.usd for r, w in spec.budget.roles.items()}
    return [
        Diagnostic(
            message=f"{path}.usd cannot be kept: a model has no known price",
            position=spec.positions.get(f"{path}.usd") or spec.budget.position,
            path=f"{path}.usd",
            hint="give the model a price: {input: …, output: …} in dollars per million tokens",
        )
        for path, limit in walls.items()
        if limit is not None and forecast.usd is None
    ]


def _check_objective(prepared: Prepared) -> list[Diagnostic]:
    """Candidates cannot be compared by a cost that nobody knows."""
    spec, prices = prepared.spec, PriceMap()
    if not any(one.name == COST and one.less_is_better for one in objectives(spec)):
        return []
    names = dict.fromkeys(predictor.model for predictor in prepared.program.predictors.values())
    return [
        Diagnostic(
            message=f"objective: cost needs a price for the model {name}",
            position=spec.positions.get("objective"),
            path="objective",
            hint="give the model a price: {input: …, output: …} in dollars per million tokens",
        )
        for name in names
        if pricing_of(spec.model_named(name), prices) is None
    ]
