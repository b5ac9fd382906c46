"""`simba` against its description: which rows tell most, what is made of them, and who is drawn."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Seen, Wish, World, knows

from promptc.optimizers.protocol import Sizes
from promptc.optimizers.simba import Simba
from promptc.optimizers.simba_pool import Pool
from promptc.optimizers.simba_strategies import Bucket, Try, buckets_of, poisson, tenths
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.models.request import CallFailed
from promptc.runners.records import RowRecord
from promptc.runners.rows import Example

# ── the rows that tell most ───────────────────────────────────────────────────────────────────────────────


def tries(**scores: list[float]) -> list[Try]:
    """Tries at rows: each row's scores in order."""
    return [
        Try(
            row=Example(index=0, id=name, row={}, digest=name),
            record=RowRecord(id=name, index=0, outputs={}, score=score, metrics={}),
            score=score,
            program=number,
        )
        for name, mine in scores.items()
        for number, score in enumerate(mine)
    ]


@pytest.mark.parametrize(
    ("scores", "order"),
    [
        ({"a": [0, 0], "b": [1, 0]}, "ba"),
        # Equal gaps: the better best first.
        ({"a": [0.5, 0], "b": [1, 0.5]}, "ba"),
        # Equal gaps and bests: the one whose best is furthest above the mean.
        ({"a": [1, 1, 0], "b": [1, 0, 0]}, "ba"),
        # Nothing to tell them apart: in the order of the minibatch.
        ({"c": [1, 1], "a": [1, 1], "b": [0, 0]}, "cab"),
    ],
)
def test_rows_come_in_the_order_of_what_they_tell(scores, order):
    assert "".join(bucket.best.row.id for bucket in buckets_of(tries(**scores))) == order


def test_best_and_worst_are_the_first_and_the_last_of_equals():
    [bucket] = buckets_of(tries(a=[0, 1, 0, 1]))
    assert (bucket.best.program, bucket.worst.program) == (1, 2)


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        ([0.4], 0.4, 0.4),
        ([0, 1], 0.1, 0.9),
        ([0] * 9 + [1] * 2, 0, 1),
        ([n / 10 for n in range(11)], 0.1, 0.9),
    ],
)
def test_the_outer_tenths(scores, low, high):
    assert tenths(scores) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("mean", [0.0, 0.25, 1.0, 2.5])
def test_numbers_from_a_poisson_distribution_have_its_mean_and_variance(mean):
    rng = random.Random(1)
    drawn = [poisson(rng, mean) for _ in range(6000)]
    average = sum(drawn) / len(drawn)
    assert average == pytest.approx(mean, abs=0.06)
    assert sum((one - average) ** 2 for one in drawn) / len(drawn) == pytest.approx(mean, abs=0.15)


# ── who is drawn ──────────────────────────────────────────────────────────────────────────────────────────


def pool(*gains: list[float], top: int = 9) -> Pool:
    found = Pool(candidate("start"), top=top)
    for number in range(1, len(gains)):
        found.add(candidate(str(number)))
    for place, mine in enumerate(gains):
        found.judge(place, mine)
    return found


def candidate(told: str) -> Candidate:
    return Candidate(predictors={"main": PredictorTexts(instructions=told)})


@pytest.mark.parametrize(
    ("gains", "top", "best"),
    [
        (([], [0.5], [-0.5]), 9, [1, 0, 2]),
        (([], [0.5], [0.4], [0.3]), 2, [1, 2, 0]),
        (([0.9], [0.5], [0.4]), 2, [0, 1]),
        (([0.1, 0.3], [0.2], [0.2, 0.2]), 9, [0, 1, 2]),
    ],
)
def test_the_best_and_the_start_are_drawn_from(gains, top, best):
    assert pool(*gains, top=top).best() == best


def test_draws_are_a_softmax_of_the_standing():
    """exp(0.2/0.2) : exp(0) : exp(−0.2/0.2) = e : 1 : 1/e."""
    rng = random.Random(1)
    drawn = Counter(pool([], [0.2], [-0.2]).draw(rng, 0.2) for _ in range(6000))
    assert [drawn[place] / 6000 for place in (1, 0, 2)] == pytest.approx([0.665, 0.245, 0.09], abs=0.02)
    cold = {pool([], [0.2], [0.19]).draw(rng, 0.0) for _ in range(50)}
    assert cold == {1}
    hardly = {pool([], [1.0], [-1.0]).draw(rng, 1e-6) for _ in range(50)}
    assert hardly == {1}


