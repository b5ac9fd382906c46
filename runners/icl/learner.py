"""A prompt's fixed part read once, and rows answered from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.icl.case import Case, Lessons
from promptc.runners.icl.draw import Draw
from promptc.runners.icl.estimators import Estimator
from promptc.runners.icl.free_prompt import read_free
from promptc.runners.icl.grounds import grounds_of, is_grounds
from promptc.runners.icl.prompt import Prompt, Row, is_fielded, read_fielded, read_row, row_index
from promptc.runners.icl.proposal import is_proposal, propose
from promptc.runners.icl.reply import written
from promptc.runners.icl.rules import read_hints
from promptc.runners.icl.teaching import Teacher
from promptc.runners.icl.text import name_words
from promptc.runners.icl.wanted import Label, Leaf, Listing, Node, Wanted
from promptc.runners.models.request import Message


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A prompt with an estimator for each output that is neither grounds nor a proposal."""

    prompt: Prompt
    lessons: Lessons
    estimators: Mapping[str, Estimator]

    def answer(self, row: Row, draw: Draw) -> str:
        """The reply for one row."""
        case = Case(row.inputs, self.lessons)
        values: dict[str, Any] = {
            name: estimator.guess(case, draw, _refused(name, row.refusals))
            for name, estimator in self.estimators.items()
        }
        line = ""
        for wanted in self.prompt.outputs:
            if not is_proposal(wanted, self.prompt):
                continue
            proposal = propose(row.inputs, draw)
            listed = isinstance(wanted.node, Listing)
            values[wanted.name] = [proposal.instruction] if listed else proposal.instruction
            line = proposal.grounds
        names = [wanted.name for wanted in self.prompt.outputs]
        if values.keys() < set(names):
            line = line or grounds_of(case, self.lessons, self.estimators)
        return written(self.prompt, {name: values.get(name, line) for name in names})


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A request taken apart: what many rows share, a key that stands for it, and the row.

    `shared` are the messages that the key's cost in tokens is counted for.
    """

    key: Hashable
    shared: tuple[Message, ...]
    prompt: Callable[[], Prompt]
    row: Row


def take_apart(messages: tuple[Message, ...]) -> Asked:
    """The fixed part and the row of a request in one of promptc's formats, or in a form of its own."""
    index = row_index(messages)
    prefix = messages[:index]
    if is_fielded(prefix):
        return Asked(prefix, prefix, lambda: read_fielded(prefix), read_row(messages[index:]))
    prompt, row = read_free(messages)
    return Asked(repr(prompt), (), lambda: prompt, row)


def prepare(prompt: Prompt) -> Prepared:
    """Everything that a prompt teaches, before any row is seen."""
    labels = [label for wanted in prompt.outputs for label in _labels(wanted.node)]
    prose = [*prompt.prose.splitlines(), *(f"{label.name} {label.description}" for label in labels)]
    known = frozenset(word for label in labels for word in name_words(label.name))
    lessons = Lessons(prompt.demos, prose, known)
    estimators = {
        wanted.name: _estimator(wanted, prompt, lessons)
        for wanted in prompt.outputs
        if not is_proposal(wanted, prompt) and not is_grounds(wanted, prompt)
    }
    return Prepared(prompt, lessons, estimators)


def _estimator(wanted: Wanted, prompt: Prompt, lessons: Lessons) -> Estimator:
    flag = isinstance(wanted.node, Leaf) and wanted.node.kind == "flag"
    names = ["true", "false"] if flag else [label.name for label in _labels(wanted.node)]
    others = [other.name for other in prompt.outputs if other.name != wanted.name]
    hints = read_hints(prompt.instructions, wanted.name, names, others)
    subject = " ".join([*name_words(wanted.name), wanted.description])
    values = [demo.outputs.get(wanted.name, msgspec.UNSET) for demo in prompt.demos]
    return Teacher(lessons, hints, subject).estimator(wanted.node, values)


def _labels(node: Node) -> tuple[Label, ...]:
    if isinstance(node, Leaf):
        return node.labels
    inner = [node.item] if isinstance(node, Listing) else list(node.members.values())
    return tuple(label for each in inner for label in _labels(each))


def _refused(name: str, refusals: Sequence[str]) -> int:
    """How many earlier answers were refused for this field: those that name it, or that name none."""
    reasons = [refusal.partition("\n\n")[0] for refusal in refusals]
    return sum(f"`{name}`" in reason or f"`{name}." in reason or "`" not in reason for reason in reasons)
