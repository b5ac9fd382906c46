"""Prompts in a form of their own: what can be made out of a user's template without being told its fields.

Demos are earlier turns, or blocks of the text that end like the row does but go on with an answer. Labels are
read where the text lists them: as bullets, in quotes or backticks, or between commas. Everything else is one
text in and one value out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from promptc.runners.formats.json_text import NotJson, decode
from promptc.runners.icl.prompt import Prompt, Row, Style, Worked, sections
from promptc.runners.icl.wanted import Label, Leaf, Listing, Node, Record, Wanted
from promptc.runners.models.request import Message

_REFUSED = "That answer cannot be used."
_CUE = re.compile(r"(?:^|\n)([^\n]{1,60}[:=>])[ \t]*\Z")
_HEAD = re.compile(r"[^\n:=>]{0,60}[:=>]")
_MARKER = re.compile(r"\[\[ ?## ?([^\]\n`]+?) ?## ?\]\]")
_BULLETS = re.compile(r"(?:^[ \t]*[-*•][ \t]+\S[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)
_MARKED = re.compile(r"[`\"“']([^`\"“”'\n]{1,40})[`\"”']")
_NAME = r"[^\s,.:;]+(?: [^\s,.:;]+){0,2}"
_COMMAS = re.compile(rf"(?::|\bof)\s+(?:one of )?((?:{_NAME}, )+(?:(?:or|and) )?{_NAME})")
_KEYS = re.compile(r"[`\"](\w+)[`\"]")
_LINE = re.compile(r"^([^\n:]{1,60}):[ \t]*(.*)$")

Pair = tuple[str, str]
"""The text that went in, and the answer that came out."""


def read_free(messages: Sequence[Message]) -> tuple[Prompt, Row]:
    """The prompt and the row in messages that no format of promptc's own has written."""
    kept, refusals = _without_refusals(messages)
    system = "\n\n".join(message.content for message in kept if message.role == "system")
    turns, asked, lead = _turns(kept)
    style = _style(f"{system}\n{asked}", turns)
    if turns:
        fixed, pairs, text = _from_turns(turns, asked)
    else:
        fixed, pairs, text = _from_text(f"{asked}\n{lead}".strip(), style)
    instructions = f"{system}\n{fixed}".strip()
    answers = [_answer(answer, style) for _, answer in pairs]
    names = _output_names(answers, instructions + text, style)
    demos = [Worked({"": given}, answer) for (given, _), answer in zip(pairs, answers, strict=True)]
    # Without demos nothing tells the instructions from the row's own text, so labels are looked for in both.
    prose = instructions or text
    prompt = Prompt(
        instructions=prose,
        outputs=tuple(
            Wanted(name, _node([answer.get(name) for answer in answers], prose, names)) for name in names
        ),
        demos=tuple(demos),
        style="lines" if style == "value" and len(names) > 1 else style,
        prose=prose,
    )
    return prompt, Row(inputs={"": text}, refusals=refusals)


