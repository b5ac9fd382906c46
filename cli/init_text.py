"""The YAML that `promptc init` writes: a spec with comments for somebody who sees one for the first time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from promptc.cli.untrusted import one_line
from promptc.spec.dump import dump_tree

SCHEMA_NAME = "promptc.schema.json"
WIDTH = 100

_COMMENTS: Mapping[str, str] = {
    "data": "One file, cut into train, dev and test. train:, dev: and test: may also be given a file each.",
    "fields": "What goes in and what comes out. Give a field a description: where its name does not say it "
    "all; the description stands in the prompt.",
    "instructions": "What the model is told to do. `promptc optimize` finds the examples to show with it.",
    "module": "predict answers at once; chain_of_thought reasons first.",
    "metrics": "What judges an answer, from 0 to 1. Several metrics are averaged by their weight.",
    "optimizer": "How `promptc optimize` searches.",
    "slices": "Columns whose values get figures of their own.",
}
_ENUM = "enum: may also map each value to what it means."
_MODELS = (
    "Any litellm name, such as openai/gpt-4.1-mini. A server of your own is a mapping with model:, "
    "api_base: and, where it wants one, api_key:."
)
_EMBEDDED = (
    "embedded/icl is built into promptc for trying things out: no key, no network, and little understanding."
)

OPTIONAL = """\
# Walls for a search. Without them the estimate of `promptc plan` is the wall.
# budget: {calls: 3000, usd: 2.50}

# What has to hold; a gate that fails is exit code 1.
# gates:
#   - test.score >= 0.80
"""


def spec_text(tree: Mapping[str, Any], *, title: str, unused: Sequence[str] = ()) -> str:
    """The spec with a comment above each section. `unused` are sentences on columns that no field reads."""
    parts = [f"# yaml-language-server: $schema=./{SCHEMA_NAME}\n{_comment(title)}"]
    head = {key: tree[key] for key in ("version", "name", "description") if key in tree}
    parts[0] += dump_tree(head)
    for key, value in tree.items():
        if key not in head:
            parts.append(_comment(*_sentences(key, value, unused)) + dump_tree({key: value}))
    return "\n".join([*parts, OPTIONAL])


def _sentences(key: str, value: Any, unused: Sequence[str]) -> list[str]:
    if key == "models":
        embedded = [_EMBEDDED] if any(str(model).startswith("embedded/") for model in value.values()) else []
        return [_MODELS, *embedded]
    if key == "fields":
        enum = [_ENUM] if any(isinstance(t.get("enum"), list) for t in value["outputs"].values()) else []
        return [" ".join([_COMMENTS[key], *enum]), *unused]
    return [_COMMENTS[key]] if key in _COMMENTS else []


def _comment(*sentences: str) -> str:
    """The sentences as comment lines. Whatever they quote, none of it ends the comment."""
    lines = []
    for sentence in sentences:
        lines += textwrap.wrap(
            one_line(sentence, 600),
            WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "".join(f"{line}\n" for line in lines)
