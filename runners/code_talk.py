"""How a model writes programs on the way to its answer, and what it is told of them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from promptc.runners.candidate import Turn
from promptc.runners.formats.fields_text import object_outline, outline, type_words
from promptc.runners.formats.json_text import dumps
from promptc.runners.formats.replies import answer_part
from promptc.runners.models.request import Completion, Message, ToolCall
from promptc.runners.talk import argument_lines, call_id, signature_of
from promptc.runners.tools.protocol import Function
from promptc.spec.fields import Signature

TOOL = "python"
"""What a program is called in the trace."""
_BLOCK = re.compile(r"```(?:python|py)[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)


class CodeTalk(msgspec.Struct, frozen=True):
    """Programs in fenced blocks. `seconds` is how long one may run."""

    signature: Signature
    functions: tuple[Function, ...]
    seconds: float

    def system(self) -> str:
        """What a program may do, and what it has to end with."""
        inputs = ", ".join(f"`{field.name}` ({type_words(field.schema)})" for field in self.signature.inputs)
        lines = [
            "Work the answer out with a program: reply with one block of Python and nothing else.",
            "",
            "```python\n…\n```",
            "",
            f"It runs for {self.seconds:g} seconds at most, without files or network; of the standard library there "
            "are math, json, re, datetime, random, collections, itertools, functools, decimal and bisect.",
        ]
        if inputs:
            lines.append(f"The inputs are variables: {inputs}.")
        if self.functions:
            lines.append("These functions are there, too; call them, without await:")
        for function in self.functions:
            lines.append(
                f"- {function.name}({', '.join(signature_of(function))}): {function.description}".rstrip(": ")
            )
            lines += [f"  {line}" for line in argument_lines(function)]
        lines += [
            *self._ending(),
            "What it prints, and its errors, come in the next message; then you may write",
        ]
        return "\n".join(lines) + " another program, or answer in the layout above."

    def params(self, *, final: bool) -> dict[str, Any]:
        """None."""
        return {}

    def read(self, signature: Signature, completion: Completion) -> tuple[str, tuple[ToolCall, ...]]:
        """The program in the reply's first block of Python; none where the reply is laid out as an answer."""
        text = answer_part(completion.text)
        block = _BLOCK.search(text)
        if block is None or _is_laid_out(signature, text[: block.start()]):
            return text, ()
        return text[: block.start()].strip(), (
            ToolCall(call_id(1), TOOL, dumps({"code": block[1].rstrip()})),
        )

    def turn(self, turn: Turn, number: int) -> tuple[Message, ...]:
        """The program, and what it printed or what was wrong; of a program that gave the answer, the program alone."""
        program = turn.calls[-1]
        said = f"{turn.text}\n\n" if turn.text else ""
        written = Message("assistant", f"{said}```python\n{program.arguments['code']}\n```")
        if turn.ends:
            return (written,)
        if program.failed:
            return (written, Message("user", f"The program gives no answer:\n{program.result}"))
        return (written, Message("user", f"The program printed:\n{program.result or '(nothing)'}"))

    def closing(self) -> tuple[Message, ...]:
        """The end of the last message."""
        return (
            Message("user", "\n\nNo more programs: answer now, in the layout above, with what you know."),
        )

    def _ending(self) -> list[str]:
        outputs = self.signature.outputs
        if len(outputs) == 1:
            shape = outline(outputs[0].schema)
            lines = [f"End it with an expression whose value is `{outputs[0].name}`: {shape[0]}", *shape[1:]]
        else:
            entries = [(field.name, outline(field.schema), "") for field in outputs]
            lines = ["End it with an expression whose value is a dict:", *object_outline(entries)]
        return lines


def _is_laid_out(signature: Signature, before: str) -> bool:
    """Whether the text before a block begins an answer in a format's layout: then the block is part of a value."""
    marks = [f'"{field.name}"' for field in signature.outputs] + [f"<{f.name}>" for f in signature.outputs]
    return "[[" in before or any(mark in before for mark in marks)
