"""`copro` against its published description: what is proposed and told, and which instruction stays in place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Propose, Seen, Wish, World, knows

from promptc.optimizers.copro import Copro
from promptc.optimizers.proposing import sample_of
from promptc.optimizers.protocol import Sizes
from promptc.runners.models.request import CallFailed

TRAIN, DEV = ["a0", "b0", "c0", "d0"], ["a1", "b1", "c1", "d1"]


def by_sample(replies: dict[tuple[int, str, int], str], seed: int = 0) -> Propose:
    """A proposer that says for each (round, predictor, number) what is written there."""
    search = World(knows, lambda wish: "", train=TRAIN, dev=DEV, seed=seed).search
    said = {sample_of(search, *key): reply for key, reply in replies.items()}
    return lambda wish: said[wish.rollout]


def test_parity_with_one_predictor():
    """Breadth 3, depth 2. Train a0 b0 c0 d0, dev a1 b1 c1 d1; an instruction is right on the letters that it names.

    | round | instruction     | on train | in place      | its dev |
    |-------|-----------------|----------|---------------|---------|
    | 1     | Know: (start)   | 0        |               | 0       |
    |       | Know: a b       | 0.5      | Know: a b     | 0.5     |
    |       | Know: c         | 0.25     |               |         |
    | 2     | Know: a b c     | 0.75     | Know: a b c   | 0.75    |
    |       | Know: d         | 0.25     |               |         |
    |       | Know: c (again) | as known |               |         |
    """
    replies = {
        (0, "main", 0): "Know: a b",
        (0, "main", 1): "Know: c",
        (1, "main", 0): "Know: a b c",
        (1, "main", 1): "Know: d",
        (1, "main", 2): "Know: c",
    }
    world = World(knows, by_sample(replies), train=TRAIN, dev=DEV).optimized(Copro(breadth=3, depth=2))
    assert world.table() == [
        ("start", START, 0.0),
        ("best of round 1", "Know: a b", 0.5),
        ("best of round 2", "Know: a b c", 0.75),
    ]
    assert sorted(wish.current for wish in world.wishes) == [START] * 2 + ["Know: a b"] * 3
    told = {wish.tried for wish in world.wishes if wish.current != START}
    assert told == {"score 0.000:\nKnow:\n\nscore 0.250:\nKnow: c\n\nscore 0.500:\nKnow: a b"}
    assert {wish.tried for wish in world.wishes if wish.current == START} == {""}
    on_train = [seen for seen in world.seen if seen.row in TRAIN]
    assert len(on_train) == len(TRAIN) * len({START, *replies.values()})
    assert world.search.notes == [
        "5 proposals, 5 kept their contract, 1 of them had been tried before",
        "main: the best instruction scores 0.750 on train",
    ]


def test_the_history_holds_the_best_instructions_worst_first():
    replies = {(0, "main", n): f"Know: {' '.join('abcd'[:n])} {n}" for n in range(4)}
    replies |= {(1, "main", n): f"Know: {n}" for n in range(5)}
    replies |= {(2, "main", n): f"Know: {n}{n}" for n in range(5)}
    world = World(knows, by_sample(replies), train=TRAIN, dev=DEV).optimized(Copro(breadth=5, depth=3))
    last = next(
        wish.tried for wish in world.wishes if wish.tried.count("score") == 5 and "Know: 4" in wish.tried
    )
    assert [line for line in last.splitlines() if line.startswith("score")] == [
        "score 0.000:", "score 0.000:", "score 0.250:", "score 0.500:", "score 0.750:"
    ]  # fmt: skip


def draft_first(seen: Seen) -> str:
    """A row `d…` is right by the draft's hint or the final step, but a draft that knows `x` spoils the hint of all."""
    if seen.predictor == "main.draft":
        return "good" if seen.letter in seen.known else "bad"
    return "yes" if seen.hint == "good" or seen.letter in seen.known else "no"


