"""The optimizers, step by step: which rows they ask, which demonstrations they show, which candidate wins."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedModels, text
from workplace import answer

from promptc.optimizers.bootstrap_few_shot import BootstrapFewShot
from promptc.optimizers.bootstrap_random_search import BootstrapRandomSearch
from promptc.optimizers.labeled_few_shot import LabeledFewShot
from promptc.optimizers.protocol import Optimizer, Sizes
from promptc.optimizers.search import Search, Trial
from promptc.runners.build import build_program
from promptc.runners.candidate import Demo
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Evaluator
from promptc.runners.journal import Journal
from promptc.runners.judging import build_judge
from promptc.runners.ledger import Ledger
from promptc.runners.models.request import Completion, Request
from promptc.runners.rows import inline_rows
from promptc.spec.load import load
from promptc.spec.model import Budget

MARKER = re.compile(r"\[\[ ## text ## \]\]\n(.*?)\n\n", re.DOTALL)


class Asked:
    """One request, seen as the row that it is about and the demonstrations that it shows."""

    def __init__(self, request: Request) -> None:
        self.role, self.rollout = request.model, request.rollout
        users = [m.content + "\n\n" for m in request.messages if m.role == "user"]
        self.texts = [MARKER.search(content)[1] for content in users]
        self.row, self.demos = self.texts[-1], self.texts[:-1]
        self.answers = [m.content for m in request.messages if m.role == "assistant"]


Judgement = Callable[[Asked], str]


class World:
    """A search over rows `t0 … tn` (train) and `d0 … dm` (dev) whose model answers by a function."""

    def __init__(
        self,
        reply: Judgement,
        *,
        train: int | Sequence[dict[str, Any]] = 10,
        dev: int = 6,
        seed: int = 0,
        shuffle: int = 0,
        budget: Budget | None = None,
        **keys: Any,
    ) -> None:
        self.asked: list[Asked] = []
        self.bests: list[tuple[Trial, Trial]] = []
        self._reply = reply
        rows = train if not isinstance(train, int) else [row(f"t{i}") for i in range(train)]
        spec = the_spec(**keys)
        self.models = ScriptedModels(self._answer, shuffle=shuffle)
        self.effects = Effects(
            Journal(None, identity="test", version="1"), Ledger(budget or Budget()), self.models
        )
        program, judge = build_program(spec), build_judge(spec)
        self.search = Search(
            program,
            Evaluator(effects=self.effects, judge=judge),
            start=program.start(),
            train=tuple(inline_rows(rows, id_field="id")),
            dev=tuple(inline_rows([row(f"d{i}") for i in range(dev)], id_field="id")),
            seed=seed,
            judge=judge,
            report=lambda trial, best: self.bests.append((trial, best)),
        )

    def _answer(self, request: Request) -> Completion:
        asked = Asked(request)
        self.asked.append(asked)
        return text(answer(label=self._reply(asked)))

    def optimized(self, optimizer: Optimizer) -> World:
        async def work() -> None:
            await optimizer.optimize(self.search)

        asyncio.run(work())
        self.effects.journal.close()
        return self

    @property
    def trials(self) -> list[Trial]:
        return self.search.trials

    @property
    def best(self) -> Trial:
        return self.search.best()

    def teacher_rows(self) -> list[str]:
        return [asked.row for asked in self.asked if asked.role == "teacher"]


def row(name: str, label: str = "yes") -> dict[str, Any]:
    return {"id": name, "text": name, "label": label}


def the_spec(**keys: Any) -> Any:
    tree = {
        "version": 1,
        "name": "test",
        "models": {"task": "embedded/icl", "teacher": "embedded/icl"},
        "data": {"rows": [row("x")]},
        "signature": "text -> label",
        "instructions": "Label it.",
        "metrics": ["exact_match"],
    }
    spec, findings = load(json.dumps(tree | keys).encode(), file="spec.yaml", base=Path("."), environment={})
    assert spec is not None, findings
    return spec


def demos(trial: Trial) -> list[Demo]:
    return list(trial.candidate.predictors["main"].demos)


def ids(trial: Trial) -> list[str]:
    return [demo.row_id for demo in demos(trial)]


def always(label: str) -> Judgement:
    return lambda asked: label


def right_for(*names: str) -> Judgement:
    return lambda asked: "yes" if asked.row in names else "no"


# ── labeled_few_shot ──────────────────────────────────────────────────────────────────────────────────────


def test_labelled_demos_in_order_are_the_first_rows():
    world = World(always("yes")).optimized(LabeledFewShot(k=3, sample=False))
    assert [ids(trial) for trial in world.trials] == [[], ["t0", "t1", "t2"]]
    assert {tuple(a.demos) for a in world.asked if a.demos} == {("t0", "t1", "t2")}
    assert [demo.source for demo in demos(world.trials[1])] == ["labeled"] * 3


def test_sampled_demos_are_distinct_rows_by_the_seed():
    drawn = {
        seed: tuple(ids(World(always("yes"), seed=seed).optimized(LabeledFewShot(k=4)).trials[1]))
        for seed in range(6)
    }
    assert all(len(set(names)) == 4 for names in drawn.values())
    assert len(set(drawn.values())) > 1
    assert drawn[0] == tuple(ids(World(always("no"), shuffle=9).optimized(LabeledFewShot(k=4)).trials[1]))


def test_labelled_demos_have_labels():
    train = [row("t0"), {"id": "t1", "text": "t1"}, {"id": "t2", "text": "t2", "label": None}, row("t3")]
    world = World(always("yes"), train=train).optimized(LabeledFewShot(k=9, sample=False))
    assert ids(world.trials[1]) == ["t0", "t3"]


@pytest.mark.parametrize(
    ("k", "keys"),
    [
        (0, {}),
        (4, {"freeze": ["demos"]}),
        (4, {"demos": "none"}),
        (4, {"freeze": ["demos"], "demos": [row("by hand")]}),
    ],
)
def test_where_no_demo_may_change_only_the_start_is_tried(k, keys):
    world = World(always("yes"), **keys).optimized(LabeledFewShot(k=k))
    assert len(world.trials) == 1
    assert len(world.asked) == 6
    assert [demo.inputs["text"] for demo in demos(world.trials[0])] == (
        ["by hand"] if isinstance(keys.get("demos"), list) else []
    )


def test_gold_under_another_name_is_shown_as_the_output():
    train = [{"id": f"t{i}", "text": f"t{i}", "answers": ["yes", "aye"]} for i in range(4)]
    world = World(
        always("yes"), train=train, metrics=[{"exact_match": {"field": "label", "expected": "answers"}}]
    )
    world.search.dev = tuple(inline_rows(train, id_field="id"))
    world.optimized(LabeledFewShot(k=2, sample=False))
    assert [demo.outputs for demo in demos(world.trials[1])] == [{"label": "yes"}] * 2


# ── bootstrap_few_shot ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shuffle", range(4))
def test_waves_take_the_lowest_rows_that_passed(shuffle):
    """Waves of three: t0 t1 t2 give t1; t3 t4 t5 give t3 and t4, of which the lower is enough."""
    world = World(right_for("t1", "t3", "t4", "t7"), shuffle=shuffle)
    world.optimized(BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=0, wave=3))
    assert sorted(world.teacher_rows()) == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert ids(world.trials[1]) == ["t1", "t3"]
    assert [demo.source for demo in demos(world.trials[1])] == ["bootstrapped"] * 2


def test_a_wave_is_no_wider_than_its_parameter():
    world = World(right_for("t1")).optimized(
        BootstrapFewShot(max_bootstrapped_demos=1, max_labeled_demos=0, wave=1)
    )
    assert world.teacher_rows() == ["t0", "t1"]


def test_bootstrapped_demos_are_what_the_teacher_said():
    world = World(always("Yes!"), metrics=[{"contains": {"field": "label", "ignore_case": True}}])
    world.optimized(BootstrapFewShot(max_bootstrapped_demos=1, max_labeled_demos=0))
    assert [demo.outputs for demo in demos(world.trials[1])] == [{"label": "Yes!"}]


def test_labelled_rows_fill_up_what_is_missing():
    world = World(right_for("t2", "t5")).optimized(
        BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=5)
    )
    names = ids(world.trials[1])
    assert names[:2] == ["t2", "t5"]
    assert len(set(names)) == 5
    assert [demo.source for demo in demos(world.trials[1])] == ["bootstrapped"] * 2 + ["labeled"] * 3


def test_a_row_is_never_in_the_prompt_that_the_teacher_gets_for_it():
    world = World(always("no")).optimized(BootstrapFewShot(max_bootstrapped_demos=4, max_labeled_demos=6))
    taught = [asked for asked in world.asked if asked.role == "teacher"]
    assert len(taught) == 10
    assert all(asked.row not in asked.demos for asked in taught)
    assert {len(asked.demos) for asked in taught} == {5, 6}


def test_a_threshold_of_zero_is_honoured():
    world = World(always("no")).optimized(
        BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=0, threshold=0.0)
    )
    assert ids(world.trials[1]) == ["t0", "t1"]
    assert [demo.outputs["label"] for demo in demos(world.trials[1])] == ["no", "no"]


@pytest.mark.parametrize(
    ("metric", "threshold", "passed"),
    [
        ("exact_match", None, ["t2"]),
        ("f1", None, ["t1", "t2"]),
        ("f1", 0.5, ["t0", "t1", "t2"]),
        ("f1", 1.0, ["t2"]),
    ],
)
def test_without_a_threshold_graded_scores_need_most_and_pass_fail_ones_all(metric, threshold, passed):
    """Against `a b c d`: t0 says two of the words (f1 0.67), t1 three (0.86), t2 all."""
    said = {"t0": "a b", "t1": "a b c", "t2": "a b c d"}
    train = [row(name, "a b c d") for name in ("t0", "t1", "t2", "t3")]
    world = World(lambda asked: said.get(asked.row, "z"), train=train, metrics=[metric])
    world.optimized(BootstrapFewShot(max_bootstrapped_demos=4, max_labeled_demos=0, threshold=threshold))
    assert ids(world.trials[-1]) == passed


def test_zero_bootstrapped_demos_ask_no_teacher():
    world = World(always("yes")).optimized(BootstrapFewShot(max_bootstrapped_demos=0, max_labeled_demos=3))
    assert world.teacher_rows() == []
    assert [demo.source for demo in demos(world.trials[1])] == ["labeled"] * 3
    assert world.search.notes == []


def test_no_demos_at_all_leave_the_start():
    world = World(always("yes")).optimized(BootstrapFewShot(max_bootstrapped_demos=0, max_labeled_demos=0))
    assert len(world.trials) == 1


def test_rows_that_failed_are_tried_again_as_further_samples():
    def reply(asked: Asked) -> str:
        return "yes" if (asked.row, asked.rollout) in {("t0", 0), ("t1", 1), ("t3", 2)} else "no"

    world = World(reply, train=4).optimized(
        BootstrapFewShot(max_bootstrapped_demos=4, max_labeled_demos=0, max_rounds=3)
    )
    tried = sorted((asked.row, asked.rollout) for asked in world.asked if asked.role == "teacher")
    assert tried == [
        *[("t0", 0)],
        *[("t1", 0), ("t1", 1)],
        *[("t2", 0), ("t2", 1), ("t2", 2)],
        *[("t3", 0), ("t3", 1), ("t3", 2)],
    ]
    assert ids(world.trials[1]) == ["t0", "t1", "t3"]
    assert "3 of 4 training rows passed" in world.search.notes[0]


def test_a_teacher_that_never_passes_is_said_with_its_best_score():
    world = World(always("a"), train=[row(f"t{i}", "a b c d e f") for i in range(3)], metrics=["f1"])
    world.optimized(BootstrapFewShot(max_labeled_demos=0))
    [note] = world.search.notes
    assert "0 of 3 training rows passed at threshold 0.7" in note
    assert "the best scored 0.29" in note
    assert len(world.trials) == 1


def test_a_budget_keeps_one_pass_over_dev_for_what_was_learned():
    """Start 6, teacher at most 20 − 6 − 6 = 8 rows, the candidate 6."""
    world = World(always("no"), train=30, budget=Budget(calls=20))
    world.optimized(BootstrapFewShot(max_bootstrapped_demos=4, max_labeled_demos=3))
    assert len(world.teacher_rows()) == 8
    assert [len(trial.records) for trial in world.trials] == [6, 6]
    assert len(world.asked) == 20


# ── bootstrap_random_search ───────────────────────────────────────────────────────────────────────────────


def test_the_candidates_are_start_labelled_bootstrap_and_random_sets():
    world = World(right_for("t0", "t2", "t3", "t6", "t9", "d0"))
    world.optimized(BootstrapRandomSearch(candidates=5, max_bootstrapped_demos=3, max_labeled_demos=4))
    origins = [trial.origin for trial in world.trials]
    assert origins[:3] == ["start", "labelled demos", "plain bootstrap"]
    assert origins[3:] == [f"random set {number}" for number in range(1, 6)]
    assert ids(world.trials[2])[:3] == ["t0", "t2", "t3"]
    for trial in world.trials[3:]:
        sources = [demo.source for demo in demos(trial)]
        drawn = sources.count("bootstrapped")
        assert 1 <= drawn <= 3
        assert sources == ["bootstrapped"] * drawn + ["labeled"] * (4 - drawn)
        assert set(ids(trial)[:drawn]) <= {"t0", "t2", "t3", "t6", "t9"}


def test_a_row_is_bootstrapped_once_for_all_candidates():
    world = World(right_for("t1", "t4"), train=12)
    world.optimized(BootstrapRandomSearch(candidates=10, max_bootstrapped_demos=4, max_labeled_demos=2))
    assert len(world.teacher_rows()) == len(set(world.teacher_rows())) <= 12


def test_the_start_wins_where_demonstrations_hurt():
    world = World(lambda asked: "no" if asked.demos else "yes").optimized(BootstrapRandomSearch(candidates=3))
    assert (world.best.number, world.best.score) == (0, 1.0)
    assert all(trial.score == 0.0 for trial in world.trials[1:])


def test_ties_keep_the_shorter_prompt():
    world = World(always("yes")).optimized(BootstrapRandomSearch(candidates=3, max_labeled_demos=4))
    assert {trial.score for trial in world.trials} == {1.0}
    assert world.best.number == 0
    shortest = min(world.trials[1:], key=lambda trial: trial.prompt_characters)
    beaten = World(lambda asked: "yes" if asked.demos else "no").optimized(
        BootstrapRandomSearch(candidates=3, max_labeled_demos=4, max_bootstrapped_demos=0)
    )
    assert beaten.best.prompt_characters == min(trial.prompt_characters for trial in beaten.trials[1:])
    assert shortest.prompt_characters > world.trials[0].prompt_characters


def test_a_score_that_is_enough_ends_the_search():
    world = World(lambda asked: "yes" if asked.demos else "no")
    world.optimized(BootstrapRandomSearch(candidates=9, stop_at_score=0.9))
    assert [trial.origin for trial in world.trials] == ["start", "labelled demos"]
    assert world.search.stop_reason == "score"
    assert world.teacher_rows() == []


def test_zero_candidates_and_zero_demos_are_honoured():
    world = World(always("no")).optimized(
        BootstrapRandomSearch(candidates=0, max_bootstrapped_demos=0, max_labeled_demos=0)
    )
    assert len(world.trials) == 1
    assert world.teacher_rows() == []
    plain = World(always("yes")).optimized(BootstrapRandomSearch(candidates=0, max_labeled_demos=3))
    assert [trial.origin for trial in plain.trials] == ["start", "labelled demos", "plain bootstrap"]


def test_a_short_budget_tries_the_first_candidates_whole():
    """6 dev rows, 60 calls: start and labelled 12, teacher what leaves one pass, the rest in order."""
    world = World(right_for("t0"), train=10, budget=Budget(calls=60))
    world.optimized(BootstrapRandomSearch(candidates=12, max_bootstrapped_demos=2, max_labeled_demos=3))
    assert world.search.stop_reason == "budget"
    assert all(len(trial.records) == 6 for trial in world.trials)
    assert [trial.origin for trial in world.trials[:3]] == ["start", "labelled demos", "plain bootstrap"]
    assert len(world.asked) <= 60


# ── all of them ───────────────────────────────────────────────────────────────────────────────────────────

ANY = st.one_of(
    st.builds(LabeledFewShot, k=st.integers(0, 12), sample=st.booleans()),
    st.builds(
        BootstrapFewShot,
        max_bootstrapped_demos=st.integers(0, 4),
        max_labeled_demos=st.integers(0, 6),
        max_rounds=st.integers(1, 3),
        threshold=st.sampled_from([None, 0.0, 0.5, 1.0]),
        wave=st.integers(1, 9),
    ),
    st.builds(
        BootstrapRandomSearch,
        candidates=st.integers(0, 5),
        max_bootstrapped_demos=st.integers(0, 4),
        max_labeled_demos=st.integers(0, 6),
        max_rounds=st.integers(1, 2),
        stop_at_score=st.sampled_from([None, 0.0, 0.6, 1.0]),
        wave=st.integers(1, 9),
    ),
)


def luck(seed: int) -> Judgement:
    """Right or wrong by a draw over everything that is asked."""
    return lambda asked: random.Random(f"{seed} {asked.texts} {asked.rollout}").choice(["yes", "no"])


@settings(max_examples=60, deadline=None)
@given(
    optimizer=ANY, seed=st.integers(0, 99), calls=st.none() | st.integers(14, 120), shuffle=st.integers(1, 9)
)
def test_what_holds_for_every_search(optimizer, seed, calls, shuffle):
    budget = Budget(calls=calls)
    world = World(luck(seed), seed=seed, budget=budget).optimized(optimizer)
    again = World(luck(seed), seed=seed, budget=budget, shuffle=shuffle).optimized(optimizer)
    assert [(t.candidate, t.records, t.score) for t in world.trials] == [
        (t.candidate, t.records, t.score) for t in again.trials
    ]
    bests = [best.score for _, best in world.bests]
    assert bests == sorted(bests)
    assert world.trials[0].candidate == world.search.start
    assert world.best.score == max(trial.score for trial in world.trials) >= world.trials[0].score
    assert calls is None or len(world.asked) <= calls
    assert all(asked.row not in asked.demos for asked in world.asked)


@settings(max_examples=40, deadline=None)
@given(optimizer=ANY, seed=st.integers(0, 99))
def test_a_plan_promises_no_less_than_what_is_asked(optimizer, seed):
    world = World(luck(seed), seed=seed)
    plan = optimizer.plan(world.search.program, Sizes(10, 6, 0))
    world.optimized(optimizer)
    for role, (_, most) in plan.runs.items():
        assert sum(asked.role == role for asked in world.asked) <= most
    assert len(world.trials) <= 1 + plan.trials
