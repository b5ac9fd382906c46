"""What is wrong with a spec, and exactly where."""

from __future__ import annotations

from typing import Literal

import msgspec


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a text file. Lines and columns count from 1; `end_column` is one past the last character."""

    file: str
    line: int
    column: int
    end_column: int


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about a spec: what is wrong, where, and what to do.

    `position` is None only for what has no place in a file (an override of the command line names itself in the
    message). `path` is the dotted path of the key, e.g. `models.task.price`.
    """

    message: str
    position: Position | None = None
    path: str = ""
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
