"""How `promptc doctor` tells what it found: for a person, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.cli.diagnosis import Area, Finding, Status
from promptc.cli.model_health import Call, ModelHealth, can_be_asked
from promptc.cli.reports.figures import counted, duration
from promptc.cli.reports.look import ACCENT, BAD, CAUTION, GOOD, QUIET, Look, grid, section
from promptc.cli.reports.machine import as_list
from promptc.cli.untrusted import one_line
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.model import Price

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_TITLES: dict[Area, str] = {"program": "Program", "files": "Files", "terminal": "Terminal", "network": "Network"}
_STYLES: dict[Status, str] = {"ok": GOOD, "note": QUIET, "warning": CAUTION, "error": BAD}
OWN = frozenset({"promptc", "python", "system"})


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that doctor found. `spec` is None where none was looked at; `called` says that models were asked."""

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
        "findings": msgspec.to_builtins(diagnosis.findings),
        "spec": str(diagnosis.spec) if diagnosis.spec is not None else None,
        "models": [{**msgspec.to_builtins(model), "usable": model.usable} for model in diagnosis.models],
        "diagnostics": as_list(diagnosis.diagnostics),
    }
    return json.dumps(document, indent=2) + "\n"


def diagnosis_report(diagnosis: Diagnosis, look: Look, *, verbose: bool) -> RenderableType:
    """The findings for a person."""
    from rich.console import Group

    parts: list[RenderableType] = []
    for area, title in _TITLES.items():
        found = [finding for finding in diagnosis.findings if finding.area == area]
        if area == "program" and not verbose:
            found = _libraries_in_short(found)
        parts += section(title, [grid(list(_finding_rows(found, look)))] if found else [])
    parts += section("Models", _models(diagnosis, look), str(diagnosis.spec or ""))
    return Group(*parts[1:], *_conclusion(diagnosis))


def _libraries_in_short(findings: Sequence[Finding]) -> list[Finding]:
    """Libraries that are as they should be in one line."""
    good = [finding for finding in findings if finding.status == "ok" and finding.name not in OWN]
    listed = ", ".join(f"{finding.name} {finding.value}" for finding in good)
    others = [finding for finding in findings if finding not in good]
    return [*others, Finding(area="program", name="libraries", value=listed)] if good else others


def _finding_rows(findings: Iterable[Finding], look: Look) -> Iterable[Sequence[RenderableType]]:
    for finding in findings:
        yield _mark(finding.status, look), finding.name, one_line(look.words(finding.value), 2000)
        if finding.hint:
            yield "", "", _hint(finding.hint, look)


def _models(diagnosis: Diagnosis, look: Look) -> list[RenderableType]:
    if diagnosis.spec is None:
        return [_quiet("no spec here, so no models were looked at: promptc doctor SPEC")]
    rows: list[Sequence[RenderableType]] = []
    for health in diagnosis.models:
        status: Status = "error" if not health.usable else "warning" if health.notes else "ok"
        rows.append((_mark(status, look), health.name, one_line(health.model)))
        rows += [("", "", line) for line in _health_lines(health, diagnosis.called, look)]
    return [grid(rows)] if rows else []


def _health_lines(health: ModelHealth, called: bool, look: Look) -> Iterable[RenderableType]:
    dot = f" {look.marks.dot} "
    reached = f"{health.transport}, {one_line(health.address)}" + (
        f" by the proxy {one_line(health.proxy)}" if health.proxy else ""
    )
    yield dot.join((reached, f"key: {health.key}", _price(health.price)))
    if health.problem:
        yield _styled(one_line(health.problem, 400), BAD)
    if health.hint:
        yield _hint(health.hint, look)
    for note in health.notes:
        yield _quiet(look.words(note))
    if health.call is not None:
        yield from _call_lines(health.call, look)
    elif called and not health.problem and not can_be_asked(health):
        yield _quiet("not asked: it knows no such question")


def _call_lines(call: Call, look: Look) -> Iterable[RenderableType]:
    if call.error:
        yield _styled(one_line(call.error, 400), BAD)
        if call.hint:
            yield _hint(call.hint, look)
        return
    served = f" as {one_line(call.served_model)}" if call.served_model else ""
    took = f"{call.seconds * 1000:.0f} ms" if call.seconds < 1 else duration(call.seconds)
    yield _styled(f"answered in {took}{served}", GOOD)


def _price(price: Price | None) -> str:
    if price is None:
        return "price unknown"
    if not price.input and not price.output:
        return "free of charge"
    return f"${price.input:g} in, ${price.output:g} out per million tokens"


def _conclusion(diagnosis: Diagnosis) -> list[RenderableType]:
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
    if diagnosis.models and not diagnosis.called and not bad:
        said.append("; --call asks each model a question", style="default")
    return [Text(""), said]


def _mark(status: Status, look: Look) -> Text:
    marks = {"ok": look.marks.met, "note": look.marks.bullet, "warning": "!", "error": look.marks.failed}
    return _styled(marks[status], _STYLES[status])


def _hint(text: str, look: Look) -> Text:
    return _styled(f"{look.marks.arrow} {look.words(one_line(text, 400))}", ACCENT)


def _quiet(text: str) -> Text:
    return _styled(text, QUIET)


def _styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style=style)
