"""The rows that a page has room for: those that went worst, cut to what a person reads."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec

from promptc.cli.reports.details import is_search, start_won
from promptc.cli.reports.figures import counted
from promptc.cli.reports.reading import restates
from promptc.cli.reports.row_lines import RowLine, RunLine, reported, row_lines
from promptc.cli.untrusted import excerpt
from promptc.runners.summary import Summary

MOST_SHOWN = 2_000
"""Rows of a page unless it is told otherwise."""
MOST_CELL = 240
"""Characters of a value in the table itself."""
LIMITS = (8_000, 4_000, 2_000, 1_000, 500)
"""Characters of a value in a row's trace: the first of these with which the page stays below PAGE_TEXT."""
PAGE_TEXT = 8_000_000
LARGEST_JSON = 4_000_000
"""Bytes of a value that are laid out; a longer one is shown as it stands."""
MOST_VALUES = 40
"""Fields of one object, and calls of one row, that a page tells apart."""

Outcome = Literal["failed", "wrong", "partly", "right", "unjudged"]
Move = Literal["", "better", "same", "worse"]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A named value as text; `left` characters of it are left out. `code` is laid out as JSON."""

    name: str
    text: str
    left: int = 0
    code: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a predictor said on the way to a prediction."""

    predictor: str
    outputs: tuple[Value, ...]
    kind: str = ""
    notes: tuple[str, ...] = ()


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One of several runs of a row."""

    score: float | None
    said: str


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """A row as a page shows it: one line of a table, and what unfolds below it.

    `input`, `wanted`, `got` and `why` are the line's excerpts. `before` is what the start made of the same row, with
    `move` from there to here; empty where there is no start.
    """

    place: int
    id: str
    split: str
    outcome: Outcome
    score: float | None
    input: str
    wanted: str
    got: str
    why: str
    inputs: tuple[Value, ...]
    expected: tuple[Value, ...]
    outputs: tuple[Value, ...]
    feedback: tuple[Value, ...]
    metrics: tuple[tuple[str, float | None], ...]
    failure: str = ""
    passed: bool | None = None
    runs: tuple[RunView, ...] = ()
    reasks: int = 0
    calls: tuple[Call, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    before: tuple[Value, ...] = ()
    before_score: float | None = None
    before_failure: str = ""
    move: Move = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a page, worst first, and how many the run has."""

    rows: tuple[RowView, ...] = ()
    total: int = 0


def shown_rows(run: Path, summary: Summary, most: int = MOST_SHOWN) -> Shown:
    """The `most` rows that went worst: failed ones first, then by score, then in the order of the run.

    The file is read line by line and no more than `most` rows are kept. Raises RunError.
    """
    worst: list[tuple[tuple[bool, float, int], RowView]] = []
    total = 0
    for place, line in reported(run, summary):
        total += 1
        # Turned round, since a heap of Python has its smallest entry at hand and the best row is to go.
        rank = (line.failure is not None, -_ranked(line), -place)
        if len(worst) < most:
            heapq.heappush(worst, (rank, _view(place, line)))
        elif worst and rank > worst[0][0]:
            heapq.heapreplace(worst, (rank, _view(place, line)))
    rows = [row for _, row in sorted(worst, key=lambda entry: entry[0], reverse=True)]
    if is_search(summary) and not start_won(summary):
        rows = _beside_start(rows, row_lines(run))
    return Shown(rows=tuple(_fitted(rows)), total=total)


def outcome(line: RowLine) -> Outcome:
    """What became of a row."""
    if line.failure is not None:
        return "failed"
    if line.score is None:
        return "unjudged"
    return "right" if line.score >= 1 else "partly" if line.score > 0 else "wrong"


def values(raw: msgspec.Raw) -> tuple[Value, ...]:
    """The values of a JSON object, in its order; of anything else the one value."""
    content = bytes(raw)
    if len(content) > LARGEST_JSON:
        text = content.decode("utf-8", "replace")
        return (Value(name="", text=text[: LIMITS[0]], left=max(len(text) - LIMITS[0], 0), code=True),)
    found = msgspec.json.decode(content)
    if found is None:
        return ()
    return named(found) if isinstance(found, dict) else (_value("", found),)


def named(found: Mapping[str, Any]) -> tuple[Value, ...]:
    """Each value of an object under its name; of very many the first."""
    shown = [_value(name, value) for name, value in islice(found.items(), MOST_VALUES)]
    if len(found) > MOST_VALUES:
        shown.append(Value(name="", text=f"and {counted(len(found) - MOST_VALUES, 'more field')}"))
    return tuple(shown)


def _ranked(line: RowLine) -> float:
    """Its score; rows that nothing could judge stand behind all others."""
    return line.score if line.score is not None else (0.0 if line.failure is not None else 2.0)


