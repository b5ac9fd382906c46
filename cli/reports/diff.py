"""What changed between two candidates, as a unified diff that reads like the prompt."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.cli.untrusted import excerpt, one_line, visible
from promptc.runners.candidate import Candidate, Demo, PredictorTexts

CONTEXT = 3
MOST_LINE = 600
"""Characters of a line that a report shows; compiled/prompts.diff has them all."""


class Shortened(msgspec.Struct, frozen=True, kw_only=True):
    """Two candidates reduced to what a report has room for, and how many changed demos were left out."""

    start: Candidate
    winner: Candidate
    hidden: int


def prompt_diff(start: Candidate, winner: Candidate) -> str:
    """The unified diff of two candidates, predictor by predictor; empty where they say the same.

    Demos are blocks: a line that says where the demo comes from, then one line per field. Control characters
    are written out, so that the text can be shown on a terminal.
    """
    return "".join(
        f"--- start/{name}\n+++ winner/{name}\n" + "".join(f"{line}\n" for line in lines)
        for name, lines in changes(start, winner)
    )


def changes(start: Candidate, winner: Candidate) -> list[tuple[str, list[str]]]:
    """The lines of the diff (`@@`, ` `, `-`, `+`) by predictor, and for `choices`; only what differs."""
    empty = PredictorTexts()
    pairs = [
        (
            one_line(name),
            predictor_lines(start.predictors.get(name, empty)),
            predictor_lines(winner.predictors.get(name, empty)),
        )
        for name in dict.fromkeys((*start.predictors, *winner.predictors))
    ]
    pairs.append(("choices", _choices(start.choices), _choices(winner.choices)))
    return [(name, _diff(before, after)) for name, before, after in pairs if before != after]


def predictor_lines(texts: PredictorTexts) -> list[str]:
    """What one predictor says, as lines that a person can read and a diff can compare."""
    lines: list[str] = []
    if texts.instructions:
        lines += ["instructions:", *_indented(texts.instructions)]
    for name, description in sorted(texts.descriptions.items()):
        lines += [f"description of {one_line(name)}:", *_indented(description)]
    if texts.model:
        lines.append(f"model: {one_line(texts.model)}")
    if texts.nearest is not None:
        lines.append(f"shows each row {texts.nearest.in_words()}")
    for demo in texts.demos:
        lines += demo_lines(demo)
    return lines


def demo_lines(demo: Demo) -> list[str]:
    """A worked example as a block: its origin, its inputs, its outputs."""
    origin = f"{demo.source} from row {one_line(demo.row_id, 80)}" if demo.row_id else demo.source
    lines = [f"demo, {origin}:"]
    for mark, values in (("", demo.inputs), ("=> ", demo.outputs)):
        for name, value in values.items():
            first, *rest = visible(value if isinstance(value, str) else _json(value)).split("\n")
            lines += [f"  {mark}{one_line(name)}: {first}", *(f"    {line}" for line in rest)]
    return lines


def excerpted_changes(start: Candidate, winner: Candidate) -> tuple[list[tuple[str, list[str]]], int]:
    """The changes that a report has room for, and how many changed demos it leaves out."""
    short = shortened(start, winner)
    found = changes(short.start, short.winner)
    # Cut again: written-out control characters are longer than what they stand for.
    return [(name, [_cut_line(line) for line in lines]) for name, lines in found], short.hidden


def shortened(start: Candidate, winner: Candidate, *, demos: int = 3, characters: int = 160) -> Shortened:
    """The first few of the demos that differ, with their values as excerpts; very long lines are cut."""
    hidden = 0
    before = {name: _cut(texts) for name, texts in start.predictors.items()}
    after = {name: _cut(texts) for name, texts in winner.predictors.items()}
    for name in dict.fromkeys((*before, *after)):
        olds = before[name].demos if name in before else ()
        news = after[name].demos if name in after else ()
        gone, added = _beyond(olds, news), _beyond(news, olds)
        hidden += max(len(gone) - demos, 0) + max(len(added) - demos, 0)
        if name in before:
            before[name] = _with_demos(before[name], gone[:demos], characters)
        if name in after:
            after[name] = _with_demos(after[name], added[:demos], characters)
    return Shortened(
        start=Candidate(predictors=before, choices=_cut_choices(start.choices)),
        winner=Candidate(predictors=after, choices=_cut_choices(winner.choices)),
        hidden=hidden,
    )


def _beyond(demos: Sequence[Demo], others: Sequence[Demo]) -> list[Demo]:
    """Those of the demos that are not among the others; there may be thousands of both."""
    known = {_canonical(demo) for demo in others}
    return [demo for demo in demos if _canonical(demo) not in known]


def _canonical(demo: Demo) -> str:
    """Equal for equal demos, in ASCII: a reply may hold what is no character and cannot be encoded."""
    return json.dumps(msgspec.to_builtins(demo), sort_keys=True)


def _cut(texts: PredictorTexts) -> PredictorTexts:
    return msgspec.structs.replace(
        texts,
        instructions=_cut_lines(texts.instructions),
        descriptions={name: _cut_lines(text) for name, text in texts.descriptions.items()},
    )


def _cut_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if len(_json(value)) <= MOST_LINE else excerpt(value) for name, value in choices.items()
    }


def _cut_lines(text: str) -> str:
    return "\n".join(map(_cut_line, text.split("\n")))


def _cut_line(line: str) -> str:
    return line if len(line) <= MOST_LINE else line[:MOST_LINE] + "…"


def _with_demos(texts: PredictorTexts, demos: list[Demo], characters: int) -> PredictorTexts:
    return msgspec.structs.replace(
        texts,
        demos=tuple(
            msgspec.structs.replace(
                demo,
                inputs={name: excerpt(value, characters) for name, value in demo.inputs.items()},
                outputs={name: excerpt(value, characters) for name, value in demo.outputs.items()},
            )
            for demo in demos
        ),
    )


def _diff(before: list[str], after: list[str]) -> list[str]:
    """The hunks alone: difflib's first two lines are the names of files."""
    return list(difflib.unified_diff(before, after, n=CONTEXT, lineterm=""))[2:]


def _choices(choices: Mapping[str, Any]) -> list[str]:
    return [f"{one_line(name)}: {visible(_json(value))}" for name, value in sorted(choices.items())]


def _indented(text: str) -> list[str]:
    return [f"  {line}" if line else "" for line in visible(text).split("\n")]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