def test_parity_of_coordinate_ascent_over_two_predictors():
    """Breadth 2, depth 2; train d0 f0 g0, dev the same letters. Each predictor climbs while the other stays.

    | round | predictor | instructions (score on train)                          | program in place     |
    |-------|-----------|--------------------------------------------------------|----------------------|
    | 1     | draft     | Know: (0), Know: d (1/3)                               | d, nothing           |
    |       | final     | Know: (1/3), Know: f (2/3)                             | d, f → dev 2/3       |
    | 2     | draft     | again with f: Know: (1/3), Know: d (2/3); Know: g (2/3) | d (first of equals), f |
    |       | final     | again: Know: (1/3), Know: f (2/3); Know: f g (1)       | d, f g → dev 1       |
    """
    replies = {
        (0, "main.draft", 0): "Know: d",
        (0, "main.final", 0): "Know: f",
        (1, "main.draft", 0): "Know: g",
        (1, "main.draft", 1): "Know: d",
        (1, "main.final", 0): "Know: f g",
        (1, "main.final", 1): "Know: f",
    }
    world = World(draft_first, by_sample(replies), train=["d0", "f0", "g0"], dev=["d1", "f1", "g1"], two=True)
    world.optimized(Copro(breadth=2, depth=2))
    drafts, finals = world.instructions("main.draft"), world.instructions("main.final")
    assert [(t.origin, d, f, t.score) for t, d, f in zip(world.trials, drafts, finals, strict=True)] == [
        ("start", START, START, 0.0),
        ("best of round 1", "Know: d", "Know: f", pytest.approx(2 / 3)),
        ("best of round 2", "Know: d", "Know: f g", 1.0),
    ]
    told = {wish.predictor: wish.tried for wish in world.wishes if wish.tried}
    assert told == {
        "main.draft": "score 0.000:\nKnow:\n\nscore 0.333:\nKnow: d",
        "main.final": "score 0.333:\nKnow:\n\nscore 0.667:\nKnow: f",
    }


def test_dev_chooses_between_the_best_of_the_rounds():
    """Round 2 is better on train and worse on dev: the winner is that of round 1."""
    replies = {(0, "main", 0): "Know: a", (1, "main", 0): "Know: b c", (1, "main", 1): "Know: b"}
    world = World(knows, by_sample(replies), train=["a0", "b0", "c0"], dev=["a1", "a2", "b1"])
    world.optimized(Copro(breadth=2, depth=2))
    assert [(told, round(score, 2)) for _, told, score in world.table()] == [
        (START, 0.0), ("Know: a", 0.67), ("Know: b c", 0.33)
    ]  # fmt: skip
    assert world.best.number == 1


def test_of_equal_instructions_the_shorter_stays():
    replies = {(0, "main", 0): "Know really well: a", (0, "main", 1): "Know: a"}
    world = World(knows, by_sample(replies), train=TRAIN, dev=DEV).optimized(Copro(breadth=3, depth=1))
    assert world.instructions() == [START, "Know: a"]


@pytest.mark.parametrize("examples", [0, 1, 3, 9])
def test_a_proposal_sees_rows_that_went_wrong_first(examples):
    world = World(
        knows, lambda wish: f"Know: a {wish.rollout}", train=[*TRAIN, "e0"], dev=DEV, instructions="Know: a b"
    )
    world.optimized(Copro(breadth=6, depth=1, examples=examples))
    for wish in world.wishes:
        assert len(wish.rows) == min(examples, 5)
        assert len(wish.wrong) == min(examples, 3)
        assert set(wish.wrong) <= {"c0", "d0", "e0"}
    if examples == 1:
        assert len({wish.rows[0] for wish in world.wishes}) > 1


def test_the_rows_shown_are_those_of_the_program_in_place():
    replies = {(0, "main", 0): "Know: a b", **{(1, "main", n): "Know: a b c" for n in range(2)}}
    world = World(knows, by_sample(replies), train=TRAIN, dev=DEV).optimized(
        Copro(breadth=2, depth=2, examples=4)
    )
    shown = [sorted(wish.wrong) for wish in world.wishes]
    assert shown == [TRAIN, ["c0", "d0"], ["c0", "d0"]]


def test_samples_of_equal_requests_differ():
    world = World(knows, lambda wish: "Know: a", train=TRAIN, dev=DEV).optimized(Copro(breadth=10, depth=1))
    assert len({wish.rollout for wish in world.wishes}) == len(world.wishes) == 9


