"""Checks a tree against the grammar, and says in plain sentences what does not fit and where."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from promptc.spec.diagnostics import Findings, Position
from promptc.spec.nodes import Node, Path, dotted, nearest, plain, walk
from promptc.spec.suggest import closest, listed

Schema = Mapping[str, Any]

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_WORDS_FOR_TRUE = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def check_structure(root: Node, schema: Schema, findings: Findings) -> tuple[Path, ...]:
    """Note everything that does not fit. Returns the paths of what is wrong: the rest is read on."""
    import jsonschema

    wrong = _not_finite(root, findings)
    value = plain(root)
    checker = _Structure(root, schema, findings)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        wrong.extend(checker.report(error))
    return tuple(wrong)


def whole_numbers(value: Any, schema: Any, root: Schema) -> Any:
    """The value with `1e3` as 1000 wherever the grammar wants a whole number."""
    if not isinstance(schema, Mapping):
        return value
    if "$ref" in schema:
        schema = _resolved(schema["$ref"], root)
    if (
        isinstance(value, float)
        and value.is_integer()
        and "integer" in _types(schema)
        and "number" not in _types(schema)
    ):
        return int(value)
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        return {key: whole_numbers(part, known.get(key, other), root) for key, part in value.items()}
    if isinstance(value, list):
        return [whole_numbers(part, schema.get("items"), root) for part in value]
    return value


def _resolved(reference: str, root: Schema) -> Any:
    return root["$defs"][reference.removeprefix("#/$defs/")]


def _types(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else kind


def _not_finite(root: Node, findings: Findings) -> list[Path]:
    """Infinity and not-a-number are YAML, and no value of a spec."""
    wrong: list[Path] = []
    for path, node in walk(root):
        if isinstance(node.value, float) and not math.isfinite(node.value):
            findings.error(
                f"{node.raw or node.value} is not a finite number", node.position, path=dotted(path)
            )
            wrong.append(path)
    return wrong


class _Structure:
    """Translates the findings of jsonschema."""

    def __init__(self, root: Node, schema: Schema, findings: Findings) -> None:
        self._root = root
        self._schema = schema
        self._findings = findings

    def report(self, error: Any) -> Iterator[Path]:
        """Note one finding; yields the paths that it is about."""
        path: Path = tuple(error.absolute_path)
        node = nearest(self._root, path)
        if error.validator in ("anyOf", "oneOf") and error.context:
            best = max(error.context, key=lambda part: (len(part.absolute_path), part.validator != "type"))
            yield from self.report(best)
        elif error.validator == "additionalProperties":
            yield from self._unknown_keys(error, path, node)
        elif error.validator == "required":
            yield from self._missing_keys(error, path, node)
        else:
            message, hint = self._sentence(error, node)
            self._findings.error(message, _place(error, node), path=dotted(path), hint=hint)
            yield path

    def _unknown_keys(self, error: Any, path: Path, node: Node) -> Iterator[Path]:
        known = list(error.schema.get("properties", {}))
        kind = error.schema.get("title", "key") if error.schema.get("maxProperties") == 1 else "key"
        if (
            error.schema.get("maxProperties") == 1
            and len(error.instance) > 1
            and set(known) & set(error.instance)
        ):
            return
        for key in error.instance:
            if key in known:
                continue
            child = node.value[key]
            message, hint = f'unknown {kind} "{key}"', self._meant(key, known, path)
            self._findings.error(message, child.key or child.position, path=dotted((*path, key)), hint=hint)
            yield (*path, key)

    def _meant(self, key: str, known: list[str], path: Path) -> str:
        near = closest(key, known)
        elsewhere = [place for place in _places_of(key, self._schema) if place != path]
        if near is not None and (near.lower() == key.lower() or not elsewhere):
            return f'did you mean "{near}"?'
        if elsewhere:
            place = elsewhere[0]
            return f'"{key}" stands under {dotted(place)}:' if place else f'"{key}" stands at the top level'
        return f"one of: {listed(known)}"

    def _missing_keys(self, error: Any, path: Path, node: Node) -> Iterator[Path]:
        known = list(error.schema.get("properties", {}))
        misspelled = {closest(key, known) for key in error.instance if key not in known}
        for key in error.validator_value:
            if key in error.instance:
                continue
            if key in misspelled:
                yield path
                continue
            what = error.schema.get("properties", {}).get(key, {})
            if "$ref" in what and "description" not in what:
                what = _resolved(what["$ref"], self._schema)
            examples = what.get("examples", [])
            hint = (
                f"{key}: {_shown(examples[0])}"
                if examples and not isinstance(examples[0], dict | list)
                else ""
            )
            message = (
                f'the key "{key}" is missing' if not path else f'the key "{key}" is missing in {dotted(path)}'
            )
            self._findings.error(
                message, node.place, path=dotted((*path, key)), hint=f"add {hint}" if hint else ""
            )
            yield path

    def _sentence(self, error: Any, node: Node) -> tuple[str, str]:
        value, limit, keyword = error.instance, error.validator_value, error.validator
        kind = error.schema.get("title", "")
        if keyword == "type":
            return _wrong_type(value, limit, node)
        if keyword in ("enum", "const"):
            message, hint = _not_one_of(value, limit if keyword == "enum" else [limit], kind)
            return message, hint or error.schema.get("$comment", "")
        if keyword in ("minProperties", "maxProperties") and error.schema.get("maxProperties") == 1:
            if not value:
                return f"one {kind} belongs here, found none", "write name, or name: {parameter: value}"
            hint = f"indent the parameters below the name: {next(iter(value))}: {{…}}"
            return f"one {kind} belongs here, found {listed(value)}", hint
        if keyword == "pattern" and "$comment" in error.schema:
            return f"{_shown(value)} is not what belongs here", error.schema["$comment"]
        return _out_of_bounds(keyword, value, limit), ""


def _place(error: Any, node: Node) -> Position:
    where = list(error.relative_schema_path)
    if where[-2:-1] == ["propertyNames"] and where[-3:-2] != ["properties"]:
        return node.value[error.instance].key or node.place
    return node.place


def _wrong_type(value: Any, wanted: str | list[str], node: Node) -> tuple[str, str]:
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    expected = " or ".join(_KINDS[kind] for kind in kinds if kind != "null" or len(kinds) == 1)
    message = f"expected {expected}, found {describe(value)}"
    if isinstance(value, str):
        number = _as_number(value)
        if number is not None and {"number", "integer"} & set(kinds) and node.raw[:1] in ("'", '"'):
            return message, "remove the quotes"
        if "boolean" in kinds and value.lower() in _WORDS_FOR_TRUE:
            return message, f"write {_WORDS_FOR_TRUE[value.lower()]}"
        if kinds == ["array"]:
            return message, f"write a list: [{value[:40]}]"
    if kinds == ["string"] and isinstance(value, int | float | bool):
        return message, f'quote it: "{node.raw or value}"'
    if kinds == ["string"] and isinstance(value, dict):
        return message, "quote text that holds a colon, a comma or braces"
    if value is None:
        return message, "a key without a value is null; give it one or remove it"
    return message, ""


def _not_one_of(value: Any, allowed: list[Any], kind: str) -> tuple[str, str]:
    words = [one for one in allowed if isinstance(one, str)]
    near = closest(value, words) if isinstance(value, str) else None
    words = [one if isinstance(one, str) else _shown(one) for one in allowed]
    hint = f'did you mean "{near}"?' if near else f"one of: {listed(words)}"
    if kind and isinstance(value, str):
        return f'unknown {kind} "{value}"', hint
    if len(allowed) == 1:
        return f"expected {_shown(allowed[0])}, found {describe(value)}", ""
    return f"{describe(value)} is not one of the allowed values", hint


def _out_of_bounds(keyword: str, value: Any, limit: Any) -> str:
    shown = _shown(value)
    sentences = {
        "minimum": f"{shown} is too small: at least {limit}",
        "maximum": f"{shown} is too large: at most {limit}",
        "exclusiveMinimum": f"{shown} is too small: it has to be above {limit}",
        "exclusiveMaximum": f"{shown} is too large: it has to be below {limit}",
        "minLength": "the text is empty",
        "maxLength": f"the text is longer than {limit} characters",
        "minItems": "the list is empty" if limit == 1 else f"the list has fewer than {limit} entries",
        "maxItems": f"the list has more than {limit} entries",
        "minProperties": "the mapping is empty",
        "maxProperties": f"the mapping has more than {limit} keys",
        "uniqueItems": "an entry stands in the list twice",
        "pattern": f"{shown} is not of the form {limit}",
        "propertyNames": f"{shown} is no name for a key",
    }
    return sentences.get(keyword, f"{shown} does not fit: {keyword} {limit}")


def describe(value: Any) -> str:
    """A value in words: `the text "abc"`, `the number 3`, `a list`."""
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:39] + "…"
        return f'the text "{shown}"' if value else "an empty text"
    if isinstance(value, bool) or value is None:
        return _shown(value)
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a mapping"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:59]}…"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _places_of(key: str, schema: Schema) -> list[Path]:
    """Where at the top or in one of its sections the grammar has a key of that name."""
    top: Mapping[str, Any] = schema["properties"]
    found: list[Path] = [()] if key in top else []
    for name in ("run", "data", "budget"):
        section = top[name]
        if key in section.get("properties", {}):
            found.append((name,))
    if key in top["data"]["properties"]["split"]["properties"]:
        found.append(("data", "split"))
    return found
