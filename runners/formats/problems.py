"""What is wrong with a value, in sentences that a model can act on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from promptc.runners.formats.fields_text import label_values, type_words

_QUOTED = 80
_LABELS = 20


def quote(value: Any) -> str:
    """What came, in quotation marks where it is text, cut at about 80 characters."""
    if isinstance(value, str):
        shown = value if len(value) <= _QUOTED else value[:_QUOTED] + "…"
        return json.dumps(shown, ensure_ascii=False)
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= _QUOTED else shown[:_QUOTED] + "…"


def expectation(schema: Any) -> str:
    """What a schema wants, with a long list of labels cut."""
    labels = label_values(schema) if isinstance(schema, dict) else None
    if labels is None:
        return type_words(schema)
    named = ", ".join(
        value if isinstance(value, str) and value else json.dumps(value) for value in labels[:_LABELS]
    )
    rest = len(labels) - _LABELS
    return f"one of the labels {named}" + (f" and {rest} more" if rest > 0 else "")


def problems(validator: Draft202012Validator, path: str, value: Any) -> list[str]:
    """Every way in which the value fails its schema, one sentence each; empty when it is valid."""
    found = [_sentence(error, path) for error in validator.iter_errors(value)]
    found.extend(f"`{where}`: {number} is not a finite number." for where, number in _unbounded(path, value))
    return list(dict.fromkeys(found))


def is_valid(validator: Draft202012Validator, value: Any) -> bool:
    """Whether the value meets its schema and holds no NaN and no infinity."""
    return next(validator.iter_errors(value), None) is None and next(_unbounded("", value), None) is None


def _sentence(error: ValidationError, path: str) -> str:
    where = path + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    )
    say = _SENTENCES.get(str(error.validator), _mismatch)
    return f"`{where}`: {say(error.instance, error.validator_value, error.schema)}."


def _mismatch(came: Any, limit: Any, schema: Any) -> str:
    return f"expected {expectation(schema)}, got {quote(came)}"


def _missing(came: Any, limit: Any, schema: Any) -> str:
    absent = [f"`{name}`" for name in limit if name not in came]
    return f"lacks the {'properties' if len(absent) > 1 else 'property'} {', '.join(absent)}"


def _extra(came: Any, limit: Any, schema: Any) -> str:
    known = schema.get("properties", {})
    extra = [f"`{name}`" for name in came if name not in known]
    return f"has {', '.join(extra)}, which {'do' if len(extra) > 1 else 'does'} not belong there"


def _too_short(came: Any, limit: Any, schema: Any) -> str:
    return f"has {_counted(came)}, fewer than the required {limit}: {quote(came)}"


def _too_long(came: Any, limit: Any, schema: Any) -> str:
    return f"has {_counted(came)}, more than the allowed {limit}: {quote(came)}"


def _counted(came: Any) -> str:
    unit = "character" if isinstance(came, str) else "item"
    return f"{len(came)} {unit}" + ("" if len(came) == 1 else "s")


def _compared(relation: str) -> Callable[[Any, Any, Any], str]:
    return lambda came, limit, schema: f"{came} is {relation} {limit}"


_SENTENCES: dict[str, Callable[[Any, Any, Any], str]] = {
    "required": _missing,
    "additionalProperties": _extra,
    "minLength": _too_short,
    "maxLength": _too_long,
    "minItems": _too_short,
    "maxItems": _too_long,
    "minimum": _compared("less than the minimum"),
    "maximum": _compared("more than the maximum"),
    "exclusiveMinimum": _compared("not more than"),
    "exclusiveMaximum": _compared("not less than"),
    "multipleOf": _compared("not a multiple of"),
    "uniqueItems": lambda came, limit, schema: f"holds the same item twice: {quote(came)}",
    "pattern": lambda came, limit, schema: f"{quote(came)} does not match the regular expression {limit}",
}


def _unbounded(path: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _unbounded(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unbounded(f"{path}[{index}]", inner)
