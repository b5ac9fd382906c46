"""A sweep as tasks: every cell with its run, its identity and its folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from promptc.cli.conduct import Run
from promptc.cli.console import Terminal
from promptc.cli.opening import Choices, Prepared
from promptc.cli.sweep_cells import Cell, for_each
from promptc.cli.sweep_checks import check_distinct, prepare_cells
from promptc.cli.sweep_labels import value_text
from promptc.cli.sweep_notices import walls_of
from promptc.runners.trust import require

LONGEST_FOLDER = 48


class Sweep(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a command wants swept. `make` gives the run of a prepared cell, with its test figures or without.

    Cells are ranked on `split`; None is what `eval` scores by default. `choices.jobs` cells are under way at once.
    """

    command: str
    cells: tuple[Cell, ...]
    make: Callable[[Prepared, bool], Run]
    choices: Choices
    split: str | None
    test_all: bool
    as_json: bool
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(
        cls,
        command: str,
        cells: tuple[Cell, ...],
        typed: Mapping[str, Any],
        environment: Mapping[str, str],
        *,
        make: Callable[[Prepared, bool], Run],
        split: str | None,
    ) -> Sweep:
        """A sweep as the options want it."""
        import click

        from promptc.cli.entry import choices_of

        return cls(
            command=command,
            cells=cells,
            make=make,
            choices=choices_of(typed),
            split=split,
            test_all=bool(typed.get("test_all")),
            as_json=typed["as_json"],
            arguments=click.get_current_context().find_object(tuple) or (),
            environment=environment,
        )

    @property
    def measures_all(self) -> bool:
        """True where every cell is a whole run; else test waits until it is known which cell is the best."""
        return self.command != "optimize" or self.test_all


class Task(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A cell with its run and its folder in the sweep's directory."""

    cell: Cell
    run: Run
    folder: str
    identity: str


def tasks_of(sweep: Sweep, terminal: Terminal) -> tuple[Task, ...]:
    """Every cell as a run, checked together before anything is written."""
    prepared = prepare_cells(sweep.cells, terminal, candidate=sweep.choices.candidate)
    for one in prepared:
        require(one.code, one.spec.base, flag=sweep.choices.allow_code, environment=os.environ)
    labels = [cell.label for cell in sweep.cells]
    runs = for_each(list(zip(labels, prepared, strict=True)), lambda one: sweep.make(one, sweep.measures_all))
    identities = [run.identity() for run in runs]
    check_distinct(labels, identities)
    return tuple(
        Task(cell=cell, run=run, folder=folder_of(cell, identity), identity=identity)
        for cell, run, identity in zip(sweep.cells, runs, identities, strict=True)
    )


def identity_of(command: str, tasks: Sequence[Task]) -> str:
    """The identity of a sweep: that of its cells, in order. Whether all are tested changes no cell, and is no part."""
    content = msgspec.json.encode((command, [task.identity for task in tasks]))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def folder_of(cell: Cell, identity: str) -> str:
    """The cell's folder: what it changes, for a person, and the beginning of its identity."""
    words = "-".join(value_text(value) for _, value in cell.values)
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-.")[:LONGEST_FOLDER].strip("-.")
    return f"{slug or 'cell'}-{identity[:8]}"


def common_share(tasks: Sequence[Task]) -> dict[str, float]:
    """The walls of every cell, where they are the same for all."""
    walls = [walls_of(task.run.prepared.spec.budget) for task in tasks]
    return walls[0] if all(wall == walls[0] for wall in walls) else {}
