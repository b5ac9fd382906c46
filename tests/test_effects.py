"""Journal, phases and budgets: the properties that everything else stands on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import KilledError, ScriptedModels, ask, text

from promptc.runners.effects import Effects
from promptc.runners.failures import RowFailed
from promptc.runners.journal import Journal
from promptc.runners.ledger import Amount, Ledger
from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.phase import BudgetDenied, Lane
from promptc.spec.errors import Interrupted, PromptcError, RunError
from promptc.spec.model import Budget, RoleBudget


def echo(request: Request) -> Completion:
    return text(f"reply to {request.messages[-1].content}")


def open_effects(
    models: ScriptedModels,
    *,
    budget: Budget | None = None,
    path: Path | None = None,
    concurrency: int = 8,
    identity: str = "run",
    version: str = "1",
    **more: object,
) -> Effects:
    journal = Journal(path, identity=identity, version=version)
    budget = budget or Budget()
    return Effects(
        journal,
        Ledger(budget),
        models,
        concurrency=concurrency,
        minutes=budget.minutes,
        version=version,
        **more,
    )


async def run_rows(
    effects: Effects, rows: list[str], reasks: dict[str, int] | None = None, worst: Amount | None = None
) -> dict[int, str]:
    """Each row asks once, and again as often as `reasks` says; a denied re-ask keeps what the row had."""
    results: dict[int, str] = {}
    reasks = reasks or {}

    def job(row: str):
        async def work(lane: Lane) -> str:
            got = ""
            for attempt in range(1 + reasks.get(row, 0)):
                try:
                    reply = await lane.complete(
                        ask(f"{row} {attempt}"), model="task", role="task", reask=attempt > 0
                    )
                except BudgetDenied:
                    return f"{got} (denied)"
                except CallFailed as error:
                    return f"failed: {error.message}"
                got = reply.text
            return got

        return work

    most = max((1 + reasks.get(row, 0) for row in rows), default=1)
    phase = effects.phase(" ".join(rows), {"task": worst or Amount(len(rows) * most)})
    await phase.run([job(row) for row in rows], results.__setitem__)
    return results


def run(coroutine):
    return asyncio.run(coroutine)


def test_every_row_gets_its_own_reply():
    async def scenario():
        models = ScriptedModels(echo, shuffle=1)
        return await run_rows(open_effects(models), ["a", "b", "c"])

    assert run(scenario()) == {0: "reply to a 0", 1: "reply to b 0", 2: "reply to c 0"}


def test_equal_requests_are_asked_once_and_counted_once():
    async def scenario():
        models = ScriptedModels(echo, shuffle=2)
        effects = open_effects(models)
        results = await run_rows(effects, ["same"] * 20)
        return models, effects, results

    models, effects, results = run(scenario())
    assert len(models.asked) == 1
    assert effects.ledger.spent.calls == 1
    assert set(results.values()) == {"reply to same 0"}


def test_a_finished_journal_is_replayed_without_a_call(tmp_path):
    async def session():
        models = ScriptedModels(echo)
        effects = open_effects(models, path=tmp_path / "calls.sqlite")
        results = await run_rows(effects, ["a", "b", "c"])
        spent = effects.ledger.spent
        effects.journal.close()
        return results, spent, len(models.asked)

    first, spent, asked = run(session())
    again, spent_again, asked_again = run(session())
    assert (asked, asked_again) == (3, 0)
    assert again == first
    assert spent_again == spent


ROWS = [f"row{i}" for i in range(40)]


@settings(max_examples=40, deadline=None)
@given(
    killed_after=st.integers(0, 70),
    workers=st.sampled_from([1, 7, 64]),
    again_workers=st.sampled_from([1, 7, 64]),
    calls=st.one_of(st.none(), st.integers(30, 90)),
    shuffle=st.integers(0, 5),
)
def test_a_killed_run_ends_like_an_undisturbed_one(
    tmp_path_factory, killed_after, workers, again_workers, calls, shuffle
):
    folder = tmp_path_factory.mktemp("kill")
    reasks = {row: i % 3 for i, row in enumerate(ROWS)}

    async def session(path, concurrency, die_after=None):
        models = ScriptedModels(echo, shuffle=shuffle, workers=concurrency)
        models.die_after = die_after
        effects = open_effects(models, path=path, budget=Budget(calls=calls), concurrency=concurrency)
        try:
            results = await run_rows(effects, ROWS, reasks)
        finally:
            effects.journal.close()
        return results, effects.ledger.spent, models

    undisturbed, spent, _ = run(session(folder / "a", 16))
    try:
        run(session(folder / "b", workers, killed_after))
        killed = 0
    except KilledError:
        killed = killed_after
    resumed, spent_again, models = run(session(folder / "b", again_workers))
    assert resumed == undisturbed
    assert spent_again == spent
    # The script is asked `killed_after` times before it dies; the journal held all of them when the session closed.
    assert killed + len(models.asked) <= spent.calls


@settings(max_examples=60, deadline=None)
@given(
    calls=st.one_of(st.none(), st.integers(0, 60)),
    tokens=st.one_of(st.none(), st.integers(0, 40_000)),
    usd=st.one_of(st.none(), st.floats(0, 0.05)),
    role_calls=st.one_of(st.none(), st.integers(0, 60)),
    reasked=st.lists(st.integers(0, 3), min_size=20, max_size=20),
    reply_tokens=st.integers(1, 300),
)
def test_no_limit_is_passed_and_the_cut_does_not_depend_on_workers(
    calls, tokens, usd, role_calls, reasked, reply_tokens
):
    price = 1e-6
    rows = ROWS[:20]
    reasks = dict(zip(rows, reasked, strict=True))
    roles = {} if role_calls is None else {"task": RoleBudget(calls=role_calls)}
    budget = Budget(calls=calls, tokens=tokens, usd=usd, roles=roles)

    def reply(request: Request) -> Completion:
        return text(
            f"reply to {request.messages[-1].content}",
            tokens_in=12,
            tokens_out=reply_tokens,
            cost=price * (12 + reply_tokens),
        )

    async def session(workers: int):
        models = ScriptedModels(reply, shuffle=workers, workers=workers, price=price)
        effects = open_effects(models, budget=budget, concurrency=workers)
        results: dict[int, str] = {}

        def job(row: str):
            async def work(lane: Lane) -> str:
                got = "nothing"
                for attempt in range(1 + reasks[row]):
                    request = effects.request("task", ask(f"{row} {attempt}").messages, {"max_tokens": 300})
                    try:
                        completion = await lane.complete(
                            request, model="task", role="task", reask=attempt > 0
                        )
                    except BudgetDenied:
                        return f"{got}, then denied"
                    got = completion.text
                return got

            return work

        bound = Amount(4, 4 * 400.0, 4 * 400 * price) * len(rows)
        phase = effects.phase("rows", {"task": bound})
        await phase.run([job(row) for row in rows], results.__setitem__)
        return results, effects.ledger.spent

    outcomes = [run(session(workers)) for workers in (1, 7, 64)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    spent = outcomes[0][1]
    assert calls is None or spent.calls <= calls
    assert role_calls is None or spent.calls <= role_calls
    assert tokens is None or spent.tokens <= tokens
    assert usd is None or spent.usd <= usd + 1e-12


def test_first_calls_come_before_reasks_when_the_budget_is_short():
    async def scenario():
        models = ScriptedModels(echo, shuffle=3)
        effects = open_effects(models, budget=Budget(calls=11))
        return await run_rows(effects, ROWS[:10], dict.fromkeys(ROWS[:10], 2))

    results = run(scenario())
    assert results[0] == "reply to row0 1 (denied)"
    assert all(results[i] == f"reply to row{i} 0 (denied)" for i in range(1, 10))


def test_a_replay_that_asks_for_something_else_stops_before_it_pays(tmp_path):
    async def session(rows: list[str], names: list[str], models: ScriptedModels):
        effects = open_effects(models, path=tmp_path / "calls.sqlite")
        results: dict[int, str] = {}

        def job(name: str):
            async def work(lane: Lane) -> str:
                return (await lane.complete(ask(name), model="task", role="task")).text

            return work

        try:
            await effects.phase(" ".join(rows), {}).run([job(n) for n in names], results.__setitem__)
        finally:
            effects.journal.close()

    first = ScriptedModels(echo)
    first.die_after = 3
    with pytest.raises(KilledError):
        run(session(["x"], ["a", "b", "c", "d", "e"], first))
    changed = ScriptedModels(echo)
    with pytest.raises(RunError, match="cannot be replayed"):
        run(session(["x"], ["a2", "b2", "c2", "d2", "e2"], changed))
    assert changed.asked == []
    with pytest.raises(RunError, match="works on something else"):
        run(session(["y"], ["a", "b", "c", "d", "e"], ScriptedModels(echo)))


def test_a_provider_failure_is_recorded_and_final_until_it_is_dropped(tmp_path):
    failing = {"b 0"}

    def reply(request: Request) -> Completion | CallFailed:
        if request.messages[-1].content in failing:
            return CallFailed("the server had an error", retryable=True, status=500)
        return echo(request)

    async def session(drop: bool):
        models = ScriptedModels(reply)
        effects = open_effects(models, path=tmp_path / "calls.sqlite")
        dropped = effects.journal.drop_failures() if drop else 0
        results = await run_rows(effects, ["a", "b", "c"])
        effects.journal.close()
        return results, len(models.asked), dropped

    results, asked, _ = run(session(False))
    assert results[1] == "failed: the server had an error"
    assert asked == 3
    failing.clear()
    assert run(session(False))[1] == 0
    results, asked, dropped = run(session(True))
    assert (results[1], asked, dropped) == ("reply to b 0", 1, 1)


def test_a_fatal_failure_ends_the_phase_with_what_to_do():
    def reply(request: Request) -> Completion | CallFailed:
        return CallFailed("401 from the provider", fatal=True, hint="set OPENAI_API_KEY")

    async def scenario():
        await run_rows(open_effects(ScriptedModels(reply)), ROWS)

    with pytest.raises(PromptcError) as caught:
        run(scenario())
    assert (caught.value.exit_code, caught.value.hint) == (6, "set OPENAI_API_KEY")


def test_a_signal_lets_calls_under_way_finish_and_starts_no_new_one(tmp_path):
    async def scenario():
        models = ScriptedModels(echo)
        effects = open_effects(models, path=tmp_path / "calls.sqlite", concurrency=4)

        def stop_at_six(request: Request) -> Completion:
            if len(models.asked) >= 6:
                effects.stop(2)
            return echo(request)

        models._reply = stop_at_six
        try:
            await run_rows(effects, ROWS)
        finally:
            recorded = sum(1 for _ in effects.journal.effects())
            effects.journal.close()
            assert recorded == len(models.asked) < len(ROWS)

    with pytest.raises(Interrupted):
        run(scenario())


@settings(max_examples=40, deadline=None)
@given(
    calls=st.integers(0, 70), shuffle=st.integers(0, 5), killed_after=st.one_of(st.none(), st.integers(0, 40))
)
def test_calls_that_a_row_makes_at_once_are_cut_and_replayed_in_one_way(
    tmp_path_factory, calls, shuffle, killed_after
):
    """Each row asks three things at once and, of what it got, one more; some of them are asked again."""

    async def session(path: Path, workers: int, die_after: int | None = None):
        models = ScriptedModels(echo, shuffle=shuffle + workers, workers=workers)
        models.die_after = die_after
        effects = open_effects(models, path=path, budget=Budget(calls=calls), concurrency=workers)
        results: dict[int, str] = {}

        async def one(lane: Lane, name: str, reasks: int) -> str:
            got = "nothing"
            for attempt in range(1 + reasks):
                try:
                    reply = await lane.complete(
                        ask(f"{name} {attempt}"), model="task", role="task", reask=attempt > 0
                    )
                except BudgetDenied:
                    return f"{got} (denied)"
                got = reply.text
            return got

        def job(row: int):
            async def work(lane: Lane) -> str:
                parts = await lane.together(
                    [lambda own, n=n: one(own, f"{row}-{n}", (row + n) % 3) for n in range(3)]
                )
                return "|".join([*parts, await one(lane, f"{row}-last {len(parts[0])}", row % 2)])

            return work

        try:
            await effects.phase("rows", {"task": Amount(12 * 12)}).run(
                [job(n) for n in range(12)], results.__setitem__
            )
        finally:
            effects.journal.close()
        return results, effects.ledger.spent

    folder = tmp_path_factory.mktemp("together")
    outcomes = [run(session(folder / f"{workers}", workers)) for workers in (1, 5, 64)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][1].calls <= calls
    if killed_after is not None:
        try:
            run(session(folder / "killed", 7, killed_after))
        except KilledError:
            assert killed_after < outcomes[0][1].calls
        assert run(session(folder / "killed", 3)) == outcomes[0]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_ends_a_run_once_and_a_replay_never_asks_it(tmp_path):
    async def session(clock: Clock, seconds_per_call: float):
        def slow(request: Request) -> Completion:
            clock.now += seconds_per_call
            return echo(request)

        models = ScriptedModels(slow)
        effects = open_effects(models, path=tmp_path / "calls.sqlite", budget=Budget(minutes=1), clock=clock)
        phases = []
        for number in range(5):
            if not effects.clock_allows("trial"):
                break
            phases.append(await run_rows(effects, [f"{number}-{row}" for row in ROWS[:4]]))
        effects.journal.close()
        return phases, effects.stop_reason, len(models.asked)

    phases, reason, asked = run(session(Clock(), 10.0))
    assert (len(phases), reason, asked) == (2, "minutes", 8)
    assert run(session(Clock(), 0.0)) == (phases, "minutes", 0)


def test_a_journal_of_another_run_is_refused(tmp_path):
    Journal(tmp_path / "calls.sqlite", identity="one", version="1").close()
    with pytest.raises(RunError, match="belongs to run one"):
        Journal(tmp_path / "calls.sqlite", identity="two", version="1")


def test_a_file_that_is_no_journal_is_named(tmp_path):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(RunError, match=r"calls\.sqlite"):
        Journal(path, identity="one", version="1")


def test_reserved_amounts_are_not_admitted():
    ledger = Ledger(Budget(calls=100))
    ledger.reserve("test", {"task": Amount(60)})
    assert ledger.largest({"task": Amount(1)}, 100) == 40
    ledger.release("test")
    assert ledger.largest({"task": Amount(1)}, 100) == 100


async def outside_twice(path: Path | None, results: list[object]) -> list[object]:
    """Two rows that want the same from outside; `results` is what the outside says, in order."""
    effects = open_effects(ScriptedModels(echo), path=path)
    got: list[object] = []

    async def work() -> object:
        result = results.pop(0)
        if isinstance(result, RowFailed):
            raise result
        return result

    async def job(lane: Lane) -> object:
        try:
            return await lane.outside("tool", ["add", {"a": 1}], work)
        except RowFailed as error:
            return f"{error.failure.kind}: {error.failure.message}"

    await effects.phase("rows", {}).run([job, job], lambda _, result: got.append(result))
    effects.journal.close()
    return got


def test_what_comes_from_outside_is_asked_once_and_replayed(tmp_path):
    path = tmp_path / "calls.sqlite"
    assert run(outside_twice(path, [{"sum": 3}])) == [{"sum": 3}, {"sum": 3}]
    assert run(outside_twice(path, [])) == [{"sum": 3}, {"sum": 3}]


def test_a_failure_outside_is_recorded_until_failures_are_dropped(tmp_path):
    path = tmp_path / "calls.sqlite"
    failed = ["tool: it is broken"] * 2
    assert run(outside_twice(path, [RowFailed("tool", "it is broken")])) == failed
    assert run(outside_twice(path, [])) == failed
    journal = Journal(path, identity="run", version="1")
    assert journal.drop_failures() == 1
    journal.close()
    assert run(outside_twice(path, [7])) == [7, 7]
