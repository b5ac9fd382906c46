"""`infer_rules` against its published description: from which rows, for which predictor, added to what, chosen how."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Propose, Seen, Wish, World, knows

from promptc.optimizers.infer_rules import SHOWN_CHARACTERS, InferRules
from promptc.optimizers.proposing import sample_of
from promptc.optimizers.protocol import Sizes
from promptc.runners.models.request import CallFailed

TRAIN, DEV = ["a0", "b0", "c0", "d0"], ["a1", "b1", "c1", "d1"]
HEADING = "Adhere to these rules:"


def by_sample(replies: dict[tuple[str, int, str], str]) -> Propose:
    """A proposer that says for each (`rules`, number of the set, predictor) what is written there."""
    search = World(knows, lambda wish: "", train=TRAIN, dev=DEV).search
    said = {sample_of(search, *key): reply for key, reply in replies.items()}
    return lambda wish: said[wish.rollout]


def with_rules(start: str, *rules: str) -> str:
    return "\n".join([start, "", HEADING, *rules])


def shown_or_known(seen: Seen) -> str:
    """Right on letters that the instruction names or a demonstration shows."""
    return "yes" if seen.letter in seen.known | {name[0] for name in seen.demos} else "no"


def test_parity_with_one_predictor():
    """Train a0 b0 c0 d0, dev a1 b1 c1 d1; nothing is known at the start but `a`; one bootstrapped demo.

    | trial | what                | instruction    | demos | dev         |
    |-------|---------------------|----------------|-------|-------------|
    | 0     | the start           | Know: a        |       | a → 0.25    |
    | 1     | the bootstrap: a0   | Know: a        | a0    | a → 0.25    |
    | 2     | it and rules, set 1 | + b            | a0    | a b → 0.5   |
    | 3     | it and rules, set 2 | + c, d         | a0    | a c d → 0.75 |
    | 4     | it and rules, set 3 | + b            | as trial 2, so it is not tried again |
    """
    replies = {
        ("rules", 0, "main"): "- b",
        ("rules", 1, "main"): "- c\n\n  - d  \n- b",
        ("rules", 2, "main"): "- b",
    }
    world = World(shown_or_known, by_sample(replies), train=TRAIN, dev=DEV, instructions="Know: a")
    world.optimized(InferRules(num_candidates=3, num_rules=2, max_bootstrapped_demos=1, max_labeled_demos=0))
    assert world.table() == [
        ("start", "Know: a", 0.25),
        ("bootstrapped demos", "Know: a", 0.25),
        ("rules, set 1", with_rules("Know: a", "- b"), 0.5),
        ("rules, set 2", with_rules("Know: a", "- c", "- d"), 0.75),
    ]
    demos = [[d.row_id for d in t.candidate.predictors["main"].demos] for t in world.trials]
    assert demos == [[], ["a0"], ["a0"], ["a0"]]
    assert world.best.number == 3
    assert [wish.rows for wish in world.wishes] == [TRAIN] * 3
    assert all(wish.current == "Know: a" for wish in world.wishes)
    assert world.search.notes == [
        "1 of 4 training rows passed at threshold 1",
        "3 proposals, 3 kept their contract",
    ]


def test_the_rows_are_shown_with_their_answers_and_the_number_of_rules():
    world = World(knows, lambda wish: "Know: a", train=TRAIN, dev=DEV).optimized(
        InferRules(num_candidates=1, num_rules=7)
    )
    [wish] = world.wishes
    assert wish.examples.count("label (expected): yes") == len(TRAIN)
    assert "(given)" not in wish.examples
    assert "at most 7" in wish.whole


@pytest.mark.parametrize(
    ("rules", "best"),
    [("Forget all", "start"), ("Know: a b c d", "rules, set 1")],
)
def test_the_start_is_a_candidate(rules, best):
    """The peer returns the best set of rules even where every set makes things worse."""

    def forgets(seen: Seen) -> str:
        return "no" if "Forget" in seen.instruction or (seen.demos and "d" not in seen.known) else knows(seen)

    world = World(forgets, lambda wish: rules, train=TRAIN, dev=DEV, instructions="Know: a b")
    world.optimized(InferRules(num_candidates=3))
    assert world.best.origin == best


def test_every_predictor_gets_rules_of_its_own():
    """The draft has no labels: it learns from the traces that passed, the final step from the labels of all rows."""
    replies = {
        ("rules", 0, "main.draft"): "Know: c", ("rules", 0, "main.final"): "Know: d",
        ("rules", 1, "main.draft"): "Know: d", ("rules", 1, "main.final"): "Know: d",
    }  # fmt: skip
    world = World(knows, by_sample(replies), train=TRAIN, dev=DEV, two=True, instructions="Know: a b")
    world.optimized(InferRules(num_candidates=2, max_labeled_demos=0))
    assert [trial.score for trial in world.trials] == [0.5, 0.5, 1.0, 0.75]
    drafts, finals = world.instructions("main.draft"), world.instructions("main.final")
    assert (drafts[2], finals[2]) == (with_rules("Know: a b", "Know: c"), with_rules("Know: a b", "Know: d"))
    shown = {wish.predictor: wish.rows for wish in world.wishes}
    assert shown == {"main.draft": ["a0", "b0"], "main.final": TRAIN}
    draft = next(wish for wish in world.wishes if wish.predictor == "main.draft")
    assert draft.examples.count("hint (expected): good") == 2


def test_a_predictor_that_no_row_teaches_gets_no_rules():
    world = World(knows, lambda wish: "Know: a", train=TRAIN, dev=DEV, two=True)
    world.optimized(InferRules(num_candidates=2, max_labeled_demos=0))
    assert {wish.predictor for wish in world.wishes} == {"main.final"}
    assert "main.draft: no training row says what it should answer, so it gets no rules" in world.search.notes


def test_rows_that_do_not_fit_are_left_out_and_each_set_sees_others():
    world = World(knows, lambda wish: f"Know: {wish.rollout}", train=TRAIN, dev=DEV)
    long = "z" * (SHOWN_CHARACTERS // 3)
    world.search.train = tuple(
        type(e)(id=e.id, index=e.index, row={**e.row, "text": f"{e.id} {long}"}, digest=e.id)
        for e in world.search.train
    )
    world.optimized(InferRules(num_candidates=6, max_bootstrapped_demos=0, max_labeled_demos=0))
    shown = [wish.examples.count("### Example") for wish in world.wishes]
    assert set(shown) == {2}
    assert len({wish.examples[:60] for wish in world.wishes}) > 1


def test_a_request_that_is_too_long_is_asked_again_with_half_of_the_rows():
    rows = [f"{letter}{n}" for letter in "abcd" for n in range(4)]

    def small(wish: Wish) -> str | CallFailed:
        return (
            CallFailed("too long", kind="context")
            if len(wish.rows) > 5
            else f"Know: {' '.join('abcd')} {wish.rollout}"
        )

    world = World(knows, small, train=rows, dev=DEV).optimized(InferRules(num_candidates=4))
    assert [len(wish.rows) for wish in world.wishes] == [16, 8, 4, 4, 4, 4]
    assert world.best.score == 1.0
    assert "16 rows are too long for the proposer: it is shown 8" in world.search.notes


def test_a_kept_sentence_that_the_start_lacks_comes_with_the_rules():
    world = World(knows, lambda wish: "Know: a b", train=TRAIN, dev=DEV, keep=["Be kind."])
    world.optimized(InferRules(num_candidates=1))
    assert world.instructions()[-1] == with_rules(f"{START}\nBe kind.", "Know: a b")


def test_rules_that_copy_a_row_are_rejected():
    long = "one two three four five six seven eight nine ten"
    world = World(knows, lambda wish: f"{long} is yes", train=TRAIN, dev=DEV)
    world.search.train = tuple(
        type(e)(id=e.id, index=e.index, row={**e.row, "text": f"{e.id} {long}"}, digest=e.id)
        for e in world.search.train
    )
    world.optimized(InferRules(num_candidates=2, max_bootstrapped_demos=0, max_labeled_demos=0))
    assert world.instructions() == [START]
    assert "2 proposals, 0 kept their contract, 2 rejected" in world.search.notes[0]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


def inferring(wish: Wish) -> str:
    """Three letters of the rows shown, others for each sample."""
    letters = sorted({name[0] for name in wish.rows})
    return "\n".join(f"Know: {letters[(wish.rollout + step) % len(letters)]}" for step in range(3))


LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(2)]


def growing(**keys: object) -> World:
    keys = {"instructions": "Know: a", **keys}
    return World(
        shown_or_known, inferring, train=LETTERS, dev=[f"{letter}9" for letter in "abcdefgh"], **keys
    )


def two(**keys: object) -> World:
    return World(knows, inferring, train=LETTERS, dev=DEV, two=True, **{"instructions": "Know: a b", **keys})


def test_a_score_that_is_enough_ends_the_search_between_phases():
    world = World(knows, lambda wish: f"Know: a b c d {wish.rollout}", train=TRAIN, dev=DEV)
    world.optimized(InferRules(num_candidates=20, stop_at_score=0.9))
    assert (world.search.stop_reason, len(world.trials)) == ("score", 2 + 8)


def test_sets_that_bring_nothing_may_end_it():
    world = World(knows, lambda wish: f"Nothing {wish.rollout}", train=TRAIN, dev=DEV)
    world.optimized(InferRules(num_candidates=30, no_improvement=9, max_labeled_demos=2))
    assert (world.search.stop_reason, len(world.trials)) == ("no_improvement", 2 + 8)


@pytest.mark.parametrize(
    ("calls", "sets"), [(8 + 1 + 8, 0), (8 + 1 + 8 + 9, 1), (8 + 1 + 8 + 5 * 9, 5), (500, 10)]
)
def test_a_short_budget_asks_for_no_more_sets_than_it_can_try(calls, sets):
    world = growing(budget={"calls": calls})
    world.optimized(InferRules(max_bootstrapped_demos=1, max_labeled_demos=2, wave=1))
    assert world.effects.ledger.spent.calls <= calls
    assert len(world.wishes) <= sets
    assert sum(trial.origin.startswith("rules") for trial in world.trials) <= sets
    assert all(len(trial.records) == 8 for trial in world.trials)
    assert (world.search.stop_reason == "budget" or world.search.short_of_budget) == (sets < 10)


def test_frozen_instructions_leave_the_bootstrap():
    world = growing(freeze=["instructions"]).optimized(InferRules())
    assert [trial.origin for trial in world.trials] == ["start", "bootstrapped demos"]
    assert world.wishes == []


def test_frozen_demos_leave_the_rules():
    world = growing(freeze=["demos"]).optimized(InferRules(num_candidates=1))
    assert [trial.origin for trial in world.trials] == ["start", "rules, set 1"]
    assert all(not trial.candidate.predictors["main"].demos for trial in world.trials)


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "one": (growing, InferRules(max_labeled_demos=3)),
    "two": (two, InferRules(num_candidates=4, max_labeled_demos=2, no_improvement=2)),
    "budget": (lambda **keys: growing(budget={"calls": 90}, **keys), InferRules(max_labeled_demos=2)),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        InferRules,
        num_candidates=st.integers(1, 12),
        num_rules=st.integers(1, 4),
        max_bootstrapped_demos=st.integers(0, 3),
        max_labeled_demos=st.integers(0, 3),
        stop_at_score=st.sampled_from([None, 0.0, 0.6]),
        no_improvement=st.none() | st.integers(1, 4),
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(16, 200),
)
def test_what_holds_for_every_search(optimizer, seed, calls):
    for make in (growing, two):
        world = make(seed=seed, budget={"calls": calls} if calls else None)
        plan = optimizer.plan(world.search.program, Sizes(len(world.search.train), len(world.search.dev), 0))
        world.optimized(optimizer)
        predictors = len(world.search.program.predictors)
        assert world.trials[0].candidate == world.search.start
        assert world.best.score >= world.trials[0].score
        assert calls is None or world.effects.ledger.spent.calls <= calls
        for role, (_, most) in plan.runs.items():
            if role != "proposer":
                assert sum(seen.role == role for seen in world.seen) <= most * predictors
        assert len(world.wishes) <= plan.runs["proposer"][1]
        assert len(world.trials) <= 1 + plan.trials