def _without_refusals(messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    kept = list(messages)
    refusals: list[str] = []
    while len(kept) > 2 and kept[-1].role == "user" and kept[-1].content.startswith(_REFUSED):
        refusals.insert(0, kept.pop().content)
        kept.pop()
    return kept, tuple(refusals)


def _turns(messages: Sequence[Message]) -> tuple[list[Pair], str, str]:
    """Each earlier user message with its answer, what is asked last, and how its answer already begins."""
    said = [message for message in messages if message.role != "system"]
    lead = said.pop().content.strip() if said and said[-1].role == "assistant" else ""
    pairs: list[Pair] = []
    while len(said) > 2 and (said[0].role, said[1].role) == ("user", "assistant"):
        pairs.append((said[0].content, said[1].content.strip().removeprefix(lead).strip()))
        said = said[2:]
    return pairs, "\n".join(message.content for message in said), lead


def _style(text: str, turns: Sequence[Pair]) -> Style:
    shown = "\n".join([text, *(answer for _, answer in turns)])
    if _MARKER.search(shown):
        return "markers"
    return "json" if "JSON" in shown else "value"


def _from_turns(turns: Sequence[Pair], asked: str) -> tuple[str, list[Pair], str]:
    """What stands before the first row or before every row, the demos, and the row."""
    texts = [*(given for given, _ in turns), asked]
    shared, bare = _without_shared_lines(texts)
    if not shared:
        begin = _block_start(texts[0], asked)
        shared, texts[0] = texts[0][:begin], texts[0][begin:]
        _, bare = _without_shared_lines(texts)
    return shared, [(given, answer) for given, (_, answer) in zip(bare, turns, strict=False)], bare[-1]


def _from_text(text: str, style: Style) -> tuple[str, list[Pair], str]:
    """The same out of one text: every answer ends a block."""
    answers = list(_answers_in(text, style))
    if not answers:
        return _split_blind(text)
    row = text[answers[-1][1] :]
    begin = _block_start(text[: answers[0][0]], row)
    starts = [begin, *(end for _, end in answers[:-1])]
    pairs = [(text[a:b].strip(), text[b:c].strip()) for a, (b, c) in zip(starts, answers, strict=True)]
    cue = _cue(text)
    pairs = [(given, answer.removeprefix(cue).strip()) for given, answer in pairs]
    return text[:begin], pairs, row.strip().removesuffix(cue).strip()


def _answers_in(text: str, style: Style) -> Iterator[tuple[int, int]]:
    """Where answers stand in a text: behind the cue that it ends with, in lines of JSON, or under markers."""
    if style == "json":
        yield from (match.span() for match in re.finditer(r"^\{.*\}[ \t]*$", text, re.MULTILINE))
    elif style == "markers":
        found = re.finditer(r"^\[\[ ?##.*?^\[\[ ?## ?completed ?## ?\]\]", text, re.MULTILINE | re.DOTALL)
        yield from (match.span() for match in found)
    elif cue := _cue(text):
        found = re.finditer(rf"^{re.escape(cue)}[ \t]*\S[^\n]*", text, re.MULTILINE)
        yield from (match.span() for match in found)


def _split_blind(text: str) -> tuple[str, list[Pair], str]:
    """Without any demo: the last paragraph is the row, without its cue."""
    cue = _cue(text)
    body = text.strip().removesuffix(cue).rstrip()
    place = body.rfind("\n\n")
    return body[: max(place, 0)], [], body[place + 1 :].strip()


def _cue(text: str) -> str:
    match = _CUE.search(text.rstrip())
    return match[1].strip() if match else ""


def _block_start(text: str, row: str) -> int:
    """Where the last block begins that starts with the same words as the row, such as `Message:`."""
    match = _HEAD.match(row.lstrip())
    head = match[0] if match else row.lstrip().partition("\n")[0]
    place = text.rfind(f"\n{head}") + 1 if head else 0
    paragraph = text.rfind("\n\n")
    return place or (0 if text.startswith(head) or paragraph < 0 else paragraph + 2)


def _without_shared_lines(texts: Sequence[str]) -> tuple[str, list[str]]:
    """The lines that all texts begin with; the texts without these and without those that all end with."""
    lines = [text.strip().split("\n") for text in texts]
    shared: list[str] = []
    while all(len(each) > 1 for each in lines) and len({each[0] for each in lines}) == 1:
        shared.append(lines[0][0])
        lines = [each[1:] for each in lines]
    while all(len(each) > 1 for each in lines) and len({each[-1] for each in lines}) == 1:
        lines = [each[:-1] for each in lines]
    return "\n".join(shared), ["\n".join(each).strip() for each in lines]


def _answer(text: str, style: Style) -> dict[str, Any]:
    """The values in an answer, by name; a bare value has the name `value`."""
    if style == "markers":
        return {name: value for name, value in sections(text).items() if name not in {"", "completed"}}
    if style == "json":
        try:
            value = decode(text)
        except NotJson:
            value = None
        return value if isinstance(value, dict) else {}
    matches = [_LINE.match(line) for line in text.strip().split("\n")]
    if len(matches) > 1 and all(matches):
        return {match[1].strip(): match[2].strip() for match in matches if match}
    return {"value": text.strip()}


def _output_names(answers: Sequence[dict[str, Any]], text: str, style: Style) -> list[str]:
    shown = list(dict.fromkeys(name for answer in answers for name in answer))
    if not shown and style == "markers":
        shown = [name for name in dict.fromkeys(_MARKER.findall(text)) if name != "completed"]
    if not shown and style == "json":
        shown = list(dict.fromkeys(_KEYS.findall(text[text.find("JSON") :])))[:1]
    return shown or ["value"]


def _node(values: Sequence[Any], prose: str, names: Sequence[str]) -> Node:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, dict) for value in known):
        keys = dict.fromkeys(key for value in known for key in value)
        return Record({key: _node([value.get(key) for value in known], prose, names) for key in keys})
    if known and all(isinstance(value, list) for value in known):
        return Listing(_node([item for value in known for item in value], prose, names))
    if known and all(isinstance(value, bool) for value in known):
        return Leaf(kind="flag")
    if known and all(isinstance(value, int | float) for value in known):
        return Leaf(kind="integer" if all(isinstance(value, int) for value in known) else "number")
    labels = _labels(prose, {value for value in known if isinstance(value, str)}, names)
    return Leaf(kind="label", labels=labels) if labels else Leaf(nullable=len(known) < len(values))


def _labels(prose: str, seen: set[str], names: Sequence[str]) -> tuple[Label, ...]:
    """The first list in the text that has all values seen in the demos; () when there is none.

    The outputs' own names, which stand in quotes too, are no labels.
    """
    for listed in _lists(prose):
        found = tuple(label for label in listed if label.name not in names)
        if len(found) > 1 and seen <= {label.name for label in found}:
            return found
    return ()


def _lists(prose: str) -> Iterator[tuple[Label, ...]]:
    for block in _BULLETS.finditer(prose):
        lines = [re.sub(r"^[ \t]*[-*•][ \t]+", "", line) for line in block[0].strip().split("\n")]
        parts = [line.partition(":") for line in lines]
        if all(len(name.split()) <= 4 for name, _, _ in parts):
            yield tuple(Label(name.strip(" `\"'*"), text.strip()) for name, _, text in parts)
    for line in prose.split("\n"):
        yield tuple(map(Label, dict.fromkeys(_MARKED.findall(line))))
        for match in _COMMAS.finditer(line):
            names = re.split(r", (?:or |and )?| or | and ", match[1])
            yield tuple(Label(name.strip()) for name in dict.fromkeys(names) if name.strip())
