"""embedded/icl copies spans whose shape the demos show."""

from __future__ import annotations

import random

import pytest
from icl_world import Row, answers, by_format, demos_of, invented, letters

from promptc.runners.formats.protocol import Format
from promptc.runners.icl.rewrites import numbers_in
from promptc.spec.fields import Field, Signature


@by_format
@pytest.mark.parametrize(
    ("field", "schema", "least"),
    [
        ("code", {"type": "string"}, 0.95),
        ("name", {"type": "string"}, 0.9),
        ("day", {"type": "string"}, 0.95),
        ("iso", {"type": "string", "format": "date"}, 0.95),
        ("amount", {"type": "number"}, 0.9),
        ("city", {"type": ["string", "null"]}, 0.85),
    ],
)
def test_spans_are_copied_from_texts_never_seen(form: Format, field: str, schema: Row, least: float) -> None:
    rng = random.Random(11)
    rows, test = letters(rng, 12), letters(rng, 40)
    signature = Signature(inputs=(Field(name="note"),), outputs=(Field(name=field, schema=schema),))
    found = answers(signature, demos_of(rows, ["note"], [field]), test, form)

    assert sum(each[field] == row[field] for each, row in zip(found, test, strict=True)) / len(test) >= least


@by_format
def test_nested_objects_are_copied_leaf_by_leaf(form: Format) -> None:
    rng = random.Random(12)

    def nest(row: Row) -> Row:
        return {
            "note": row["note"],
            "letter": {"code": row["code"], "who": {"name": row["name"], "day": row["day"]}},
        }

    text = {"type": "string"}
    who = {
        "type": "object",
        "properties": {"name": text, "day": text},
        "required": ["name", "day"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"code": text, "who": who},
        "required": ["code", "who"],
        "additionalProperties": False,
    }
    signature = Signature(inputs=(Field(name="note"),), outputs=(Field(name="letter", schema=schema),))
    rows, test = map(nest, letters(rng, 16)), list(map(nest, letters(rng, 30)))
    found = answers(signature, demos_of(rows, ["note"], ["letter"]), test, form)

    assert (
        sum(each["letter"] == row["letter"] for each, row in zip(found, test, strict=True)) / len(test) > 0.85
    )


@by_format
def test_lists_of_spans_and_lists_of_objects_are_read_in_the_order_of_the_text(form: Format) -> None:
    rng = random.Random(13)
    fillers = invented(rng, 20)

    def rows(count: int) -> list[Row]:
        made = []
        for _ in range(count):
            items = [
                {"code": f"K{rng.randint(100, 999)}", "pieces": rng.randint(2, 40)}
                for _ in range(rng.randint(1, 4))
            ]
            lines = [f"{item['pieces']} x {item['code']} {rng.choice(fillers)}" for item in items]
            made.append({
                "note": f"{rng.choice(fillers)}:\n" + "\n".join(lines) + f"\n{rng.choice(fillers)}",
                "items": items,
                "codes": [item["code"] for item in items],
            })  # fmt: skip
        return made

    item = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "pieces": {"type": "integer"}},
        "required": ["code", "pieces"],
        "additionalProperties": False,
    }
    outputs = (
        Field(name="items", schema={"type": "array", "items": item}),
        Field(name="codes", schema={"type": "array", "items": {"type": "string"}}),
    )
    signature = Signature(inputs=(Field(name="note"),), outputs=outputs)
    found = answers(signature, demos_of(rows(16), ["note"], ["items", "codes"]), test := rows(30), form)

    assert sum(each["codes"] == row["codes"] for each, row in zip(found, test, strict=True)) / len(test) > 0.8
    assert sum(each["items"] == row["items"] for each, row in zip(found, test, strict=True)) / len(test) > 0.7


def test_a_question_points_at_the_sentence_that_holds_the_answer() -> None:
    rng = random.Random(14)
    things = invented(rng, 60)

    def rows(count: int) -> list[Row]:
        made = []
        for _ in range(count):
            asked = rng.sample(things, 3)
            years = [str(rng.randint(1200, 2000)) for _ in asked]
            context = " ".join(
                f"The {thing} was built in {year}." for thing, year in zip(asked, years, strict=True)
            )
            made.append(
                {"context": context, "question": f"When was the {asked[1]} built?", "answer": years[1]}
            )
        return made

    fields = (Field(name="context"), Field(name="question"))
    signature = Signature(inputs=fields, outputs=(Field(name="answer"),))
    found = answers(signature, demos_of(rows(16), ["context", "question"], ["answer"]), test := rows(40))

    assert (
        sum(each["answer"] == row["answer"] for each, row in zip(found, test, strict=True)) / len(test) > 0.9
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,200.50 and 1.490,00", [1200.5, 1490]),
        ("12 apples, -3 pears", [12, -3]),
        ("1 234 567", [1234567]),
        ("no 31.12.2024 here, nor v1.2.3", []),
        ("3.14159", [3.14159]),
    ],
)
def test_numbers_are_read_whatever_their_separators(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers
