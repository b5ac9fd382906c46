"""`python`: one file that asks and reads like the compiled program, and needs litellm or openai instead of promptc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptc.cli.exports.python_bundle import STAND_INS, Bundle, Name, bundle
from promptc.cli.exports.python_client import UNCHECKED, Client, client_of
from promptc.cli.exports.python_literals import data_literal
from promptc.cli.exports.python_text import python_text
from promptc.cli.exports.subject import Exported, Subject, Uncarried, only_step, rich_inputs
from promptc.runners.asking import Speaker
from promptc.runners.formats.shapes import shape_of
from promptc.runners.formats.template import Template
from promptc.spec.media import REASONING
from promptc.spec.model import Step
from promptc.spec.types import MANY_SCHEMAS, NAMED_SCHEMAS, ONE_SCHEMA

MODULES = ("predict", "chain_of_thought")
FORMATS = ("chat", "json", "xml", "template")
"""What can be carried."""

_RUNTIME = "promptc.cli.exports.python_runtime"
_FORMATS = "promptc.runners.formats"
_FILES = {"json": "json_object", "xml": "xml_tags"}
_KEPT_STAND_INS: Mapping[Name, Name] = {
    ("promptc.spec.fields", "Field"): (STAND_INS, "Field"),
    ("promptc.spec.fields", "Signature"): (STAND_INS, "Signature"),
    (f"{_FORMATS}.json_text", "_repaired"): (STAND_INS, "_repaired"),
}
_WITHOUT_FORMATS: Mapping[Name, Name] = {
    (f"{_FORMATS}.string_formats", "format_checker"): (STAND_INS, "format_checker"),
}
_WITHOUT_JSONSCHEMA: Mapping[Name, Name] = {
    ("jsonschema", "Draft202012Validator"): (STAND_INS, "PlainValidator"),
    ("jsonschema.exceptions", "ValidationError"): (STAND_INS, "PlainError"),
}
_READERS: Mapping[str, tuple[frozenset[str], str]] = {
    "_read_number": (frozenset({"integer", "number"}), '{"integer", "number"}'),
    "_read_boolean": (frozenset({"boolean"}), '{"boolean"}'),
    "_read_container": (frozenset({"array", "object"}), '{"array", "object"}'),
}
"""What reads the kinds of value that are neither text nor label; a file holds those that its fields need."""


def python_file(subject: Subject) -> Exported:
    """The file. Raises Uncarried with everything that it could not do the same way."""
    step = only_step(subject, "python")
    reasons = _uncarried(step)
    if reasons:
        raise Uncarried("python", reasons)
    [speaker] = subject.compiled.speakers.values()
    client = client_of(subject, speaker)
    code = _bundled(step, [field.schema for field in speaker.signature.outputs], client)
    text = python_text(subject, speaker, client, code, _reading(speaker))
    return Exported(text=text, notes=client.notes)


def _reading(speaker: Speaker) -> dict[str, str]:
    """What is special about the format, as code: how values are escaped, and how replies are read."""
    format_ = speaker.predictor.format
    name = format_.version.partition("/")[0]
    given = {"json": ", text", "template": ""}.get(name, "")
    ways = "lambda complete: _WAYS"
    if isinstance(format_, Template):
        style = data_literal(format_.style(speaker.signature))
        ways, given = f"{ways}[{style}]", f", {style}"
    return {
        "escaping": "tags_of(_SIGNATURE).escaping" if name == "xml" else "MARKERS",
        "ways": "_ways" if name == "xml" else ways,
        "nothing": f"lambda text: _nothing(_SIGNATURE{given})",
    }


def _uncarried(step: Step) -> list[str]:
    """What the step has and a file has not, by name."""
    reasons = []
    if step.module.name not in MODULES:
        reasons.append(f"the module {step.module.name} (only {' and '.join(MODULES)})")
    if step.format.name not in FORMATS:
        reasons.append(f"the format {step.format.name} (only {', '.join(FORMATS)})")
    if step.checks:
        reasons.append("assert: its expressions need promptc")
    reasons += rich_inputs(step)
    return reasons


def _bundled(step: Step, schemas: Sequence[Any], client: Client) -> Bundle:
    """promptc's reading of replies, as far as these outputs need it."""
    format_module = f"{_FORMATS}.{_FILES.get(step.format.name, step.format.name)}"
    stand_ins = dict(_KEPT_STAND_INS)
    if all(schema.get("format", REASONING) in UNCHECKED for schema in _all_schemas(schemas)):
        stand_ins |= _WITHOUT_FORMATS
    if client.plain:
        stand_ins |= _WITHOUT_JSONSCHEMA
    kinds = frozenset().union(*(shape_of(schema).kinds for schema in _all_schemas(schemas)))
    readers = [f"(frozenset({shown}), {name})," for name, (reads, shown) in _READERS.items() if reads & kinds]
    table = "\n".join(
        [
            "_READERS: tuple[tuple[frozenset[str], Callable[[Shape, str, str], Any]], ...] = (",
            *(f"    {reader}" for reader in readers),
            ")",
        ]
    )
    return bundle(
        [(_RUNTIME, "answer"), (format_module, "_nothing"), *_format_names(step.format.name)],
        stand_ins=stand_ins,
        overrides={(f"{_FORMATS}.values", "_READERS"): table},
    )


def _format_names(format_name: str) -> list[Name]:
    """What the written part uses of a format."""
    module = f"{_FORMATS}.{_FILES.get(format_name, format_name)}"
    if format_name == "xml":
        return [(module, "_ways"), (f"{_FORMATS}.tags", "tags_of")]
    return [(module, "_WAYS"), (f"{_FORMATS}.markers", "MARKERS")]


def _all_schemas(schemas: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """These and all that stand in them; what is just true or false has nothing in it."""
    for schema in schemas:
        if isinstance(schema, dict):
            yield schema
            inner = [schema[key] for key in ONE_SCHEMA if key in schema]
            inner += [each for key in MANY_SCHEMAS for each in schema.get(key, ())]
            inner += [each for key in NAMED_SCHEMAS for each in schema.get(key, {}).values()]
            yield from _all_schemas(inner)
