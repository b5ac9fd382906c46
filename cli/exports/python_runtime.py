"""What an exported Python file holds besides promptc's own reading of replies.

Nothing imports this file when promptc runs: `python_bundle` copies its definitions into exports, and tests import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptc.runners.formats.escaping import Escaping
from promptc.runners.formats.inputs import input_value
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.replies import Way, parse_reply
from promptc.runners.models.transports.reply import finish_reason, split_reasoning
from promptc.spec.fields import Signature

Messages = list[dict[str, str]]
Complete = Callable[[Messages, Mapping[str, Any]], tuple[str, str | None]]
"""Asks a model: messages and further parameters in, the reply's text and its finish reason out."""


class NoAnswer(Exception):
    """The model gave no answer that could be used."""


@dataclass(frozen=True)
class Prompt:
    """What is sent and how the reply is read.

    `messages` are pairs of role and text, or of role and pieces: texts, and {"input": name} where a value is filled in.
    `correction` is what a reply that cannot be read is answered with, `{}` standing for the error; that is done
    `retries` times at most. `returned` are the outputs that the caller gets. `ways` gives the ways in which a reply is
    read; it is told whether the reply is complete.
    """

    messages: Sequence[tuple[str, str | Sequence[str | Mapping[str, str]]]]
    signature: Signature
    returned: Sequence[str]
    escaping: Escaping
    ways: Callable[[bool], Sequence[Way]]
    nothing: Callable[[str], str]
    correction: str
    retries: int
    params: Mapping[str, Any]


def rendered(prompt: Prompt, inputs: Mapping[str, Any]) -> Messages:
    """The messages for these inputs. A value cannot forge a section: what looks like a marker in it is escaped."""
    fields = {field.name: field for field in prompt.signature.inputs}

    def filled(piece: str | Mapping[str, str]) -> str:
        if isinstance(piece, str):
            return piece
        return prompt.escaping.as_text(input_value(fields[piece["input"]], inputs))

    return [
        {"role": role, "content": text if isinstance(text, str) else "".join(map(filled, text))}
        for role, text in prompt.messages
    ]


def answer(prompt: Prompt, inputs: Mapping[str, Any], complete: Complete) -> dict[str, Any]:
    """The outputs that the caller gets. Raises NoAnswer, and KeyError for an input that is missing."""
    outputs = ask(prompt, inputs, complete)
    return {name: outputs[name] for name in prompt.returned}


def ask(prompt: Prompt, inputs: Mapping[str, Any], complete: Complete) -> dict[str, Any]:
    """The outputs, asked again with the exact error where a reply does not hold them. Raises NoAnswer."""
    messages = rendered(prompt, inputs)
    for attempt in range(prompt.retries + 1):
        said, ended = complete(messages, prompt.params)
        finish, (text, _) = finish_reason(ended), split_reasoning(said)
        if finish == "refused":
            raise NoAnswer(text[:200] or "the model refused to answer")
        try:
            return parse_reply(prompt.signature, text, prompt.ways(finish != "length"), prompt.nothing)
        except ParseError as error:
            if finish == "length":
                raise NoAnswer(f"the reply was cut off at its length limit: {error}") from error
            if attempt == prompt.retries:
                raise NoAnswer(str(error)) from error
            correction = prompt.correction.replace("{}", str(error), 1)
        messages = [
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": correction},
        ]
    raise AssertionError("unreachable")
