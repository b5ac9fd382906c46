"""What is exported, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from promptc.runners.program import CompiledProgram
from promptc.runners.summary import Summary
from promptc.spec.errors import UsageError
from promptc.spec.model import Spec, Step
from promptc.spec.suggest import listed

WRITTEN_BY = "Written by `promptc export"
"""How a Python file begins that stands beside an export, which may replace no other."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A program with the texts that are exported.

    `source` is what the user called it, `summary` the figures of the run that it comes from, `folder` where the export
    goes, against which its paths are written; `output` is the file itself, None for stdout. `split` and `limit` choose
    the rows that an export may quote.
    """

    spec: Spec
    compiled: CompiledProgram
    source: str
    version: str
    folder: Path
    output: Path | None = None
    summary: Summary | None = None
    split: str = "dev"
    limit: int | None = None


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The text of an export, further files by name that belong beside it, and what could not be carried over."""

    text: str
    beside: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


Export = Callable[[Subject], Exported]


class Uncarried(UsageError):
    """What the program has and the target cannot carry, by name, all at once."""

    def __init__(self, target: str, reasons: Sequence[str]) -> None:
        super().__init__("\n".join([f"--to {target} cannot carry this program:", *reasons]))
        self.hint = "promptc run does, with the artifact as it is; or export --to messages"


def only_step(subject: Subject, target: str) -> Step:
    """The one step of the program. Raises Uncarried for a pipeline."""
    program = subject.compiled.program
    if program.graph is not None:
        names = listed([node.name for node in program.graph.nodes])
        raise Uncarried(target, [f"the pipeline ({names}): this target has one prompt"])
    return program.steps[0]


def rich_inputs(step: Step) -> list[str]:
    """The inputs that are more than text in a prompt, by name."""
    found = []
    for field in step.signature.inputs:
        if field.attachment is not None:
            found.append(f"the input {field.name}, which is attached ({field.attachment})")
        elif field.holds_turns:
            found.append(f"the input {field.name}, which holds the turns of a conversation")
    return found


def identifier(name: str) -> str:
    """A program's name as a name in Python: `support-triage` is `support_triage`."""
    words = "".join(character if character.isalnum() else "_" for character in name).strip("_").lower()
    ascii_words = words.encode("ascii", "ignore").decode() or "program"
    return ascii_words if ascii_words[0].isalpha() else f"program_{ascii_words}"


def figures_line(summary: Summary | None) -> str:
    """The score that was measured last, in words; "" where nothing was measured."""
    if summary is None:
        return ""
    for name, split in (("test", summary.test), ("dev", summary.dev), ("all", summary.all)):
        if split is not None and split.score is not None:
            interval = "" if split.ci_low is None else f" [{split.ci_low:.3f}, {split.ci_high:.3f}]"
            return f"{name} score {split.score:.3f}{interval} on {split.n} rows"
    return ""
