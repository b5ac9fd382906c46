"""The grammar of field types: which keys of JSON Schema a field may have, and what they say."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NOT_YET = " Not available yet in this version."

NAME = "^[A-Za-z_][A-Za-z0-9_-]*$"
NAME_IN_WORDS = "letters, digits, dashes and underscores, starting with a letter"

_TYPE_NAMES = ["string", "integer", "number", "boolean", "array", "object", "null"]


def text(description: str, *examples: str, **more: Any) -> Schema:
    """A text."""
    return {"type": "string", "description": description, "examples": list(examples), **more}


def number(description: str, *examples: float, **more: Any) -> Schema:
    """A number."""
    return {"type": "number", "description": description, "examples": list(examples), **more}


def whole(description: str, *examples: int, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": description, "examples": list(examples), **more}


def flag(description: str, example: bool = True, **more: Any) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description, "examples": [example], **more}


def choice(description: str, *values: str, **more: Any) -> Schema:
    """One of a few words."""
    return {"enum": list(values), "description": description, "examples": [values[0]], **more}


def mapping(description: str, properties: dict[str, Schema], *examples: Any, **more: Any) -> Schema:
    """A mapping with known keys and no others."""
    return {
        "type": "object",
        "description": description,
        "examples": list(examples),
        "properties": properties,
        "additionalProperties": False,
        **more,
    }


def named(description: str, entries: Schema, *examples: Any, **more: Any) -> Schema:
    """A mapping from names that the user chooses."""
    return {
        "type": "object",
        "description": description,
        "examples": list(examples),
        "additionalProperties": entries,
        **more,
    }


def many(description: str, items: Schema, *examples: Any, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "description": description, "examples": list(examples), "items": items, **more}


def refer(name: str, description: str, *examples: Any, **more: Any) -> Schema:
    """What is defined elsewhere, with a description of its own."""
    return {"$ref": f"#/$defs/{name}", "description": description, "examples": list(examples), **more}


def _type(description: str, *examples: Any) -> Schema:
    return refer("type", description, *examples)


def _types(description: str, *examples: Any) -> Schema:
    return many(description, {"$ref": "#/$defs/type"}, *examples, minItems=1)


def _named_types(description: str, *examples: Any) -> Schema:
    return named(description, {"$ref": "#/$defs/type"}, *examples)


def _keywords() -> dict[str, Schema]:
    return {
        "type": {
            "type": ["string", "array"],
            "description": "The type: a name of JSON Schema, or as in a signature; also image, audio, file, history "
            "and code.",
            "examples": [
                *_TYPE_NAMES[:-1],
                "list[str]",
                "float | None",
                "image",
                "code[python]",
                ["string", "null"],
            ],
            "items": {"enum": _TYPE_NAMES},
            "minItems": 1,
            "uniqueItems": True,
        },
        "description": text("What the value means; it stands in the prompt.", "What the customer wrote"),
        "enum": {
            "type": ["array", "object"],
            "description": "The allowed values: a list, or labels with descriptions for the prompt.",
            "examples": [
                ["low", "high"],
                {"billing": "invoices, refunds, charges", "other": "everything else"},
            ],
            "items": {"type": ["string", "number", "boolean", "null"]},
            "additionalProperties": {"type": ["string", "null"]},
            "minItems": 1,
            "minProperties": 1,
            "uniqueItems": True,
        },
        "$ref": text("A type in a file of the spec's folder, by JSON pointer.", "schema.json#/Defs/Address"),
        "nullable": flag("The value may be null."),
        "optional": flag("The value may be missing."),
        "default": {"description": "The value where none is given.", "examples": ["unknown"]},
        "const": {"description": "The one allowed value.", "examples": ["yes"]},
        "title": text("A short name.", "Address"),
        "examples": many("Values that show what is meant.", {}, ["2024-05-01"]),
    }


def _numbers() -> dict[str, Schema]:
    return {
        "minimum": number("The smallest allowed number.", 0),
        "maximum": number("The largest allowed number.", 5),
        "exclusiveMinimum": number("Numbers are larger than this.", 0),
        "exclusiveMaximum": number("Numbers are smaller than this.", 100),
        "multipleOf": number("Numbers are multiples of this.", 0.5, exclusiveMinimum=0),
    }


def _texts() -> dict[str, Schema]:
    return {
        "minLength": whole("The fewest characters.", 1, minimum=0),
        "maxLength": whole("The most characters.", 280, minimum=0),
        "pattern": text("A regular expression that is found in the text.", "^[A-Z]{2}[0-9]{6}$"),
        "format": text("A known form of text.", "date", "date-time", "email", "uri", "uuid"),
        "contentEncoding": text("How bytes are written as text.", "base64"),
        "language": text("The language of a field of code.", "python"),
        "maxBytes": whole("The most bytes of an image, audio or file.", 5000000, minimum=1),
        "contentMediaType": text("What kind of document the text is.", "text/html"),
    }


def _lists() -> dict[str, Schema]:
    return {
        "items": _type("The type of every entry.", "string", {"type": "object"}),
        "prefixItems": _types("The types of the first entries, in order.", ["string", "integer"]),
        "contains": _type("At least one entry is of this type.", "string"),
        "minItems": whole("The fewest entries.", 1, minimum=0),
        "maxItems": whole("The most entries.", 10, minimum=0),
        "uniqueItems": flag("No entry stands twice."),
        "minContains": whole("How many entries are of the type in contains, at least.", 1, minimum=0),
        "maxContains": whole("How many entries are of the type in contains, at most.", 3, minimum=0),
        "unevaluatedItems": _type("The type of entries that nothing else describes.", False),
    }


def _objects() -> dict[str, Schema]:
    names = {"type": "string"}
    return {
        "properties": _named_types(
            "The keys of an object with their types.", {"city": "string", "zip": "string"}
        ),
        "required": many("The keys that have to be there; without it, all of them.", names, ["city"]),
        "additionalProperties": _type("The type of other keys; without it, there are none.", False, "string"),
        "patternProperties": _named_types("Types of keys, by a regular expression.", {"^x_": "string"}),
        "propertyNames": _type("The type that every key has.", {"pattern": "^[a-z]+$"}),
        "minProperties": whole("The fewest keys.", 1, minimum=0),
        "maxProperties": whole("The most keys.", 20, minimum=0),
        "dependentRequired": named(
            "Keys that are needed where another is there.", many("Keys.", names, ["zip"]), {"city": ["zip"]}
        ),
        "dependentSchemas": _named_types("What holds where a key is there.", {"city": {"required": ["zip"]}}),
        "unevaluatedProperties": _type("The type of keys that nothing else describes.", False),
    }


def _combinations() -> dict[str, Schema]:
    return {
        "anyOf": _types("The value is of at least one of these types.", ["string", "integer"]),
        "oneOf": _types("The value is of exactly one of these types.", ["string", "integer"]),
        "allOf": _types("The value is of all of these types.", [{"minimum": 0}, {"maximum": 10}]),
        "not": _type("The value is not of this type.", {"const": ""}),
        "if": _type("Where the value is of this type …", {"properties": {"kind": {"const": "a"}}}),
        "then": _type("… it is also of this type …", {"required": ["a"]}),
        "else": _type("… and else of this one.", {"required": ["b"]}),
    }


def type_keywords() -> dict[str, Schema]:
    """Every key that a type may have."""
    return _keywords() | _numbers() | _texts() | _lists() | _objects() | _combinations()


def type_definitions() -> dict[str, Schema]:
    """`field` and `type`, for `$defs`."""
    keywords = type_keywords()
    return {
        "field": {
            "type": ["object", "string", "null"],
            "title": "field",
            "description": "An input or output: its type in one line, or a mapping. Nothing means text.",
            "properties": keywords,
            "additionalProperties": False,
        },
        "type": {
            "type": ["object", "string", "boolean", "null"],
            "title": "type",
            "description": "A type within a type.",
            "properties": keywords,
            "additionalProperties": False,
        },
    }
