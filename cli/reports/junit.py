"""junit.xml: a test suite per split with a case per row, and one for the gates. No text of a model unless asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec

from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.facts import gate_figures
from promptc.cli.reports.figures import measured, score
from promptc.cli.reports.row_lines import RowLine, reported
from promptc.cli.untrusted import one_line, visible
from promptc.runners.summary import GateResult

MOST_TEXT = 8_000
"""Characters of a value that a test case holds where text is asked for."""
LONGEST_NAME = 400


class Counts(msgspec.Struct):
    """What a suite's head says of its cases."""

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0

    def add(self, element: str) -> None:
        """Take one case in, by the element that says what became of it; "" where it passed."""
        self.tests += 1
        self.failures += element == "failure"
        self.errors += element == "error"
        self.skipped += element == "skipped"

    def attributes(self) -> str:
        """The counts as XML."""
        names = ("tests", "failures", "errors", "skipped")
        return " ".join(f'{name}="{getattr(self, name)}"' for name in names)


def junit_parts(
    details: ReportDetails, run: Path, *, include_text: bool = False, pass_at: float | None = None
) -> Iterator[bytes]:
    """The document in pieces: rows are read one by one, twice, since a suite's head counts what follows.

    A row passes where its score is at least `pass_at`, else by the pass rule of its runs, else above 0. A row that
    failed is a failure with its kind where that counts as 0, and an error where it is unscored; one that no metric
    could judge is skipped.
    """
    counts = _counted(details, run, pass_at)
    whole = Counts()
    for one in counts.values():
        for name in msgspec.structs.asdict(one):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
    title = f"promptc {details.title()}"
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites name={_attribute(title)} {whole.attributes()}>\n".encode()
    for split, found in counts.items():
        if split:
            yield from _suite(details, run, split, found, include_text, pass_at)
    if "" in counts:
        yield from _gates(details.summary.gates, counts[""])
    yield b"</testsuites>\n"


def verdict_of(line: RowLine, pass_at: float | None) -> tuple[str, str, str]:
    """The element that a row's case holds, "" where it passed; its type; and why, without text of the model."""
    if line.failure is not None:
        if line.failure.scored:
            return "failure", line.failure.kind, f"failed: {line.failure.kind}, counts as 0"
        return "error", line.failure.kind, f"unscored: {line.failure.kind}"
    if line.score is None:
        return "skipped", "", "no metric could judge this row"
    if _passes(line.score, line.passed, pass_at):
        return "", "", ""
    if pass_at is None and line.passed is not None:
        return "failure", "not passed", f"score {score(line.score)}: too few of its runs pass"
    wall = "" if pass_at is None else f", below {pass_at:g}"
    return "failure", "wrong", f"score {score(line.score)}{wall}"


def _passes(value: float, passed: bool | None, pass_at: float | None) -> bool:
    if pass_at is not None:
        return value >= pass_at
    return value > 0 if passed is None else passed


def _counted(details: ReportDetails, run: Path, pass_at: float | None) -> dict[str, Counts]:
    """By split, the gates under ""."""
    counts: dict[str, Counts] = {}
    for _, line in reported(run, details.summary):
        counts.setdefault(line.split, Counts()).add(verdict_of(line, pass_at)[0])
    for gate in details.summary.gates:
        counts.setdefault("", Counts()).add(_GATE_ELEMENTS[gate.status])
    return counts


_GATE_ELEMENTS = {"met": "", "failed": "failure", "missing": "error", "not applicable": "skipped"}


def _suite(
    details: ReportDetails, run: Path, split: str, counts: Counts, include_text: bool, pass_at: float | None
) -> Iterator[bytes]:
    yield f"  <testsuite name={_attribute(split)} {counts.attributes()}>\n".encode()
    figures = details.summary.split(split)
    if figures is not None:
        yield (
            f'    <properties><property name="score" value={_attribute(measured(figures))}/></properties>\n'
        ).encode()
    place = _attribute(f"{details.spec_name or details.summary.name}.{split}")
    for _, line in reported(run, details.summary):
        if line.split == split:
            yield _case(line, place, include_text, pass_at).encode()
    yield b"  </testsuite>\n"


def _case(line: RowLine, place: str, include_text: bool, pass_at: float | None) -> str:
    element, kind, why = verdict_of(line, pass_at)
    inside = []
    if element:
        type_ = f" type={_attribute(kind)}" if kind else ""
        text = escape(visible(_reason(line)[:MOST_TEXT])) if include_text else ""
        inside.append(f"<{element} message={_attribute(why)}{type_}>{text}</{element}>")
    if include_text:
        inside.append(f"<system-out>{escape(_said(line))}</system-out>")
    head = f"    <testcase classname={place} name={_attribute(line.id)}"
    return f"{head}>{''.join(inside)}</testcase>\n" if inside else f"{head}/>\n"


def _reason(line: RowLine) -> str:
    if line.failure is not None:
        return line.failure.message
    return "; ".join(text for text in line.feedback.values() if text)


def _said(line: RowLine) -> str:
    """What went in, what was expected and what came out, as lines of JSON."""
    parts = (("inputs", line.inputs), ("expected", line.expected), ("outputs", line.outputs))
    return "\n".join(
        f"{name}: {visible(bytes(raw).decode('utf-8', 'replace')[:MOST_TEXT])}" for name, raw in parts
    )


def _gates(gates: Iterable[GateResult], counts: Counts) -> Iterator[bytes]:
    yield f'  <testsuite name="gates" {counts.attributes()}>\n'.encode()
    for gate in gates:
        element = _GATE_ELEMENTS[gate.status]
        head = f'    <testcase classname="gates" name={_attribute(gate.text)}'
        value, distance = gate_figures(gate)
        why = f"it is {value}, missed by {distance}" if value else gate.status
        inside = f'><{element} message={_attribute(why)} type="gate"/></testcase>' if element else "/>"
        if element == "skipped":
            inside = f"><skipped message={_attribute(why)}/></testcase>"
        yield f"{head}{inside}\n".encode()
    yield b"  </testsuite>\n"


def _attribute(text: str) -> str:
    if _PLAIN.fullmatch(text):  # most ids are, and there may be a million
        return f'"{text}"'
    return quoteattr(one_line(text, LONGEST_NAME))


_PLAIN = re.compile(r"[A-Za-z0-9_.:#-]{1,100}")
