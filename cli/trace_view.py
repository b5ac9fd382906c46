"""How `promptc trace` shows a row: a tree of steps for a person, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from promptc.cli.json_output import json_text
from promptc.cli.reports.look import ACCENT, BAD, CAUTION, GOOD, HEADING, QUIET
from promptc.cli.tracing import Traced
from promptc.cli.untrusted import excerpt, one_line, visible
from promptc.runners.candidate import Called
from promptc.runners.exchange import Exchange
from promptc.runners.models.request import Message
from promptc.runners.step_call import TraceStep

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

VALUE = 400
"""Characters of a value that are shown without -v."""
MESSAGE_LINES = 24
"""Lines of a message that are shown without -v."""


def trace_document(traced: Traced) -> str:
    """The row and its steps as one JSON document."""
    return json_text({"row": traced.line, "steps": traced.steps})


def trace_tree(traced: Traced, *, step: str | None, whole: bool) -> RenderableType:
    """The row with its steps as branches. `whole` cuts nothing."""
    from rich.tree import Tree

    line = traced.line
    title = _text(f"row {one_line(line.id)}", HEADING)
    score = "unscored" if line.score is None else f"score {line.score:.3f}"
    aside = " · ".join(part for part in (line.split, line.candidate, score) if part)
    title.append(f"  {aside}", style=f"not bold {QUIET}")
    tree = Tree(title, guide_style=QUIET)
    for traced_step in traced.steps:
        if step is None or traced_step.predictor == step or traced_step.predictor.startswith(f"{step}."):
            _add(tree, traced_step, whole)
    if line.failure is not None:
        tree.add(_text(f"failed: {line.failure.kind}: {line.failure.message}", BAD))
    for name, value in (line.outputs or {}).items():
        tree.add(_value("=", name, value, whole, GOOD))
    for name, value in line.expected.items():
        tree.add(_value("gold", name, value, whole, QUIET))
    for name, sentence in line.feedback.items():
        tree.add(_value("says", name, sentence, whole, CAUTION))
    return tree


def _add(tree: Tree, step: TraceStep, whole: bool) -> None:
    title = _text(step.predictor, f"bold {ACCENT}")
    if step.kind != "predict":
        title.append(f"  {step.kind}", style=BAD if step.kind == "failed" else QUIET)
    if step.reasks:
        title.append(f"  asked again {step.reasks}×", style=CAUTION)
    if not step.kept:
        title.append("  not taken", style=QUIET)
    branch = tree.add(title)
    for number, exchange in enumerate(step.exchanges, start=1):
        _add_exchange(branch, exchange, number, len(step.exchanges), whole)
    if not step.exchanges:
        for name, value in step.inputs.items():
            branch.add(_value("in", name, value, whole, QUIET))
    for called in (called for turn in step.turns for called in turn.calls):
        branch.add(_called(called, whole))
    for name, value in step.outputs.items():
        branch.add(_value("out", name, value, whole, "default"))
    for note in step.notes:
        branch.add(_text(f"note  {one_line(note, 10_000 if whole else VALUE)}", CAUTION))


def _add_exchange(branch: Tree, exchange: Exchange, number: int, of: int, whole: bool) -> None:
    again = f" {number} of {of}" if of > 1 else ""
    sent = branch.add(_text(f"sent{again}  {_counted(exchange.messages)}", QUIET))
    shown = exchange.messages if whole else exchange.messages[-1:]
    for message in shown:
        sent.add(_text(f"{message.role}\n{_cut(message.shown(), whole)}", "default"))
    got = branch.add(_text("received", QUIET))
    if exchange.reasoning:
        got.add(_text(f"reasoning\n{_cut(exchange.reasoning, whole)}", QUIET))
    got.add(_text(_cut(exchange.reply, whole) or "(nothing)", "default"))
    if exchange.problem:
        branch.add(_text(f"wrong  {exchange.problem}", CAUTION))


def _called(called: Called, whole: bool) -> Text:
    text = _value("tool", called.tool, called.arguments, whole, "default")
    mark = "  ✗ " if called.failed else "  → "
    return text.append(
        mark + excerpt(called.result, 100_000 if whole else VALUE), style=BAD if called.failed else GOOD
    )


def _latest(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The last message, or all results of tools since the model called them."""
    place = len(messages) - 1
    while place > 0 and messages[place - 1].role == "tool":
        place -= 1
    return messages[place:]


def _counted(messages: tuple[Message, ...]) -> str:
    characters = sum(len(message.content) for message in messages)
    noun = "message" if len(messages) == 1 else "messages"
    return f"{len(messages)} {noun}, {characters:,} characters"


def _cut(text: str, whole: bool) -> str:
    lines = text.strip("\n").split("\n")
    if whole or len(lines) <= MESSAGE_LINES:
        return "\n".join(lines)
    return "\n".join([*lines[:MESSAGE_LINES], f"… {len(lines) - MESSAGE_LINES} more lines, shown with -v"])


def _value(label: str, name: str, value: Any, whole: bool, style: str) -> Text:
    from rich.text import Text

    text = Text(f"{label}  ", style=QUIET)
    text.append(f"{visible(name)}: ", style="bold")
    return text.append(excerpt(msgspec.to_builtins(value), 100_000 if whole else VALUE), style=style)


def _text(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(visible(text), style=style)