def _view(place: int, line: RowLine) -> RowView:
    inputs, expected, outputs = values(line.inputs), values(line.expected), values(line.outputs)
    failure = f"{line.failure.kind}: {line.failure.message}" if line.failure is not None else ""
    feedback = tuple(_value(name, text) for name, text in line.feedback.items() if text and not failure)
    why = failure or "; ".join(value.text for value in feedback)
    wanted, got = _excerpt(expected), _excerpt(outputs)
    return RowView(
        place=place,
        id=line.id[: LIMITS[-1]],
        split=line.split,
        outcome=outcome(line),
        score=line.score,
        input=_excerpt(inputs),
        wanted=wanted,
        got=got,
        why="" if line.score == 1 or restates(why, wanted, got) else excerpt(why, MOST_CELL),
        inputs=inputs,
        expected=expected,
        outputs=outputs,
        feedback=feedback,
        metrics=tuple(line.metrics.items()) if len(line.metrics) > 1 else (),
        failure=excerpt(failure, LIMITS[-2]),
        passed=line.passed,
        runs=tuple(_run(run) for run in line.repeats[:MOST_VALUES]),
        reasks=line.reasks,
        calls=_calls(line.steps),
        input_tokens=line.tokens.get("input", 0),
        output_tokens=line.tokens.get("output", 0),
        cost=line.cost,
    )


def _run(run: RunLine) -> RunView:
    said = f"failed: {run.failure.kind}" if run.failure is not None else _excerpt(values(run.outputs))
    return RunView(score=run.score, said=said)


def _calls(raw: msgspec.Raw) -> tuple[Call, ...]:
    content = bytes(raw)
    if len(content) > LARGEST_JSON:
        return (Call(predictor="", outputs=values(raw)),)
    return tuple(
        Call(
            predictor=str(step.get("predictor", "")),
            kind=str(step.get("kind", "")),
            outputs=tuple(_value(name, value) for name, value in step.get("outputs", {}).items()),
            notes=tuple(excerpt(note, LIMITS[-1]) for note in step.get("notes", ())),
        )
        for step in islice(msgspec.json.decode(content) or (), MOST_VALUES)
    )


def _value(name: str, value: Any) -> Value:
    code = not isinstance(value, str)
    text = _laid_out(value) if code else value
    return Value(name=name, text=text[: LIMITS[0]], left=max(len(text) - LIMITS[0], 0), code=code)


def _laid_out(value: Any) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    return flat if len(flat) <= MOST_CELL // 3 else json.dumps(value, ensure_ascii=False, indent=2)


def _excerpt(found: Sequence[Value]) -> str:
    """One value alone; several each with its name."""
    if len(found) == 1:
        return excerpt(found[0].text, MOST_CELL)
    return excerpt(", ".join(f"{value.name}: {value.text[:MOST_CELL]}" for value in found), MOST_CELL)


def _beside_start(rows: Sequence[RowView], lines: Iterable[RowLine]) -> list[RowView]:
    """The rows with what the start made of them."""
    wanted = {(row.split, row.id) for row in rows}
    starts: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        key = line.split, line.id
        if line.candidate == "start" and key in wanted and key not in starts:
            starts[key] = {
                "before": values(line.outputs),
                "before_score": line.score,
                "before_failure": line.failure.kind if line.failure is not None else "",
            }
    return [
        msgspec.structs.replace(row, **found, move=_move(found["before_score"], row.score))
        if (found := starts.get((row.split, row.id)))
        else row
        for row in rows
    ]


def _move(before: float | None, now: float | None) -> Move:
    if before is None or now is None:
        return ""
    return "same" if before == now else "better" if now > before else "worse"


def _fitted(rows: Sequence[RowView]) -> list[RowView]:
    """The rows with their values cut to what the page has room for."""
    lengths = [len(value.text) for row in rows for value in _values_of(row)]
    fitting = (limit for limit in LIMITS if sum(min(length, limit) for length in lengths) <= PAGE_TEXT)
    limit = next(fitting, LIMITS[-1])
    return list(rows) if limit == LIMITS[0] else [_cut(row, limit) for row in rows]


def _values_of(row: RowView) -> Iterator[Value]:
    yield from (*row.inputs, *row.expected, *row.outputs, *row.feedback, *row.before)
    for call in row.calls:
        yield from call.outputs


def _cut(row: RowView, limit: int) -> RowView:
    def cut(found: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(
            msgspec.structs.replace(v, text=v.text[:limit], left=v.left + max(len(v.text) - limit, 0))
            for v in found
        )

    return msgspec.structs.replace(
        row,
        inputs=cut(row.inputs),
        expected=cut(row.expected),
        outputs=cut(row.outputs),
        feedback=cut(row.feedback),
        before=cut(row.before),
        calls=tuple(msgspec.structs.replace(call, outputs=cut(call.outputs)) for call in row.calls),
    )
