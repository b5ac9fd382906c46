"""The questions of `promptc init` on a terminal. They stand on stderr, each with the guess as its default."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from promptc.cli.initializing import Draft, compose
from promptc.cli.untrusted import one_line
from promptc.cli.wishes import Wishes, check_columns, check_model, check_name
from promptc.spec.errors import UsageError


def ask_for_data() -> Path | None:
    """The data file to begin with; None for a starter with rows of its own."""

    def existing(typed: str) -> str:
        if typed.strip() and not Path(typed.strip()).expanduser().is_file():
            raise UsageError(f"there is no file {typed.strip()}")
        return typed.strip()

    typed = _ask("Data file, JSONL, CSV or Parquet (nothing for a small example)", "", existing)
    return Path(typed).expanduser() if typed else None


def ask_about_start(wishes: Wishes, name: str, model: str) -> Wishes:
    """Name and model, where they were not said."""
    return msgspec.structs.replace(
        wishes,
        name=wishes.name or _ask("Name", name, check_name),
        model=wishes.model or _ask("Model (any litellm name)", model, check_model),
    )


def ask_about_data(found: Draft, wishes: Wishes) -> Wishes:
    """Everything that was not said: name, columns, instructions, model."""
    wishes = msgspec.structs.replace(wishes, name=wishes.name or _ask("Name", found.tree["name"], check_name))
    known = list(found.reasons)
    inputs = wishes.inputs or _ask_columns("Inputs, by column", found.inputs, known)
    wishes = msgspec.structs.replace(wishes, inputs=inputs)
    if not wishes.outputs:
        wishes = _with_outputs(found, wishes, known)
    tree = compose(found, wishes)
    instructions = wishes.instructions or _ask("Instructions", tree["instructions"], _anything)
    model = wishes.model or _ask("Model (any litellm name)", tree["models"]["task"], check_model)
    return msgspec.structs.replace(wishes, instructions=instructions, model=model)


def _with_outputs(found: Draft, wishes: Wishes, known: Sequence[str]) -> Wishes:
    """The wishes with outputs that fit the inputs."""
    left = tuple(name for name in found.outputs if name not in wishes.inputs)

    def fitting(typed: str) -> tuple[str, ...]:
        names = _names(typed, (*known, *found.outputs))
        compose(found, msgspec.structs.replace(wishes, outputs=names))
        return names

    outputs = _ask("Outputs, by column", ", ".join(left), fitting)
    return msgspec.structs.replace(wishes, outputs=outputs)


def _ask_columns(question: str, default: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    names: tuple[str, ...] = _ask(question, ", ".join(default), lambda typed: _names(typed, known))
    return names


def _names(typed: str, known: Sequence[str]) -> tuple[str, ...]:
    """Columns with commas between them; one whose own name has a comma may stand alone."""
    if typed.strip() in known:
        return (typed.strip(),)
    names = [name.strip() for name in typed.split(",") if name.strip()]
    if not names:
        raise UsageError("name at least one column")
    return check_columns(names, known)


def _anything(typed: str) -> str:
    if not typed.strip():
        raise UsageError("say what the model is to do")
    return typed.strip()


def _ask(question: str, default: str, read: Callable[[str], Any]) -> Any:
    """Ask until the answer can be read."""

    def value(typed: str) -> Any:
        try:
            return read(typed)
        except UsageError as error:
            raise click.UsageError(f"{error.message}{f'; {error.hint}' if error.hint else ''}") from None

    # polars, which has read the data, lets reads go on after SIGINT: Ctrl-C would wait for Enter.
    signal.siginterrupt(signal.SIGINT, True)
    return click.prompt(
        question, default=default, err=True, value_proc=value, show_default=bool(default) and _shown(default)
    )


def _shown(default: str) -> bool:
    """Whether a default can be shown as it is: nothing in it is obeyed by a terminal."""
    return one_line(default, len(default) + 1) == default