def test_a_proposal_that_never_comes_costs_itself_alone():
    """The peer ends with an error; here the other proposals are tried, and the note says what happened."""
    said = by_sample({(0, "main", 0): "gone", (0, "main", 1): "Know: a", (0, "main", 2): " "})

    def propose(wish: Wish) -> str | CallFailed:
        return CallFailed("the server had an error") if said(wish) == "gone" else said(wish)

    world = World(knows, propose, train=TRAIN, dev=DEV).optimized(Copro(breadth=4, depth=1))
    assert world.instructions() == [START, "Know: a"]
    assert "1 never came" in world.search.notes[0]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


def learner(wish: Wish) -> str:
    missing = sorted({name[0] for name in wish.wrong} - set(wish.current.split()))
    return (
        f"{wish.current} {missing[wish.rollout % len(missing)]}"
        if missing
        else f"{wish.current} {wish.rollout}"
    )


LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(2)]


def growing(**keys: object) -> World:
    return World(knows, learner, train=LETTERS, dev=[f"{letter}9" for letter in "abcdefgh"], **keys)


def two(**keys: object) -> World:
    return growing(two=True, **keys)


@pytest.mark.parametrize(
    ("settings_", "reason", "trials"),
    [
        ({"stop_at_score": 0.125}, "score", 2),
        ({"stop_at_score": 0.25}, "score", 3),
        ({"depth": 2}, "finished", 3),
        ({"depth": 2, "stop_at_score": 0.9}, "finished", 3),
    ],
)
def test_stop_rules(settings_, reason, trials):
    world = growing().optimized(Copro(**settings_))
    assert (world.search.stop_reason, len(world.trials)) == (reason, trials)


def test_a_round_that_brings_nothing_may_end_it():
    world = World(knows, lambda wish: f"Nothing {wish.rollout}", train=TRAIN, dev=DEV)
    world.optimized(Copro(breadth=3, depth=9, no_improvement=2))
    assert world.search.stop_reason == "no_improvement"
    assert len(world.wishes) == 2 + 3


@pytest.mark.parametrize(
    ("calls", "proposals"),
    [(8 + 16 + 8, 0), (8 + 16 + 1 + 16 + 8, 1), (8 + 16 + 3 * 17 + 8, 3), (400, None)],
)
def test_a_short_budget_asks_for_no_more_than_it_can_score(calls, proposals):
    world = growing(budget={"calls": calls}).optimized(Copro(breadth=10, depth=3))
    assert world.effects.ledger.spent.calls <= calls
    assert proposals is None or len(world.wishes) <= proposals
    assert world.search.stop_reason == "budget"
    assert all(len(t.records) == len(world.search.dev) for t in world.trials)
    if proposals:
        assert len(world.trials) == 2


def test_frozen_instructions_leave_the_start():
    world = growing(freeze=["instructions"]).optimized(Copro())
    assert (world.instructions(), world.wishes) == ([START], [])


def test_demos_of_the_start_stay_in_the_prompt():
    world = World(knows, lambda wish: "Know: a", train=TRAIN, dev=DEV, demos=[{"text": "z", "label": "yes"}])
    world.optimized(Copro(breadth=2, depth=1))
    assert {seen.demos for seen in world.seen} == {("z",)}
    assert [len(t.candidate.predictors["main"].demos) for t in world.trials] == [1, 1]


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "one": (growing, Copro(breadth=4, depth=3)),
    "two": (two, Copro(breadth=3, depth=2, examples=2)),
    "budget": (lambda **keys: growing(budget={"calls": 130}, **keys), Copro(breadth=5)),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        Copro, breadth=st.integers(2, 6), depth=st.integers(1, 3), examples=st.integers(0, 20)
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(48, 400),
)
def test_what_holds_for_every_search(optimizer, seed, calls):
    for make in (growing, two):
        world = make(seed=seed, budget={"calls": calls} if calls else None)
        plan = optimizer.plan(world.search.program, Sizes(len(world.search.train), len(world.search.dev), 0))
        world.optimized(optimizer)
        assert world.trials[0].candidate == world.search.start
        assert world.best.score >= world.trials[0].score
        assert calls is None or world.effects.ledger.spent.calls <= calls
        assert len(world.seen) <= plan.runs["task"][1] * len(world.search.program.predictors)
        assert len(world.wishes) <= plan.runs["proposer"][1]
        assert len(world.trials) <= 1 + plan.trials
