"""The answer for programs: one JSON document on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.runners.summary import Summary
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import Interrupted, PromptcError, SpecError


def as_document(summary: Summary, run_directory: str) -> str:
    """summary.json with the run directory, in ASCII, so that no terminal can be told anything by it."""
    return _document({**msgspec.to_builtins(summary), "run_directory": run_directory})


def error_document(error: PromptcError) -> str:
    """What went wrong, for a caller that reads nothing but stdout; with the diagnostics of a spec."""
    code = error.code if isinstance(error, Interrupted) else error.exit_code
    found: dict[str, Any] = {"kind": type(error).__name__, "message": error.message}
    if error.hint:
        found["hint"] = error.hint
    if isinstance(error, SpecError):
        found["diagnostics"] = as_list(error.diagnostics)
    return _document({"exit_code": code, "error": found})


def findings_document(path: str, diagnostics: Sequence[Diagnostic]) -> str:
    """The answer of `validate`: the file, whether it is right, and every finding."""
    errors = sum(1 for diagnostic in diagnostics if diagnostic.severity == "error")
    return _document({"spec": path, "ok": not errors, "errors": errors, "diagnostics": as_list(diagnostics)})


def as_list(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Diagnostics as plain data: severity, message, and where; what is not known is left out."""
    listed = []
    for diagnostic in diagnostics:
        entry: dict[str, Any] = {"severity": diagnostic.severity, "message": diagnostic.message}
        if diagnostic.position is not None:
            entry.update(msgspec.to_builtins(diagnostic.position))
        if diagnostic.path:
            entry["path"] = diagnostic.path
        if diagnostic.hint:
            entry["hint"] = diagnostic.hint
        listed.append(entry)
    return listed


def _document(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
