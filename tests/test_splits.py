"""The cut into parts: what it depends on, what it never does."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.runners.splits import SplitKey, cut, is_labelled, order, split_key

DEFAULT = (0.4, 0.3, 0.3)

digests = st.integers(0, 60).map(lambda n: f"{n:016x}")
keys = st.builds(
    SplitKey, digests, st.one_of(st.none(), st.integers(0, 8).map(str)), st.sampled_from(["", "a", "b"])
)
seeds = st.integers(-5, 2**70)


def distinct(count: int, start: int = 0) -> list[SplitKey]:
    return [SplitKey(f"{n:016x}") for n in range(start, start + count)]


@given(st.lists(keys, max_size=60), seeds, st.randoms(use_true_random=False))
def test_the_parts_do_not_depend_on_the_order_of_the_rows(
    rows: list[SplitKey], seed: int, shuffle: random.Random
) -> None:
    before = Counter(zip(map(repr, rows), cut(rows, DEFAULT, seed), strict=True))
    shuffle.shuffle(rows)
    assert Counter(zip(map(repr, rows), cut(rows, DEFAULT, seed), strict=True)) == before


@given(st.lists(keys, max_size=60), seeds)
def test_duplicates_and_rows_of_a_group_stay_together(rows: list[SplitKey], seed: int) -> None:
    parts_of: dict[str, set[int]] = defaultdict(set)
    for row, part in zip(rows, cut(rows, DEFAULT, seed), strict=True):
        parts_of[f"row {row.digest}"].add(part)
        if row.group is not None:
            parts_of[f"group {row.group}"].add(part)
    assert all(len(parts) == 1 for parts in parts_of.values())


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=40),
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0]), min_size=1, max_size=5).filter(any),
    seeds,
)
def test_every_part_is_within_one_group_of_its_share(
    sizes: list[int], shares: list[float], seed: int
) -> None:
    rows = [SplitKey(f"{g}.{i}", group=str(g)) for g, size in enumerate(sizes) for i in range(size)]
    counts = Counter(cut(rows, shares, seed))
    assert sum(counts.values()) == len(rows)
    for part, share in enumerate(shares):
        assert abs(counts[part] - len(rows) * share / sum(shares)) < max(sizes) + 1e-9
        assert share > 0 or counts[part] == 0


@given(st.integers(1, 120), st.integers(1, 5), seeds)
def test_each_stratum_keeps_the_shares(count: int, strata: int, seed: int) -> None:
    rows = [SplitKey(f"{n}", stratum=str(n % strata)) for n in range(count)]
    placed = list(zip(rows, cut(rows, DEFAULT, seed), strict=True))
    for stratum in {row.stratum for row in rows}:
        parts = Counter(part for row, part in placed if row.stratum == stratum)
        for part, share in enumerate(DEFAULT):
            assert abs(parts[part] - share * sum(parts.values())) < 1 + 1e-9


def test_many_strata_of_one_row_keep_the_shares_together() -> None:
    rows = [SplitKey(f"{n}", stratum=str(n)) for n in range(2000)]
    counts = Counter(cut(rows, DEFAULT, 0))
    assert [round(counts[part] / 2000, 1) for part in range(3)] == [0.4, 0.3, 0.3]


@given(st.integers(1, 200), st.integers(1, 20), seeds)
def test_rows_that_are_added_move_few_others(count: int, added: int, seed: int) -> None:
    before = cut(distinct(count), DEFAULT, seed)
    after = cut(distinct(count + added), DEFAULT, seed)[:count]
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 2 * added


@settings(max_examples=20)
@given(st.lists(seeds, min_size=2, max_size=2, unique=True))
def test_another_seed_is_another_cut(two: list[int]) -> None:
    assert cut(distinct(100), DEFAULT, two[0]) != cut(distinct(100), DEFAULT, two[1])
    assert cut(distinct(100), DEFAULT, two[0]) == cut(distinct(100), DEFAULT, two[0])


def test_seed_zero_is_a_seed_like_any_other() -> None:
    assert cut(distinct(100), DEFAULT, 0) != cut(distinct(100), DEFAULT, 1)
    assert Counter(cut(distinct(100), DEFAULT, 0)) == {0: 40, 1: 30, 2: 30}


def test_equal_shares_make_folds() -> None:
    assert Counter(cut(distinct(103), (1,) * 5, 7)).most_common()[0][1] == 21


def test_the_cut_of_today_is_the_cut_of_tomorrow() -> None:
    assert "".join(map(str, cut(distinct(40), DEFAULT, 0))) == "0101110021012202010200200200010121221122"


@pytest.mark.parametrize("shares", [(), (0, 0), (-1, 2), (float("nan"), 1), (float("inf"), 1)])
def test_shares_of_nothing_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        cut(distinct(3), shares, 0)


@given(st.lists(digests, max_size=40), seeds, st.randoms(use_true_random=False))
def test_the_order_depends_on_seed_and_content_alone(
    rows: list[str], seed: int, shuffle: random.Random
) -> None:
    named = [(digest, f"{digest}#{rows[:i].count(digest)}") for i, digest in enumerate(rows)]
    shuffled = named.copy()
    shuffle.shuffle(shuffled)

    def ordered(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [pairs[i] for i in order([d for d, _ in pairs], [n for _, n in pairs], seed)]

    assert ordered(named) == ordered(shuffled)


@pytest.mark.parametrize(
    ("row", "gold", "labelled"),
    [
        ({"queue": "cards"}, ("queue",), True),
        ({"queue": None}, ("queue",), False),
        ({}, ("queue",), False),
        ({"queue": 0}, ("queue",), True),
        ({"queue": ""}, ("queue",), True),
        ({"queue": "cards"}, ("queue", "urgency"), True),
        ({"other": 1}, ("queue", "urgency"), False),
        ({}, (), True),
    ],
)
def test_a_row_is_labelled_when_some_metric_finds_its_gold(
    row: dict[str, object], gold: tuple[str, ...], labelled: bool
) -> None:
    assert is_labelled(row, gold) is labelled


@pytest.mark.parametrize(
    ("row", "group", "stratum"),
    [
        ({"who": "ann", "kind": "x"}, '"ann"', '"x"'),
        ({"who": 7, "kind": None}, "7", "null"),
        ({"who": "7"}, '"7"', "null"),
        ({"who": None, "kind": ["b", "a"]}, None, '["b","a"]'),
        ({}, None, "null"),
    ],
)
def test_groups_and_strata_are_told_apart_by_value_and_type(
    row: dict[str, object], group: str | None, stratum: str
) -> None:
    assert split_key(row, "d", stratify="kind", group="who") == SplitKey("d", group, stratum)


def test_without_columns_every_row_stands_alone_in_one_stratum() -> None:
    assert split_key({"a": 1}, "d") == SplitKey("d")


def test_a_group_that_spans_strata_goes_with_most_of_its_rows() -> None:
    mixed = [SplitKey("1", "g", "a"), SplitKey("2", "g", "b"), SplitKey("3", "g", "b")]
    alone = [SplitKey(f"x{n}", stratum="b") for n in range(7)]
    assert (
        cut([*mixed, *alone], DEFAULT, 3)[:3] == cut([mixed[1], mixed[2], mixed[0], *alone], DEFAULT, 3)[:3]
    )
    others = [SplitKey(f"y{n}", stratum="a") for n in range(50)]
    assert cut([*mixed, *alone, *others], DEFAULT, 3)[:10] == cut([*mixed, *alone], DEFAULT, 3)
