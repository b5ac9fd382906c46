"""embedded/icl chooses among labels by their names, descriptions and demos."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from icl_world import Row, accuracy, answers, by_format, demos_of, label_signature, world

from promptc.runners.formats.protocol import Format
from promptc.spec.fields import Field, Signature


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_demos_teach_labels_that_mean_nothing(seed: int) -> None:
    it = world(seed)
    rng = random.Random(seed)
    rows, test = it.rows(rng, 120), it.rows(rng, 120)
    signature = label_signature(it.labels)

    assert accuracy(signature, [], test) < 0.4
    assert accuracy(signature, demos_of(rows[:24], ["note"], ["kind"]), test) > 0.5
    assert accuracy(signature, demos_of(rows, ["note"], ["kind"]), test) > 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_renaming_labels_to_nonsense_leaves_many_shot_accuracy_within_noise(seed: int) -> None:
    it = world(seed)
    rng = random.Random(seed)
    # Meaningful names: each label is called by a word of its own topic.
    names = {label: it.topics[label][0] for label in it.labels}
    rows = [{**row, "kind": names[row["kind"]]} for row in it.rows(rng, 120)]
    test = [{**row, "kind": names[row["kind"]]} for row in it.rows(rng, 120)]
    nonsense = {name: f"q{index}x" for index, name in enumerate(names.values())}
    renamed = [{**row, "kind": nonsense[row["kind"]]} for row in rows]
    renamed_test = [{**row, "kind": nonsense[row["kind"]]} for row in test]

    meaningful = accuracy(label_signature(names.values()), demos_of(rows, ["note"], ["kind"]), test)
    meaningless = accuracy(
        label_signature(nonsense.values()), demos_of(renamed, ["note"], ["kind"]), renamed_test
    )

    assert abs(meaningful - meaningless) <= 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_demo_labels_destroy_it(seed: int) -> None:
    it = world(seed)
    rng = random.Random(seed)
    rows, test = it.rows(rng, 120), it.rows(rng, 120)
    shuffled = [row["kind"] for row in rows]
    rng.shuffle(shuffled)
    wrong = [{**row, "kind": kind} for row, kind in zip(rows, shuffled, strict=True)]

    assert accuracy(label_signature(it.labels), demos_of(wrong, ["note"], ["kind"]), test) < 0.45


@by_format
@pytest.mark.parametrize(
    ("labels", "descriptions", "note", "expected"),
    [
        (["zorbels", "quindles"], {}, "my zorbel is gone", "zorbels"),
        (["zorbels", "quindles"], {}, "two Quindles came", "quindles"),
        (["lostZorbel", "paid_quindle"], {}, "has the quindle been paid", "paid_quindle"),
        (["a1", "b2"], {"a1": "zorbels, frangs", "b2": "quindles, mopplets"}, "a mopplet fell down", "b2"),
        (["a1", "b2"], {"a1": "zorbels, frangs", "b2": "quindles, mopplets"}, "franging all day", "a1"),
    ],
)
def test_without_demos_names_and_descriptions_are_read(
    form: Format, labels: list[str], descriptions: dict[str, str], note: str, expected: str
) -> None:
    signature = label_signature(labels, descriptions=descriptions)
    assert answers(signature, [], [{"note": note}], form) == [{"kind": expected}]


def test_several_fields_of_labels_are_chosen_independently() -> None:
    it, other = world(4, labels=3), world(5, labels=2)
    rng = random.Random(4)

    def rows(count: int) -> list[Row]:
        pairs = zip(it.rows(rng, count), rng.sample(other.rows(rng, count), count), strict=True)
        return [{"note": f"{a['note']} {b['note']}", "kind": a["kind"], "mood": b["kind"]} for a, b in pairs]

    mood = Field(name="mood", schema={"enum": list(other.labels)}, labels=dict.fromkeys(other.labels, ""))
    signature = label_signature(it.labels)
    signature = msgspec.structs.replace(signature, outputs=(*signature.outputs, mood))
    found = answers(signature, demos_of(rows(90), ["note"], ["kind", "mood"]), test := rows(60))

    both = sum(
        each["kind"] == row["kind"] and each["mood"] == row["mood"]
        for each, row in zip(found, test, strict=True)
    )
    assert both / len(test) > 0.8


def test_a_list_of_labels_has_as_many_as_the_nearest_demos() -> None:
    it = world(6, labels=4)
    rng = random.Random(6)

    def rows(count: int) -> list[Row]:
        made = []
        for _ in range(count):
            kinds = rng.sample(it.labels, rng.choice([1, 2]))
            said = [word for kind in kinds for word in rng.sample(it.topics[kind], 4)]
            made.append({"note": " ".join(said), "tags": kinds})
        return made

    tags = Field(name="tags", schema={"type": "array", "items": {"enum": list(it.labels)}, "maxItems": 2})
    signature = Signature(inputs=(Field(name="note"),), outputs=(tags,))
    found = answers(signature, demos_of(rows(120), ["note"], ["tags"]), test := rows(40))

    right = sum(set(each["tags"]) == set(row["tags"]) for each, row in zip(found, test, strict=True))
    assert right / len(test) > 0.6


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "boolean"}, lambda level: level > 3),
        ({"type": "integer", "minimum": 1, "maximum": 5}, lambda level: level),
        ({"type": "string"}, lambda level: ["calm", "busy"][level > 3]),
        ({"enum": ["low", "high", None]}, lambda level: ["low", "high", None][level % 3]),
    ],
    ids=["boolean", "rating", "repeated strings", "nullable labels"],
)
def test_other_types_with_few_values_are_learnt_like_labels(schema: Row, value: Callable[[int], Any]) -> None:
    it = world(7, labels=5)
    rng = random.Random(7)
    levels = {label: index + 1 for index, label in enumerate(it.labels)}

    def rows(count: int) -> list[Row]:
        return [{"note": row["note"], "level": value(levels[row["kind"]])} for row in it.rows(rng, count)]

    signature = Signature(inputs=(Field(name="note"),), outputs=(Field(name="level", schema=schema),))
    assert accuracy(signature, demos_of(rows(100), ["note"], ["level"]), rows(60), "level") > 0.8


def test_numbers_without_few_values_are_averaged_over_the_nearest_demos() -> None:
    it = world(8, labels=3)
    rng = random.Random(8)
    centres = dict(zip(it.labels, [10.0, 50.0, 90.0], strict=True))

    def rows(count: int) -> list[Row]:
        return [
            {"note": row["note"], "price": round(centres[row["kind"]] + rng.uniform(-5, 5), 2)}
            for row in it.rows(rng, count)
        ]

    price = Field(name="price", schema={"type": "number", "minimum": 0, "maximum": 100})
    signature = Signature(inputs=(Field(name="note"),), outputs=(price,))
    found = answers(signature, demos_of(rows(90), ["note"], ["price"]), test := rows(45))

    near = sum(abs(each["price"] - row["price"]) < 15 for each, row in zip(found, test, strict=True))
    assert near / len(test) > 0.7
