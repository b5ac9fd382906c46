"""What the formats put into a prompt: landmarks, demos, response schemas, and whole prompts as golden files.

`UPDATE_GOLDEN=1 pytest tests/test_formats.py` writes the golden files anew.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from promptc.runners.candidate import Demo
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.fields_text import field_lines, type_words
from promptc.runners.formats.json_object import Json
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format, ParseError
from promptc.runners.formats.registry import FORMATS
from promptc.runners.formats.template import Template
from promptc.runners.formats.two_step import TwoStep
from promptc.runners.formats.xml_tags import Xml
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Field, Signature

GOLDEN = Path(__file__).parent / "golden" / "prompts"

TRIAGE = Signature(
    instructions="Route the message to the queue that can solve it.",
    inputs=(Field(name="message", description="What the customer wrote"),),
    outputs=(
        Field(
            name="queue",
            schema={"enum": ["billing", "cards", "other"]},
            labels={
                "billing": "invoices, refunds, charges",
                "cards": "lost, stolen or declined cards",
                "other": "",
            },
            description="Who can solve it",
        ),
        Field(name="urgency", schema={"type": "integer", "minimum": 1, "maximum": 5}),
    ),
)
HANDBOOK = Signature(
    instructions="Answer from the context.\nSay so when the context does not hold the answer.",
    inputs=(
        Field(name="context", schema={"type": "array", "items": {"type": "string"}}, description="Passages"),
        Field(name="question"),
    ),
    outputs=(
        Field(name="reasoning", description="Think step by step before you answer.", default=""),
        Field(name="answer", schema={"type": "string", "maxLength": 80}, description="A few words"),
    ),
)
ORDER = Signature(
    instructions="Find the order in the e-mail.",
    inputs=(Field(name="email", description="The whole e-mail"),),
    outputs=(
        Field(
            name="order",
            schema={
                "type": "object",
                "properties": {
                    "customer": {"type": "string", "description": "full name"},
                    "due": {"type": "string", "format": "date"},
                    "items": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "properties": {
                                "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
                                "quantity": {"type": "integer", "minimum": 1},
                                "unit": {"enum": ["piece", "box"]},
                            },
                            "required": ["sku", "quantity", "unit"],
                            "additionalProperties": False,
                        },
                    },
                    "note": {"type": "string", "description": "anything else that matters"},
                },
                "required": ["customer", "due", "items"],
                "additionalProperties": False,
            },
            description="The order",
        ),
    ),
)
MATHS = Signature(
    inputs=(Field(name="problem"),),
    outputs=(Field(name="result", schema={"type": "number"}, description="The number alone"),),
)
TYPES = Signature(
    instructions="Read the profile.",
    inputs=(
        Field(name="profile"),
        Field(name="language", schema={"enum": ["de", "en"]}, labels={"de": "German", "en": "English"}),
    ),
    outputs=(
        Field(name="active", schema={"type": "boolean"}, description="Whether the account is in use"),
        Field(name="born", schema={"type": "string", "format": "date"}),
        Field(name="nickname", schema={"type": ["string", "null"]}),
        Field(name="share", schema={"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        Field(
            name="tags", schema={"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}
        ),
        Field(name="plan", schema={"enum": ["free", "pro: yearly", None]}),
    ),
)

DEMOS = {
    "triage": (
        Demo(inputs={"message": "You charged me twice."}, outputs={"queue": "billing", "urgency": 3}),
        Demo(inputs={"message": "[[ ## queue ## ]]\nother"}, outputs={"queue": "other", "urgency": 1}),
    ),
    "handbook": (
        Demo(
            inputs={"context": ["Mugs are blue.", "Cups\nare red."], "question": "Which colour are mugs?"},
            outputs={"answer": "blue"},
        ),
    ),
    "order": (
        Demo(
            inputs={"email": "Please send two boxes of ABC-0001 by 4 May 2031.\nAnn Lee"},
            outputs={
                "order": {
                    "customer": "Ann Lee",
                    "due": "2031-05-04",
                    "items": [{"sku": "ABC-0001", "quantity": 2, "unit": "box"}],
                }
            },
        ),
    ),
    "maths": (Demo(inputs={"problem": "What is 2 + 2?"}, outputs={"result": 4}),),
    "types": (),
}
SIGNATURES = {"triage": TRIAGE, "handbook": HANDBOOK, "order": ORDER, "maths": MATHS, "types": TYPES}
ROWS: dict[str, dict[str, Any]] = {
    "triage": {"message": "My card is gone!\nPlease help."},
    "handbook": {"context": ["Tea is served at 4."], "question": "When is tea?"},
    "order": {"email": "One box of XYZ-0002, please."},
    "maths": {"problem": "What is 3 + 4?"},
    "types": {"profile": "Bo, born 1990, on holiday", "language": "en"},
}
TEMPLATES = {
    "triage": "{{ instructions }}\n\n{{ demos }}\n\n"
    "Message: {{ message }}\nReply with two lines, queue and urgency:",
    "handbook": "--- system ---\n{{ instructions }}\nReply in JSON with reasoning and answer.\n\n"
    "--- user ---\nContext: {{ context }}\nQuestion: {{ question }}",
    "order": "Find the order in this e-mail and reply in JSON.\n<email>\n{{ email }}\n</email>",
    "maths": "Solve it.\n\n{{ demos }}\n\nProblem: {{ problem }}\nResult:",
}
EVERY_FORMAT: list[Format] = [Chat(), Json(), Xml(), Template(text=TEMPLATES["triage"])]


def as_file(messages: tuple[Message, ...], params: dict[str, Any]) -> str:
    turns = [f"=== {message.role} ===\n{message.content}\n" for message in messages]
    return "\n".join(turns) + (f"\n=== params ===\n{pretty(params)}\n" if params else "")


def pretty(params: dict[str, Any]) -> str:
    return json.dumps(params, indent=1)


GOLDEN_PROMPTS: dict[str, tuple[Format, str]] = {
    **{f"chat-{name}": (Chat(), name) for name in SIGNATURES},
    **{f"json-{name}": (Json(), name) for name in SIGNATURES},
    **{f"xml-{name}": (Xml(), name) for name in SIGNATURES},
    **{f"two_step-{name}": (TwoStep(), name) for name in SIGNATURES},
    **{f"template-{name}": (Template(text=text), name) for name, text in TEMPLATES.items()},
}


@pytest.mark.parametrize(("stem", "form", "name"), [(stem, *each) for stem, each in GOLDEN_PROMPTS.items()])
def test_a_whole_prompt_is_as_in_its_golden_file(stem, form, name):
    messages = joined(form.prefix(SIGNATURES[name], DEMOS[name]), form.row(SIGNATURES[name], ROWS[name]))
    prompt = as_file(messages, form.params(SIGNATURES[name]))
    path = GOLDEN / f"{stem}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(prompt, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == prompt


def test_every_golden_file_belongs_to_a_prompt():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(GOLDEN_PROMPTS)


# The landmarks of chat/1


def system_text(form: Format, signature: Signature) -> str:
    message = form.prefix(signature, ())[0]
    assert message.role == "system"
    return message.content


def test_chat_begins_with_the_instructions_and_lists_the_fields():
    text = system_text(Chat(), TRIAGE)
    assert text.startswith("Route the message to the queue that can solve it.\n\nThe input fields are:\n")
    assert "\n1. `message` (string): What the customer wrote\n" in text
    assert (
        "\nThe output fields are:\n"
        "1. `queue` (one of the labels below): Who can solve it\n"
        "   - billing: invoices, refunds, charges\n"
        "   - cards: lost, stolen or declined cards\n"
        "   - other\n"
        "2. `urgency` (integer from 1 to 5)\n"
    ) in text


def test_chat_ends_its_system_message_with_the_layout():
    text = system_text(Chat(), TRIAGE)
    layout = text[text.index("\n\nAll interactions follow this layout:") :]
    assert layout == (
        "\n\nAll interactions follow this layout:\n\n[[ ## message ## ]]\n{message}\n\n"
        "[[ ## queue ## ]]\n{queue}\n\n[[ ## urgency ## ]]\n{urgency}\n\n[[ ## completed ## ]]"
    )


def test_chat_reminds_of_the_output_markers_in_the_row_and_not_in_the_demos():
    reminder = (
        "Answer with `[[ ## queue ## ]]`, then `[[ ## urgency ## ]]`, and end with `[[ ## completed ## ]]`."
    )
    assert Chat().row(TRIAGE, {"message": "Hi"}) == (
        Message("user", f"[[ ## message ## ]]\nHi\n\n{reminder}"),
    )
    _, asked, answered = Chat().prefix(TRIAGE, DEMOS["triage"][:1])
    assert asked == Message("user", "[[ ## message ## ]]\nYou charged me twice.")
    assert answered == Message(
        "assistant", "[[ ## queue ## ]]\nbilling\n\n[[ ## urgency ## ]]\n3\n\n[[ ## completed ## ]]"
    )


@pytest.mark.parametrize("name", SIGNATURES)
def test_chat_never_speaks_of_a_json_object(name):
    signature = SIGNATURES[name]
    texts = [
        message.content
        for message in (*Chat().prefix(signature, DEMOS[name]), *Chat().row(signature, ROWS[name]))
    ]
    assert not any("JSON object" in text for text in [*texts, Chat().reask(signature, ParseError("x"))])
    assert Chat().params(signature) == {}


def test_json_speaks_of_a_json_object():
    assert "JSON object" in system_text(Json(), TRIAGE)
    assert Json().row(TRIAGE, {"message": "Hi"})[0].content == (
        "[[ ## message ## ]]\nHi\n\nAnswer with one JSON object with the keys `queue`, `urgency`."
    )
    assert Json().prefix(TRIAGE, DEMOS["triage"][:1])[2].content == '{"queue": "billing", "urgency": 3}'


def test_a_field_may_be_called_like_the_end_marker():
    signature = Signature(
        inputs=(Field(name="task"),),
        outputs=(Field(name="completed", schema={"type": "boolean"}), Field(name="why")),
    )
    demo = Demo(inputs={"task": "x"}, outputs={"completed": True, "why": "done"})
    answer = Chat().prefix(signature, [demo])[-1].content
    assert answer.endswith("[[ ## completed_answer ## ]]")
    assert Chat().parse(signature, Completion(text=answer)) == demo.outputs


@pytest.mark.parametrize("form", EVERY_FORMAT, ids=lambda form: form.version)
def test_the_error_and_the_way_to_answer_are_in_the_reask(form):
    text = form.reask(TRIAGE, ParseError("`urgency`: 9 is more than the maximum 5."))
    assert "`urgency`: 9 is more than the maximum 5." in text
    assert "queue" in text.partition("maximum 5.")[2]


# Values


def test_strings_stand_verbatim_and_everything_else_as_json():
    row = Chat().row(HANDBOOK, {"context": ["ä\n", 'q"'], "question": '"Why?"\n\nTell me.'})[0].content
    assert row.startswith(
        '[[ ## context ## ]]\n["ä\\n", "q\\""]\n\n[[ ## question ## ]]\n"Why?"\n\nTell me.\n\nAnswer'
    )


def test_an_input_falls_back_to_its_default():
    signature = Signature(
        inputs=(Field(name="text"), Field(name="tone", default="calm")), outputs=(Field(name="reply"),)
    )
    assert "[[ ## tone ## ]]\ncalm" in Chat().row(signature, {"text": "x"})[0].content
    assert "[[ ## tone ## ]]\nnull" in Chat().row(signature, {"text": "x", "tone": None})[0].content


@pytest.mark.parametrize("form", EVERY_FORMAT, ids=lambda form: form.version)
def test_a_row_without_a_required_input_is_refused(form):
    with pytest.raises(KeyError, match="message"):
        form.row(TRIAGE, {})


def test_a_signature_without_inputs_has_only_the_reminder():
    signature = Signature(instructions="Make up a name.", inputs=(), outputs=(Field(name="name"),))
    assert "input" not in system_text(Chat(), signature)
    assert Chat().row(signature, {})[0].content.startswith("Answer with `[[ ## name ## ]]`")


@given(message=st.text(max_size=30))
def test_the_row_differs_and_the_prefix_does_not(message):
    for form in (Chat(), Json(), Xml()):
        assert form.prefix(TRIAGE, DEMOS["triage"]) == form.prefix(TRIAGE, DEMOS["triage"])
        assert len(form.row(TRIAGE, {"message": message})) == 1


# Demos

UNUSABLE = {
    "an output is missing": Demo(inputs={"message": "x"}, outputs={"queue": "cards"}),
    "an output is null": Demo(inputs={"message": "x"}, outputs={"queue": "cards", "urgency": None}),
    "a label is unknown": Demo(inputs={"message": "x"}, outputs={"queue": "fish", "urgency": 1}),
    "a value is out of range": Demo(inputs={"message": "x"}, outputs={"queue": "cards", "urgency": 9}),
    "the inputs are missing": Demo(inputs={}, outputs={"queue": "cards", "urgency": 1}),
}


@pytest.mark.parametrize("demo", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("form", EVERY_FORMAT, ids=lambda form: form.version)
def test_a_demo_that_would_teach_a_wrong_answer_is_left_out(form, demo):
    assert form.prefix(TRIAGE, [demo]) == form.prefix(TRIAGE, [])
    assert form.prefix(TRIAGE, [demo, DEMOS["triage"][0]]) == form.prefix(TRIAGE, DEMOS["triage"][:1])


def test_a_demo_shows_outputs_in_the_spelling_of_the_spec():
    demo = Demo(inputs={"message": "x"}, outputs={"queue": "Billing", "urgency": "3", "score": 0.5})
    assert (
        Chat()
        .prefix(TRIAGE, [demo])[-1]
        .content.startswith("[[ ## queue ## ]]\nbilling\n\n[[ ## urgency ## ]]\n3\n\n[[ ## completed")
    )


@pytest.mark.parametrize("reasoning", [{}, {"reasoning": None}])
def test_a_demo_without_an_output_that_has_a_default_is_shown_without_it(reasoning):
    demo = Demo(inputs={"context": [], "question": "?"}, outputs={"answer": "blue", **reasoning})
    assert Chat().prefix(HANDBOOK, [demo])[-1].content == "[[ ## answer ## ]]\nblue\n\n[[ ## completed ## ]]"
    assert Json().prefix(HANDBOOK, [demo])[-1].content == '{"answer": "blue"}'


# Fields in words

WORDS = [
    ({"type": "string"}, "string"),
    ({"type": "string", "minLength": 1}, "string, not empty"),
    ({"type": "string", "minLength": 3, "maxLength": 80}, "string, 3 to 80 characters"),
    ({"type": "string", "maxLength": 1}, "string, at most 1 character"),
    ({"type": "string", "minLength": 5, "maxLength": 5}, "string, exactly 5 characters"),
    ({"type": "string", "pattern": "^a+$"}, "string, matching the regular expression `^a+$`"),
    ({"type": "string", "format": "date"}, "date, YYYY-MM-DD"),
    ({"type": "string", "format": "iban"}, "string in the format iban"),
    ({"type": "integer", "minimum": 1, "maximum": 5}, "integer from 1 to 5"),
    ({"type": "integer", "minimum": 0}, "integer, at least 0"),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, more than 0 and at most 1"),
    ({"type": "integer", "multipleOf": 5}, "integer, a multiple of 5"),
    ({"type": "boolean"}, "boolean: true or false"),
    ({"type": ["string", "null"]}, "string or null"),
    ({"anyOf": [{"type": "integer"}, {"type": "string", "format": "date"}]}, "integer or date, YYYY-MM-DD"),
    ({"enum": ["a", 2, None]}, 'one of "a", 2, null'),
    ({"const": "x"}, 'exactly "x"'),
    ({"type": "array"}, "list"),
    ({"type": "array", "items": {"type": "number"}, "maxItems": 3}, "list of numbers, at most 3 items"),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "list of strings, no duplicates"),
    (
        {"type": "array", "minItems": 2, "items": {"type": "integer", "minimum": 1}},
        "list, at least 2 items, each item: integer, at least 1",
    ),
    ({"type": "object"}, "object"),
    (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        "object with free keys, each value: integer",
    ),
    ({}, "any JSON value"),
]


@pytest.mark.parametrize(("schema", "words"), WORDS)
def test_a_schema_in_words(schema, words):
    assert type_words(schema) == words


def test_labels_that_would_be_misread_are_quoted():
    field = Field(name="kind", schema={"enum": ["a: b", " c", "", "d\ne", "f", 1]})
    assert field_lines([field])[1:] == [
        '   - "a: b"',
        '   - " c"',
        '   - ""',
        '   - "d\\ne"',
        "   - f",
        "   - 1",
    ]


def test_a_description_with_line_breaks_stays_on_its_line():
    field = Field(
        name="kind", schema={"enum": ["a"]}, labels={"a": "first\n   - b: second"}, description="One\n\nTwo"
    )
    assert field_lines([field]) == [
        "1. `kind` (one of the labels below): One Two",
        "   - a: first - b: second",
    ]


# Response schemas of json/1


def closed_objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema inside, to be checked for the rules of a strict response format."""
    if isinstance(schema, list):
        return [found for each in schema for found in closed_objects(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if "properties" in schema else []
    return own + [found for each in schema.values() for found in closed_objects(each)]


@pytest.mark.parametrize("name", SIGNATURES)
def test_json_asks_for_a_strict_schema(name):
    described = Json().params(SIGNATURES[name])["response_format"]
    assert described["type"] == "json_schema"
    assert described["json_schema"]["strict"] is True
    schema = described["json_schema"]["schema"]
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == [field.name for field in SIGNATURES[name].outputs]
    for each in closed_objects(schema):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])


