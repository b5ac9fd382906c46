"""What `promptc init` is about to write, from a data file or from nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.init_text import spec_text
from promptc.cli.initializing import compose, draft, personalized, used_columns
from promptc.cli.starter import DATA_NAME, starter_rows, starter_tree
from promptc.cli.untrusted import one_line
from promptc.cli.wishes import Wishes, plain_name

STDOUT = "-"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A spec as data and as text, what is to be said about it, and the rows that come with it."""

    tree: dict[str, Any]
    text: str
    reasons: tuple[str, ...] = ()
    rows: bytes | None = None


def from_data(data: Path, file: Path, wishes: Wishes, terminal: Terminal | None) -> Plan:
    """The spec for a data file. With a terminal the person at it is asked. Raises DataError, UsageError."""
    helped = terminal is not None or bool(wishes.inputs and wishes.outputs)
    found = draft(data, data_path(data, file), helped=helped)
    if terminal is not None:
        from rich.text import Text

        from promptc.cli.asking import ask_about_data

        terminal.say(Text(f"{one_line(str(data))}:", style="bold"))
        for name, reason in found.reasons.items():
            terminal.say(Text(f"  {one_line(name)}: {one_line(reason)}"))
        wishes = ask_about_data(found, wishes)
    tree = compose(found, wishes)
    used = used_columns(tree)
    reasons = {name: reason for name, reason in found.reasons.items() if name not in used}
    unused = [f"Column {name}: {_now(reason)}." for name, reason in reasons.items()]
    title = f"Guessed by `promptc init` from {data.name}: read it, correct it, then `promptc validate`."
    return Plan(
        tree=tree,
        text=spec_text(tree, title=title, unused=unused),
        reasons=(*_told(found.reasons, tree), *found.notes),
    )


def from_nothing(file: Path, wishes: Wishes, *, asking: bool) -> Plan:
    """The example, with its rows beside the spec."""
    tree = starter_tree(plain_name(file.absolute().parent.name), DATA_NAME)
    if asking:
        from promptc.cli.asking import ask_about_start

        wishes = ask_about_start(wishes, tree["name"], tree["models"]["task"])
    tree = personalized(tree, wishes)
    title = "An example by `promptc init`: a library's mail, sorted by topic. Put your own in its place."
    return Plan(tree=tree, text=spec_text(tree, title=title), rows=starter_rows())


def data_path(data: Path, file: Path) -> str:
    """What the spec calls the data: the way to it from the spec's folder."""
    folder = Path.cwd() if str(file) == STDOUT else file.absolute().parent
    return Path(os.path.relpath(data.absolute(), folder)).as_posix()


def _told(reasons: dict[str, str], tree: dict[str, Any]) -> list[str]:
    """What became of each column, for the person who reads along."""
    inputs, used = tree["fields"]["inputs"], used_columns(tree)
    told = []
    for name, reason in reasons.items():
        role = "an input" if name in inputs else "an output" if name in used else ""
        kept = reason if not role or reason.startswith(role) else f"{role}, as you say"
        told.append(f"{name}: {kept if role else _now(reason)}")
    return told


def _now(reason: str) -> str:
    """The reason for a column that is no field, whatever was guessed."""
    return "not used, as you say" if reason.startswith(("an input", "an output")) else reason
