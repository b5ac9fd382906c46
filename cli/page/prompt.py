"""What report.html says of the prompt: what changed word by word, the demos, and the prompts as they are sent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.diff import MOST_LINE, changes, predictor_lines
from promptc.cli.reports.row_views import Value, named
from promptc.cli.untrusted import one_line
from promptc.runners.candidate import Candidate

MOST_LINES = 400
MOST_DEMOS = 100
MOST_PROMPT = 60_000
"""Characters of a prompt that the page holds; compiled/prompts has them all."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")

Words = tuple[tuple[str, bool], ...]
"""Pieces of a line, and whether each differs from the line that it stands against."""


class DiffLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was taken out (`-`), put in (`+`) or stayed (` `); `…` stands where lines are left out."""

    sign: str
    words: Words


class PredictorDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one predictor, apart from its demos; `left` lines are not shown."""

    name: str
    lines: tuple[DiffLine, ...]
    left: int = 0


class DemoView(msgspec.Struct, frozen=True, kw_only=True):
    """A worked example of the prompt; `new` ones the start did not have."""

    predictor: str
    source: str
    row: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    new: bool


class PromptView(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt of the candidate that a run ended with. `texts` is what it says, where there is nothing to compare."""

    changed: bool
    compared: bool
    diffs: tuple[PredictorDiff, ...]
    texts: tuple[tuple[str, str], ...]
    demos: tuple[DemoView, ...]
    demos_left: int
    prompts: tuple[tuple[str, Value], ...]


def prompt_view(details: ReportDetails, run: Path) -> PromptView | None:
    """The prompt, compared with the start's after a search; None where a run has no candidate at hand."""
    start, winner = details.start, details.winner
    final = winner or start
    if final is None:
        return None
    before = start if winner is not None else None
    demos = list(_demos(final, before))
    return PromptView(
        changed=before is not None and before != final,
        compared=before is not None,
        diffs=tuple(_diffs(before, final)) if before is not None else (),
        texts=tuple(_texts(final)),
        demos=tuple(demos[:MOST_DEMOS]),
        demos_left=max(len(demos) - MOST_DEMOS, 0),
        prompts=tuple(_prompts(run)),
    )


def _texts(candidate: Candidate) -> Iterator[tuple[str, str]]:
    for name, texts in _without_demos(candidate).predictors.items():
        text = "\n".join(predictor_lines(texts))
        if text:
            yield name, text[:MOST_PROMPT]


def _without_demos(candidate: Candidate) -> Candidate:
    predictors = {n: msgspec.structs.replace(t, demos=()) for n, t in candidate.predictors.items()}
    return msgspec.structs.replace(candidate, predictors=predictors)


def _diffs(before: Candidate, after: Candidate) -> Iterator[PredictorDiff]:
    for name, lines in changes(_without_demos(before), _without_demos(after)):
        shown = tuple(diff_lines([line[: MOST_LINE * 4] for line in lines[1:]]))
        yield PredictorDiff(name=name, lines=shown[:MOST_LINES], left=max(len(shown) - MOST_LINES, 0))


def diff_lines(lines: Sequence[str]) -> Iterator[DiffLine]:
    """A unified diff's lines; where as many were put in as were taken out, they are compared word by word."""
    place = 0
    while place < len(lines):
        sign = lines[place][:1]
        if sign not in "-+":
            yield DiffLine(
                sign="…" if sign == "@" else " ", words=((lines[place][1:] if sign != "@" else "", False),)
            )
            place += 1
            continue
        gone = _run(lines, place, "-")
        come = _run(lines, place + len(gone), "+")
        place += len(gone) + len(come)
        paired = (
            [word_changes(a, b) for a, b in zip(gone, come, strict=True)] if len(gone) == len(come) else None
        )
        for number, line in enumerate(gone):
            yield DiffLine(sign="-", words=paired[number][0] if paired else ((line, False),))
        for number, line in enumerate(come):
            yield DiffLine(sign="+", words=paired[number][1] if paired else ((line, False),))


def _run(lines: Sequence[str], place: int, sign: str) -> list[str]:
    found = []
    while place < len(lines) and lines[place].startswith(sign):
        found.append(lines[place][1:])
        place += 1
    return found


def word_changes(before: str, after: str) -> tuple[Words, Words]:
    """Both lines in pieces, each marked where it differs; whole lines where they have little in common."""
    one, other = _WORDS.findall(before), _WORDS.findall(after)
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.ratio() < 0.4:
        return ((before, False),), ((after, False),)
    gone: list[tuple[str, bool]] = []
    come: list[tuple[str, bool]] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if b > a:
            gone.append(("".join(one[a:b]), kind != "equal"))
        if d > c:
            come.append(("".join(other[c:d]), kind != "equal"))
    return tuple(gone), tuple(come)


def _demos(candidate: Candidate, before: Candidate | None) -> Iterator[DemoView]:
    for name, texts in candidate.predictors.items():
        old = before.predictors.get(name) if before is not None else None
        known = old.demos if old is not None else ()
        for demo in texts.demos:
            yield DemoView(
                predictor=name,
                source=demo.source,
                row=one_line(demo.row_id, 80),
                inputs=named(demo.inputs),
                outputs=named(demo.outputs),
                new=before is not None and demo not in known,
            )


def _prompts(run: Path) -> Iterator[tuple[str, Value]]:
    """compiled/prompts/*.md, which a search writes."""
    for path in sorted((run / "compiled" / "prompts").glob("*.md")):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield path.stem, Value(name=path.name, text=text[:MOST_PROMPT], left=max(len(text) - MOST_PROMPT, 0))
