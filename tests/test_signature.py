"""The short form of a signature, and the long form of field types."""

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptc.spec.diagnostics import Findings
from promptc.spec.files import Folder
from promptc.spec.references import References
from promptc.spec.signature import parse_signature
from promptc.spec.tree import parse
from promptc.spec.type_text import TypeTextError, parse_type
from promptc.spec.types import TypeBuilder


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("str", {"type": "string"}),
        ("string", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("number", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("date", {"type": "string", "format": "date"}),
        ("datetime", {"type": "string", "format": "date-time"}),
        ("Any", {}),
        ("list", {"type": "array"}),
        ("list[str]", {"type": "array", "items": {"type": "string"}}),
        ("list[list[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ("dict", {"type": "object"}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Literal['x', \"y\"]", {"type": "string", "enum": ["x", "y"]}),
        ("Literal[1, -2]", {"type": "integer", "enum": [1, -2]}),
        ("Literal['x', None]", {"type": ["string", "null"], "enum": ["x", None]}),
        ("Literal['x', 1]", {"enum": ["x", 1]}),
        ("Literal['it\\'s, [a] -> b: c']", {"type": "string", "enum": ["it's, [a] -> b: c"]}),
        ("float | None", {"type": ["number", "null"]}),
        ("None | float", {"type": ["number", "null"]}),
        ("Optional[float]", {"type": ["number", "null"]}),
        ("int | str", {"type": ["integer", "string"]}),
        ("Union[int, str, None]", {"type": ["integer", "string", "null"]}),
        ("list[int] | None", {"type": ["array", "null"], "items": {"type": "integer"}}),
        (
            "list[int] | str",
            {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]},
        ),
        ("str | str", {"type": "string"}),
    ],
)
def test_a_type_in_one_line_is_this_schema(text, schema):
    assert parse_type(text) == schema
    jsonschema.Draft202012Validator.check_schema(parse_type(text))


def test_a_signature_with_every_kind_of_type():
    signature = parse_signature(
        "a, b: int -> c: list[str], d: Literal['x','y'], e: float | None, f: bool, class, größe: int"
    )
    assert [field.name for field in signature.inputs] == ["a", "b"]
    assert [field.name for field in signature.outputs] == ["c", "d", "e", "f", "class", "größe"]
    assert signature.output("d").labels == {"x": "", "y": ""}
    assert signature.output("e").schema == {"type": ["number", "null"]}
    assert all(field.required for field in signature.inputs)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("question", 8, "no `->`: a signature has one `->` between its inputs and its outputs"),
        ("a -> b -> c", 7, "a signature has one `->` between its inputs and its outputs"),
        ("-> b", 0, "expected an input field, found `->`"),
        ("a ->", 4, "expected an output field, found the end"),
        ("a, -> b", 3, "expected an input field, found `->`"),
        ("a -> b,", 7, "expected an output field, found the end"),
        ("a b -> c", 2, "expected `->` between inputs and outputs, found `b`"),
        ("a: -> b", 3, "expected a type, found `->`"),
        ("a: strr -> b", 3, 'unknown type "strr"'),
        ("a: tuple[int] -> b", 3, 'unknown type "tuple"'),
        ("a: dict[int, str] -> b", 3, "dict takes two types, the first is str"),
        ("a: list[int -> b", 12, "expected `]` behind the types in list[…], found `->`"),
        ("a: list[int, str] -> b", 3, "list takes one type"),
        ("a: str[3] -> b", 6, "str takes nothing in brackets"),
        ("a: Literal -> b", 3, "Literal needs brackets: Literal[…]"),
        ("a: Literal[x] -> b", 11, "Literal holds quoted texts, numbers, True, False or None"),
        ("a: Literal['x -> b", 11, "a quote is opened here and never closed"),
        ("a: int = 3 -> b", 7, "`=` has no meaning here"),
        ("a?: int -> b", 1, "`?` has no meaning here"),
        ("a → b", 2, "`→` has no meaning here"),
        ("a -> a", 5, 'two fields are called "a"'),
        ("a, a -> b", 3, 'two fields are called "a"'),
        ("self -> b", 0, '"self" is a reserved name: expressions use it'),
        ("a -> previous", 5, '"previous" is a reserved name: expressions use it'),
        ("a, item -> b", 3, '"item" is a reserved name: expressions use it'),
        ("args -> b", 0, '"args" is a reserved name: expressions use it'),
        ("inputs -> b", 0, '"inputs" is a reserved name: expressions use it'),
        ("a: " + "list[" * 20 + "int" + "]" * 20 + " -> b", 63, "nested more than 12 levels deep"),
        ("a" * 5000 + " -> b", 0, "longer than 4000 characters"),
    ],
)
def test_a_wrong_signature_says_what_and_where(text, offset, message):
    with pytest.raises(TypeTextError) as caught:
        parse_signature(text)
    assert (caught.value.offset, caught.value.message) == (offset, message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: strin -> b", 'did you mean "string"?'),
        ("a: Lteral['x'] -> b", 'did you mean "Literal"?'),
        ("a: set[str] -> b", "write list[…]"),
        ("a: Literal[yes] -> b", "quote it: 'yes'"),
        ("a → b", "the arrow is `->`"),
        ("a: int = 3 -> b", "write the field under fields: with default:"),
    ],
)
def test_a_wrong_signature_says_what_to_do(text, hint):
    with pytest.raises(TypeTextError) as caught:
        parse_signature(text)
    assert caught.value.hint == hint


