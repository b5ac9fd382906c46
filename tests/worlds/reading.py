"""What the simulated models read: a prompt's instruction, demonstrations and row; a proposer's material."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.models.request import Request

_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*$", re.MULTILINE)
_NAMED = re.compile(r"`\[\[ ## (\w+) ## \]\]`")


class Heard(msgspec.Struct, frozen=True):
    """One task prompt: the system message, each demo's inputs and outputs, the row, and its length in all."""

    instruction: str
    demos: tuple[tuple[dict[str, str], dict[str, str]], ...]
    row: dict[str, str]
    characters: int


class Material(msgspec.Struct, frozen=True):
    """One proposer's prompt: the instruction in use, everything else, and what it is to answer with."""

    current: str
    others: str
    wanted: tuple[str, ...]


def draw(*parts: object) -> float:
    """A number in [0, 1) that is always the same for the same parts."""
    return _number(*parts) / 2**64


def generator(*parts: object) -> random.Random:
    """A random generator that always gives the same numbers for the same parts."""
    return random.Random(_number(*parts))


def sampled(request: Request) -> random.Random:
    """The generator of one request: another sample of the same prompt draws otherwise."""
    return generator(request.key())


def heard(request: Request) -> Heard:
    """A task prompt in its parts."""
    messages = [message for message in request.messages if message.content]
    system = "\n".join(m.content for m in messages if m.role == "system")
    turns = [m.content for m in messages if m.role != "system"]
    demos = tuple((sections(a), sections(b)) for a, b in zip(turns[:-1:2], turns[1:-1:2], strict=False))
    return Heard(system, demos, sections(turns[-1]), sum(len(m.content) for m in messages[:-1]))


def material(request: Request) -> Material:
    """A proposer's prompt in its parts."""
    last = request.messages[-1].content
    found = sections(last)
    current = "\n".join(text for name, text in found.items() if "current" in name)
    others = "\n".join(text for name, text in found.items() if "current" not in name)
    return Material(current, others, tuple(dict.fromkeys(_NAMED.findall(last))))


def sections(text: str) -> dict[str, str]:
    """Each marked section with its text; the reminder below the last one is cut off."""
    places = list(_SECTION.finditer(text))
    ends = [place.start() for place in places[1:]] + [len(text)]
    found = {}
    for place, end in zip(places, ends, strict=True):
        found[place[1]] = text[place.end() : end].split("\n\nAnswer with `[[", 1)[0].strip()
    return found


def answered(fields: Mapping[str, str]) -> str:
    """A reply in marked sections."""
    parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def proposed(seen: Material, instruction: str) -> str:
    """A proposer's reply: the instruction where one is asked for, a sentence elsewhere."""
    return answered(
        {name: instruction if _is_text(name) else "Rows with an answer each." for name in seen.wanted}
    )


def _is_text(name: str) -> bool:
    return "instruction" in name or "rule" in name


def values_of(text: str, name: str) -> list[tuple[int, str]]:
    """Where `name: value` or `name (expected): value` lines stand in a proposer's examples, and their values."""
    pattern = rf"^{name}(?: \((?:expected|right)\))?: ?(.*)$"
    return [(match.start(), match[1]) for match in re.finditer(pattern, text, re.MULTILINE)]


def examples(text: str, given: str, expected: str) -> list[tuple[str, str]]:
    """(input, right answer) of each example that shows both: an input goes with the last answer before the next."""
    inputs = values_of(text, given)
    answers = values_of(text, expected)
    found = []
    for number, (place, value) in enumerate(inputs):
        end = inputs[number + 1][0] if number + 1 < len(inputs) else len(text)
        mine = [answer for at, answer in answers if place < at < end]
        if mine:
            found.append((value, mine[-1]))
    return found


def invented(rng: random.Random, count: int) -> list[str]:
    """Different words of two or three syllables that mean nothing."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choices(syllables, k=rng.randint(2, 3))) + rng.choice("klmnrst")] = None
    return list(found)


def stated(lines: Sequence[str], cues: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    """What lines say that name exactly one cue and one answer; of two that speak of one cue the later counts."""
    found = {}
    cue_pattern = re.compile(rf"\b({'|'.join(map(re.escape, cues))})\b")
    answer_pattern = re.compile(rf"\b({'|'.join(map(re.escape, answers))})\b")
    for line in lines:
        named, said = set(cue_pattern.findall(line)), set(answer_pattern.findall(line))
        if len(named) == 1 and len(said) == 1:
            found[named.pop()] = said.pop()
    return found


def _number(*parts: Any) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")
