"""`template`: the user's own prompt, with `{{ field }}` filled in as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from promptc.runners.attachments import attached
from promptc.runners.candidate import Demo
from promptc.runners.formats.demonstrations import shown_demos
from promptc.runners.formats.inputs import input_text, input_value
from promptc.runners.formats.markers import MARKERS, end_name, marker, sections
from promptc.runners.formats.messages import joined
from promptc.runners.formats.problems import expectation
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.replies import Way, parse_reply, read_bare, read_json, read_lines, read_markers
from promptc.runners.formats.template_text import Part, Section, split_template
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Signature

Style = Literal["markers", "json", "lines", "value"]

_WAYS: dict[Style, tuple[Way, ...]] = {
    "markers": (read_markers, read_json, read_lines, read_bare),
    "json": (read_json, read_markers, read_lines, read_bare),
    "lines": (read_lines, read_markers, read_json, read_bare),
    "value": (read_lines, read_bare),
}
_BUILT_IN = ("instructions", "demos")


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's own prompt text.

    `{{ field }}` stands for an input, `{{ instructions }}` for the instructions and `{{ demos }}` for the
    demos, each written like what follows for the row; without it, demos are turns before the row. Lines
    `--- system ---`, `--- user ---` and `--- assistant ---` begin messages; a text without them is one user
    message. `\\{{` writes two braces.
    The prefix ends before the message with the first input, or in that message behind `{{ demos }}`; then it
    comes in two, which `messages.joined` makes one again.
    """

    version: ClassVar[str] = "template/1"

    text: Annotated[
        str,
        msgspec.Meta(
            description="The prompt, with {{ field }} for each input.",
            examples=["{{ instructions }}\n\n{{ demos }}\n\nMessage: {{ message }}\nQueue:"],
        ),
    ]

    def check(self, signature: Signature) -> list[str]:
        """What is wrong with the template for this signature, one sentence each; empty when nothing is."""
        names = _input_names(signature)
        fixed, varying = split_template(self.text, names)
        parts = [part for section in (*fixed, *varying) for part in section.parts]
        if not parts:
            return ["the template is empty"]
        found = [
            _unknown(part, names) for part in parts if part.name and part.name not in (*names, *_BUILT_IN)
        ]
        used = {part.name for part in parts}
        found.extend(
            f"the template has no {{{{ {name} }}}}, so the model would never see that input"
            for name in names
            if name not in used
        )
        if any(part.name == "demos" for section in varying for part in section.parts):
            found.append(
                "{{ demos }} stands on or behind the line of an input: move it before the first input"
            )
        return list(dict.fromkeys(found))

    def shows_instructions(self) -> bool:
        """Whether `{{ instructions }}` is in the template; without it, an optimizer's have no effect."""
        return any(
            part.name == "instructions"
            for section in split_template(self.text, ())[0]
            for part in section.parts
        )

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """What stands before the row's part, with instructions and demos."""
        fixed, varying = split_template(self.text, _input_names(signature))
        worked = [
            (_filled(varying, signature, inputs), self._answer(signature, outputs))
            for inputs, outputs in shown_demos(signature, demos)
        ]
        blocks = "\n\n".join(_demo_text(messages, answer) for messages, answer in worked)
        messages = _messages(fixed, {"instructions": signature.instructions, "demos": blocks})
        if any(part.name == "demos" for section in fixed for part in section.parts):
            return messages
        return joined(messages, *(_demo_turn(turn, answer) for turn, answer in worked))

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The message with the first input, and what follows. KeyError when a required input is missing."""
        _, varying = split_template(self.text, _input_names(signature))
        return _filled(varying, signature, {f.name: input_value(f, inputs) for f in signature.inputs})

    def params(self, signature: Signature) -> dict[str, Any]:
        """None: the template says what it wants."""
        return {}

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The output values, in the way that the template asks for or else in another one; or ParseError."""
        style = self.style(signature)
        return parse_reply(signature, completion.text, _WAYS[style], lambda _: _nothing(signature, style))

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The error and how to answer."""
        return f"That answer cannot be used. {error}\n\n{_reminder(signature, self.style(signature))}"

    def style(self, signature: Signature) -> Style:
        """How the template asks for outputs: markers or JSON if it mentions them, else the value or lines."""
        if any(marker(field.name) in self.text for field in signature.outputs):
            return "markers"
        if "JSON" in self.text:
            return "json"
        return "value" if len(signature.outputs) == 1 else "lines"

    def _answer(self, signature: Signature, outputs: Mapping[str, Any]) -> str:
        style = self.style(signature)
        if style == "json":
            return MARKERS.as_json(outputs)
        answers = {
            field.name: MARKERS.as_answer(field, outputs[field.name])
            for field in signature.outputs
            if field.name in outputs
        }
        if style == "markers":
            return f"{sections(answers)}\n\n{marker(end_name(signature))}"
        if style == "value":
            return next(iter(answers.values()))
        return "\n".join(f"{name}: {text}" for name, text in answers.items())


def _input_names(signature: Signature) -> tuple[str, ...]:
    return tuple(field.name for field in signature.inputs)


def _unknown(part: Part, names: tuple[str, ...]) -> str:
    known = (*names, *_BUILT_IN)
    if not part.name.isidentifier():
        return f"{part.text} is not a name: fields are filled in as they are, without expressions"
    near = get_close_matches(part.name, known, n=1)
    hint = f"did you mean {{{{ {near[0]} }}}}?" if near else f"known are {', '.join(known)}"
    return f"{part.text} is no input of this step; {hint}"


def _row_values(signature: Signature, inputs: Mapping[str, Any]) -> dict[str, str]:
    """The text of every place in a row's part. A demo may lack an input, which then is empty."""
    texts = {
        field.name: input_text(field, inputs[field.name], MARKERS) if field.name in inputs else ""
        for field in signature.inputs
    }
    return {"instructions": signature.instructions, "demos": "", **texts}