@given(st.text(alphabet="ab:,->[]|'\" 1.LiteralstrintNone\n\\é", max_size=60))
def test_any_text_is_a_signature_or_an_error_with_a_place(text):
    signature, refused = None, None
    try:
        signature = parse_signature(text)
    except TypeTextError as error:
        refused = error
    if signature is None:
        assert 0 <= refused.offset <= len(text)
    else:
        assert signature.inputs
        assert signature.outputs


def read(tmp_path, text):
    """The field called `x` in a YAML mapping, and the findings."""
    document, syntax = parse(text, "spec.yaml")
    assert syntax == ()
    findings = Findings()
    builder = TypeBuilder(References(Folder(tmp_path)), findings)
    fields = builder.fields(document.root, ("fields", "inputs"))
    return (fields[0] if fields else None), findings.arranged()


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("x:", {"type": "string"}),
        ("x: string", {"type": "string"}),
        ("x: list[str]", {"type": "array", "items": {"type": "string"}}),
        (
            "x: {type: 'list[str]', minItems: 1}",
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        ("x: {type: [string, 'null']}", {"type": ["string", "null"]}),
        ("x: {type: integer, minimum: 1, maximum: 5}", {"type": "integer", "minimum": 1, "maximum": 5}),
        ("x: {type: string, nullable: true}", {"type": ["string", "null"]}),
        ("x: {enum: [a, b]}", {"type": "string", "enum": ["a", "b"]}),
        ("x: {enum: [a, b], nullable: true}", {"type": ["string", "null"], "enum": ["a", "b", None]}),
        ("x: {enum: [1, 2]}", {"type": "integer", "enum": [1, 2]}),
        ("x: {enum: {a: first, b: }}", {"type": "string", "enum": ["a", "b"]}),
        ('x: {type: integer, enum: {"1": bad, "5": good}}', {"type": "integer", "enum": [1, 5]}),
        (
            "x: {properties: {a: string, b: {type: integer, optional: true}}}",
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (
            "x: {type: object, properties: {a: }, required: [], additionalProperties: string}",
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": [],
                "additionalProperties": {"type": "string"},
            },
        ),
        ("x: {type: object}", {"type": "object"}),
        (
            "x: {type: array, items: {properties: {a: {}}}}",
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"a": {}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            },
        ),
        (
            "x: {allOf: [{properties: {a: }}, {properties: {b: }}]}",
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}},
                    {"properties": {"b": {"type": "string"}}},
                ]
            },
        ),
        (
            "x: {type: array, items: {enum: {a: first, b: second}}}",
            {
                "type": "array",
                "items": {"type": "string", "enum": ["a", "b"], "description": "a: first\nb: second"},
            },
        ),
    ],
)
def test_the_long_form_is_this_schema(tmp_path, text, schema):
    field, findings = read(tmp_path, text)
    assert findings == ()
    assert field.schema == schema
    jsonschema.Draft202012Validator.check_schema(field.schema)


