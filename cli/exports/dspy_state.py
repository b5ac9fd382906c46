"""`dspy`: the state that DSPy's `load` reads into `dspy.Predict` or `dspy.ChainOfThought`, and the signature for it.

DSPy's state holds instructions, descriptions and demos, but no names and no types: these stand in a signature class,
which is written beside the state as Python source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from promptc.cli.exports.python_literals import text_literal
from promptc.cli.exports.python_types import Types, class_name, is_name
from promptc.cli.exports.subject import (
    WRITTEN_BY,
    Exported,
    Subject,
    Uncarried,
    identifier,
    only_step,
    rich_inputs,
)
from promptc.runners.asking import Speaker
from promptc.runners.candidate import Demo
from promptc.runners.formats.fields_text import label_text, label_values, type_words
from promptc.runners.models.settings import provider_of
from promptc.runners.modules.chain_of_thought import ChainOfThought
from promptc.spec.fields import Field
from promptc.spec.model import Step

MODULES: Mapping[str, str] = {"predict": "Predict", "chain_of_thought": "ChainOfThought"}
FORMATS = ("chat", "json")
_SAID_BY_TYPES = frozenset({"type", "title", "description", "examples"})
EXAMPLE_MODEL = "openai/gpt-4.1-mini"
REASONING = "reasoning"
"""What DSPy calls the field that its ChainOfThought adds."""


def dspy_state(subject: Subject) -> Exported:
    """The state as JSON and, where the export has a name, the signature in a file of its own."""
    step = only_step(subject, "dspy")
    reasons = _uncarried(step)
    if reasons:
        raise Uncarried("dspy", reasons)
    [speaker] = subject.compiled.speakers.values()
    reasoning = _reasoning(subject, step)
    state = _predict_state(subject, speaker, reasoning)
    if step.module.name == "chain_of_thought":
        state = {"predict": state}
    state["metadata"] = {"dependency_versions": {}}
    text = json.dumps(state, indent=2, ensure_ascii=False) + "\n"
    notes = list(_lost(step, speaker))
    if subject.output is None:
        notes.append("the signature class is written beside the state where it goes to a file: -o FILE.json")
        return Exported(text=text, notes=tuple(notes))
    file = f"{identifier(subject.output.stem)}_signature.py"
    return Exported(text=text, beside={file: _signature_file(subject, step, speaker)}, notes=tuple(notes))


def _uncarried(step: Step) -> list[str]:
    """What DSPy does otherwise or not at all, by name."""
    reasons = []
    if step.module.name not in MODULES:
        reasons.append(f"the module {step.module.name} (only {' and '.join(MODULES)})")
    if step.format.name not in FORMATS:
        reasons.append(f"the format {step.format.name}: DSPy lays its prompts out itself")
    for field in (*step.signature.inputs, *step.signature.outputs):
        if not is_name(field.name):
            reasons.append(f"the field {field.name}, which is no name in Python")
    return [*reasons, *rich_inputs(step)]


def _reasoning(subject: Subject, step: Step) -> str:
    """What promptc calls the field that its chain_of_thought adds; "" without one."""
    module = subject.compiled.program.modules[step.name]
    if not isinstance(module, ChainOfThought):
        return ""
    return module.predictors(step.signature)[""].outputs[0].name


def _predict_state(subject: Subject, speaker: Speaker, reasoning: str) -> dict[str, Any]:
    """One predictor's state, its fields in DSPy's order: inputs, reasoning, outputs."""
    texts = subject.compiled.candidate.predictors.get(speaker.predictor.name)
    signature = speaker.signature
    return {
        "traces": [],
        "train": [],
        "demos": [_demo(demo, reasoning) for demo in (texts.demos if texts is not None else ())],
        "signature": {
            "instructions": signature.instructions,
            "fields": [_field_state(field, reasoning) for field in (*signature.inputs, *signature.outputs)],
        },
        "lm": None,
    }


def _field_state(field: Field, reasoning: str) -> dict[str, str]:
    name = REASONING if field.name == reasoning else field.name
    words = " ".join(word.capitalize() for word in name.split("_") if word)
    return {"prefix": f"{words}:", "description": _description(field) or f"${{{name}}}"}


def _demo(demo: Demo, reasoning: str) -> dict[str, Any]:
    values = {**demo.inputs, **demo.outputs}
    named = {REASONING if name == reasoning else name: value for name, value in values.items()}
    return {"augmented": True, **named} if demo.source == "bootstrapped" else named


def _description(field: Field) -> str:
    """The field's description with what DSPy's types do not say: what labels mean, ranges and patterns."""
    lines = [field.description] if field.description else []
    labels = label_values(field.schema)
    if labels is None and not field.holds_reasoning and field.schema.keys() - _SAID_BY_TYPES:
        lines.append(f"({type_words(field.schema)})")
    for value in labels or ():
        said = field.labels.get(value if isinstance(value, str) else label_text(value), "")
        if said:
            lines.append(f"- {label_text(value)}: {said}")
    return "\n".join(lines)


def _lost(step: Step, speaker: Speaker) -> list[str]:
    """What a user of the state should know."""
    lost = ["DSPy lays the prompt out itself: same instructions, fields and demos, other words around them"]
    if step.checks:
        lost.append(f"assert: is not carried ({len(step.checks)}); DSPy has Refine for that")
    if any(not field.required for field in speaker.signature.inputs):
        lost.append("inputs with a default have to be given to DSPy")
    return lost


def _signature_file(subject: Subject, step: Step, speaker: Speaker) -> str:
    """The signature class and how the state is loaded into it."""
    assert subject.output is not None
    name = class_name(subject.spec.name)
    types = Types("BaseModel", [name])
    program = subject.compiled.program
    members = [_member(field, types, name, "InputField") for field in program.inputs]
    members += [_member(field, types, name, "OutputField") for field in program.outputs]
    uses = "".join([*types.classes, *members])
    typing = [word for word in ("Any", "Literal", "NotRequired") if word in uses]
    model = subject.spec.model_named(speaker.predictor.model).model
    model = EXAMPLE_MODEL if provider_of(model) == "embedded" else model
    instructions = speaker.signature.instructions
    lines = [
        f'"""{WRITTEN_BY} --to dspy`: the signature, whose names and types stand in no state, and how to load it."""',
        "",
        "from pathlib import Path",
        *([f"from typing import {', '.join(typing)}"] if typing else []),
        "",
        "import dspy",
        *(["from pydantic import BaseModel"] if types.classes else []),
        "",
        "",
        *([f"{text}\n\n" for text in types.classes]),
        f"class {name}(dspy.Signature):",
        *([f"    {text_literal(instructions)}", ""] if instructions else []),
        *(f"    {member}" for member in members),
        "",
        "",
        f"def load() -> dspy.{MODULES[step.module.name]}:",
        f'    """The compiled program; before it is called: dspy.configure(lm=dspy.LM({text_literal(model)}))."""',
        f"    program = dspy.{MODULES[step.module.name]}({name})",
        f"    program.load(Path(__file__).with_name({text_literal(subject.output.name)}))",
        "    return program",
    ]
    return "\n".join(lines) + "\n"


def _member(field: Field, types: Types, name: str, kind: str) -> str:
    annotation = types.of(field.schema, f"{name}_{field.name}")
    said = _description(field)
    described = f"desc={text_literal(said)}" if said else ""
    return f"{field.name}: {annotation} = dspy.{kind}({described})"
