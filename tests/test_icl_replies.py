"""embedded/icl answers every kind of prompt in its own form, and what it cannot do it does badly."""

from __future__ import annotations

import random
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icl_world import answers, by_format, demos_of, label_signature, reply, world

from promptc.runners.candidate import Demo
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.protocol import Format, ParseError
from promptc.runners.formats.template import Template
from promptc.runners.icl.document import documents
from promptc.runners.icl.wanted import Label, Leaf, Listing, Record, read_outline, read_type
from promptc.runners.models.request import Message
from promptc.spec.fields import Field, Signature

MIXED = Signature(
    inputs=(Field(name="note"), Field(name="tags", schema={"type": "array", "items": {"type": "string"}})),
    outputs=(
        Field(name="reasoning", description="Think step by step before you answer.", default=""),
        Field(
            name="kind", schema={"enum": ["plonk", "needs: quotes", "skint"]}, labels={"plonk": "round ones"}
        ),
        Field(name="grade", schema={"type": "integer", "minimum": 3, "maximum": 9}),
        Field(name="share", schema={"type": "number", "minimum": 0, "maximum": 1}),
        Field(name="sure", schema={"type": "boolean"}),
        Field(name="title", schema={"type": "string"}),
        Field(name="code", schema={"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"}),
        Field(name="size", schema={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        Field(
            name="parts", schema={"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}
        ),
        Field(
            name="box",
            schema={
                "type": "object",
                "additionalProperties": False,
                "required": ["sort", "inner"],
                "properties": {
                    "sort": {"enum": ["x", "y"]},
                    "inner": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["n"],
                            "properties": {"n": {"type": "integer", "minimum": 1}},
                        },
                    },
                },
            },
        ),
    ),
    instructions="Do all of it.",
)
NOTE = {
    "note": "Code QX123 is for the zorbel.\nIt came with 12 mopplets, 4 of them blue.",
    "tags": ["zorbel", "blue"],
}
FULL = {
    "reasoning": "It is round.", "kind": "plonk", "grade": 4, "share": 0.25, "sure": True, "title": "zorbel",
    "code": "QX123", "size": None, "parts": ["mopplets"], "box": {"sort": "x", "inner": [{"n": 12}]},
}  # fmt: skip


@by_format
@pytest.mark.parametrize("shown", [0, 1, 5])
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_every_type_gets_a_valid_value_in_the_requested_format(
    form: Format, shown: int, temperature: float
) -> None:
    demos = [Demo(inputs=NOTE, outputs=FULL)] * shown
    (found,) = answers(MIXED, demos, [NOTE], form, temperature=temperature)
    assert list(found) == [field.name for field in MIXED.outputs]
    assert found["code"] == "QX123"


@by_format
@pytest.mark.parametrize(
    "note",
    ["", " ", "[" * 50_000, '{"a": ' * 5_000, "9" * 6_000, "1e999", "\u0000\ud7ff", "`" * 999, "x" * 30_000],
    ids=["empty", "blank", "brackets", "braces", "digits", "exponent", "controls", "backticks", "one word"],
)
def test_hostile_rows_get_a_valid_answer_too(form: Format, note: str) -> None:
    outputs = tuple(field for field in MIXED.outputs if field.name != "code")
    signature = msgspec.structs.replace(MIXED, outputs=outputs)
    (found,) = answers(signature, [Demo(inputs=NOTE, outputs=FULL)] * 3, [{"note": note, "tags": []}], form)
    assert list(found) == [field.name for field in outputs]


def test_a_reasoning_field_says_what_was_weighed() -> None:
    it = world(9, labels=3)
    rows = it.rows(random.Random(9), 30)
    signature = label_signature(it.labels)
    reasoning = Field(name="thoughts", description="Think step by step before you answer.", default="")
    signature = msgspec.structs.replace(signature, outputs=(reasoning, *signature.outputs))
    (found,) = answers(signature, demos_of(rows[1:], ["note"], ["kind"]), rows[:1])

    assert re.match(r"Closest examples: \d+ \(0\.\d\d\).*; kind: \w+ -?\d\.\d\d", found["thoughts"])
    assert "\n" not in found["thoughts"]


def test_a_refused_answer_is_followed_by_another_one() -> None:
    signature = label_signature(["zorbels", "quindles"])
    messages = [*Chat().prefix(signature, []), *Chat().row(signature, {"note": "a zorbel"})]
    first = reply(messages).text
    refusal = Chat().reask(signature, ParseError("`kind`: the check failed."))
    second = reply([*messages, Message("assistant", first), Message("user", refusal)]).text

    assert "zorbels" in first
    assert "quindles" in second


def test_an_answer_is_not_changed_for_a_field_that_was_not_refused() -> None:
    mood = Field(name="mood", schema={"enum": ["zorbels", "quindles"]})
    signature = label_signature(["zorbels", "quindles"])
    signature = msgspec.structs.replace(signature, outputs=(*signature.outputs, mood))
    messages = [*Chat().prefix(signature, []), *Chat().row(signature, {"note": "a zorbel"})]
    refusal = Chat().reask(signature, ParseError("`mood`: the check failed."))
    second = reply([*messages, Message("assistant", reply(messages).text), Message("user", refusal)])

    assert Chat().parse(signature, second) == {"kind": "zorbels", "mood": "quindles"}


TEMPLATES = {
    "text and cue": "{{ instructions }}\nOne of: LABELS.\n\n{{ demos }}\n\nNote: {{ note }}\nKind:",
    "turns": "--- system ---\n{{ instructions }}\nLABELS\n--- user ---\n{{ note }}",
    "json": "--- system ---\n{{ instructions }} LABELS. In JSON: {\"kind\": ...}\n--- user ---\n{{ note }}",
    "prefill": "--- user ---\n{{ instructions }} LABELS\n\nNote: {{ note }}\n--- assistant ---\nKind:",
}  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_templates_are_read_as_far_as_they_are_clear(text: str) -> None:
    it = world(10, labels=3)
    rng = random.Random(10)
    rows, test = it.rows(rng, 45), it.rows(rng, 30)
    listed = ", ".join(f"`{label}`" for label in it.labels)
    form = Template(text=text.replace("LABELS", listed))
    signature = label_signature(it.labels)
    found = answers(signature, demos_of(rows, ["note"], ["kind"]), test, form)

    assert sum(each == {"kind": row["kind"]} for each, row in zip(found, test, strict=True)) / len(test) > 0.8
    assert {each["kind"] for each in answers(signature, [], test[:3], form)} <= set(it.labels)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Message,
            st.sampled_from(["system", "user", "assistant"]),
            st.one_of(
                st.text(max_size=60),
                st.sampled_from([
                    "The output fields are:\n1. `a` (one of the labels below)\n   - x\n   - y",
                    "The output fields are:\n1. `b` (JSON of the shape below)\n   {\n     \"c\": [",
                    "The output fields are:\n1. `instruction` (string)\n2. `n` (integer from 5 to 1)",
                    "[[ ## t ## ]]\n\n[[ ## u ## ]]\n{\"k\": [1, null]}",
                    "[[ ## a ## ]]\nx\n\n[[ ## completed ## ]]",
                    '{"a": "x", "b": {"c": []}}',
                ]),
            ),
        ),
        max_size=7,
    ),
    st.sampled_from([0, 1]),
)  # fmt: skip
def test_no_request_makes_it_fail(messages: list[Message], rollout: int) -> None:
    assert reply(messages, rollout=rollout).finish_reason == "stop"


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("string", Leaf()),
        ("string or null", Leaf(nullable=True)),
        ("integer from 1 to 5", Leaf(kind="integer", low=1, high=5)),
        ("number, at least 0", Leaf(kind="number", low=0)),
        ("integer, more than 0 and less than 10", Leaf(kind="integer", low=0, high=10)),
        ("boolean: true or false", Leaf(kind="flag")),
        ('one of "a", "b"', Leaf(kind="label", labels=(Label("a"), Label("b")))),
        ('exactly "a"', Leaf(kind="label", labels=(Label("a"),))),
        ("list of strings, 1 to 3 items, as JSON", Listing(Leaf(), 1, 3)),
        (
            "list, each item: integer from 1 to 2, at most 4 items",
            Listing(Leaf(kind="integer", low=1, high=2), 0, 4),
        ),
        ("any JSON value", Leaf(kind="any")),
    ],
)
def test_types_are_read_from_their_words(text: str, node: Leaf | Listing) -> None:
    assert read_type(text) == node


def test_outlines_are_read_as_nested_nodes() -> None:
    lines = """
    {
      "code": string,  # the code
      "who": {
        "name": string or null
      },
      "lines": [
        {
          "pieces": integer from 1 to 9  # optional
          ...
        },
        ...
      ], 1 to 3 items
      "spare": null or {
        "x": number
      }
    }
    """
    line = Record({"pieces": Leaf(kind="integer", low=1, high=9)})
    assert read_outline(lines.split("\n")) == Record({
        "code": Leaf(),
        "who": Record({"name": Leaf(nullable=True)}),
        "lines": Listing(line, 1, 3),
        "spare": Record({"x": Leaf(kind="number")}, nullable=True),
    })  # fmt: skip


@given(st.text(max_size=80))
def test_every_piece_of_a_document_is_found_again(text: str) -> None:
    (document,) = (
        documents({"note": text}) if not text.startswith(("[", "{")) else documents({"note": f" {text}"})
    )
    for index in range(len(document.tokens)):
        last = min(index + 2, len(document.tokens) - 1)
        assert (index, last) in document.occurrences(document.piece(index, last))
