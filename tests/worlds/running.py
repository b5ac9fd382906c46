"""Runs an optimizer in a world, in this process: the search on train and dev, then the winner on test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.registry import OPTIMIZERS
from promptc.optimizers.search import Search, Trial
from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.runners.effects import Effects, Models
from promptc.runners.evaluate import Arm, Evaluator, RowRecord
from promptc.runners.journal import Journal
from promptc.runners.judging import build_judge
from promptc.runners.ledger import Ledger
from promptc.runners.plugins import build
from promptc.runners.program import Program
from promptc.runners.rows import Example, content_digest
from promptc.spec.load import load
from promptc.spec.model import Budget, RoleBudget, Spec
from promptc.spec.plugin import Plugin
from worlds.world import SimulatedModels, World

SIZES = {"train": 80, "dev": 80, "test": 300}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to. `scores` are the winner's on test, row by row."""

    scores: tuple[float, ...]
    start: float
    task_calls: int
    proposals: int
    characters: int
    winner: Trial
    trials: tuple[Trial, ...]
    stop_reason: str
    notes: tuple[str, ...]
    rejected: Mapping[str, int] = {}

    @property
    def score(self) -> float:
        """The winner's mean on test."""
        return sum(self.scores) / len(self.scores)


def spec_of(tree: Mapping[str, Any], seed: int = 0, calls: int | None = None) -> Spec:
    """The spec of a world, with a budget where there is one."""
    whole = {
        "version": 1,
        "name": "world",
        "models": {"task": "openai/task", "proposer": "openai/proposer"},
        "data": {"path": "rows.jsonl"},
        "run": {"seed": seed},
        **({"budget": {"calls": calls}} if calls is not None else {}),
        **tree,
    }
    spec, findings = load(json.dumps(whole), file="world.yaml", base=Path("."))
    if spec is None:
        raise ValueError("\n".join(finding.message for finding in findings))
    return spec


def examples_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Example, ...]:
    """Rows as a search gets them."""
    return tuple(
        Example(str(row.get("id", index)), index, dict(row), content_digest(row))
        for index, row in enumerate(rows)
    )


def optimizer_of(name: str, params: Mapping[str, Any]) -> Optimizer:
    """An optimizer by name."""
    found: Optimizer = build(OPTIMIZERS, Plugin(kind="optimizer", name=name, params=dict(params)))
    return found


def program_of(world: World, seed: int = 0, calls: int | None = None) -> Program:
    """The world's program."""
    program = build_program(spec_of(world.tree(), seed, calls))
    wired: Callable[[Program], Program] | None = getattr(world, "wired", None)
    return wired(program) if wired is not None else program


def search_in(
    world: World,
    effects: Effects,
    *,
    seed: int = 0,
    calls: int | None = None,
    sizes: Mapping[str, int] = SIZES,
    start: Candidate | None = None,
    report: Callable[[Trial, Trial], None] | None = None,
) -> Search:
    """A search on the world's train and dev rows."""
    program = program_of(world, seed, calls)
    judge = build_judge(program.spec)
    return Search(
        program,
        Evaluator(effects=effects, judge=judge),
        start=start or program.start(),
        train=examples_of(world.rows("train", sizes["train"])),
        dev=examples_of(world.rows("dev", sizes["dev"])),
        seed=seed,
        judge=judge,
        report=report,
    )


def effects_of(
    models: Models,
    *,
    calls: int | None = None,
    roles: Mapping[str, int] | None = None,
    path: Path | None = None,
    concurrency: int = 64,
) -> Effects:
    """Effects with a budget for the search alone."""
    walls = {role: RoleBudget(calls=most) for role, most in (roles or {}).items()}
    journal = Journal(path, identity="world", version="1")
    return Effects(
        journal, Ledger(Budget(calls=calls, roles=walls)), models, concurrency=concurrency, version="1"
    )


async def found_in(
    world: World,
    optimizer: Optimizer,
    *,
    calls: int | None,
    roles: Mapping[str, int] | None = None,
    seed: int = 0,
    sizes: Mapping[str, int] = SIZES,
    models: Models | None = None,
) -> Found:
    """Search, then score start and winner on test with calls that do not count."""
    models = models or SimulatedModels(world)
    effects = effects_of(models, calls=calls, roles=roles)
    search = search_in(world, effects, seed=seed, calls=calls, sizes=sizes)
    try:
        await optimizer.optimize(search)
        winner = search.best()
        start, scored = await _on_test(world, search, models, winner, sizes)
    finally:
        effects.journal.close()
    spent = effects.ledger.by_role()
    return Found(
        scores=scored,
        start=sum(start) / len(start),
        task_calls=int(sum(amount.calls for role, amount in spent.items() if role != "proposer")),
        proposals=int(spent["proposer"].calls) if "proposer" in spent else 0,
        characters=winner.prompt_characters,
        winner=winner,
        trials=tuple(search.trials),
        stop_reason=search.stop_reason,
        notes=tuple(search.notes),
    )


async def _on_test(
    world: World, search: Search, models: Models, winner: Trial, sizes: Mapping[str, int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    effects = effects_of(models)
    evaluator = Evaluator(effects=effects, judge=search.judge)
    test = examples_of(world.rows("test", sizes["test"]))
    arms = [Arm(compiled=search.program.compile(candidate)) for candidate in (search.start, winner.candidate)]
    try:
        before, after = await evaluator.evaluate_all(arms, test)
    finally:
        effects.journal.close()
    return _scores(before), _scores(after)


def _scores(records: Sequence[RowRecord]) -> tuple[float, ...]:
    return tuple(record.score or 0.0 for record in records)
