"""`auto` as a whole: what it finds, what it leaves alone, what it spends, and that nothing changes its result."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Seen, Wish, World, knows

from promptc.optimizers.auto import Auto
from promptc.optimizers.protocol import Sizes
from promptc.runners.models.request import CallFailed
from promptc.spec.errors import Untrusted

LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(4)]
DEV = [f"{name}x" for name in LETTERS[::2]]


def learner(wish: Wish) -> str:
    """A line for two of the letters that the text does not know, of rows that went wrong."""
    known = set(re.findall(r"\b[a-z]\b", wish.current))
    missing = sorted({name[0] for name in wish.wrong or wish.rows} - known)[:2]
    return "\n".join([wish.current, *(f"- {letter} is known" for letter in missing)])


def growing(**keys: object) -> World:
    return World(knows, learner, train=LETTERS, dev=DEV, **keys)


def specialist(wish: Wish) -> str:
    """Can only spoil the draft, and teaches the final step."""
    return f"{wish.current}\n- z{wish.rollout}" if wish.predictor == "main.draft" else learner(wish)


def final_knows(seen: Seen) -> str:
    if seen.predictor == "main.draft":
        return "bad" if "\n" in seen.instruction else "fine"
    return "yes" if seen.hint == "fine" and seen.letter in seen.known else "no"


def two(**keys: object) -> World:
    return World(final_knows, specialist, train=LETTERS, dev=DEV, two=True, **keys)


# ── what it finds ─────────────────────────────────────────────────────────────────────────────────────────


def test_proposals_that_found_different_things_are_merged():
    world = growing(budget={"calls": 600}).optimized(Auto(max_demos=0))
    assert world.best.score == 1.0
    assert set("abcdefgh") <= set(
        re.findall(r"\b[a-h]\b", world.best.candidate.predictors["main"].instructions)
    )
    assert world.best.origin.startswith("round ")


def test_several_proposals_go_out_at_once_with_examples_of_their_own():
    world = growing(budget={"calls": 250}).optimized(Auto(max_demos=0, examples=6))
    first = [wish for wish in world.wishes if wish.current == START]
    assert len(first) > 1
    assert len({wish.examples for wish in first}) == len({wish.rollout for wish in first}) == len(first)
    assert all(len(wish.rows) <= 6 for wish in world.wishes)


def test_demonstrations_are_found_where_instructions_are_of_no_use():
    def copies(seen: Seen) -> str:
        return "yes" if seen.letter in {demo[0] for demo in seen.demos} else "no"

    world = World(
        copies, lambda wish: f"{wish.current}\n- nothing", train=LETTERS, dev=DEV, budget={"calls": 300}
    )
    world.optimized(Auto(max_demos=8))
    assert world.best.score > 0.4
    assert 0 < len(world.best.candidate.predictors["main"].demos) <= 8


def test_demonstrations_that_mislead_are_left_out():
    def misled(seen: Seen) -> str:
        return "no" if seen.demos else knows(seen)

    world = World(misled, learner, train=LETTERS, dev=DEV, budget={"calls": 500}).optimized(Auto())
    assert world.best.score > 0.8
    assert not world.best.candidate.predictors["main"].demos


def test_the_predictor_that_is_not_at_fault_keeps_its_instruction():
    world = two(budget={"calls": 700}).optimized(Auto(max_demos=0))
    best = world.best.candidate.predictors
    assert world.best.score > 0.8
    assert best["main.draft"].instructions == START
    asked = [wish.predictor for wish in world.wishes]
    assert asked.count("main.final") > asked.count("main.draft")


def test_a_line_that_does_harm_is_sifted_out():
    def harmed(seen: Seen) -> str:
        return "no" if "harm" in seen.instruction and seen.row[1] in "01" else knows(seen)

    def harming(wish: Wish) -> str:
        return f"{learner(wish)}\n- harm" if wish.rollout % 2 else learner(wish)

    world = World(harmed, harming, train=LETTERS, dev=DEV, budget={"calls": 600}).optimized(Auto(max_demos=0))
    assert "harm" not in world.best.candidate.predictors["main"].instructions
    assert world.best.score > 0.8


def test_a_proposal_that_is_no_edit_runs_as_it_is():
    def rewrites(wish: Wish) -> str:
        return "Know everything:\n" + "\n".join("abcdefgh")

    start = "One.\nTwo.\nThree.\nFour."
    world = World(knows, rewrites, train=LETTERS, dev=DEV, instructions=start, budget={"calls": 250})
    world.optimized(Auto(max_demos=0))
    assert world.best.score == 1.0
    assert world.best.candidate.predictors["main"].instructions == rewrites(world.wishes[0])


def test_where_nothing_helps_the_start_stays():
    world = World(knows, lambda wish: f"{wish.current}\n- !", train=LETTERS, dev=DEV, budget={"calls": 200})
    world.optimized(Auto(max_demos=0))
    assert world.best.number == 0


# ── what it leaves alone ──────────────────────────────────────────────────────────────────────────────────


def test_frozen_instructions_leave_the_demos():
    world = growing(freeze=["instructions"], budget={"calls": 150}).optimized(Auto())
    assert (set(world.instructions()), world.wishes) == ({START}, [])
    assert any(trial.candidate.predictors["main"].demos for trial in world.trials) or len(world.trials) == 1


def test_where_nothing_may_change_only_the_start_is_tried():
    world = growing(freeze=["instructions", "demos"], budget={"calls": 150}).optimized(Auto())
    assert (len(world.trials), world.wishes, world.search.stop_reason) == (1, [], "finished")
    assert world.search.notes == ["freeze: leaves nothing that auto could change"]


def test_a_kept_sentence_is_in_every_trial():
    world = growing(instructions="Be kind. Know:", keep=["Be kind."], budget={"calls": 400}).optimized(Auto())
    assert len(world.trials) > 1
    assert all("Be kind." in told for told in world.instructions())


def test_no_demo_is_shown_to_its_own_row():
    world = growing(budget={"calls": 300}).optimized(Auto())
    assert any(seen.demos for seen in world.seen)
    assert all(seen.row not in seen.demos for seen in world.seen)


def test_no_more_demos_than_allowed():
    world = growing(budget={"calls": 300}).optimized(Auto(max_demos=3))
    assert max(len(seen.demos) for seen in world.seen) <= 3


# ── when it ends ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings_", "budget", "reason"),
    [
        ({"stop_at_score": 0.4}, {"calls": 5000}, "score"),
        ({"stop_at_score": 0.0}, {"calls": 5000}, "score"),
        ({"no_improvement": 1}, {"calls": 5000}, "no_improvement"),
        ({}, {"calls": 120}, "budget"),
        ({"max_runs": 120}, {"calls": 5000}, "finished"),
        ({"max_runs": 120}, None, "finished"),
    ],
)
def test_stop_rules(settings_, budget, reason):
    world = growing(budget=budget).optimized(Auto(**settings_))
    assert world.search.stop_reason == reason
    if "max_runs" in settings_:
        assert len(world.seen) <= 120
    if "stop_at_score" in settings_:
        assert world.best.score >= settings_["stop_at_score"]


def test_a_stop_file_ends_it_between_rounds(tmp_path):
    stop = tmp_path / "stop"

    def propose(wish: Wish) -> str:
        stop.touch()
        return learner(wish)

    world = World(knows, propose, train=LETTERS, dev=DEV, budget={"calls": 400})
    world.effects._stop_file = stop
    world.optimized(Auto())
    assert world.search.stop_reason == "stop_file"
    assert {wish.current for wish in world.wishes} == {START}


@pytest.mark.parametrize("calls", [40, 50, 75, 150, 400])
def test_the_budget_is_a_wall_and_is_used(calls):
    world = growing(budget={"calls": calls}).optimized(Auto())
    spent = world.effects.ledger.spent.calls
    assert spent <= calls
    assert world.search.stop_reason in ("budget", "no_improvement")
    assert world.search.stop_reason == "no_improvement" or spent > 0.6 * calls
    assert len({len(trial.records) for trial in world.trials}) == 1


def test_a_wall_for_the_proposer_is_kept():
    world = growing(budget={"calls": 400, "roles": {"proposer": {"calls": 3}}}).optimized(Auto())
    assert len(world.wishes) == 3


def test_ten_failed_proposals_in_a_row_stop_the_run():
    world = World(knows, lambda wish: CallFailed("no"), train=LETTERS, dev=DEV, budget={"calls": 600})
    with pytest.raises(Untrusted, match="10 proposals in a row failed"):
        world.optimized(Auto())


def test_the_notes_say_what_happened():
    world = growing(budget={"calls": 400}).optimized(Auto())
    [note] = world.search.notes
    assert re.fullmatch(
        r"\d+ rounds; \d+ proposals, \d+ kept their contract; \d+ program runs on training rows, \d+ saved by races",
        note,
    )


def test_it_says_what_it_tries():
    world = growing(budget={"calls": 250})
    said: list[str] = []
    world.search._announce = said.append
    world.optimized(Auto())
    assert re.fullmatch(r"round 1: proposals, train \d\.\d{3}", said[0])
    assert said[-1] == "finalists on dev"


@pytest.mark.parametrize(
    ("budget", "sizes", "auto", "task", "proposals"),
    [
        (None, Sizes(100, 100, 300), Auto(), (200, 600), 75),
        (None, Sizes(400, 300, 300), Auto(), (466, 1400), 175),
        (None, Sizes(100, 100, 300), Auto(max_runs=300), (100, 300), 37),
        ({"calls": 1000}, Sizes(100, 100, 300), Auto(), (132, 400), 50),
        ({"minutes": 5}, Sizes(100, 100, 300), Auto(), (200, 4000), 500),
    ],
)
def test_a_plan_says_what_the_search_would_take(budget, sizes, auto, task, proposals):
    plan = auto.plan(growing(budget=budget).search.program, sizes)
    assert (plan.runs["task"], plan.runs["proposer"]) == (task, (0, proposals))
    assert plan.first_trial == 40


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "plain": (lambda **keys: growing(budget={"calls": 250}, **keys), Auto()),
    "small": (lambda **keys: growing(budget={"calls": 50}, **keys), Auto(max_demos=4)),
    "two": (lambda **keys: two(budget={"calls": 300}, **keys), Auto(max_demos=2, examples=5)),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        Auto,
        max_demos=st.integers(0, 20),
        examples=st.integers(1, 30),
        no_improvement=st.integers(1, 6),
        max_runs=st.none() | st.integers(40, 300),
        stop_at_score=st.none() | st.floats(0.3, 1),
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(48, 200),
)
def test_what_holds_for_every_search(optimizer, seed, calls):
    for make in (growing, two):
        world = make(seed=seed, budget={"calls": calls} if calls else None)
        plan = optimizer.plan(world.search.program, Sizes(len(world.search.train), len(world.search.dev), 0))
        world.optimized(optimizer)
        assert not world.trials or world.trials[0].candidate == world.search.start
        assert not world.trials or world.best.score >= world.trials[0].score
        assert calls is None or world.effects.ledger.spent.calls <= calls
        assert len(world.seen) <= plan.runs["task"][1] * len(world.search.program.predictors)
        assert len(world.wishes) <= plan.runs["proposer"][1]
        assert len(world.trials) <= 1 + plan.trials
