"""`messages`: chat messages as JSON, with `{{name}}` where an input's value goes."""

from __future__ import annotations

import json
from typing import Any

from promptc.cli.exports.gaps import Turn, turns
from promptc.cli.exports.subject import Exported, Subject, rich_inputs


def messages(subject: Subject) -> Exported:
    """A list of messages; of a program with several predictors, a list for each by its name."""
    compiled = subject.compiled
    prompts = {name: turns(compiled, name) for name in compiled.speakers}
    document: Any = {name: _chat(prompt) for name, prompt in prompts.items()}
    notes = [
        note
        for name, speaker in compiled.speakers.items()
        for field in speaker.signature.inputs
        for note in _ambiguous(name, field.name, prompts[name])
    ]
    notes += [note for step in compiled.program.steps for note in map(_apart, rich_inputs(step))]
    if len(document) == 1:
        [document] = document.values()
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return Exported(text=text, notes=tuple(notes))


def placeholder(name: str) -> str:
    """What stands for an input."""
    return f"{{{{{name}}}}}"


def _apart(rich: str) -> str:
    return f"{rich}: whoever sends the messages has to put it there"


def _chat(prompt: tuple[Turn, ...]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.filled(placeholder)} for turn in prompt]


def _ambiguous(predictor: str, field: str, prompt: tuple[Turn, ...]) -> list[str]:
    """A warning where the prompt's own text looks like a gap."""
    written = placeholder(field)
    if any(written in piece for turn in prompt for piece in turn.pieces if isinstance(piece, str)):
        return [f"the prompt of {predictor} itself says {written}: whoever fills gaps must leave that one"]
    return []
