"""What is swept: keys and values of a spec, `--sweep` and files of patches, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptc.cli.sweep_cells import share
from promptc.cli.sweep_labels import fitted, label_of, value_text
from promptc.spec.diagnostics import Findings
from promptc.spec.load import load, read_axes
from promptc.spec.model import Budget, RoleBudget
from promptc.spec.nodes import split_dotted
from promptc.spec.sweep import combinations, in_words

SMALL = 'version: 1\nname: small\nmodels: {task: a/b}\nsignature: "question -> answer"\n'
BASE = Path("/nowhere/spec")


def cells_of(text: str = SMALL, *sweeps: str, overrides: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """What each cell changes."""
    axes, found = read_axes(text, file="spec.yaml", base=BASE, overrides=overrides, sweeps=sweeps)
    assert found == ()
    return [dict(in_words(patch)) for patch in combinations(axes, Findings())]


def findings_of(text: str = SMALL, *sweeps: str) -> list[tuple[str, str, int | None]]:
    """Message, hint and line of what is wrong."""
    axes, found = read_axes(text, file="spec.yaml", base=BASE, sweeps=sweeps)
    findings = Findings()
    findings.extend(found)
    combinations(axes, findings)
    return [(f.message, f.hint, f.position.line if f.position else None) for f in findings.arranged()]


def test_every_combination_is_a_cell_and_the_last_key_changes_fastest():
    text = SMALL + "sweep:\n  models.task: [a/b, c/d]\n  run.seed: [0, 1]\n"
    assert cells_of(text) == [
        {"models.task": "a/b", "run.seed": 0},
        {"models.task": "a/b", "run.seed": 1},
        {"models.task": "c/d", "run.seed": 0},
        {"models.task": "c/d", "run.seed": 1},
    ]


def test_nothing_is_swept_where_nothing_says_so():
    assert cells_of() == []


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("models.task=a/b,c/d", ["a/b", "c/d"]),
        ("models.task=ollama/llama3.1:8b", ["ollama/llama3.1:8b"]),
        ("run.seed=0, 1,2", [0, 1, 2]),
        ("instructions='Say yes, or no.',Be brief.", ["Say yes, or no.", "Be brief."]),
        ("optimizer=copro,{gepa: {minibatch: 5}}", ["copro", {"gepa": {"minibatch": 5}}]),
        ("keep=[a],[a, b]", [["a"], ["a", "b"]]),
        ("run.cache=true,false", [True, False]),
    ],
)
def test_an_option_lists_values_as_yaml_does(option, values):
    assert [list(cell.values()) for cell in cells_of(SMALL, option)] == [[value] for value in values]


def test_an_option_takes_the_place_of_the_same_key_in_the_spec():
    text = SMALL + "sweep: {run.seed: [0, 1], models.task: [a/b]}\n"
    assert cells_of(text, "run.seed=7") == [{"models.task": "a/b", "run.seed": 7}]


def test_set_reaches_into_a_sweep():
    text = SMALL + "sweep: {run.seed: [0, 1]}\n"
    assert cells_of(text, overrides=('sweep."run.seed"=[5]',)) == [{"run.seed": 5}]


def test_a_file_of_patches_has_a_cell_in_each_line(tmp_path):
    path = tmp_path / "patches.jsonl"
    path.write_text('{"models.task": "a/b", "run.seed": 1}\n\n{"models.task": {"model": "c/d"}}\n')
    assert cells_of(SMALL, str(path)) == [
        {"models.task": "a/b", "run.seed": 1},
        {"models.task": {"model": "c/d"}},
    ]
    assert len(cells_of(SMALL, str(path), "instructions=a,b")) == 4


def test_a_shorter_key_is_set_before_those_within_it(tmp_path):
    path = tmp_path / "patches.jsonl"
    path.write_text('{"models.task.params.temperature": 0.5, "models.task": "c/d"}\n')
    (patch,) = combinations(read_axes(SMALL, file="spec.yaml", base=BASE, sweeps=(str(path),))[0], Findings())
    cell, _ = load(SMALL, file="spec.yaml", base=BASE, patch=patch)
    assert (cell.models["task"].model, cell.models["task"].params) == ("c/d", {"temperature": 0.5})


@pytest.mark.parametrize(
    ("lines", "options", "message", "line"),
    [
        ("sweep: {run.seed: 3}", (), "run.seed: takes a list of values", 5),
        ("sweep: {run.seed: []}", (), "run.seed: the list is empty, so no cell is left", 5),
        ("sweep: {run.seed: [1, 2, 1]}", (), "run.seed: a value stands in it twice", 5),
        ("sweep: [run.seed]", (), "sweep: takes keys with lists of values", 5),
        ("sweep: {a..b: [1]}", (), "an empty name between two dots in the key 'a..b'", 5),
        ("sweep: {extends: [a.yaml]}", (), "extends: is the same in every cell and cannot be swept", 5),
        ("", ("run.seed",), "--sweep run.seed: no = in it, and no .jsonl file", None),
        ("", ("run.seed=",), "--sweep run.seed=: run.seed: the list is empty, so no cell is left", None),
        ("", ("none.jsonl",), "--sweep none.jsonl cannot be read: No such file or directory", None),
        ("", ("run.seed=1", "run.seed=2"), "--sweep run.seed=2: run.seed is swept twice", None),
        ("sweep: {run.seed: [" + ",".join(map(str, range(40))) + "], run.retries: [" + ",".join(
            map(str, range(30))
        ) + "]}", (), "the sweep has 40 × 30 = 1,200 cells, and at most 1,000 are run", 5),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_with_its_place(lines, options, message, line):
    ((found, _, place),) = findings_of(f"{SMALL}{lines}\n", *options)
    assert (found, place) == (message, line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "never closed"),
        ("[1]", "a patch is an object from keys to values"),
        ("{}", "a patch is an object from keys to values"),
        ('{"version": 2}', "version: is the same in every cell and cannot be swept"),
    ],
)
def test_a_wrong_patch_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "patches.jsonl"
    path.write_text(f'{{"run.seed": 1}}\n{line}\n')
    ((found, _, place),) = findings_of(SMALL, str(path))
    assert message in found
    assert place == 2


def test_a_value_is_checked_like_the_spec_where_it_stands():
    text = SMALL + "sweep:\n  run.seed: [0, many]\n  optimizer: [copro, gepaa]\n"
    axes, _ = read_axes(text, file="spec.yaml", base=BASE)
    wrong = [
        load(text, file="spec.yaml", base=BASE, patch=patch)[1] for patch in combinations(axes, Findings())
    ]
    places = {(f.message, f.path, f.position.line, f.position.column) for findings in wrong for f in findings}
    assert places == {
        ('expected a whole number, found the text "many"', "run.seed", 6, 17),
        ('unknown optimizer "gepaa"', "optimizer", 7, 22),
        ("an optimizer needs metrics to know what is better", "optimizer", 7, 15),
    }


def test_a_cell_is_the_spec_with_its_values_and_without_the_sweep():
    text = SMALL + "sweep: {models.task: [c/d]}\n"
    (patch,) = combinations(read_axes(text, file="spec.yaml", base=BASE)[0], Findings())
    cell, findings = load(text, file="spec.yaml", base=BASE, patch=patch)
    written, _ = load(SMALL.replace("a/b", "c/d"), file="spec.yaml", base=BASE)
    assert findings == ()
    assert cell == written
    assert cell.digest() == written.digest()


def test_the_spec_itself_may_lack_what_the_sweep_gives():
    text = SMALL.replace("models: {task: a/b}\n", "") + "sweep: {models.task: [c/d]}\n"
    assert load(text, file="spec.yaml", base=BASE)[0] is None
    (patch,) = combinations(read_axes(text, file="spec.yaml", base=BASE)[0], Findings())
    cell, _ = load(text, file="spec.yaml", base=BASE, patch=patch)
    assert cell.models["task"].model == "c/d"


def test_what_set_says_goes_over_what_a_cell_says():
    text = SMALL + "sweep: {models.task: [c/d]}\n"
    (patch,) = combinations(read_axes(text, file="spec.yaml", base=BASE)[0], Findings())
    cell, _ = load(
        text, file="spec.yaml", base=BASE, patch=patch, overrides=("models.task.params.temperature=0",)
    )
    assert (cell.models["task"].model, cell.models["task"].params) == ("c/d", {"temperature": 0})


def test_a_path_that_a_flag_gives_is_seen_from_the_folder_of_the_spec():
    spec, _ = load(SMALL, file="spec.yaml", base=BASE, overrides=("data.path=rows/a.jsonl",))
    assert spec.data.path == "/nowhere/spec/rows/a.jsonl"


def test_credentials_stand_in_no_label():
    text = SMALL + "sweep: {models.task: [{model: c/d, api_key: '${env:KEY}'}], models.judge.api_key: [a]}\n"
    (cell,) = cells_of(text)
    assert cell == {"models.task": {"model": "c/d", "api_key": "…"}, "models.judge.api_key": "…"}


BUDGET = Budget(calls=1000, tokens=90_001, usd=3.0, minutes=9.0, roles={"proposer": RoleBudget(calls=61)})


def test_cells_have_equal_shares_of_every_wall():
    assert share(BUDGET, 3, []) == Budget(
        calls=333, tokens=30_000, usd=1.0, minutes=3.0, roles={"proposer": RoleBudget(calls=20)}
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("budget", BUDGET),
        (
            "budget.calls",
            Budget(calls=1000, tokens=30_000, usd=1.0, minutes=3.0, roles={"proposer": RoleBudget(calls=20)}),
        ),
        ("budget.roles", Budget(calls=333, tokens=30_000, usd=1.0, minutes=3.0, roles=BUDGET.roles)),
    ],
)
def test_a_wall_that_is_swept_is_each_cells_own(key, expected):
    assert share(BUDGET, 3, [split_dotted(key)]) == expected


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_the_shares_never_exceed_the_whole(calls, count):
    part = share(Budget(calls=calls, usd=calls / 7), count, [])
    assert part.calls * count <= calls
    assert part.usd * count <= calls / 7 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a/b", "a/b"),
        (3, "3"),
        (None, "null"),
        (True, "true"),
        ({"gepa": {"minibatch": 5}}, "gepa {minibatch: 5}"),
        ({"copro": {}}, "copro"),
        (["a", "b"], "[a, b]"),
        ({"a": 1, "b": [2]}, "{a: 1, b: [2]}"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_value_is_called_as_a_person_would(value, text):
    assert value_text(value) == text
    assert label_of([("key", value)]) == f"key={text}"


def test_the_longest_parts_of_a_name_are_cut_first():
    assert fitted(["bootstrap_random_search", "1"], 16, " · ") == "bootst…earch · 1"
    assert fitted(["a", "b"], 16, " · ") == "a · b"