def test_labels_descriptions_and_defaults_stand_beside_the_schema(tmp_path):
    field, _ = read(tmp_path, "x: {description: ' Which? ', enum: {a: first, b: second}, default: a}")
    assert (field.description, field.labels, field.default) == ("Which?", {"a": "first", "b": "second"}, "a")
    assert not field.required
    optional, _ = read(tmp_path, "x: {type: integer, optional: true}")
    assert (optional.default, optional.schema) == (None, {"type": ["integer", "null"]})
    labelled, _ = read(tmp_path, "x: {enum: [1, true, null]}")
    assert labelled.labels == {"1": "", "true": ""}


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("x: lst", 'unknown type "lst"', 4),
        ("x: {type: 'list[strin]'}", 'unknown type "strin"', 17),
        ("self: string", '"self" is a reserved name: expressions use it', 1),
        ("a b: string", '"a b" is not a name: at most 64 letters, digits and _, no digit first', 1),
        ("x: {type: integer, minimum: 5, maximum: 1}", "minimum 5 is above maximum 1: no value fits", 41),
        ("x: {pattern: 'a(b'}", "not a regular expression: missing ), unterminated subpattern", 16),
        (
            "x: {type: integer, default: abc}",
            "the default does not fit the field: 'abc' is not of type 'integer'",
            29,
        ),
        (
            "x: {type: string, format: date, default: x}",
            "the default does not fit the field: 'x' is not a 'date'",
            42,
        ),
        ("x: {type: integer, enum: {one: first}}", 'the label "one" is not a number', 27),
        ("x: {$ref: '#/Defs/X'}", "a reference names a file first", 11),
        ("x: {$ref: 'none.json'}", "there is no file none.json", 11),
        ("x: {$ref: '../up.json'}", '"../up.json" lies outside of the spec\'s folder', 11),
        ("x: {$ref: 'file:///etc/passwd'}", '"file:///etc/passwd" is not a path', 11),
        ("x: {$ref: 'https://x/y.json'}", '"https://x/y.json" is not a path', 11),
    ],
)
def test_a_wrong_type_says_what_and_where(tmp_path, text, message, column):
    field, findings = read(tmp_path, text)
    assert field is None
    assert [(finding.message, finding.position.column) for finding in findings] == [(message, column)]


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_references_reach_into_files_and_from_there_into_others(tmp_path):
    write(
        tmp_path,
        "types/person.json",
        '{"Defs": {"Person": {"title": "P", "x-own": 1, "properties": {"name": {"type": "string"},'
        ' "home": {"$ref": "parts/address.yaml#/Defs/a~1b%20c"}, "mail": {"$ref": "#/Defs/Mail"}}},'
        ' "Mail": {"type": "string", "format": "email", "description": "Where to write"}}}',
    )
    write(tmp_path, "types/parts/address.yaml", "Defs:\n  a/b c: {type: string, minLength: 3}\n")
    field, findings = read(tmp_path, "x: {$ref: 'types/person.json#/Defs/Person', description: Who}")
    assert findings == ()
    assert field.description == "Who"
    assert field.schema == {
        "title": "P",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "home": {"type": "string", "minLength": 3},
            "mail": {"type": "string", "format": "email", "description": "Where to write"},
        },
        "required": ["name", "home", "mail"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("content", "reference", "message", "hint"),
    [
        (
            '{"A": {"$ref": "#/B"}, "B": {"$ref": "#/A"}}',
            "s.json#/A",
            "s.json#/A leads back to itself",
            "a type cannot hold itself",
        ),
        (
            '{"A": {"items": {"$ref": "s.json#/A"}}}',
            "s.json#/A",
            "s.json#/A leads back to itself",
            "a type cannot hold itself",
        ),
        (
            '{"Adress": {}}',
            "s.json#/Address",
            's.json#/Address: there is no "Address"',
            'did you mean "Adress"?',
        ),
        (
            '{"A": {"type": "txt"}}',
            "s.json#/A",
            "s.json#/A is not a JSON Schema: at /type: 'txt' is not valid under any of the given schemas",
            "",
        ),
        ('{"A": [1]}', "s.json#/A", "s.json#/A is not a schema", "a schema is a mapping"),
        ("{", "s.json#/A", "not JSON: Input data was truncated", ""),
        ('{"A": {}}', "s.json#A", "s.json#A is not a JSON pointer", "write #/Defs/Name"),
        ("{}", "S.json#/A", "there is no file S.json", 'did you mean "s.json"?'),
    ],
)
def test_a_wrong_reference_is_an_error_where_it_stands(tmp_path, content, reference, message, hint):
    write(tmp_path, "s.json", content)
    field, findings = read(tmp_path, f"x: {{$ref: '{reference}'}}")
    assert field is None
    assert [(finding.message, finding.hint) for finding in findings] == [(message, hint)]
    assert findings[0].position.column == 11


def test_a_reference_through_a_link_out_of_the_folder_is_refused(tmp_path):
    write(tmp_path, "outside/s.json", '{"A": {}}')
    inside = tmp_path / "spec"
    inside.mkdir()
    (inside / "link.json").symlink_to(tmp_path / "outside" / "s.json")
    _, findings = read(inside, "x: {$ref: 'link.json#/A'}")
    assert [finding.message for finding in findings] == ['"link.json" lies outside of the spec\'s folder']
