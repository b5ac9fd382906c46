"""Ability 3: an instruction with rules that tell the labels of the examples apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from promptc.runners.icl.draw import Draw
from promptc.runners.icl.examples import Seen, read_examples
from promptc.runners.icl.prompt import Prompt
from promptc.runners.icl.rules import Rule, phrase_matches, read_rule_line, write_rule
from promptc.runners.icl.separators import separators
from promptc.runners.icl.text import words
from promptc.runners.icl.wanted import Leaf, Listing, Wanted

_MOST_NEW = 6
_MOST_PHRASES = 20
_LONGEST_LABEL = 4
_UNLABELLED = re.compile(r"[-+\d.,%\s]*|null|none", re.IGNORECASE)
_BLANK = "Fill in the output fields."


def is_proposal(wanted: Wanted, prompt: Prompt) -> bool:
    """Whether a field asks for a new instruction, by its name and by those of the inputs to make it from."""
    item = wanted.node.item if isinstance(wanted.node, Listing) else wanted.node
    material = any(_is_instruction(name) or "example" in name.casefold() for name in prompt.inputs)
    return isinstance(item, Leaf) and item.kind == "text" and material and _is_instruction(wanted.name)


class Proposal(msgspec.Struct, frozen=True):
    """A new instruction, and in a line what it rests on."""

    instruction: str
    grounds: str


def propose(inputs: Mapping[str, str], draw: Draw) -> Proposal:
    """The current instruction with rules added, kept and taken back as the examples say.

    Without examples that expect labels it is the current instruction as it stands: nothing better is known.
    """
    current = "\n\n".join(text for name, text in inputs.items() if _is_instruction(name)).strip()
    examples = read_examples([text for name, text in inputs.items() if not _is_instruction(name)])
    lines = current.split("\n")
    prose = "\n".join(line for line in lines if read_rule_line(line) is None).strip()
    kept = [rule for line in lines if (rule := read_rule_line(line)) is not None]
    fields = _label_fields(examples)
    rules: dict[tuple[str, str], list[str]] = {}
    for field, label, phrases in kept:
        holding = [
            phrase for phrase in phrases if not _contradicted(phrase, label, _owner(field, fields), examples)
        ]
        rules.setdefault((field, label), []).extend(holding)
    for field in fields:
        shown = field if len(fields) > 1 else ""
        for label, phrases in _new_phrases(examples, field, words(prose), draw).items():
            known = rules.setdefault((shown, label), [])
            known.extend(phrase for phrase in phrases if phrase not in known)
    written = [
        write_rule(label, found[:_MOST_PHRASES], field) for (field, label), found in rules.items() if found
    ]
    grounds = f"Read {len(examples)} examples; {len(written)} labels have words that set them apart."
    return Proposal("\n\n".join(part for part in (prose or _BLANK, "\n".join(written)) if part), grounds)


def _new_phrases(
    examples: Sequence[Seen], field: str, common: Sequence[str], draw: Draw
) -> dict[str, list[str]]:
    """The best separators per label; with a temperature a random few of the good ones."""
    found: dict[str, list[str]] = {}
    for label, scored in separators(examples, field, common).items():
        number = _MOST_NEW if draw.temperature <= 0 else draw.random.randint(2, _MOST_NEW + 2)
        left = list(scored)
        chosen: list[tuple[str, ...]] = []
        while left and len(chosen) < number:
            _, phrase = left.pop(draw.pick([score for score, _ in left], 1.0))
            if not any(_contains(phrase, other) or _contains(other, phrase) for other in chosen):
                chosen.append(phrase)
        found[label] = [" ".join(phrase) for phrase in chosen]
    return found


def _label_fields(examples: Sequence[Seen]) -> list[str]:
    """The fields whose expected values are labels: short, not numbers, and not copied out of the text."""
    names = dict.fromkeys(name for each in examples for name in each.expected)
    return [name for name in names if _has_labels([each for each in examples if name in each.expected], name)]


def _has_labels(examples: Sequence[Seen], field: str) -> bool:
    values = [each.expected[field] for each in examples]
    short = all(
        0 < len(words(value)) <= _LONGEST_LABEL and "\n" not in value and not _UNLABELLED.fullmatch(value)
        for value in values
    )
    copied = sum(
        value.casefold() in each.text.casefold() for value, each in zip(values, examples, strict=True)
    )
    repeated = 2 * len(set(values)) <= len(values)
    return short and (repeated or 2 * copied <= len(values))


def _contradicted(phrase: str, label: str, field: str, examples: Sequence[Seen]) -> bool:
    """Whether the phrase stands in more examples of other labels than of its own."""
    rule = Rule(label, tuple(words(phrase)))
    matching = [
        each for each in examples if field in each.expected and phrase_matches(rule.phrase, words(each.text))
    ]
    own = sum(each.expected[field] == label for each in matching)
    return len(matching) > 2 * own


def _owner(field: str, fields: Sequence[str]) -> str:
    return field or (fields[0] if fields else "")


def _contains(long: Sequence[str], short: Sequence[str]) -> bool:
    return any(tuple(long[i : i + len(short)]) == tuple(short) for i in range(len(long) - len(short) + 1))


def _is_instruction(name: str) -> bool:
    return "instruction" in name.casefold() or name.casefold() in {"rules", "new_rules", "current_rules"}
