"""How `promptc doctor` tells what it found: for a person, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.cli.diagnosis import Area, Finding, Status
from promptc.cli.json_output import json_text
from promptc.cli.model_health import Call, ModelHealth
from promptc.cli.reports.figures import counted, duration
from promptc.cli.reports.look import ACCENT, BAD, CAUTION, GOOD, HEADING, QUIET, Look
from promptc.cli.reports.machine import as_list
from promptc.cli.untrusted import one_line
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.model import Price

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_TITLES: dict[Area, str] = {
    "program": "Program",
    "files": "Files",
    "terminal": "Terminal",
    "network": "Network",
}
_STYLES: dict[Status, str] = {"ok": GOOD, "note": QUIET, "warning": CAUTION, "error": BAD}
OWN = frozenset({"promptc", "python", "system"})
"""Names of findings about the program that are no libraries."""
LONGEST = 2000
"""Characters of a sentence that are shown."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that doctor found. `spec` is None where none was looked at; `called`: models were asked."""

    findings: tuple[Finding, ...]
    spec: Path | None = None
    models: tuple[ModelHealth, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    called: bool = False

    @property
    def exit_code(self) -> int:
        """2 for a spec with errors, 6 for a model that cannot be used or a broken installation, else 0."""
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics):
            return 2
        broken = any(finding.status == "error" for finding in self.findings)
        return 6 if broken or not all(model.usable for model in self.models) else 0


def diagnosis_document(diagnosis: Diagnosis) -> str:
    """The findings as one JSON document."""
    document: dict[str, Any] = {
        "exit_code": diagnosis.exit_code,
        "findings": diagnosis.findings,
        "spec": str(diagnosis.spec) if diagnosis.spec is not None else None,
        "models": [{**msgspec.to_builtins(model), "usable": model.usable} for model in diagnosis.models],
        "diagnostics": as_list(diagnosis.diagnostics),
    }
    return json_text(document)


def diagnosis_report(diagnosis: Diagnosis, look: Look, *, verbose: bool) -> RenderableType:
    """The findings for a person."""
    from rich.console import Group

    parts: list[Text] = []
    for area, title in _TITLES.items():
        found = [finding for finding in diagnosis.findings if finding.area == area]
        if area == "program" and not verbose:
            found = _libraries_in_short(found)
        parts += _section(title, [_finding_entry(finding) for finding in found], look)
    parts += _section(
        "Models", [_model_entry(model, diagnosis.called, look) for model in diagnosis.models], look
    )
    return Group(*parts, *_conclusion(diagnosis))


def _libraries_in_short(findings: Sequence[Finding]) -> list[Finding]:
    """Libraries that are as they should be in one line."""
    good = [finding for finding in findings if finding.status == "ok" and finding.name not in OWN]
    listed = ", ".join(f"{finding.name} {finding.value}" for finding in good)
    others = [finding for finding in findings if finding not in good]
    return [*others, Finding(area="program", name="libraries", value=listed)] if good else others


def _finding_entry(finding: Finding) -> _Entry:
    lines = [_Line(finding.value), *([_hint(finding.hint)] if finding.hint else [])]
    return _Entry(finding.status, finding.name, tuple(lines))


def _model_entry(health: ModelHealth, called: bool, look: Look) -> _Entry:
    status: Status = "error" if not health.usable else "warning" if health.notes else "ok"
    way = f"{health.transport}, {health.address}" + (f" by the proxy {health.proxy}" if health.proxy else "")
    facts = [way]
    if not health.problem:
        facts.append(f"key: {health.key}")
    if health.price is not None:
        facts.append(_price(health.price))
    lines = [_Line(health.model, "bold"), _Line(f" {look.marks.dot} ".join(facts))]
    if health.problem:
        lines += [_Line(health.problem, BAD), *([_hint(health.hint)] if health.hint else [])]
    lines += [_Line(note, QUIET) for note in health.notes]
    if health.call is not None:
        lines += _call_lines(health.call)
    elif called and not health.problem:
        lines.append(_Line("not asked: it knows no such question", QUIET))
    return _Entry(status, health.name, tuple(lines))


def _call_lines(call: Call) -> list[_Line]:
    if call.error:
        return [_Line(call.error, BAD), *([_hint(call.hint)] if call.hint else [])]
    served = f" as {call.served_model}" if call.served_model else ""
    took = f"{call.seconds * 1000:.0f} ms" if call.seconds < 1 else duration(call.seconds)
    return [_Line(f"answered in {took}{served}", GOOD)]


def _price(price: Price) -> str:
    if not price.input and not price.output:
        return "free of charge"
    return f"${price.input:g} in, ${price.output:g} out per million tokens"


def _conclusion(diagnosis: Diagnosis) -> list[Text]:
    from rich.text import Text

    bad = sum(not model.usable for model in diagnosis.models)
    warnings = sum(finding.status == "warning" for finding in diagnosis.findings)
    if bad:
        said = Text(f"{counted(bad, 'model')} cannot be used", style=f"bold {BAD}")
    elif diagnosis.exit_code:
        said = Text("not everything is in order", style=f"bold {BAD}")
    elif warnings:
        said = Text(f"all right, with {counted(warnings, 'warning')}", style=f"bold {CAUTION}")
    else:
        said = Text("all right", style=f"bold {GOOD}")
    if diagnosis.spec is None:
        said.append("; name a spec to look at its models, too", style="not bold default")
    elif diagnosis.models and not diagnosis.called and not bad:
        said.append("; --call asks each model a question", style="not bold default")
    return [said]


class _Line(msgspec.Struct, frozen=True):
    """A sentence with its style."""

    text: str
    style: str = ""


class _Entry(msgspec.Struct, frozen=True):
    """A mark, a name, and sentences beside it."""

    status: Status
    name: str
    lines: tuple[_Line, ...]


def _hint(text: str) -> _Line:
    return _Line(f"→ {text}", ACCENT)


def _section(title: str, entries: Sequence[_Entry], look: Look) -> list[Text]:
    """A heading, and the entries with their sentences in line; nothing where there are none."""
    from rich.text import Text

    if not entries:
        return []
    width = max(len(entry.name) for entry in entries)
    shown = [Text(title, style=HEADING)]
    for entry in entries:
        head = (
            Text("  ")
            .append(_mark(entry.status, look), _STYLES[entry.status])
            .append(f"  {entry.name:<{width}}")
        )
        for line in entry.lines:
            for piece in _wrapped(look.words(one_line(line.text, LONGEST)), look.width - width - 7):
                shown.append(head.append(f"  {piece}", line.style))
                head = Text(" " * (width + 5))
    return [*shown, Text("")]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def _mark(status: Status, look: Look) -> str:
    return {"ok": look.marks.met, "note": look.marks.bullet, "warning": "!", "error": look.marks.failed}[
        status
    ]