def _filled(
    template: Sequence[Section], signature: Signature, inputs: Mapping[str, Any]
) -> tuple[Message, ...]:
    """The row's part with these inputs; what they attach goes with the last user message."""
    messages = list(_messages(template, _row_values(signature, inputs)))
    files = attached(signature.inputs, inputs)
    users = [place for place, message in enumerate(messages) if message.role == "user"]
    if files and users:
        messages[users[-1]] = msgspec.structs.replace(messages[users[-1]], attachments=files)
    return tuple(messages)


def _messages(template: Sequence[Section], values: Mapping[str, str]) -> tuple[Message, ...]:
    return tuple(Message(section.role, section.filled(values)) for section in template)


def _demo_turn(turn: Sequence[Message], answer: str) -> tuple[Message, ...]:
    """The row's part filled with a demo, and its answer behind what the template begins the answer with."""
    if not turn:
        return ()
    if turn[-1].role == "assistant":
        return (*turn[:-1], Message("assistant", _appended(turn[-1].content, answer)))
    return (*turn, Message("assistant", answer))


def _demo_text(turn: Sequence[Message], answer: str) -> str:
    return _appended("\n".join(message.content for message in turn), answer)


def _appended(text: str, answer: str) -> str:
    if not text:
        return answer
    return (
        f"{text} {answer}" if text.endswith((":", "=", ">")) and "\n" not in answer else f"{text}\n{answer}"
    )


def _reminder(signature: Signature, style: Style) -> str:
    names = [field.name for field in signature.outputs]
    if style == "markers":
        order = ", then ".join(f"`{marker(name)}`" for name in names)
        return f"Answer with {order}, and end with `{marker(end_name(signature))}`."
    if style == "json":
        return f"Answer with one JSON object with the keys {', '.join(f'`{name}`' for name in names)}."
    if style == "lines":
        return "Answer with these lines and nothing else:\n" + "\n".join(f"{name}: …" for name in names)
    return (
        f"Answer with the value of `{names[0]}` and nothing else: {expectation(signature.outputs[0].schema)}."
    )


def _nothing(signature: Signature, style: Style) -> str:
    names = ", ".join(f"`{field.name}`" for field in signature.outputs)
    kind = {
        "markers": "sections",
        "json": "a JSON object with",
        "lines": "lines for",
        "value": "a value for",
    }[style]
    return f"The reply has no {kind.removeprefix('a ')} {names}"
