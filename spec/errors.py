"""The one error tree.

    PromptcError                 anything that a user can mend; carries an exit code
    ├── UsageError         2     a flag, an argument or a command that makes no sense
    ├── SpecError          2     the spec (or an override) is wrong: a list of diagnostics with positions
    ├── TrustError         2     the spec names code, and nobody allowed it to run
    ├── DataError          4     a data file's content is wrong: file, line and what was expected
    ├── RunError           4     the run directory: locked, foreign, unfinished, diverged, disk full
    ├── NothingSelected    5     no rows are left to work on
    ├── Untrusted          6     the result would not be worth trusting: provider, key, unscored rows
    ├── BudgetEnded        7     a promised figure is missing because the budget ended
    └── Interrupted  130, 143    a signal; everything is flushed and the same command resumes

Errors compose their sentence from typed data (what is wrong, where, what to do) and never print. `promptc.cli.main`
alone turns them into exit codes. Anything else that escapes is a bug in promptc and ends with exit 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from promptc.spec.diagnostics import Diagnostic


class PromptcError(Exception):
    """What went wrong, in one sentence, and what to do about it."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PromptcError):
    """A flag, an argument or a command that makes no sense."""

    exit_code = 2


class SpecError(PromptcError):
    """The spec is wrong; `diagnostics` says where, all at once."""

    exit_code = 2

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        errors = [d for d in diagnostics if d.severity == "error"]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"the spec has {count}")
        self.diagnostics = diagnostics


class TrustError(PromptcError):
    """The spec names user code, and nobody allowed it to run."""

    exit_code = 2


class DataError(PromptcError):
    """A data file's content is wrong."""

    exit_code = 4

    def __init__(self, path: Path | str, message: str, *, line: int | None = None, hint: str = "") -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {message}", hint)
        self.path = str(path)
        self.line = line


class RunError(PromptcError):
    """The run directory cannot be used as it is: locked, foreign, unfinished, diverged, or the disk is full."""

    exit_code = 4


class NothingSelected(PromptcError):
    """No rows are left to work on."""

    exit_code = 5


class Untrusted(PromptcError):
    """The result would not be worth trusting: the provider, the key, or too many unscored rows."""

    exit_code = 6


class BudgetEnded(PromptcError):
    """A promised figure is missing because the budget ended."""

    exit_code = 7


class Interrupted(PromptcError):
    """A signal arrived; everything is flushed, and the same command goes on from here."""

    def __init__(self, signal_number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        """The shell's convention: 128 plus the signal's number."""
        return 128 + self.signal_number
