"""The parts of `auto`, one by one, with values worked out by hand."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import START, World, knows

from promptc.optimizers.allotment import Allotment, allot
from promptc.optimizers.coverage import Grounding, Row, covering, described
from promptc.optimizers.credit import Worth, worths
from promptc.optimizers.drafting import with_text
from promptc.optimizers.merging import Claim, Edit, agreed_drops, edit_of, key_of, merged
from promptc.optimizers.practice import Practice
from promptc.optimizers.race import Entry, better, distinct, entry_of, look, mean, ranked
from promptc.optimizers.reflecting import MOST_CHARACTERS, Lesson, Reader
from promptc.optimizers.sifting import added_lines, left_out
from promptc.runners.candidate import Candidate, PredictorTexts
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

# ── races ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1, 1, 1], [0, 0, 0], 1 / 8),
        ([0, 0, 0], [1, 1, 1], 1.0),
        ([1, 0], [0, 1], 3 / 4),
        ([1, 1, 0.5], [1, 1, 0.5], 1.0),
        ([None, 1, 1], [0, None, 0], 1 / 2),
        # Signs of 1 and ½: sums 1.5, .5, -.5, -1.5, of which two are at least ½.
        ([1, 0], [0, 0.5], 2 / 4),
        # Beyond twelve rows a normal: 13 of 13 is z = 13 / √13.
        ([1] * 13, [0] * 13, 0.5 * math.erfc(math.sqrt(13 / 2))),
    ],
)
def test_a_paired_test_is_exact_for_few_rows(first, second, p):
    assert better(first, second) == pytest.approx(p)


@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.5, 1])), max_size=12))
def test_one_of_two_is_always_likely_to_be_no_better(pairs):
    one, two = [a for a, _ in pairs], [b for _, b in pairs]
    assert better(one, two) + better(two, one) >= 1


def entry(name: str, characters: int = 10) -> Entry:
    return Entry(candidate=Candidate(choices={"name": name}), origin=name, characters=characters)


@pytest.mark.parametrize(
    ("table", "order"),
    [
        ({"a": ([0, 1], 10), "b": ([1, 1], 90)}, "ba"),
        ({"a": ([1, 0], 20), "b": ([0, 1], 10)}, "ba"),
        ({"a": ([1, 0], 10), "b": ([0, 1], 10)}, "ab"),
        # Only rows that all have count.
        ({"a": ([1, None, 1], 10), "b": ([1, 0, 1], 5), "c": ([0, 1, 1], 1)}, "bac"),
    ],
)
def test_entries_rank_by_mean_then_length_then_age(table, order):
    entries = [entry(name, length) for name, (_, length) in table.items()]
    assert "".join(one.origin for one in ranked(entries, lambda one: table[one.origin][0])) == order


def test_equal_candidates_enter_once_as_the_first():
    again = Entry(candidate=entry("a").candidate, origin="again", characters=10)
    assert [one.origin for one in distinct([entry("a"), entry("b"), again])] == ["a", "b"]


def test_a_look_drops_whom_it_rules_out_and_keeps_ties_by_length():
    world = World(knows, lambda wish: "", train=[f"a{n}" for n in range(6)], dev=["a"])

    async def race() -> tuple[list[str], int]:
        start = world.search.start
        told = {"bad": START, "good": "Know: a", "long": "Know: a indeed"}
        entries = [
            entry_of(world.search, with_text(start, "main", text), name) for name, text in told.items()
        ]
        practice = Practice(world.search)
        found = await look(practice, entries, world.search.train, 2)
        again = await look(practice, entries, world.search.train, 3)
        assert again.means[0] == 1.0
        return [one.origin for one in found.order], practice.runs

    # Six to nothing is p = 1/64, below 0.2 / (2 looks × 2 others).
    assert asyncio.run(race()) == (["good", "long"], 18)
    assert len(world.seen) == 18
    world.effects.journal.close()


# ── merging ───────────────────────────────────────────────────────────────────────────────────────────────

BASE = "Answer.\n- x: 1\n- y: 2"


def says(line: str) -> Claim | None:
    """`x: 1` claims 1 of x."""
    topic, colon, value = line.removeprefix("- ").partition(": ")
    return Claim(topic, value.split(" ")[0]) if colon else None


def edits(*texts: str, about: str = "") -> list[Edit]:
    known = frozenset(map(key_of, about.split("\n"))) - {()}
    found = [edit_of(BASE, text) for text in texts]
    return [Edit(edit.added, edit.dropped, known) for edit in found if edit is not None]


@pytest.mark.parametrize(
    ("what", "base", "proposed", "about", "result"),
    [
        ("all additions", BASE, [f"{BASE}\n- z: 3", f"{BASE}\n- w: 4"], "", f"{BASE}\n- z: 3\n- w: 4"),
        ("the same words once", BASE, [f"{BASE}\n- z: 3", f"{BASE}\n* Z: 3."], "", f"{BASE}\n- z: 3"),
        ("who alone could judge is heard", BASE, ["Answer.\n- y: 2"], "- x: 1", "Answer.\n- y: 2"),
        ("who forgets a line is not", BASE, ["Answer.\n- y: 2", BASE + "\n- z: 3"], "", f"{BASE}\n- z: 3"),
        ("most drop it", BASE, ["Answer.\n- y: 2"] * 2 + [f"{BASE}\n- z: 3"], "", "Answer.\n- y: 2\n- z: 3"),
        ("more votes win", BASE, [f"{BASE}\n- z: 3"] * 2 + [f"{BASE}\n- z: 4"], "", f"{BASE}\n- z: 3"),
        ("of equal claims the shortest", BASE, [f"{BASE}\n- z: 3 by far", f"{BASE}\n- z: 3"], "", f"{BASE}\n- z: 3"),
        ("a rewrite is no edit", BASE, ["Something else.\n- w: 9"], "", BASE),
        ("blank lines stay", "Answer.\n\n- x: 1\n- y: 2", [f"{BASE}\n- z: 3"], "", "Answer.\n\n- x: 1\n- y: 2\n- z: 3"),
    ],
)  # fmt: skip
def test_a_merge_takes(what, base, proposed, about, result):
    assert merged(base, edits(*proposed, about=about), claim_of=says) == result


def test_what_was_dropped_by_those_who_knew_does_not_come_back_from_earlier():
    wrong = Edit(added=("- z: 9",))
    dropped = Edit(dropped=frozenset({key_of("- z: 9")}), about=frozenset({key_of("- z: 9")}))
    assert merged(BASE, [], earlier=[wrong], claim_of=says) == f"{BASE}\n- z: 9"
    assert merged(BASE, [], earlier=[wrong, dropped], claim_of=says) == BASE
    assert merged(BASE, [], earlier=[wrong, wrong, dropped], claim_of=says) == f"{BASE}\n- z: 9"


def test_unwanted_lines_are_left_out_whoever_has_them():
    unwanted = {key_of("- x: 1"), key_of("- z: 3")}
    assert merged(BASE, edits(f"{BASE}\n- z: 3\n- w: 4"), unwanted=unwanted) == "Answer.\n- y: 2\n- w: 4"


def test_a_line_is_dropped_when_enough_of_those_who_know_agree():
    line = key_of("- x: 1")
    knows_it, keeps = Edit(dropped=frozenset({line}), about=frozenset({line})), Edit(about=frozenset({line}))
    assert agreed_drops([knows_it, keeps]) == {line}
    assert agreed_drops([knows_it, keeps, keeps]) == frozenset()


@given(
    st.lists(
        st.lists(st.sampled_from(["- a: 1", "- a: 2", "- b: 1", "So.", "- c: 3 x"]), max_size=5), max_size=5
    )
)
def test_a_merge_invents_nothing_and_contradicts_nothing(proposed):
    texts = ["\n".join(["Answer.", *lines]) for lines in proposed]
    result = merged("Answer.", [e for t in texts if (e := edit_of("Answer.", t)) is not None], claim_of=says)
    lines = result.split("\n")
    assert set(lines) <= {line for text in texts for line in text.split("\n")} | {"Answer."}
    topics = [claim.topic for line in lines if (claim := says(line)) is not None]
    assert len(topics) == len(set(topics))


# ── what covers what ──────────────────────────────────────────────────────────────────────────────────────


def rows(*texts: str) -> list[Row]:
    """`blue car > 7` is a row with a text and its answer."""
    examples = []
    for index, text in enumerate(texts):
        given_, _, answer = text.partition(" > ")
        examples.append(Example(str(index), index, {"text": given_, "label": answer}, str(index)))
    return described(examples, ["text"], ["label"])


CARS = rows("blue car > 7", "red car > 8", "blue bus > 7", "red bus > 8", "grey van > 9")


def chosen(needs: dict[str, float], count: int) -> list[str]:
    return [row.example.id for row in covering(CARS, needs, count)]


def test_demos_cover_what_the_rows_in_need_are_made_of():
    assert chosen({"0": 1.0}, 1) == ["0"]
    # Two blue ones in need: one of them shows blue, then the other adds what the first lacks.
    assert set(chosen({"0": 1.0, "2": 1.0}, 2)) == {"0", "2"}
    assert chosen({}, 3) == []
    # What only one row has helps nobody else.
    assert chosen({"4": 1.0}, 3) == []


def test_the_second_demo_shows_something_new():
    first, second = chosen(dict.fromkeys("0123", 1.0), 2)
    assert {first, second} in ({"0", "3"}, {"1", "2"})


def test_a_line_concerns_the_rows_that_hold_most_of_what_it_speaks_about():
    grounding = Grounding(CARS)
    assert grounding.topic("A blue car is 7") == {("blue",), ("car",)}
    assert grounding.statement("A blue car is 7") == {("7",)}
    concerned = [row.example.id for row in CARS if grounding.concerns("A blue car is 7", row.example.id)]
    assert concerned == ["0"]
    assert not any(grounding.concerns("Think twice.", row.example.id) for row in CARS)


# ── credit ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_part_is_worth_what_those_with_it_gain_over_those_without():
    """n rows on which the candidate with the part scores 1 and the other 0; a prior of mean 0 and spread 1.

    Centred, a row's design is ±½ and so are its scores; the noise is their sum of squares over n, ½. So the posterior
    mean is (n · ½ / ½) / (n · ½ / ½ + 1) = n / (n + 1), its variance 1 / (n + 1).
    """
    table = {str(row): {"with": 1.0, "without": 0.0} for row in range(4)}
    found = worths(table, {"with": {"part": 1.0}, "without": {}}, lambda part: Worth(0.0, 1.0))
    assert found["part"].mean == pytest.approx(4 / 5, abs=1e-6)
    assert found["part"].spread == pytest.approx(math.sqrt(1 / 5), abs=1e-6)


def test_a_part_is_judged_by_the_rows_that_it_concerns_alone():
    table = {"1": {"a": 1.0, "b": 0.0}, "2": {"a": 0.0, "b": 1.0}}
    parts = {"a": {"x": 1.0}, "b": {}}
    whole = worths(table, parts, lambda part: Worth(0.0, 1.0))
    half = worths(table, parts, lambda part: Worth(0.0, 1.0), lambda part, row: row == "1")
    assert whole["x"].mean == 0
    assert half["x"].mean > 0.3


def test_what_was_not_compared_is_worth_what_it_was_taken_to_be():
    found = worths({"1": {"a": 1.0}}, {"a": {"x": 1.0}}, lambda part: Worth(0.25, 0.5))
    assert found == {"x": Worth(0.25, 0.5)}


def test_halves_find_the_part_that_does_harm():
    """Each row with a random half of ten parts, of which one costs 0.3: what no single comparison would show."""
    rng = random.Random(1)
    table, parts = {}, {}
    for row in range(300):
        names = list(range(10))
        rng.shuffle(names)
        for side, half in enumerate((names[:5], names[5:])):
            key = f"{row}.{side}"
            parts[key] = dict.fromkeys(half, 1.0)
            table.setdefault(str(row), {})[key] = float(rng.random() < 0.7 - 0.3 * (3 in half))
    found = worths(table, parts, lambda part: Worth(0.0, 0.1))
    assert min(found, key=lambda part: found[part].mean) == 3


# ── what a proposer is shown ──────────────────────────────────────────────────────────────────────────────


def lessons(scores: str, text: str = "word") -> list[Lesson]:
    """One lesson per character: `1` passed, `0` failed, `?` was not run."""
    found = []
    for index, score in enumerate(scores):
        example = Example(str(index), index, {"text": f"{text}{index}", "label": "yes"}, str(index))
        [row] = described([example], ["text"], ["label"])
        record = None
        if score != "?":
            record = RowRecord(
                id=str(index), index=index, outputs={"label": "no"}, score=float(score), metrics={}
            )
        found.append(Lesson(row, record))
    return found


def test_failures_come_first_and_leave_room_for_rows_to_check_against():
    world = World(knows, lambda wish: "", train=["a"], dev=["a"])
    reader = Reader(world.search, random.Random(0))
    batch = reader.batch("main", lessons("0" * 20 + "1" * 5 + "?" * 5), 10, 1)
    failed = [int(one.row.id) < 20 for one in batch]
    assert len(batch) == 10
    assert failed[:6] == [True] * 6
    assert all(one.expected == {"label": "yes"} for one in batch)
    world.effects.journal.close()


def test_batches_differ_until_every_failure_was_shown():
    world = World(knows, lambda wish: "", train=["a"], dev=["a"])
    reader = Reader(world.search, random.Random(0))
    shown = [one.row.id for _ in range(4) for one in reader.batch("main", lessons("0" * 24), 10, 1)[:6]]
    assert len(set(shown)) >= 20
    world.effects.journal.close()


def test_long_rows_are_shown_as_far_as_they_fit():
    world = World(knows, lambda wish: "", train=["a"], dev=["a"])
    reader = Reader(world.search, random.Random(0))
    batch = reader.batch("main", lessons("0" * 60, text="x" * 3000), 60, 1)
    assert len(batch) == MOST_CHARACTERS // 2005
    world.effects.journal.close()


# ── the budget ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("runs", "dev", "divided"),
    [
        (50, 100, Allotment(dev=8, finals=1, runs=34, rounds=2, proposals=6)),
        (600, 100, Allotment(dev=100, finals=2, runs=300, rounds=7, proposals=75)),
        (600, 40, Allotment(dev=40, finals=2, runs=480, rounds=8, proposals=75)),
        (3000, 100, Allotment(dev=100, finals=5, runs=2400, rounds=12, proposals=100)),
        (10, 4, Allotment(dev=4, finals=1, runs=2, rounds=1, proposals=3)),
    ],
)
def test_a_budget_is_divided(runs, dev, divided):
    assert allot(runs, dev, 100) == divided


@given(st.integers(0, 5000), st.integers(1, 500), st.integers(0, 200))
def test_the_parts_of_a_budget_fit_it(runs, dev, proposals):
    found = allot(runs, dev, proposals)
    assert 1 <= found.dev <= dev
    assert found.proposals <= proposals
    assert found.runs >= 0
    if runs >= 24:
        assert found.dev + found.kept + found.runs <= runs


def test_rounds_share_what_is_left_evenly():
    whole = allot(600, 100, 60)
    assert (whole.rounds, whole.round_runs(300), whole.round_proposals(300, 0)) == (7, 42, 9)
    assert (whole.round_runs(60), whole.round_proposals(60, 50)) == (60, 10)
    assert whole.round_proposals(60, 60) == 0


def test_a_mean_is_over_what_there_is():
    assert (mean([1, None, 0]), mean([None])) == (0.5, 0.0)


# ── sifting ───────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_are_left_out_by_halves_and_by_predictor():
    lines = [("a", ("x",)), ("a", ("y",)), ("b", ("z",))]
    pairs = list(left_out(lines, 6, random.Random(0)))
    assert [sorted(second) for first, second in pairs if not first] == [lines[:2], lines[2:]]
    halves = [(first, second) for first, second in pairs if first]
    assert all(sorted([*first, *second]) == lines and len(first) == 1 for first, second in halves)


def test_only_what_was_added_is_sifted():
    start = Candidate(predictors={"a": PredictorTexts(instructions="Do.\n- x")})
    candidate = with_text(start, "a", "Do.\n* X\n- y")
    assert added_lines(start, candidate, ["a"]) == [("a", ("y",))]
    assert list(left_out([], 2, random.Random(0))) == [([], []), ([], [])]
