"""embedded/icl reads rules in instructions, and proposes rules from examples."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icl_world import Row, accuracy, answers, by_format, label_signature, reply, world

from promptc.runners.candidate import Demo
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format
from promptc.runners.icl.examples import read_examples
from promptc.runners.icl.rules import read_hints, read_rule_line, write_rule
from promptc.runners.icl.text import words
from promptc.spec.fields import Field, Signature


@pytest.mark.parametrize(
    "line",
    [
        "- `plonks` when the text mentions: zorbel, gravid mopplet",
        "plonks: zorbel, gravid mopplet",
        "* **plonks** - examples: zorbel, gravid mopplet",
        "2. `plonks` -> zorbel, gravid mopplet",
        "zorbel, gravid mopplet -> `plonks`",
        "zorbel, gravid mopplet → plonks",
        '"plonks" if it mentions: zorbel; gravid mopplet.',
        "`kind` is `plonks` when the text mentions: zorbel, gravid mopplet",
        "Use `plonks` for anything with a zorbel or a gravid mopplet, and `trunks` for all else.",
    ],
)
@pytest.mark.parametrize("note", ["the zorbel fell", "Three zorbels!", "there, a gravid mopplet"])
def test_lines_of_the_instructions_that_tie_words_to_a_label_are_evidence(line: str, note: str) -> None:
    signature = label_signature(["trunks", "plonks", "skints"], f"Sort the note.\n{line}")
    assert answers(signature, [], [{"note": note}]) == [{"kind": "plonks"}]


def test_a_rule_can_speak_against_a_label() -> None:
    labels = {"trunks": "zorbels", "plonks": "zorbels of any sort"}
    against = "not `plonks` when the text mentions: zorbel"
    assert answers(label_signature(labels, against, labels), [], [{"note": "a zorbel"}]) == [
        {"kind": "trunks"}
    ]


def test_rules_speak_for_true_and_false_too() -> None:
    sure = Field(name="sure", schema={"type": "boolean"})
    rules = "- `false` when the text mentions: zorbel\n- `true` when the text mentions: mopplet"
    signature = Signature(inputs=(Field(name="note"),), outputs=(sure,), instructions=rules)
    found = answers(signature, [], [{"note": "a zorbel"}, {"note": "a mopplet"}])

    assert [each["sure"] for each in found] == [False, True]


def test_a_rule_for_another_field_does_not_count() -> None:
    hints = read_hints("- `mood` is `low` when the text mentions: zorbel", "kind", ["low", "high"], ["mood"])
    assert hints.rules == {"low": (), "high": ()}


@given(
    label=st.from_regex(r"[a-z]{3,8}(_[a-z]{2,6})?", fullmatch=True),
    phrases=st.lists(st.from_regex(r"[a-z]{3,9}( [a-z]{3,9}){0,2}", fullmatch=True), min_size=1, unique=True),
    field=st.sampled_from(["", "kind"]),
)
def test_what_is_written_as_a_rule_is_read_back(label: str, phrases: list[str], field: str) -> None:
    line = write_rule(label, phrases, field)
    assert read_rule_line(line) == (field, label, phrases)
    read = read_hints(line, "kind", [label, "other label"]).rules[label]
    assert [" ".join(rule.phrase) for rule in read] == phrases


PROPOSAL = Signature(
    inputs=(Field(name="current_instruction"), Field(name="examples")),
    outputs=(Field(name="reasoning", default=""), Field(name="improved_instruction")),
    instructions="Improve the instruction.",
)


def proposed(current: str, examples: str, form: Format | None = None, **params: Any) -> str:
    form = form or Chat()
    row = {"current_instruction": current, "examples": examples}
    completion = reply(joined(form.prefix(PROPOSAL, []), form.row(PROPOSAL, row)), **params)
    return str(form.parse(PROPOSAL, completion)["improved_instruction"])


def as_block(number: int, row: Row, given_label: str) -> str:
    return (
        f"### Example {number}\nnote: {row['note']}\n"
        f"kind (expected): {row['kind']}\nkind (given): {given_label}\n"
        f"feedback: expected `{row['kind']}`, got `{given_label}`"
    )


@by_format
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_proposed_rules_improve_accuracy_without_demos(form: Format, seed: int) -> None:
    it = world(seed, labels=4)
    rng = random.Random(seed)
    rows, test = it.rows(rng, 60), it.rows(rng, 100)
    blocks = "\n\n".join(as_block(index, row, it.labels[0]) for index, row in enumerate(rows))
    start = label_signature(it.labels, "Sort the note.")
    better = label_signature(it.labels, proposed("Sort the note.", blocks, form))

    assert accuracy(better, [], test) > accuracy(start, [], test) + 0.3


def test_a_proposal_keeps_the_instruction_and_adds_short_rules_of_words_from_several_rows() -> None:
    it = world(3, labels=3)
    rng = random.Random(3)
    rows = [
        {**row, "note": f"Dear Gazmina, ID {index}77 {row['note']}"}
        for index, row in enumerate(it.rows(rng, 36))
    ]
    text = proposed(
        "Sort the note.\nBe quick.", "\n\n".join(as_block(i, row, "?") for i, row in enumerate(rows))
    )
    rules = [rule for line in text.splitlines() if (rule := read_rule_line(line))]
    on_topic = [
        bool(set(phrase.split()) & set(it.topics[label])) for _, label, found in rules for phrase in found
    ]

    assert sum(on_topic) / len(on_topic) > 0.8
    assert text.startswith("Sort the note.\nBe quick.\n")
    assert {label for _, label, _ in rules} == set(it.labels)
    for _, _, phrases in rules:
        for phrase in phrases:
            assert len(phrase.split()) <= 3
            assert not re.search(r"\d", phrase)
            assert sum(f" {phrase} " in f" {' '.join(words(row['note']))} " for row in rows) >= 2


def test_a_proposal_keeps_rules_unless_the_examples_contradict_them() -> None:
    current = (
        "Sort.\n\n"
        "- `plonks` when the text mentions: zorbel, brantle\n"
        "- `trunks` when the text mentions: yumber"
    )
    examples = "\n\n".join(
        as_block(index, {"note": f"{word} gunnert", "kind": "skints"}, "plonks")
        for index, word in enumerate(["zorbel", "a zorbel", "my zorbel", "gunnert"])
    )
    rules = {
        label: phrases
        for _, label, phrases in filter(None, map(read_rule_line, proposed(current, examples).splitlines()))
    }

    assert rules["plonks"] == ["brantle"]
    assert rules["trunks"] == ["yumber"]
    assert "gunnert" in rules["skints"]


def test_a_proposal_never_takes_a_name_out_of_a_single_row() -> None:
    examples = "\n\n".join([
        as_block(1, {"note": "we met Grunhilde about a zorbel", "kind": "plonks"}, "trunks"),
        as_block(2, {"note": "the brantle is for Ottokar", "kind": "trunks"}, "plonks"),
    ])  # fmt: skip
    text = proposed("Sort.", examples).casefold()

    assert "zorbel" in text
    assert "brantle" in text
    assert "grunhilde" not in text
    assert "ottokar" not in text


def test_proposals_differ_by_rollout_and_repeat_for_the_same_one() -> None:
    it = world(5, labels=3)
    blocks = "\n\n".join(as_block(i, row, "?") for i, row in enumerate(it.rows(random.Random(5), 45)))
    texts = [proposed("Sort.", blocks, temperature=1.0, rollout=k) for k in range(6)]

    assert len(set(texts)) > 3
    assert texts == [proposed("Sort.", blocks, temperature=1.0, rollout=k) for k in range(6)]


def test_without_labels_in_the_examples_the_instruction_comes_back_as_it_is() -> None:
    blocks = "### Example 1\nnote: it costs 12\nprice (expected): 12\nprice (given): 3"
    assert proposed("Find the price.", blocks) == "Find the price."


def test_an_output_called_instructions_is_no_proposal_without_anything_to_make_it_from() -> None:
    fields = (Field(name="note"),)
    signature = Signature(inputs=fields, outputs=(Field(name="cooking_instructions"),))
    demos = [
        Demo(inputs={"note": f"do <{word}> now"}, outputs={"cooking_instructions": word}) for word in "abcd"
    ]

    assert answers(signature, demos, [{"note": "do <stir> now"}]) == [{"cooking_instructions": "stir"}]


EXAMPLE_SHAPES = {
    "lines": "### Example 1\nnote: a zorbel fell\nkind (expected): plonks\nkind (given): trunks",
    "other order": "Example 1\nkind (given): trunks\nkind (expected): plonks\nnote: a zorbel fell",
    "headings": (
        "# Example 1\n## Inputs\n### note\na zorbel fell\n"
        "## Generated Outputs\nkind: trunks\n## Expected\nkind: plonks"
    ),
    "json": '[{"inputs": {"note": "a zorbel fell"}, "expected": {"kind": "plonks"}, "got": {"kind": "x"}}]',
    "json lines": '{"note": "a zorbel fell", "kind": {"expected": "plonks", "given": "trunks"}}\n',
    "fenced json": '```json\n{"note": "a zorbel fell", "expected_kind": "plonks", "got": "trunks"}\n```',
    "feedback alone": "## 1\nnote: a zorbel fell\nkind: trunks\nfeedback: expected `plonks`, got `trunks`",
}


@pytest.mark.parametrize("text", EXAMPLE_SHAPES.values(), ids=EXAMPLE_SHAPES.keys())
def test_examples_are_read_in_many_shapes(text: str) -> None:
    (seen,) = read_examples([text])
    assert "a zorbel fell" in seen.text
    assert list(seen.expected.values()) == ["plonks"]


def test_values_of_several_lines_and_colons_inside_texts_stay_together() -> None:
    text = (
        "### Example 1\nnote: first line\nRe: second line\n\nlast: line\nkind (expected): plonks\n\n"
        "### Example 2\nnote: short\nkind (expected): trunks\n\n"
        "### Example 3\nnote: tiny\nkind (expected): trunks"
    )
    first, *others = read_examples([text])
    assert first.text == "first line\nRe: second line\n\nlast: line"
    assert [each.text for each in others] == ["short", "tiny"]
