"""`mipro` against its published description: what is proposed from what, what is drawn, and what is scored where."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Seen, Wish, World, knows
from workplace import Sentiment, open_workplace

from promptc.optimizers.bayesian import Bayesian
from promptc.optimizers.grounding import COMPLETE, TIPS
from promptc.optimizers.mipro import Mipro, auto_trials
from promptc.optimizers.proposing import sample_of
from promptc.optimizers.protocol import Sizes
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.models.request import CallFailed

TRAIN = [f"{letter}{number}" for letter in "abcdef" for number in range(4)]
DEV = [f"{letter}{number}" for letter in "abcdef" for number in range(4, 6)]


def learner(wish: Wish) -> str:
    """Names two letters, which ones follows from the sample."""
    return f"Know: {'abcdef'[wish.rollout % 6]} {'abcdef'[wish.rollout % 5]}"


def growing(**keys: object) -> World:
    return World(knows, learner, train=TRAIN, dev=DEV, **keys)


def two(**keys: object) -> World:
    return growing(two=True, **keys)


# ── step 1: sets of demonstrations ────────────────────────────────────────────────────────────────────────


def demo_ids(world: World) -> set[tuple[str, ...]]:
    return {tuple(demo.row_id for demo in t.candidate.predictors["main"].demos) for t in world.trials}


def test_parity_of_the_demo_sets():
    """Rows of `a` and `b` pass. Six sets: none, two labelled, the plain bootstrap (a0 a1 a2), three random bootstraps.

    A random bootstrap has one to three rows that passed; one alone is filled up with a labelled row. The teacher is not
    asked about rows that no set needs.
    """
    world = World(knows, lambda wish: "Know: a b", train=TRAIN, dev=DEV, instructions="Know: a b")
    world.optimized(Mipro(max_bootstrapped_demos=3, max_labeled_demos=2, num_trials=60))
    sets = demo_ids(world)
    assert () in sets
    assert ("a0", "a1", "a2") in sets
    assert len(sets) <= 6
    labelled = [
        t for t in world.trials if any(d.source == "labeled" for d in t.candidate.predictors["main"].demos)
    ]
    assert labelled
    passed = {f"{letter}{number}" for letter in "ab" for number in range(4)}
    for trial in world.trials:
        demos = trial.candidate.predictors["main"].demos
        bootstrapped = [demo.row_id for demo in demos if demo.source == "bootstrapped"]
        assert set(bootstrapped) <= passed
        assert len(demos) <= 3 if bootstrapped else len(demos) in (0, 2)
    assert world.search.notes[0] == "8 of 18 training rows passed at threshold 1"


@pytest.mark.parametrize(
    ("bootstrapped", "labelled", "sources"),
    [
        (0, 0, {()}),
        (0, 3, {(), ("labeled",) * 3}),
        (2, 0, {(), ("bootstrapped",), ("bootstrapped",) * 2}),
    ],
)
def test_demonstrations_of_either_kind_may_be_none(bootstrapped, labelled, sources):
    world = World(knows, learner, train=TRAIN, dev=DEV, instructions="Know: a b c")
    world.optimized(
        Mipro(
            max_bootstrapped_demos=bootstrapped, max_labeled_demos=labelled, num_trials=40, show_demos=False
        )
    )
    found = {tuple(d.source for d in t.candidate.predictors["main"].demos) for t in world.trials}
    assert found == sources
    assert bool(bootstrapped) == any(seen.role == "teacher" for seen in world.seen)


def test_the_demos_of_a_start_from_another_run_are_an_option():
    demos = tuple(Demo(inputs={"text": n}, outputs={"label": "yes"}, row_id=n) for n in ("a0", "c0"))
    world = growing()
    world.search.start = Candidate(predictors={"main": PredictorTexts(instructions=START, demos=demos)})
    world.optimized(Mipro(num_trials=40))
    assert {("a0", "c0"), ()} < demo_ids(world)
    assert all(seen.row not in seen.demos for seen in world.seen)


# ── step 2: instructions ──────────────────────────────────────────────────────────────────────────────────


def test_parity_of_the_proposals():
    """24 training rows: three looks at ten, ten and four, a summary, the program, its one part; three instructions."""
    world = World(
        knows,
        lambda wish: "Know: c",
        train=TRAIN,
        dev=DEV,
        instructions="Know: a",
        description="Says yes.",
        describe=lambda output, sections: f"{output} {sections.get('observed', '')[-14:]}".strip(),
    ).optimized(Mipro(max_labeled_demos=0))
    names = [output for output, _ in world.questions]
    assert names == ["observations"] * 3 + ["summary", "description", "description"]
    looks = [sections for _, sections in world.questions[:3]]
    shown = [sections["rows"].count("### Example") for sections in looks]
    assert shown == [10, 10, 4]
    assert "text: a0\nlabel (expected): yes" in looks[0]["rows"]
    assert looks[0].get("observed") is None
    assert looks[1]["observed"] == "observations"
    assert looks[2]["observed"] == "observations\nobservations observations"
    assert all("About: Says yes." in sections["outline"] for sections in looks)
    assert world.questions[3][1]["observations"].count("observations") == 5
    assert world.questions[5][1]["program"] == "description"
    assert len(world.wishes) == 3
    for wish in world.wishes:
        assert wish.current == "Know: a"
        assert wish.sections["data_summary"] == "summary"
        assert wish.sections["program"] == wish.sections["part"] == "description"
        assert wish.wrong == []
        assert 1 <= len(wish.rows) <= 3
        assert all(name[0] == "a" for name in wish.rows)
    assert len({wish.rollout for wish in world.wishes}) == 3
    assert ["a0", "a1", "a2"] in [wish.rows for wish in world.wishes]


def test_a_look_that_adds_nothing_is_left_out_and_five_of_them_end_the_looking():
    def describe(output, sections):
        return f" {COMPLETE}. " if "observed" in sections else "Short."

    world = World(knows, learner, train=TRAIN, dev=DEV, describe=describe).optimized(Mipro(summary_rows=1))
    looks = [sections for output, sections in world.questions if output == "observations"]
    assert len(looks) == 1 + 5
    assert {sections["observed"] for sections in looks[1:]} == {"Short."}


@pytest.mark.parametrize(
    ("left_out", "section", "asked"),
    [
        ({"data_summary": False}, "data_summary", ["description"] * 2),
        ({"describe_program": False}, "program", ["observations"] * 3 + ["summary"]),
        ({"tips": False}, "tip", ["observations"] * 3 + ["summary", "description", "description"]),
    ],
)
def test_what_is_not_wished_is_not_asked(left_out, section, asked):
    world = growing().optimized(Mipro(**left_out))
    assert [output for output, _ in world.questions] == asked
    assert all(section not in wish.sections for wish in world.wishes)


def test_tips_are_drawn_for_each_proposal():
    told = Counter(
        wish.sections.get("tip", "")
        for seed in range(8)
        for wish in growing(seed=seed).optimized(Mipro(num_candidates=6, num_trials=1)).wishes
    )
    assert set(told) == set(TIPS.values())


def test_the_instruction_in_use_and_all_that_were_proposed_are_options():
    world = growing(instructions="Know: f").optimized(Mipro(max_bootstrapped_demos=0, max_labeled_demos=0))
    proposed = {learner(wish) for wish in world.wishes}
    assert len(world.wishes) == 6
    assert set(world.instructions()) <= {"Know: f", *proposed}
    assert len(set(world.instructions())) > 3


def test_rows_of_the_data_summary_may_not_be_copied():
    copied = "one two three four five six seven eight nine"
    world = World(
        lambda seen: "no",
        lambda wish: f"Say: {copied}",
        train=["a0", "a1"],
        dev=DEV,
        data={"rows": [{"id": "x", "text": copied, "label": "yes"}]},
    )
    long = world.search.train[0]
    world.search.train = (type(long)(index=0, id="a0", row={"text": copied, "label": "yes"}, digest="d"),)
    world.optimized(Mipro(max_bootstrapped_demos=0, max_labeled_demos=0, show_demos=False))
    assert world.instructions() == [START]
    assert "6 rejected (it copies 8 or more words of row a0)" in " ".join(world.search.notes)


def test_a_question_without_an_answer_costs_itself_alone():
    def task(seen: Seen) -> str | CallFailed:
        return knows(seen)

    world = World(task, learner, train=TRAIN, dev=DEV, describe=lambda output, sections: "")
    world.optimized(Mipro())
    assert len(world.wishes) == 3
    assert all({"data_summary", "program", "part"}.isdisjoint(wish.sections) for wish in world.wishes)
    assert "questions about the task unanswered" in world.search.notes[-1]


# ── step 3: combinations ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("variables", "options", "trials"),
    [
        (2, 6, 10), (4, 6, 20), (8, 6, 41),
        (2, 12, 18), (4, 12, 28), (8, 12, 57),
        (2, 18, 27), (4, 18, 33), (8, 18, 66),
        (1, 6, 9), (1, 12, 18), (1, 18, 27),
    ],
)  # fmt: skip
def test_the_peers_number_of_trials(variables, options, trials):
    assert auto_trials(variables, options) == trials


def test_a_small_dev_is_scored_whole():
    world = growing().optimized(Mipro())
    assert len(world.trials) > 1
    assert all(len(trial.records) == len(DEV) for trial in world.trials)
    drawn = next(note for note in world.search.notes if "draws" in note)
    assert drawn.startswith("10 draws from ")


def described_search(world: World, texts: list[str], *, trials: int, size: int, every: int) -> list[tuple]:
    """The published search over one predictor's instructions, step by step, without a model: what each trial scores.

    Scores follow from the rows: an instruction is right on the letters that it names.
    """

    def score(text: str, rows: list[str]) -> float:
        return sum(row[0] in text.split() for row in rows) / len(rows)

    search = world.search
    surrogate = Bayesian({"main instruction": len(texts)}, search.rng("surrogate").randrange(2**31))
    surrogate.add({"main instruction": 0}, score(texts[0], DEV))
    means: dict[int, list[float]] = {}
    table = [("start", texts[0], score(texts[0], DEV))]
    for number in range(1, trials + 1):
        draw = surrogate.draw()
        place = draw.combination["main instruction"]
        rows = [DEV[i] for i in search.rng("minibatch", number).sample(range(len(DEV)), size)]
        surrogate.tell(draw, score(texts[place], rows))
        means.setdefault(place, []).append(score(texts[place], rows))
        if number % every == 0 or number == trials:
            known = [told for _, told, _ in table]
            waiting = [one for one in means if texts[one] not in known]
            if waiting:
                best = max(waiting, key=lambda one: round(sum(means[one]) / len(means[one]), 12))
                whole = score(texts[best], DEV)
                surrogate.add({"main instruction": best}, whole)
                table.append((f"instruction {best}", texts[best], whole))
    return table


@pytest.mark.parametrize("seed", range(8))
def test_parity_of_minibatches_and_passes_over_dev(seed):
    said = ["Know: a", "Know: b c", "Know: c", "Know: d e f", "Know: a f"]
    search = World(knows, learner, train=TRAIN, dev=DEV, seed=seed).search
    order = [sample_of(search, "instruction", "main", number) for number in range(len(said))]
    world = World(knows, lambda wish: said[order.index(wish.rollout)], train=TRAIN, dev=DEV, seed=seed)
    expected = described_search(world, [START, *said], trials=12, size=5, every=4)
    world.optimized(
        Mipro(
            num_candidates=5,
            max_bootstrapped_demos=0,
            max_labeled_demos=0,
            minibatch=5,
            num_trials=12,
            full_pass_every=4,
        )
    )
    assert world.table() == expected
    assert len(expected) > 2


def test_minibatches_are_samples_of_dev_without_a_row_twice():
    world = growing().optimized(Mipro(minibatch=5, num_trials=8, full_pass_every=99, wave=1, max_bootstrapped_demos=0,
                                      max_labeled_demos=0, show_demos=False))  # fmt: skip
    asked = Counter((seen.instruction, seen.row) for seen in world.seen if seen.row in DEV)
    assert set(asked.values()) == {1}
    assert {seen.row for seen in world.seen} <= set(DEV)


def test_an_evaluation_without_scores_tells_nothing():
    """Every row fails once an instruction names `a`: those combinations are neither bad nor good, and cannot win."""

    def down(seen: Seen) -> str | CallFailed:
        return CallFailed("the server had an error") if "a" in seen.known else knows(seen)

    world = World(down, lambda wish: "Know: a b c" if wish.rollout % 2 else "Know: b", train=TRAIN, dev=DEV)
    world.optimized(Mipro(minibatch=4, max_bootstrapped_demos=0, max_labeled_demos=0, num_candidates=6))
    assert world.best.candidate.predictors["main"].instructions == "Know: b"
    assert "Know: a b c" not in world.instructions()


def test_a_score_of_zero_is_a_score():
    world = World(lambda seen: "no", learner, train=TRAIN, dev=DEV).optimized(Mipro(minibatch=4))
    assert world.best.number == 0
    assert {trial.score for trial in world.trials} == {0.0}


# ── the surrogate ─────────────────────────────────────────────────────────────────────────────────────────


def drawn(seed: int, rounds: int, at_once: int = 1) -> list[dict[str, int]]:
    surrogate = Bayesian({"a": 4, "b": 3}, seed)
    surrogate.add({"a": 0, "b": 0}, 0.0)
    found = []
    for _ in range(rounds):
        draws = [surrogate.draw() for _ in range(at_once)]
        for one in draws:
            surrogate.tell(one, float(one.combination["a"] == 3) + one.combination["b"] / 10)
            found.append(one.combination)
    return found


def test_equal_seeds_draw_equal_combinations():
    assert drawn(0, 20) == drawn(0, 20) != drawn(1, 20)
    assert drawn(0, 5, at_once=4) == drawn(0, 5, at_once=4)


def test_the_best_combination_is_drawn_most():
    late = Counter(tuple(one.values()) for seed in range(5) for one in drawn(seed, 60)[30:])
    assert late.most_common(1)[0][0] == (3, 2)


def test_what_cannot_be_judged_counts_for_nothing():
    surrogate = Bayesian({"a": 2}, 0)
    for _ in range(30):
        one = surrogate.draw()
        surrogate.tell(one, None if one.combination["a"] == 0 else 0.5)
    assert {surrogate.draw().combination["a"] for _ in range(8)} == {0, 1}


# ── several predictors, what is frozen ────────────────────────────────────────────────────────────────────


def test_each_predictor_has_instructions_and_demos_of_its_own():
    world = two().optimized(Mipro(num_trials=30))
    assert len(world.wishes) == 2 * 3
    assert [output for output, _ in world.questions].count("description") == 1 + 2
    drafts, finals = world.instructions("main.draft"), world.instructions("main.final")
    assert len(set(zip(drafts, finals, strict=True))) > len(set(drafts)) > 1
    assert all(trial.origin.count("/") in (0, 1, 2) for trial in world.trials)


@pytest.mark.parametrize(
    ("freeze", "instructions", "demos"),
    [
        (["instructions"], False, True),
        (["demos"], True, False),
        (["instructions", "demos"], False, False),
    ],
)
def test_what_is_frozen_is_no_variable(freeze, instructions, demos):
    world = growing(freeze=freeze, instructions="Know: a b").optimized(Mipro(num_trials=20))
    assert bool(world.wishes) == instructions == (len(set(world.instructions())) > 1)
    assert demos == (len(demo_ids(world)) > 1)
    plan = Mipro().plan(world.search.program, Sizes(24, 12, 0))
    if not instructions and not demos:
        assert plan.trials == 0
        assert plan.notes == ("freeze: leaves nothing that mipro could change",)
        assert {seen.role for seen in world.seen} == {"task"}


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings_", "reason", "most"),
    [
        ({"stop_at_score": 0.0}, "score", 1),
        ({"stop_at_score": 0.1}, "score", 3),
        ({"no_improvement": 2}, "no_improvement", 8),
        ({}, "finished", 11),
    ],
)
def test_stop_rules(settings_, reason, most):
    world = growing().optimized(Mipro(**settings_))
    assert world.search.stop_reason == reason
    assert len(world.trials) <= most


def test_auto_chooses_on_no_more_rows_than_its_size():
    world = World(knows, learner, train=TRAIN, dev=[f"a{i}" for i in range(130)])
    world.optimized(Mipro(num_trials=5))
    assert {len(trial.records) for trial in world.trials} == {100}
    plan = Mipro().plan(world.search.program, Sizes(24, 130, 0))
    assert "light chooses on the first 100 rows of dev" in plan.notes
    assert plan.first_trial == 2 * 100 + 35


@pytest.mark.parametrize("calls", [24, 40, 60, 90])
@pytest.mark.parametrize("minibatch", [None, 4])
def test_the_budget_is_a_wall_that_keeps_a_pass_over_dev(calls, minibatch):
    world = growing(budget={"calls": calls}).optimized(Mipro(minibatch=minibatch))
    assert world.effects.ledger.spent.calls <= calls
    assert world.search.stop_reason == "budget" or world.search.short_of_budget
    assert all(len(trial.records) == len(DEV) for trial in world.trials)


def test_a_missing_optuna_is_said_before_anything_is_asked(shared_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with open_workplace(shared_folder("optuna"), Sentiment()) as place:
        place.write_spec(optimizer="mipro")
        for command in ("optimize", "plan", "validate"):
            done = place.run(command)
            assert done.code == 2, done
            assert "the optimizer mipro needs the package optuna" in done.err
            assert 'pip install "promptc[mipro]"' in done.err
        assert place.server.requests == 0


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "whole dev": (growing, Mipro()),
    "minibatches": (growing, Mipro(minibatch=4, trials_at_once=3, num_trials=12)),
    "two": (two, Mipro(minibatch=5, num_trials=8)),
    "budget": (lambda **keys: growing(budget={"calls": 110}, **keys), Mipro(minibatch=4)),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        Mipro,
        num_candidates=st.none() | st.integers(1, 5),
        num_trials=st.none() | st.integers(1, 12),
        max_bootstrapped_demos=st.integers(0, 3),
        max_labeled_demos=st.integers(0, 3),
        minibatch=st.none() | st.integers(1, 20),
        full_pass_every=st.integers(1, 6),
        trials_at_once=st.integers(1, 4),
        show_demos=st.booleans(),
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(36, 250),
)
def test_what_holds_for_every_search(optimizer, seed, calls):
    for make in (growing, two):
        world = make(seed=seed, budget={"calls": calls} if calls else None)
        predictors = len(world.search.program.predictors)
        plan = optimizer.plan(world.search.program, Sizes(len(TRAIN), len(DEV), 0))
        world.optimized(optimizer)
        assert world.trials[0].candidate == world.search.start
        assert world.best.score >= world.trials[0].score
        assert calls is None or world.effects.ledger.spent.calls <= calls
        roles = Counter(seen.role for seen in world.seen)
        assert roles["task"] <= plan.runs["task"][1] * predictors
        assert roles["teacher"] <= plan.runs["teacher"][1] * predictors
        assert len(world.wishes) + len(world.questions) <= plan.runs["proposer"][1]
        assert len(world.trials) <= 1 + plan.trials
        assert all(seen.row not in seen.demos for seen in world.seen)