# ── a step ────────────────────────────────────────────────────────────────────────────────────────────────

TRAIN, DEV = ["a0", "b0", "c0"], ["a1", "b1", "c1"]


def sometimes(seen: Seen) -> str:
    """Without demos `c` is right, and `a0` at the first try; a demo of `a` teaches `a` and `b`."""
    if seen.letter == "c" or (seen.row, seen.rollout, seen.demos) == ("a0", 0, ()):
        return "yes"
    return "yes" if {"a0"} & set(seen.demos) else knows(seen)


def test_parity_of_a_step_that_shows_demos():
    """Two tries at each of three rows; up to three candidates.

    | row | tries | as a demo                                     |
    |-----|-------|-----------------------------------------------|
    | a0  | 1 0   | gap 1: first. On a0 b0 c0 it is right: 1 1 1  |
    | c0  | 1 1   | no gap, but better than the lowest tenth: 0 0 1, with a0 asked as a first try: 1 0 1 |
    | b0  | 0 0   | no better than the lowest tenth: skipped      |

    The winner is the first; on dev it is right everywhere, the start only on c1.
    """
    world = World(sometimes, lambda wish: "", train=TRAIN, dev=DEV, freeze=["instructions"])
    world.optimized(Simba(max_steps=1, num_candidates=2))
    assert [(t.origin, t.score) for t in world.trials] == [
        ("start", pytest.approx(1 / 3)),
        ("step 1: row a0 as a demo", 1.0),
    ]
    [demo] = world.best.candidate.predictors["main"].demos
    assert demo == Demo(inputs={"text": "a0"}, outputs={"label": "yes"}, source="bootstrapped", row_id="a0")
    assert world.search.notes == [
        "1 steps; 2 candidates (2 with a demonstration more, 0 with advice, 1 rows skipped)"
    ]
    tried = Counter((seen.row, seen.rollout) for seen in world.seen if seen.row in TRAIN and not seen.demos)
    assert tried == {(name, rollout): 1 for name in TRAIN for rollout in (0, 1)}


def test_parity_of_a_step_that_gives_advice():
    """Only the tries at a0 differ: the one request shows both, with what the metric said of them."""
    world = World(sometimes, lambda wish: "When it is a or b, know: a b", train=TRAIN, dev=DEV)
    world.optimized(Simba(max_steps=1, num_candidates=2, max_demos=0))
    assert world.table() == [
        ("start", START, pytest.approx(1 / 3)),
        ("step 1: advice from row a0", f"{START}\n\nWhen it is a or b, know: a b", 1.0),
    ]
    [wish] = world.wishes
    better, worse = wish.examples.split("### Example")[1:]
    assert "label (given): yes\nfeedback: the better try, score 1.00: got `yes` as expected" in better
    assert "label (given): no\nfeedback: the worse try, score 0.00: expected `yes`, got `no`" in worse
    assert wish.rows == ["a0", "a0"]
    assert "two or three sentences of advice" in " ".join(wish.whole.split())


def test_a_graded_try_teaches_only_outside_the_tenths():
    """Scores 1 and 0.4 at one row, 0.4 twice at nine others: the lowest tenth is 0.4, so nothing else is shown."""
    bucket: Bucket = buckets_of(tries(a=[1, 0.4], **{f"b{n}": [0.4, 0.4] for n in range(9)}))[0]
    assert (bucket.best.score, bucket.low) == (1, 0.4)
    assert bucket.worst.score >= bucket.high


def luck(seen: Seen) -> str:
    """What is not known is right by a draw over row, sample, demos and instruction."""
    drawn = zlib.crc32(f"{seen.row} {seen.rollout} {seen.demos} {seen.instruction} {seen.predictor}".encode())
    if seen.predictor == "main.draft":
        return "good" if knows(seen) == "good" or drawn % 10 < 2 else "bad"
    return "yes" if knows(seen) == "yes" or drawn % 10 < 2 else "no"


def adviser(wish: Wish) -> str:
    """Names the letter of the row that it is shown."""
    return f"Mind {wish.rows[0][0]} {wish.rollout % 9}."


LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(3)]


def growing(**keys: object) -> World:
    return World(luck, adviser, train=LETTERS, dev=[f"{letter}9" for letter in "abcdefgh"], **keys)


def two(**keys: object) -> World:
    return growing(two=True, **keys)


SMALL = Simba(minibatch=8, num_candidates=4, max_steps=5)


def test_steps_take_minibatches_in_turn_and_samples_of_their_own():
    world = growing().optimized(Simba(minibatch=8, num_candidates=3, max_steps=3))
    by_rollout: dict[int, set[str]] = {}
    for seen in world.seen:
        if seen.row in LETTERS and seen.rollout:
            by_rollout.setdefault(seen.rollout, set()).add(seen.row)
    assert sorted(by_rollout) == list(range(1, 9))
    batches = [by_rollout[1], by_rollout[3], by_rollout[6]]
    assert set.union(*batches) == set(LETTERS)
    assert [len(batch) for batch in batches] == [8, 8, 8]


def test_fewer_rows_than_a_minibatch_are_enough():
    world = World(luck, adviser, train=LETTERS[:5], dev=["a9", "b9", "c9"]).optimized(Simba(max_steps=2))
    assert len({seen.row for seen in world.seen if seen.row in LETTERS}) == 5
    assert len(world.trials) > 1


def test_a_full_prompt_loses_a_demo_before_it_gets_one():
    world = growing(freeze=["instructions"]).optimized(
        Simba(minibatch=8, num_candidates=4, max_steps=8, max_demos=2)
    )
    counts = [len(t.candidate.predictors["main"].demos) for t in world.trials]
    assert counts[0] == 0
    assert set(counts[1:]) <= {1, 2}
    assert 2 in counts
    assert all(seen.row not in seen.demos for seen in world.seen)


def test_long_texts_are_cut_in_demos():
    long = World(
        luck, adviser, train=[letter * 30 for letter in "abcdefgh"], dev=DEV, freeze=["instructions"]
    )
    long.optimized(Simba(max_steps=1, max_input_characters=10))
    [demo] = long.trials[1].candidate.predictors["main"].demos
    assert demo.inputs["text"] == demo.row_id[:10] + "…"


def test_the_teacher_makes_the_first_try():
    world = growing(models={"task": "embedded/icl", "teacher": "embedded/icl"})
    world.optimized(Simba(minibatch=8, num_candidates=3, max_steps=2))
    taught = [seen for seen in world.seen if seen.role == "teacher"]
    assert Counter(seen.rollout for seen in taught) == {0: 8, 3: 8}
    plan = Simba(minibatch=8, num_candidates=3, max_steps=2).plan(world.search.program, Sizes(24, 8, 0))
    assert plan.runs["teacher"] == (16, 16)


def test_rows_without_a_score_teach_nothing():
    def flaky(seen: Seen) -> str | CallFailed:
        return CallFailed("the server had an error") if seen.row in ("a0", "b0") else luck(seen)

    world = World(flaky, adviser, train=LETTERS, dev=DEV, run={"max_unscored": 0.5}).optimized(SMALL)
    assert all({"a0", "b0"}.isdisjoint(wish.rows) for wish in world.wishes)
    assert len(world.trials) > 1


def test_advice_that_breaks_the_contract_gives_no_candidate():
    world = growing(keep=["Be kind."], instructions="Know:").optimized(
        Simba(max_demos=0, max_steps=1, minibatch=8)
    )
    assert world.instructions() == ["Know:"]
    assert "rejected (it drops a sentence that must be kept)" in world.search.notes[-1]


# ── several predictors, what is frozen ────────────────────────────────────────────────────────────────────


def test_each_predictor_is_advised_on_its_own_part():
    world = two().optimized(Simba(minibatch=8, num_candidates=3, max_steps=2, max_demos=0))
    asked = Counter(wish.predictor for wish in world.wishes)
    assert asked["main.draft"] == asked["main.final"] > 0
    draft = next(wish for wish in world.wishes if wish.predictor == "main.draft")
    assert "hint (given)" in draft.examples
    assert "label (given)" not in draft.examples


def test_a_demo_is_shown_to_each_predictor():
    world = two(freeze=["instructions"]).optimized(Simba(minibatch=8, num_candidates=3, max_steps=1))
    predictors = world.trials[-1].candidate.predictors
    assert [len(texts.demos) for texts in predictors.values()] == [1, 1]
    assert predictors["main.draft"].demos[0].outputs.keys() == {"hint"}