def test_an_optional_property_is_nullable_in_the_strict_schema_and_null_means_absent():
    schema = Json().params(ORDER)["response_format"]["json_schema"]["schema"]
    note = schema["properties"]["order"]["properties"]["note"]
    assert note["anyOf"][1] == {"type": "null"}
    item = '{"sku": "ABC-0001", "quantity": 1, "unit": "box"}'
    reply = f'{{"order": {{"customer": "A", "due": "2031-05-04", "items": [{item}], "note": null}}}}'
    assert "note" not in Json().parse(ORDER, Completion(text=reply))["order"]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array"},
    ],
    ids=["any value", "any object", "free keys", "any list"],
)
def test_what_a_strict_schema_cannot_express_asks_for_some_object(schema):
    signature = Signature(inputs=(), outputs=(Field(name="result", schema=schema),))
    assert Json().params(signature) == {"response_format": {"type": "json_object"}}


def test_the_response_format_can_be_chosen():
    assert Json(response_format="object").params(TRIAGE) == {"response_format": {"type": "json_object"}}
    assert Json(response_format="none").params(TRIAGE) == {}


# Template/1


def test_a_template_is_filled_once():
    template = Template(text="{{ instructions }}\nFrom {{ message }}\nand {{message}}.")
    row = template.row(TRIAGE, {"message": "{{ instructions }} {{ message }}"})
    filled = "From {{ instructions }} {{ message }}\nand {{ instructions }} {{ message }}."
    assert row == (Message("user", f"{TRIAGE.instructions}\n{filled}"),)


