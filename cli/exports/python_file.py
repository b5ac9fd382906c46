"""`python`: one file that asks and reads like the compiled program, and needs litellm or openai instead of promptc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptc.cli.exports.python_bundle import STAND_INS, Bundle, Name, bundle
from promptc.cli.exports.python_client import Client, client_of
from promptc.cli.exports.python_text import python_text
from promptc.cli.exports.subject import Exported, Subject, Uncarried, only_step
from promptc.runners.asking import Speaker
from promptc.runners.formats.shapes import shape_of
from promptc.runners.formats.template import Template
from promptc.spec.model import Step
from promptc.spec.types import MANY_SCHEMAS, NAMED_SCHEMAS, ONE_SCHEMA

MODULES = ("predict", "chain_of_thought")
FORMATS = ("chat", "json", "template")
"""What can be carried."""

_RUNTIME = "promptc.cli.exports.python_runtime"
_FORMATS = "promptc.runners.formats"
_FILES = {"json": "json_object"}
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
    text = python_text(subject, speaker, client, code, ways=_ways(speaker), nothing=_nothing(speaker))
    return Exported(text=text, notes=client.notes)


def _ways(speaker: Speaker) -> str:
    """The ways in which a reply is read, as code."""
    format_ = speaker.predictor.format
    return f"_WAYS[{format_.style(speaker.signature)!r}]" if isinstance(format_, Template) else "_WAYS"


def _nothing(speaker: Speaker) -> str:
    """What says that a reply holds none of the outputs, as code."""
    format_ = speaker.predictor.format
    if isinstance(format_, Template):
        return f"lambda text: _nothing(_SIGNATURE, {format_.style(speaker.signature)!r})"
    takes_text = format_.version.startswith("json/")
    return f"lambda text: _nothing(_SIGNATURE{', text' if takes_text else ''})"


def _uncarried(step: Step) -> list[str]:
    """What the step has and a file has not, by name."""
    reasons = []
    if step.module.name not in MODULES:
        reasons.append(f"the module {step.module.name} (only {' and '.join(MODULES)})")
    if step.format.name not in FORMATS:
        reasons.append(f"the format {step.format.name} (only {', '.join(FORMATS)})")
    if step.checks:
        reasons.append("assert: its expressions need promptc")
    return reasons


def _bundled(step: Step, schemas: Sequence[Any], client: Client) -> Bundle:
    """promptc's reading of replies, as far as these outputs need it."""
    format_module = f"{_FORMATS}.{_FILES.get(step.format.name, step.format.name)}"
    stand_ins = dict(_KEPT_STAND_INS)
    if not any("format" in schema for schema in _all_schemas(schemas)):
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
        [(_RUNTIME, "answer"), (format_module, "_WAYS"), (format_module, "_nothing")],
        stand_ins=stand_ins,
        overrides={(f"{_FORMATS}.values", "_READERS"): table},
    )


def _all_schemas(schemas: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """These and all that stand in them; what is just true or false has nothing in it."""
    for schema in schemas:
        if isinstance(schema, dict):
            yield schema
            inner = [schema[key] for key in ONE_SCHEMA if key in schema]
            inner += [each for key in MANY_SCHEMAS for each in schema.get(key, ())]
            inner += [each for key in NAMED_SCHEMAS for each in schema.get(key, {}).values()]
            yield from _all_schemas(inner)