@pytest.mark.parametrize(
    ("keys", "advice", "demos"),
    [
        ({"freeze": ["instructions"]}, False, True),
        ({"freeze": ["demos"]}, True, False),
        ({"demos": "none"}, True, False),
        ({"freeze": ["instructions", "demos"]}, False, False),
    ],
)
def test_what_is_frozen_does_not_change(keys, advice, demos):
    world = growing(**keys).optimized(SMALL)
    assert bool(world.wishes) == (len(set(world.instructions())) > 1) == advice
    assert any(t.candidate.predictors["main"].demos for t in world.trials) == demos
    if not advice and not demos:
        assert len(world.seen) == len(world.search.dev)
        assert world.search.notes == ["freeze: leaves nothing that simba could change"]
        assert SMALL.plan(world.search.program, Sizes(24, 8, 0)).trials == 0


def test_a_search_goes_on_from_another_candidate():
    demos = tuple(Demo(inputs={"text": n}, outputs={"label": "yes"}, row_id=n) for n in ("a0", "b0"))
    world = growing()
    world.search.start = Candidate(predictors={"main": PredictorTexts(instructions="Know: a b", demos=demos)})
    world.optimized(SMALL)
    assert world.trials[0].candidate == world.search.start
    assert all(seen.row not in seen.demos for seen in world.seen)
    assert all(told.startswith("Know: a b") for told in world.instructions())


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("calls", [20, 30, 60, 200])
def test_the_budget_is_a_wall_and_the_last_step_takes_what_is_left(calls):
    world = growing(budget={"calls": calls}).optimized(Simba(minibatch=8, num_candidates=2))
    assert world.effects.ledger.spent.calls <= calls
    assert world.search.short_of_budget
    assert all(len(trial.records) == 8 for trial in world.trials)
    assert any(seen.row in LETTERS for seen in world.seen) == (calls > 20)


def test_a_stop_file_leaves_what_was_found(tmp_path):
    stop = tmp_path / "stop"

    def advise(wish: Wish) -> str:
        if wish.current.count("Mind") == 2:
            stop.touch()
        return adviser(wish)

    world = World(luck, advise, train=LETTERS, dev=[f"{letter}9" for letter in "abcdefgh"])
    world.effects._stop_file = stop
    world.optimized(Simba(minibatch=8, num_candidates=4, max_demos=0))
    assert world.search.stop_reason == "stop_file"
    assert len(world.trials) > 2
    assert world.best.number > 0


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "one": (growing, SMALL),
    "two": (two, SMALL),
    "taught": (
        lambda **keys: growing(models={"task": "embedded/icl", "teacher": "embedded/icl"}, **keys),
        SMALL,
    ),
    "budget": (lambda **keys: growing(budget={"calls": 150}, **keys), SMALL),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        Simba,
        minibatch=st.integers(1, 30),
        num_candidates=st.integers(1, 5),
        max_steps=st.integers(1, 4),
        max_demos=st.integers(0, 3),
        sampling_temperature=st.sampled_from([0.0, 0.2, 5.0]),
        candidate_temperature=st.sampled_from([0.0, 0.2, 5.0]),
        no_improvement=st.none() | st.integers(1, 3),
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(38, 250),
)
def test_what_holds_for_every_search(optimizer, seed, calls):
    for make in (growing, two):
        world = make(seed=seed, budget={"calls": calls} if calls else None)
        predictors = len(world.search.program.predictors)
        plan = optimizer.plan(world.search.program, Sizes(len(LETTERS), 8, 0))
        world.optimized(optimizer)
        assert world.trials[0].candidate == world.search.start
        assert world.best.score >= world.trials[0].score
        assert calls is None or world.effects.ledger.spent.calls <= calls
        assert len(world.seen) <= plan.runs["task"][1] * predictors
        if calls is None and optimizer.no_improvement is None and predictors == 1:
            assert len(world.seen) >= plan.runs["task"][0]
        assert len(world.wishes) <= plan.runs["proposer"][1]
        assert len(world.trials) <= 1 + plan.trials
        assert all(seen.row not in seen.demos for seen in world.seen)
