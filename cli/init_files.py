"""Writes what `promptc init` has planned: never over data, and over a spec only when told to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from promptc.cli.console import Terminal
from promptc.cli.document_schemas import schema_bytes
from promptc.cli.init_plans import STDOUT, Plan
from promptc.cli.init_text import SCHEMA_NAME
from promptc.cli.json_output import json_text
from promptc.cli.loading import DEFAULT_NAMES
from promptc.cli.starter import DATA_NAME, starter_rows
from promptc.cli.untrusted import one_line
from promptc.cli.writing import holds, replace_file
from promptc.spec.errors import UsageError


def check_places(file: Path, data: Path | None, *, force: bool, schema: bool) -> None:
    """Return when the data is there and everything may be written where it is to go. Raises UsageError."""
    if data is not None and not data.exists():
        near = get_close_matches(data.name, (entry.name for entry in _folder(data)), n=1)
        raise UsageError(f"there is no {data}", f"did you mean {data.parent / near[0]}?" if near else "")
    if str(file) == STDOUT:
        if data is None:
            raise UsageError(
                "without a data file the example has rows, which cannot go to stdout, too", "name a DATA"
            )
        return
    if file.is_dir():
        raise UsageError(f"{file} is a folder", f"name a file: -o {file / DEFAULT_NAMES[0]}")
    if data is not None and file.exists() and data.exists() and file.samefile(data):
        raise UsageError(f"{file} is the data itself", "name another file with -o")
    if file.exists() and not force:
        raise UsageError(f"there is already a {file}", "pass --force to replace it, or -o for another file")
    rows = file.parent / DATA_NAME
    if data is None and rows.exists() and not holds(rows, starter_rows()):
        raise UsageError(
            f"there is already a {rows}", f"make a spec for it: promptc init {shlex.quote(str(rows))}"
        )
    beside = file.parent / SCHEMA_NAME
    if schema and beside.exists() and not force and not _is_our_schema(beside):
        raise UsageError(f"there is already another {beside}", "pass --force to replace it, or --no-schema")


def write(plan: Plan, file: Path, *, schema: bool) -> tuple[Path, ...]:
    """Write the spec and what comes with it; the files, the spec first. Raises RunError."""
    contents = {file: plan.text.encode()}
    if plan.rows is not None:
        contents[file.parent / DATA_NAME] = plan.rows
    if schema:
        contents[file.parent / SCHEMA_NAME] = schema_bytes("spec")
    for path, content in reversed(contents.items()):
        replace_file(path, content)
    return tuple(contents)


def next_commands(file: Path) -> list[tuple[str, str]]:
    """What to type next, and what for."""
    default = file.name in DEFAULT_NAMES[:1] and file.absolute().parent == Path.cwd()
    target = "" if default else f" {shlex.quote(str(file))}"
    return [
        (f"promptc validate{target}", "is it right?"),
        (f"promptc eval{target}", "how good is it?"),
        (f"promptc optimize{target}", "make it better"),
    ]


def tell(terminal: Terminal, plan: Plan, file: Path, written: Sequence[Path], *, as_json: bool) -> None:
    """What was written, why, and what comes next: on stderr, or as JSON on stdout."""
    from rich.text import Text

    following = next_commands(file)
    if as_json:
        document = {
            "spec": str(file),
            "written": [str(path) for path in written],
            "content": plan.tree,
            "reasons": list(plan.reasons),
            "next": [command for command, _ in following],
        }
        terminal.write(json_text(document))
        return
    for reason in plan.reasons:
        terminal.say(Text(f"  {one_line(reason)}"))
    terminal.say(Text(f"wrote {', '.join(one_line(str(path)) for path in written)}", style="bold"))
    width = max(len(command) for command, _ in following)
    for command, purpose in following:
        terminal.say(Text(f"  {command:<{width}}  # {purpose}"))


def _folder(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []


def _is_our_schema(path: Path) -> bool:
    """True for a schema of any version of promptc."""
    with path.open("rb") as file:
        return b'"title": "promptc spec"' in file.read(4096)
