"""`gepa` against its paper: fronts, parents, minibatches, mutations and merges, worked out by hand."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import START, Propose, Seen, Wish, World, knows

from promptc.optimizers.front import pareto, row_fronts
from promptc.optimizers.gepa import Gepa, auto_runs
from promptc.optimizers.gepa_merge import crossover, propose_merge, telling_rows
from promptc.optimizers.gepa_selection import Pool, select_parent
from promptc.optimizers.minibatches import Minibatches
from promptc.optimizers.protocol import Sizes
from promptc.optimizers.search import Trial
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.evaluate import RowRecord
from promptc.runners.models.request import CallFailed

# ── the front (algorithm 2) ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("scores", "fronts"),
    [
        ([[1, 0, 0], [0, 1, 0]], [{0}, {1}, {0, 1}]),
        ([[0.5, 0.2], [0.5, 0.9], [0.1, 0.9]], [{0, 1}, {1, 2}]),
        ([[None, None], [0, None]], [{1}, set()]),
        ([[1]], [{0}]),
    ],
)
def test_a_rows_front_holds_whoever_is_best_on_it(scores, fronts):
    assert [set(front) for front in row_fronts(scores)] == fronts


@pytest.mark.parametrize(
    ("fronts", "worst_first", "survivors"),
    [
        # 0 stands on the second row alone, beside 1: it is superfluous.
        ([{1}, {0, 1}], [0, 1], {1: 2}),
        # Each is alone somewhere: all stay, and 2 is best on two rows.
        ([{0}, {1}, {2}, {2}], [0, 1, 2], {0: 1, 1: 1, 2: 2}),
        # Two that share every row: the worse one goes, the other must stay.
        ([{0, 1}, {0, 1}], [1, 0], {0: 2}),
        # 0 is covered by 1 on one row and by 2 on the other; nobody covers those.
        ([{0, 1}, {0, 2}, {1}, {2}], [0, 1, 2], {1: 2, 2: 2}),
        # A ring of three: the worst goes, then nobody covers the other two.
        ([{0, 1}, {1, 2}, {2, 0}], [0, 1, 2], {1: 2, 2: 2}),
        ([set(), {0}], [0], {0: 1}),
    ],
)
def test_the_dominated_are_dropped_from_the_worst_on(fronts, worst_first, survivors):
    found = pareto([frozenset(front) for front in fronts], worst_first)
    assert dict(zip(found.places, found.wins, strict=True)) == survivors


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), min_size=1, max_size=7))
def test_survivors_hold_the_best_score_of_every_row(scores):
    order = sorted(range(len(scores)), key=lambda place: sum(scores[place]))
    kept = pareto(row_fronts(scores), order).places
    for column in zip(*scores, strict=True):
        assert max(column) == max(column[place] for place in kept)


# ── parents ───────────────────────────────────────────────────────────────────────────────────────────────


def trial(number: int, scores: list[float], texts: tuple[str, ...] = ("",), characters: int = 10) -> Trial:
    records = tuple(
        RowRecord(id=str(i), index=i, outputs={}, score=score, metrics={}) for i, score in enumerate(scores)
    )
    names = ("main.draft", "main.final")[: len(texts)]
    candidate = Candidate(
        predictors={name: PredictorTexts(instructions=told) for name, told in zip(names, texts, strict=True)}
    )
    return Trial(
        number=number,
        candidate=candidate,
        origin="",
        records=records,
        score=sum(scores) / len(scores),
        prompt_characters=characters,
    )


def pool_of(*trials: tuple[Trial, tuple[int, ...]]) -> Pool:
    (start, _), *others = trials
    pool = Pool(start)
    for one, parents in others:
        pool.add(one, parents)
    return pool


THREE = pool_of((trial(0, [0, 0, 0, 0]), ()), (trial(1, [1, 0, 0, 0]), (0,)), (trial(2, [0, 1, 1, 0]), (0,)))
"""Row fronts {1} {2} {2} {0 1 2}: 0 is dominated; 1 is among the best on two rows, 2 on three."""


@pytest.mark.parametrize(
    ("selector", "shares"),
    [
        ("pareto", {1: 2 / 5, 2: 3 / 5}),
        ("current_best", {2: 1.0}),
        ("epsilon_greedy", {0: 0.1, 1: 0.1, 2: 0.8}),
        ("top_k_pareto", {2: 1.0}),
    ],
)
def test_parents_are_drawn_with_the_shares_of_their_selector(selector, shares):
    rng = random.Random(1)
    drawn = Counter(select_parent(THREE, selector, rng, epsilon=0.3, top_k=1) for _ in range(4000))
    assert drawn.keys() == shares.keys()
    assert all(abs(drawn[place] / 4000 - share) < 0.03 for place, share in shares.items())


def test_equal_candidates_are_ranked_by_length_then_age():
    pool = pool_of(
        (trial(0, [1, 0], characters=30), ()),
        (trial(1, [0, 1], characters=20), (0,)),
        (trial(2, [1, 0], characters=20), (0,)),
        (trial(3, [1, 1], characters=90), (0,)),
    )
    assert pool.best_first() == [3, 1, 2, 0]


def test_a_candidates_components_take_turns_and_a_child_goes_on_where_its_parent_stands():
    pool = Pool(trial(0, [0], ("a", "b")))
    names = ("main.draft", "main.final")
    assert pool.turn(0, names) == "main.draft"
    pool.add(trial(1, [1], ("c", "b")), (0,))
    assert [pool.turn(1, names) for _ in range(3)] == ["main.final", "main.draft", "main.final"]
    assert [pool.turn(0, names) for _ in range(2)] == ["main.final", "main.draft"]


# ── minibatches ───────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 9), size=st.integers(1, 5), seed=st.integers(0, 3))
def test_an_epoch_takes_each_row_and_fills_the_last_batch_with_the_least_used(rows, size, seed):
    search = World(knows, lambda wish: "", train=[f"a{i}" for i in range(rows)], dev=["a"], seed=seed).search
    batches = Minibatches(search, size)
    used: Counter[str] = Counter()
    for _ in range(3):
        epoch = [[e.id for e in batches.take()] for _ in range(batches.per_epoch)]
        assert all(len(set(batch)) == len(batch) == min(size, rows) for batch in epoch)
        names = [name for batch in epoch for name in batch]
        assert len(set(names[:rows])) == rows
        used.update(names[:rows])
        spare = {e.id for e in search.train} - set(epoch[-1])
        assert all(used[name] <= used[other] for name in names[rows:] for other in spare)
        used.update(names[rows:])


def test_epochs_are_shuffled_by_the_seed():
    def order(seed: int) -> list[list[str]]:
        search = World(knows, lambda wish: "", train=[f"a{i}" for i in range(8)], dev=["a"], seed=seed).search
        batches = Minibatches(search, 8)
        return [[e.id for e in batches.take()] for _ in range(3)]

    orders = [order(seed) for seed in (0, 1)]
    assert orders[0] == order(0) != orders[1]
    assert all(one != two for one, two in pairwise(orders[0]))


# ── the loop (algorithm 1) ────────────────────────────────────────────────────────────────────────────────

TRAIN, DEV = ["a0", "b0", "c0"], ["a1", "a2", "b1", "c1"]


def script(*lines: tuple[str, str]) -> Propose:
    """A proposer that says for each current instruction the next line of its script."""
    waiting: dict[str, list[str]] = {}
    for current, said in lines:
        waiting.setdefault(current, []).append(said)

    return lambda wish: waiting[wish.current].pop(0)


def test_parity_with_one_predictor():
    """The minibatch is all of train (a0 b0 c0); dev is a1 a2 b1 c1.

    | iteration | front of dev (rows won)  | parent | proposal    | minibatch | dev             |
    |-----------|--------------------------|--------|-------------|-----------|-----------------|
    | start     |                          |        | Know:       |           | 0 0 0 0 → 0     |
    | 1         | 0 on all                 | 0      | Know: a     | 0 → 1     | 1 1 0 0 → 0.5   |
    | 2         | 1 on all (0 dominated)   | 1      | Know: b     | 1 → 1     | not accepted    |
    | 3         | 1 on all                 | 1      | Know: b c   | 1 → 2     | 0 0 1 1 → 0.5   |
    | 4         | 1 on a, 2 on b and c     | 1 or 2 | Know: a b c | 1, 2 → 3  | 1 1 1 1 → 1     |
    | 5         | 3 on all                 | 3      | none: the minibatch is right, and so is the epoch |
    """
    propose = script(
        (START, "Know: a"),
        ("Know: a", "Know: b"),
        ("Know: a", "Know: b c"),
        ("Know: a", "Know: a b c"),
        ("Know: b c", "Know: a b c"),
    )
    world = World(knows, propose, train=TRAIN, dev=DEV).optimized(Gepa(max_runs=500))
    [(_, _, _), *_, (origin, *_)] = world.table()
    assert origin in ("mutation of trial 1", "mutation of trial 2")
    assert world.table() == [
        ("start", START, 0.0),
        ("mutation of trial 0", "Know: a", 0.5),
        ("mutation of trial 1", "Know: b c", 0.5),
        (origin, "Know: a b c", 1.0),
    ]
    parent = "Know: a" if origin.endswith("1") else "Know: b c"
    assert [wish.current for wish in world.wishes] == [START, "Know: a", "Know: a", parent]
    assert [sorted(wish.rows) for wish in world.wishes] == [TRAIN] * 4
    assert [sorted(wish.wrong) for wish in world.wishes[:3]] == [
        ["a0", "b0", "c0"],
        ["b0", "c0"],
        ["b0", "c0"],
    ]
    assert world.search.stop_reason == "finished"
    assert world.search.notes == [
        "5 iterations; 4 proposals, 4 kept their contract; 3 of 4 children were better on their minibatch",
        "every minibatch of a whole epoch was right: there is nothing left to reflect on",
    ]


def test_the_parent_is_drawn_from_the_front_by_its_seed():
    """After two specialists each iteration draws anew: over many seeds both are parents, in the share of their rows."""
    drawn: Counter[str] = Counter()
    for seed in range(40):
        propose = script(
            (START, "Know: a"), ("Know: a", "Know: b c"), ("Know: a", START), ("Know: b c", START)
        )
        world = World(knows, propose, train=TRAIN, dev=["a1", "b1", "b2", "c1"], seed=seed)
        world.optimized(Gepa(max_runs=4 + 3 * 6 + 3 * 4))
        drawn[world.wishes[2].current] += 1
    assert drawn.keys() == {"Know: a", "Know: b c"}
    assert 0.6 <= drawn["Know: b c"] / 40 <= 0.9


def test_a_child_that_is_only_as_good_is_taken_when_that_is_wished():
    lines = [(START, "Know: a"), ("Know: a", "Know: b"), ("Know: a", "Know: c"), ("Know: b", "Know: c")]
    strict = World(knows, script(*lines), train=TRAIN, dev=DEV).optimized(Gepa(max_runs=24))
    assert strict.instructions() == [START, "Know: a"]
    equal = World(knows, script(*lines), train=TRAIN, dev=DEV).optimized(Gepa(max_runs=24, accept_equal=True))
    assert equal.instructions() == [START, "Know: a", "Know: b"]


def test_a_proposal_that_changes_nothing_costs_no_run():
    world = World(knows, lambda wish: wish.current, train=TRAIN, dev=DEV)
    world.optimized(Gepa(max_runs=500, no_improvement=4))
    assert world.instructions() == [START]
    assert (len(world.wishes), len(world.seen)) == (4, 4 + 3)
    assert world.search.stop_reason == "no_improvement"


def test_samples_of_equal_requests_differ():
    world = World(knows, lambda wish: wish.current, train=TRAIN, dev=DEV)
    world.optimized(Gepa(no_improvement=6))
    assert len({wish.rollout for wish in world.wishes}) == 6
    other = World(knows, lambda wish: wish.current, train=TRAIN, dev=DEV, seed=1)
    other.optimized(Gepa(no_improvement=6))
    assert not {wish.rollout for wish in world.wishes} & {wish.rollout for wish in other.wishes}


def test_a_row_never_sees_itself_among_the_demos_of_a_start_from_another_run():
    demos = tuple(
        Demo(inputs={"text": name}, outputs={"label": "yes"}, row_id=name) for name in ("a0", "c0", "b1")
    )
    world = World(knows, lambda wish: f"{wish.current} a", train=TRAIN, dev=DEV)
    world.search.start = Candidate(predictors={"main": PredictorTexts(instructions=START, demos=demos)})
    world.optimized(Gepa(max_runs=40))
    assert {seen.row: seen.demos for seen in world.seen} == {
        "a0": ("c0", "b1"),
        "c0": ("a0", "b1"),
        "b1": ("a0", "c0"),
        **dict.fromkeys(["b0", "a1", "a2", "c1"], ("a0", "c0", "b1")),
    }


# ── several predictors ────────────────────────────────────────────────────────────────────────────────────

MIXED = ["d0", "f0", "d1", "f1"]


def specialist(wish: Wish) -> str:
    """Teaches the draft what it can do, the hint for `d`, and the final step the rest, `f`."""
    letter = "d" if wish.predictor == "main.draft" else "f"
    return wish.current if letter in wish.current.split() else f"{wish.current} {letter}"


def final_knows_only_f(seen: Seen) -> str:
    if seen.predictor == "main.draft":
        return "good" if seen.letter == "d" and "d" in seen.known else "bad"
    return "yes" if seen.hint == "good" or (seen.letter == "f" and "f" in seen.known) else "no"


def texts(world: World) -> list[tuple[str, str, str, float | None]]:
    drafts, finals = world.instructions("main.draft"), world.instructions("main.final")
    return [(t.origin, d, f, t.score) for t, d, f in zip(world.trials, drafts, finals, strict=True)]


def two(**keys: object) -> World:
    return World(final_knows_only_f, specialist, train=MIXED, dev=["d2", "f2", "d3", "f3"], two=True, **keys)


def test_components_take_turns():
    world = two().optimized(Gepa(minibatch=4, use_merge=False, max_runs=500))
    assert texts(world) == [
        ("start", START, START, 0.0),
        ("mutation of trial 0: main.draft", "Know: d", START, 0.5),
        ("mutation of trial 1: main.final", "Know: d", "Know: f", 1.0),
    ]


def test_all_components_at_once():
    world = two().optimized(Gepa(minibatch=4, use_merge=False, components="all", max_runs=500))
    assert texts(world) == [
        ("start", START, START, 0.0),
        ("mutation of trial 0: main.draft, main.final", "Know: d", "Know: f", 1.0),
    ]


def test_an_inner_predictor_is_shown_its_own_call():
    world = two().optimized(Gepa(minibatch=4, use_merge=False, max_runs=500))
    draft, final = world.wishes[:2]
    assert (draft.predictor, final.predictor) == ("main.draft", "main.final")
    assert draft.examples.count("hint (given): bad") == 4
    assert "label (given)" not in draft.examples
    assert final.examples.count("hint: good") == final.examples.count("hint: bad") == 2


def test_parity_of_a_merge():
    """A wave of two mutates both components of the start; both children are better, and each alone on its rows.

    Merge: the front is {1, 2}, their ancestor 0; draft was changed by 1 alone, final by 2 alone: the child has both.
    On the telling rows (all four dev rows, for five are asked) it has 4 against 2 and 2.
    """
    world = two().optimized(Gepa(minibatch=4, wave=2, max_runs=500))
    assert texts(world) == [
        ("start", START, START, 0.0),
        ("mutation of trial 0: main.draft", "Know: d", START, 0.5),
        ("mutation of trial 0: main.final", START, "Know: f", 0.5),
        ("merge of trial 1 and trial 2", "Know: d", "Know: f", 1.0),
    ]
    assert len(world.wishes) == 2
    assert "1 of 1 merges were taken in" in world.search.notes


def test_without_merge_the_same_search_goes_on_by_mutation():
    world = two().optimized(Gepa(minibatch=4, wave=2, use_merge=False, max_runs=500))
    assert len(world.wishes) > 2
    assert not any("merge" in trial.origin for trial in world.trials)
    assert world.best.score == 1.0


FAMILY = pool_of(
    (trial(0, [0, 0, 0], ("old", "old")), ()),
    (trial(1, [1, 0, 0], ("one", "old")), (0,)),
    (trial(2, [0, 1, 1], ("old", "two")), (0,)),
)
NAMES = ("main.draft", "main.final")


def told(candidate: Candidate | None) -> list[str]:
    assert candidate is not None
    return [one.instructions for one in candidate.predictors.values()]


@pytest.mark.parametrize(
    ("one", "two", "child"),
    [
        (("a", "old"), ("old", "b"), ["a", "b"]),
        (("a", "old"), ("a", "b"), ["a", "b"]),
        (("a", "x"), ("b", "old"), ["b", "x"]),
        (("old", "old"), ("old", "old"), ["old", "old"]),
    ],
)
def test_a_crossover_takes_what_one_changed_and_of_two_changes_the_better_parents(one, two, child):
    pool = pool_of(
        (trial(0, [0, 0, 0], ("old", "old")), ()),
        (trial(1, [1, 0, 0], one), (0,)),
        (trial(2, [0, 1, 1], two), (0,)),
    )
    assert told(crossover(pool, NAMES, 1, 2, 0, random.Random(0))) == child


def test_of_two_changes_by_equal_parents_one_is_drawn():
    pool = pool_of(
        (trial(0, [0, 0], ("old", "old")), ()),
        (trial(1, [1, 0], ("a", "old")), (0,)),
        (trial(2, [0, 1], ("b", "old")), (0,)),
    )
    drawn = {told(crossover(pool, NAMES, 1, 2, 0, random.Random(i)))[0] for i in range(20)}
    assert drawn == {"a", "b"}


@pytest.mark.parametrize(
    ("what", "pool", "merged"),
    [
        ("siblings that changed different components", FAMILY, ["one", "two"]),
        (
            "a parent and its child",
            pool_of((trial(0, [1, 0], ("old", "old")), ()), (trial(1, [0, 1], ("one", "old")), (0,))),
            None,
        ),
        (
            "siblings that changed the same component",
            pool_of(
                (trial(0, [0, 0], ("old", "old")), ()),
                (trial(1, [1, 0], ("one", "old")), (0,)),
                (trial(2, [0, 1], ("two", "old")), (0,)),
            ),
            None,
        ),
        (
            "an ancestor that is better than one of them",
            pool_of(
                (trial(0, [0, 0, 1, 1], ("old", "old")), ()),
                (trial(1, [1, 0, 0, 0], ("one", "old")), (0,)),
                (trial(2, [0, 1, 1, 1], ("old", "two")), (0,)),
            ),
            None,
        ),
    ],
)
def test_who_may_merge(what, pool, merged):
    found = propose_merge(pool, NAMES, random.Random(0), pool.known())
    assert (told(found.child) if found else None) == merged, what


def test_a_merge_that_is_known_is_not_made_again():
    pool = pool_of(
        (trial(0, [0, 0, 0], ("old", "old")), ()),
        (trial(1, [1, 0, 0], ("one", "old")), (0,)),
        (trial(2, [0, 1, 1], ("old", "two")), (0,)),
        (trial(3, [0, 0, 0], ("one", "two")), (1, 2)),
    )
    assert propose_merge(pool, NAMES, random.Random(0), pool.known()) is None


def test_a_merge_is_checked_where_its_parents_differ():
    pool = pool_of(
        (trial(0, [0] * 12), ()),
        (trial(1, [1] * 4 + [0] * 4 + [1] * 4), (0,)),
        (trial(2, [0] * 4 + [1] * 4 + [1] * 4), (0,)),
    )
    for seed in range(10):
        rows = telling_rows(pool, 1, 2, 5, random.Random(seed))
        assert [sum(first <= row < first + 4 for row in rows) for first in (0, 4, 8)] == [2, 2, 1]
    assert telling_rows(pool, 1, 2, 99, random.Random(0)) == list(range(12))


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("size", "predictors", "dev", "runs"),
    [
        ("light", 1, 50, 580),
        ("light", 1, 100, 780),
        ("light", 1, 300, 1580),
        ("medium", 1, 100, 1190),
        ("heavy", 1, 100, 1735),
        ("light", 4, 50, 1965),
        ("light", 4, 300, 4465),
    ],
)
def test_the_peers_sizes(size, predictors, dev, runs):
    assert auto_runs(size, predictors, dev) == runs


def learner(wish: Wish) -> str:
    """One more letter of the wrong rows that it is shown."""
    missing = sorted({name[0] for name in wish.wrong} - set(wish.current.split()))
    return f"{wish.current} {missing[0]}" if missing else f"{wish.current} !"


LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(3)]


def growing(**keys: object) -> World:
    return World(knows, learner, train=LETTERS, dev=[f"{name}x" for name in LETTERS[::2]], **keys)


@pytest.mark.parametrize(
    ("settings_", "reason"),
    [
        ({"stop_at_score": 0.4}, "score"),
        ({"max_trials": 3}, "finished"),
        ({"max_runs": 80}, "finished"),
        ({"no_improvement": 1}, "no_improvement"),
    ],
)
def test_stop_rules(settings_, reason):
    world = growing(budget={"calls": 5000}).optimized(Gepa(**settings_))
    assert world.search.stop_reason == reason
    if "stop_at_score" in settings_:
        assert [t.score >= 0.4 for t in world.trials] == [*[False] * (len(world.trials) - 1), True]
    if "max_trials" in settings_:
        assert len(world.trials) == 4
    if "max_runs" in settings_:
        assert len(world.seen) <= 80


def test_a_stop_file_ends_it_between_iterations(tmp_path):
    stop = tmp_path / "stop"

    def propose(wish: Wish) -> str:
        stop.touch()
        return learner(wish)

    world = World(knows, propose, train=LETTERS, dev=DEV)
    world.effects._stop_file = stop
    world.optimized(Gepa())
    assert world.search.stop_reason == "stop_file"
    assert len(world.wishes) == 1


@pytest.mark.parametrize("calls", [30, 57, 200])
def test_the_budget_is_a_wall_and_the_search_goes_up_to_it(calls):
    world = growing(budget={"calls": calls}).optimized(Gepa())
    assert world.search.stop_reason == "budget"
    whole_iteration = 6 + 1 + len(world.search.dev)
    assert calls - whole_iteration <= world.effects.ledger.spent.calls <= calls
    assert all(len(t.records) == len(world.search.dev) for t in world.trials)


def test_a_wall_for_the_proposer_ends_it_too():
    budget = {"roles": {"proposer": {"calls": 3}}}
    world = growing(budget=budget).optimized(Gepa())
    assert (len(world.wishes), world.search.stop_reason) == (3, "budget")


def test_frozen_instructions_leave_the_start():
    world = growing(freeze=["instructions"]).optimized(Gepa())
    assert (world.instructions(), world.wishes) == ([START], [])
    assert world.search.notes == ["freeze: leaves no instruction that gepa could change"]


def test_a_proposal_without_a_kept_sentence_is_rejected_and_counted():
    def drops(wish: Wish) -> str:
        return "Know: a b c" if wish.rollout % 2 else f"Be kind. Know: a {wish.rollout}"

    world = World(knows, drops, train=TRAIN, dev=DEV, instructions="Be kind. Know:", keep=["Be kind."])
    world.optimized(Gepa(no_improvement=8))
    dropped = sum(wish.rollout % 2 for wish in world.wishes)
    assert 0 < dropped < len(world.wishes)
    assert all("Be kind." in told for told in world.instructions())
    kept = len(world.wishes) - dropped
    said = (
        f"{len(world.wishes)} proposals, {kept} kept their contract, {dropped} rejected (it drops a sentence"
    )
    assert said in world.search.notes[0]


def test_rows_without_a_score_count_for_neither_parent_nor_child():
    """`b0` never gets an answer: the child is better on the other two, and both are shown without a score for it."""

    def flaky(seen: Seen) -> str | CallFailed:
        return CallFailed("the server had an error") if seen.row == "b0" else knows(seen)

    world = World(flaky, script((START, "Know: a"), ("Know: a", START)), train=TRAIN, dev=DEV)
    world.optimized(Gepa(max_runs=18))
    assert world.instructions() == [START, "Know: a"]
    assert world.wishes[0].wrong in (["a0", "c0"], ["c0", "a0"])


@pytest.mark.parametrize(
    ("budget", "optimizer", "most"),
    [
        (None, Gepa(), 780),
        (None, Gepa(auto="medium"), 1190),
        (None, Gepa(max_runs=500), 500),
        ({"calls": 3000}, Gepa(), 3000 - 2 * 300),
        ({"calls": 3000}, Gepa(auto="light"), 780),
        ({"minutes": 5}, Gepa(), 1735),
    ],
)
def test_a_plan_says_what_the_search_would_take(budget, optimizer, most):
    plan = optimizer.plan(growing(budget=budget).search.program, Sizes(100, 100, 300))
    assert (plan.runs["task"], plan.first_trial) == ((206, most), 206)
    assert plan.notes == ("one predictor with open instructions: there is nothing to merge",)


# ── the searches that test_searches.py runs ────────────────────────────────────────────────────────────────────

VARIANTS = {
    "plain": (growing, Gepa(max_runs=250)),
    "waves": (growing, Gepa(max_runs=300, wave=4, minibatch=2, selector="epsilon_greedy", epsilon=0.5)),
    "merging": (two, Gepa(max_runs=200, wave=2, minibatch=2)),
    "budget": (lambda **keys: growing(budget={"calls": 150}, **keys), Gepa(components="all")),
}


@settings(max_examples=15, deadline=None)
@given(
    optimizer=st.builds(
        Gepa,
        max_runs=st.none() | st.integers(1, 200),
        minibatch=st.integers(1, 30),
        wave=st.integers(1, 5),
        selector=st.sampled_from(["pareto", "current_best", "epsilon_greedy", "top_k_pareto"]),
        components=st.sampled_from(["round_robin", "all"]),
        use_merge=st.booleans(),
        skip_perfect=st.booleans(),
        accept_equal=st.booleans(),
    ),
    seed=st.integers(0, 9),
    calls=st.none() | st.integers(36, 150),
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
