"""GitHub Actions: findings at their lines, the report in a step's summary, and output that commands nothing.

A runner obeys lines of the log that begin with `::` (and `##[` anywhere in one), whoever wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from promptc.cli.untrusted import visible
from promptc.spec.diagnostics import Diagnostic

Level = Literal["error", "warning", "notice"]

MOST_MESSAGE = 4_000
_OBEYED = re.compile(r"^(?P<indent>\s*):(?=:)|#(?=#\[)", re.MULTILINE)


class Actions(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow's step says of itself: the folder of the checkout, and the file of the step's summary."""

    workspace: str = ""
    summary: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a finding belongs. Lines and columns count from 1; 0 where there is none."""

    file: str = ""
    line: int = 0
    column: int = 0
    end_column: int = 0


def actions_of(environment: Mapping[str, str]) -> Actions | None:
    """The step that this process runs in; None anywhere else."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return None
    return Actions(
        workspace=environment.get("GITHUB_WORKSPACE", ""), summary=environment.get("GITHUB_STEP_SUMMARY", "")
    )


def annotation(actions: Actions, level: Level, message: str, place: Place, title: str) -> str:
    """The line that makes a runner show a message at its place in the changed files."""
    properties = {"file": _within(actions.workspace, place.file) if place.file else ""}
    if place.file and place.line:
        properties |= {"line": str(place.line)}
        if place.column:
            # Columns as GitHub counts them: the last one belongs to the finding.
            last = max(place.end_column - 1, place.column)
            properties |= {"endLine": str(place.line), "col": str(place.column), "endColumn": str(last)}
    properties["title"] = title
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{level}{f' {written}' if written else ''}::{_data(message)}"


def of_diagnostic(diagnostic: Diagnostic) -> tuple[Level, str, Place]:
    """A finding of a spec as an annotation: its severity, its message with the hint, and its place."""
    message = f"{diagnostic.message}\n{diagnostic.hint}" if diagnostic.hint else diagnostic.message
    position = diagnostic.position
    if position is None:
        return diagnostic.severity, message, Place()
    place = Place(
        file=position.file, line=position.line, column=position.column, end_column=position.end_column
    )
    return diagnostic.severity, message, place


def harmless(text: str) -> str:
    """The text with what a runner would take for a command parted by a space."""
    return _OBEYED.sub(lambda found: f"{found['indent'] or ''}{found[0][-1]} ", text)


def _within(workspace: str, file: str) -> str:
    """The path from the checkout's folder, as a runner wants it; as it stands where it lies elsewhere."""
    path = Path(file).resolve()
    if workspace and path.is_relative_to(Path(workspace).resolve()):
        return path.relative_to(Path(workspace).resolve()).as_posix()
    return Path(file).as_posix()


def _data(text: str) -> str:
    shown = visible(text[:MOST_MESSAGE])
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
