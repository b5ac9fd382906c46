"""Fields in words: what a signature's types and constraints say in a prompt and in an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from promptc.runners.formats.string_formats import FORMAT_WORDS
from promptc.spec.fields import Field
from promptc.spec.media import CODE, HISTORY

_PLURALS = {
    "string": "strings",
    "integer": "integers",
    "number": "numbers",
    "boolean: true or false": "booleans",
    "object": "objects",
    "image": "images",
    "audio recording": "audio recordings",
    "file": "files",
}


def field_lines(fields: Sequence[Field], *, answered_as_text: bool = False) -> list[str]:
    """The numbered list of fields, an enum's labels and an object's shape indented below.

    With `answered_as_text`, lists and objects say that they are written as JSON.
    """
    lines: list[str] = []
    for number, field in enumerate(fields, start=1):
        words = _heading_words(field, answered_as_text)
        description = one_line(field.description)
        lines.append(f"{number}. `{field.name}` ({words})" + (f": {description}" if description else ""))
        lines.extend(f"   {line}" for line in _details(field))
    return lines


def label_values(schema: dict[str, Any]) -> list[Any] | None:
    """The values of an enum, with null where a union admits it; None for any other schema."""
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not branches or not all(isinstance(branch, dict) for branch in branches):
        return None
    values: list[Any] = []
    for branch in branches:
        inner = [None] if branch.get("type") == "null" else label_values(branch)
        if inner is None:
            return None
        values.extend(inner)
    return values if any(value is not None for value in values) else None


def label_text(value: Any) -> str:
    """A label as it stands in the prompt: quoted where it would be misread, JSON where it is not a string."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    awkward = not value or value != value.strip() or "\n" in value or ": " in value
    return json.dumps(value, ensure_ascii=False) if awkward else value


def type_words(schema: Any) -> str:
    """A schema in words, such as `integer from 1 to 5` or `list of strings, 1 to 3 items`."""
    if not isinstance(schema, dict):
        return "any JSON value"
    labels = label_values(schema)
    if labels is not None:
        return _label_words(labels)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return _alternatives(type_words(branch) for branch in branches)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _alternatives(_kind_words(each, schema) for each in kind)
    if kind is None and "$ref" in schema:
        return f"value as defined by {schema['$ref']}"
    return _kind_words(kind, schema) if isinstance(kind, str) else "any JSON value"


def outline(schema: Any) -> list[str]:
    """The shape of a JSON value, one line per property, with what each holds in words."""
    if not has_shape(schema):
        return [type_words(schema)]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return _joined_outlines([outline(branch) for branch in branches])
    if "properties" in schema:
        lines = _object_outline(schema)
    elif "items" in schema:
        items = outline(schema["items"])
        items[-1] += ","
        lines = ["[", *(f"  {line}" for line in items), "  ...", f"]{_count_suffix(schema)}"]
    else:
        return [type_words(schema)]
    if isinstance(schema.get("type"), list) and "null" in schema["type"]:
        lines[-1] += " or null"
    return lines


def object_outline(entries: Iterable[tuple[str, list[str], str]]) -> list[str]:
    """Braces around named shapes, each with a comment."""
    lines = ["{"]
    rows = list(entries)
    for position, (name, value, comment) in enumerate(rows):
        shown = [f"{json.dumps(name, ensure_ascii=False)}: {value[0]}", *value[1:]]
        shown[-1] += "," if position + 1 < len(rows) else ""
        shown[0] += f"  # {comment}" if comment else ""
        lines.extend(f"  {line}" for line in shown)
    return [*lines, "}"]