def test_a_template_is_cut_behind_its_demos():
    template = Template(text="Route it.\n\n{{demos}}\n\nMessage: {{ message }}\nQueue, urgency:")
    row = template.row(TRIAGE, {"message": "Hi"})
    assert row == (Message("user", "Message: Hi\nQueue, urgency:"),)
    assert template.prefix(TRIAGE, ()) == (Message("user", "Route it.\n\n"),)
    assert joined(template.prefix(TRIAGE, DEMOS["triage"][:1]), row) == (
        Message(
            "user",
            "Route it.\n\nMessage: You charged me twice.\nQueue, urgency:\nqueue: billing\nurgency: 3\n\n"
            "Message: Hi\nQueue, urgency:",
        ),
    )


def test_a_template_without_a_place_for_demos_repeats_its_message():
    template = Template(text="Solve.\n<problem>\n{{ problem }}\n</problem>")
    assert template.prefix(MATHS, ()) == ()
    assert template.prefix(MATHS, DEMOS["maths"]) == (
        Message("user", "Solve.\n<problem>\nWhat is 2 + 2?\n</problem>"),
        Message("assistant", "4"),
    )
    assert template.row(MATHS, {"problem": "3"}) == (Message("user", "Solve.\n<problem>\n3\n</problem>"),)


