"""`markdown`: the compiled program as a page to read and to review."""

from __future__ import annotations

import json
from collections.abc import Sequence

from promptc.cli.exports.gaps import turns
from promptc.cli.exports.messages import placeholder
from promptc.cli.exports.subject import Exported, Subject, figures_line
from promptc.cli.reports.markdown import cell, code, escaped, fenced, table
from promptc.runners.asking import Speaker
from promptc.runners.formats.fields_text import label_text, label_values, type_words
from promptc.spec.fields import Field

MOST_TEXT = 600
"""Characters of a description."""


def markdown(subject: Subject) -> Exported:
    """Title, figures, fields, and the prompt of each predictor with `{{name}}` for the inputs."""
    spec, compiled = subject.spec, subject.compiled
    parts = [f"# {escaped(spec.name)}", escaped(spec.description, MOST_TEXT), _facts(subject)]
    for name, speaker in compiled.speakers.items():
        parts.append(f"## {code(name)}")
        parts.append(_fields("input", speaker.signature.inputs))
        parts.append(_fields("output", speaker.signature.outputs))
        parts.append(_prompt_heading(subject, name, speaker))
        for turn in turns(compiled, name):
            parts += [f"**{turn.role}**", fenced(turn.filled(placeholder).split("\n"), "text")]
    return Exported(text="\n\n".join(part for part in parts if part) + "\n")


def _facts(subject: Subject) -> str:
    """What somebody who finds the page wants to know first."""
    spec, program = subject.spec, subject.compiled.program
    models = dict.fromkeys(spec.model_named(p.model).model for p in program.predictors.values())
    modules = dict.fromkeys(step.module.name for step in program.steps)
    facts = [
        f"model {', '.join(code(name) for name in models)}",
        f"module {', '.join(code(name) for name in modules)}",
        figures_line(subject.summary),
        f"compiled by promptc {subject.version} from {code(subject.source)}",
    ]
    return "\n".join(f"- {fact}" for fact in facts if fact)


def _fields(title: str, fields: Sequence[Field]) -> str:
    rows = [[cell(field.name), escaped(_type(field), MOST_TEXT), _meaning(field)] for field in fields]
    return table([title, "type", "meaning"], rows) if rows else ""


def _type(field: Field) -> str:
    labels = label_values(field.schema)
    if labels is None:
        words = type_words(field.schema)
    else:
        words = "one of " + ", ".join(label_text(value) for value in labels)
    return words if field.required else f"{words}; may be missing"


def _meaning(field: Field) -> str:
    described = [f"{value}: {said}" for value, said in field.labels.items() if said]
    return escaped("; ".join(part for part in (field.description, *described) if part), MOST_TEXT)


def _prompt_heading(subject: Subject, name: str, speaker: Speaker) -> str:
    texts = subject.compiled.candidate.predictors.get(name)
    count = len(texts.demos) if texts is not None else 0
    shown = "1 worked example" if count == 1 else f"{count} worked examples"
    gaps = ", ".join(code(placeholder(field.name)) for field in speaker.signature.inputs)
    heading = f"The prompt in the format {code(speaker.predictor.format.version)}, with {shown}."
    if gaps:
        heading += f" A row's values take the place of {gaps}."
    if speaker.params:
        heading += f" The request also says {code(json.dumps(speaker.params), 4000)}."
    return heading