def has_shape(schema: Any) -> bool:
    """Whether an object with named properties stands anywhere in the schema."""
    if not isinstance(schema, dict) or schema.get("format") == HISTORY:
        return False
    if schema.get("properties"):
        return True
    inner = [schema.get("items"), *(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return any(has_shape(each) for each in inner)


def one_line(text: str) -> str:
    """The text without line breaks, so that it cannot be taken for the list around it."""
    return " ".join(line.strip() for line in text.split("\n") if line.strip())


def _heading_words(field: Field, answered_as_text: bool) -> str:
    if label_values(field.schema) is not None:
        return "one of the labels below"
    words = "JSON of the shape below" if has_shape(field.schema) else type_words(field.schema)
    if answered_as_text and not has_shape(field.schema) and _is_container(field.schema):
        words += ", as JSON"
    return words


def _details(field: Field) -> list[str]:
    labels = label_values(field.schema)
    if labels is None:
        return outline(field.schema) if has_shape(field.schema) else []
    lines = []
    for value in labels:
        description = one_line(field.labels.get(value if isinstance(value, str) else label_text(value), ""))
        lines.append(f"- {label_text(value)}" + (f": {description}" if description else ""))
    return lines


def _is_container(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type")
    named = {kinds} if isinstance(kinds, str) else set(kinds or ())
    return bool(named & {"array", "object"})


def _label_words(labels: list[Any]) -> str:
    texts = [json.dumps(value, ensure_ascii=False) for value in labels]
    return f"exactly {texts[0]}" if len(texts) == 1 else "one of " + ", ".join(texts)


def _alternatives(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _joined_outlines(outlines: list[list[str]]) -> list[str]:
    joined = list(outlines[0])
    for lines in outlines[1:]:
        joined[-1] += f" or {lines[0]}"
        joined.extend(lines[1:])
    return joined


def _object_outline(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    entries = []
    for name, inner in schema["properties"].items():
        description = inner.get("description", "") if isinstance(inner, dict) else ""
        notes = ["" if name in required else "optional", one_line(description)]
        entries.append((name, outline(inner), "; ".join(note for note in notes if note)))
    lines = object_outline(entries)
    if schema.get("additionalProperties", True) is not False:
        lines.insert(-1, "  ...")
    return lines


def _kind_words(kind: str, schema: dict[str, Any]) -> str:
    if kind == "string":
        return _string_words(schema)
    if kind in {"integer", "number"}:
        return kind + _bound_suffix(schema)
    if kind == "boolean":
        return "boolean: true or false"
    if kind == "array":
        return _list_words(schema)
    if kind == "object":
        return _object_words(schema)
    return kind


def _string_words(schema: dict[str, Any]) -> str:
    name = schema.get("format")
    if name == CODE:
        return f"{schema['language']} code" if "language" in schema else "code"
    words = "string" if name is None else FORMAT_WORDS.get(name, f"string in the format {name}")
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low == 1 and high is None:
        words += ", not empty"
    else:
        words += _range_suffix(low, high, "characters")
    if "pattern" in schema:
        words += f", matching the regular expression `{schema['pattern']}`"
    return words


def _list_words(schema: dict[str, Any]) -> str:
    if schema.get("format") == HISTORY:
        return "the conversation so far"
    inner = type_words(schema["items"]) if "items" in schema else ""
    count = _count_suffix(schema)
    if not inner or inner == "any JSON value":
        return f"list{count}"
    return f"list of {_PLURALS[inner]}{count}" if inner in _PLURALS else f"list{count}, each item: {inner}"


def _object_words(schema: dict[str, Any]) -> str:
    values = schema.get("additionalProperties")
    if schema.get("properties"):
        names = ", ".join(schema["properties"])
        return f"object with {names}"
    if isinstance(values, dict) and values:
        return f"object with free keys, each value: {type_words(values)}"
    return "object"


def _count_suffix(schema: dict[str, Any]) -> str:
    words = _range_suffix(schema.get("minItems"), schema.get("maxItems"), "items")
    return words + (", no duplicates" if schema.get("uniqueItems") else "")


def _range_suffix(low: int | None, high: int | None, unit: str) -> str:
    if high == 1:
        unit = unit.removesuffix("s")
    if low is not None and low == high:
        return f", exactly {low} {unit}"
    if low and high is not None:
        return f", {low} to {high} {unit}"
    if high is not None:
        return f", at most {high} {unit}"
    if low:
        return f", at least {low} {unit.removesuffix('s') if low == 1 else unit}"
    return ""


def _bound_suffix(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and not {"exclusiveMinimum", "exclusiveMaximum"} & schema.keys():
        words = f" from {low} to {high}"
    else:
        limits = [
            f"{phrase} {schema[key]}"
            for key, phrase in (
                ("minimum", "at least"),
                ("exclusiveMinimum", "more than"),
                ("maximum", "at most"),
                ("exclusiveMaximum", "less than"),
            )
            if key in schema
        ]
        words = f", {' and '.join(limits)}" if limits else ""
    return words + (f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else "")