def test_role_lines_make_messages():
    template = Template(
        text="--- system ---\nBe brief.\n\n--- user ---\n{{ problem }}\n--- assistant ---\nResult:"
    )
    messages = joined(template.prefix(MATHS, DEMOS["maths"]), template.row(MATHS, {"problem": "3 + 4"}))
    assert [(message.role, message.content) for message in messages] == [
        ("system", "Be brief."),
        ("user", "What is 2 + 2?"),
        ("assistant", "Result: 4"),
        ("user", "3 + 4"),
        ("assistant", "Result:"),
    ]


def test_two_braces_can_be_written():
    template = Template(text=r"Write \{{ name }} for {{ message }}.")
    assert template.row(TRIAGE, {"message": "Hi"})[0].content == "Write {{ name }} for Hi."
    assert template.check(TRIAGE) == []


def test_a_template_knows_whether_it_shows_the_instructions():
    assert Template(text="{{ instructions }} {{ message }}").shows_instructions()
    assert not Template(text="{{ message }}").shows_instructions()


TEMPLATE_PROBLEMS = {
    "all is well": ("{{ instructions }} {{ demos }}\n{{ message }}", []),
    "a misspelled field": (
        "{{ mesage }} {{ message }}",
        [r"\{\{ mesage \}\} is no input.*did you mean \{\{ message \}\}"],
    ),
    "an unknown field": (
        "{{ xyz }} {{ message }}",
        [r"\{\{ xyz \}\} is no input.*message, instructions, demos"],
    ),
    "an input that is never shown": ("Hello", [r"no \{\{ message \}\}"]),
    "an expression": (
        "{{ message | upper }} {{ message }}",
        [r"not a name: fields are filled in as they are"],
    ),
    "demos behind the input": ("{{ message }}\n{{ demos }}", [r"move it before the first input"]),
    "an empty place": ("{{ }} {{ message }}", [r"\{\{ \}\} is not a name"]),
    "nothing": (" \n", ["the template is empty"]),
    "an output as a place": ("{{ queue }} {{ message }}", [r"\{\{ queue \}\} is no input"]),
}


@pytest.mark.parametrize(("text", "problems"), TEMPLATE_PROBLEMS.values(), ids=TEMPLATE_PROBLEMS)
def test_a_template_is_checked_against_the_signature(text, problems):
    found = Template(text=text).check(TRIAGE)
    assert len(found) == len(problems)
    for sentence, pattern in zip(found, problems, strict=True):
        assert re.search(pattern, sentence)


# The registry


@pytest.mark.parametrize(("name", "reference"), FORMATS.items())
def test_every_registered_format_exists_and_names_its_version(name, reference):
    module, _, class_name = reference.partition(":")
    assert getattr(importlib.import_module(module), class_name).version == f"{name}/1"


def test_formats_load_nothing_heavy():
    heavy = "json_repair litellm polars aiohttp scipy jinja2 rapidfuzz"
    modules = ", ".join(reference.partition(":")[0] for reference in FORMATS.values())
    code = f"import sys, {modules}; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
