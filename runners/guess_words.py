"""What the names of columns tell: the last word with a meaning decides."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["input", "output", "working", "about"]
"""What goes in, what comes out, what explains the answer, what is a remark about the row."""

_OUTPUTS = frozenset({
    "answer", "answers", "category", "class", "completion", "department", "emotion", "entities",
    "expected", "extracted", "extraction", "gold", "golds", "grade", "intent", "intents", "label",
    "labels", "order", "output", "outputs", "priority", "queue", "rating", "reference", "references",
    "reply", "response", "result", "score", "sentiment", "severity", "sql", "stance", "summary", "tag",
    "tags", "target", "targets", "team", "topic", "topics", "translation", "urgency", "verdict",
})  # fmt: skip
_INPUTS = frozenset({
    "abstract", "article", "claim", "comment", "context", "conversation", "description", "dialogue",
    "document", "email", "excerpt", "hypothesis", "input", "inputs", "instruction", "mail", "message",
    "messages", "paragraph", "passage", "passages", "post", "premise", "problem", "prompt", "query",
    "question", "review", "sentence", "statement", "story", "subject", "ticket", "title", "transcript",
    "tweet", "utterance",
})  # fmt: skip
_WORKINGS = frozenset({
    "cot", "explanation", "explanations", "rationale", "rationales", "reasoning", "solution", "thought",
    "thoughts",
})  # fmt: skip
_ABOUT = frozenset({
    "author", "channel", "created", "customer", "date", "difficulty", "domain", "file", "fold", "lang",
    "language", "locale", "path", "region", "row", "source", "split", "subset", "time", "timestamp",
    "updated", "uri", "url", "user", "version", "year",
})  # fmt: skip
_PLAIN = frozenset({"body", "content", "contents", "string", "text", "texts", "value"})
_IDS = frozenset({"guid", "id", "uuid"})
_COUNTERS = frozenset({"idx", "index", "n", "no", "nr", "num", "number", "row"})
_CHOICES = frozenset({"answers", "golds", "references", "targets"})


def role(name: str) -> Role | None:
    """The role that a name stands for, if any: `ticket_priority` is a priority, an output."""
    plain = False
    for word in reversed(words(name)):
        if word in _PLAIN:
            plain = True
        elif word in _OUTPUTS:
            return "output"
        elif word in _INPUTS or (plain and word in _ABOUT):
            return "input"
        elif word in _WORKINGS:
            return "working"
        elif word in _ABOUT:
            return "about"
    return "input" if plain else None


def names_id(name: str) -> bool:
    """`id`, `ticket_id`, `rowUUID`."""
    return words(name)[-1:] != [] and words(name)[-1] in _IDS


def names_counter(name: str) -> bool:
    """`index`, `row_number`, or no name at all."""
    return not words(name) or words(name)[-1] in _COUNTERS


def names_choices(name: str) -> bool:
    """A plural that stands for several acceptable values: `answers`."""
    return name.lower() in _CHOICES


def words(name: str) -> list[str]:
    """The words of a name, in lower case: `customerMessage_2` is customer, message, 2."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W_]+", parted)]
