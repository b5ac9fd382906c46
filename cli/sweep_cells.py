"""The cells of a sweep: what each changes, its share of the budget, and whether all of them make sense together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from promptc.cli.loading import Loaded, load_source, read_source
from promptc.cli.sweep_labels import label_of
from promptc.spec.diagnostics import Diagnostic, Findings
from promptc.spec.errors import SpecError, UsageError
from promptc.spec.load import read_axes
from promptc.spec.model import Budget, RoleBudget
from promptc.spec.nodes import Path as KeyPath
from promptc.spec.nodes import split_dotted
from promptc.spec.resolved import resolved_tree
from promptc.spec.sweep import Axis, Patch, combinations, in_words

Item = TypeVar("Item")
Made = TypeVar("Made")


class Cell(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One combination of a sweep, as a spec of its own. `values` are what it changes, without credentials."""

    number: int
    values: tuple[tuple[str, Any], ...]
    loaded: Loaded

    @property
    def label(self) -> str:
        """What it changes, on one line."""
        return label_of(self.values)


def read_cells(
    spec: Path | None, typed: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Cell, ...]:
    """Every cell of the sweep that spec and options ask for; none where nothing is swept. Raises SpecError.

    `typed` holds the options `--sweep`, `--no-sweep`, `--set` and `--model`.
    """
    if typed["no_sweep"] and typed["sweeps"]:
        raise UsageError("--sweep and --no-sweep contradict each other", "drop one of them")
    if typed["no_sweep"]:
        return ()
    source = read_source(spec)
    axes, found = read_axes(
        source.text,
        file=str(source.path),
        base=source.base,
        overrides=typed["overrides"],
        sweeps=typed["sweeps"],
    )
    findings = Findings()
    findings.extend(found)
    patches = combinations(axes, findings)
    if findings.failed:
        raise SpecError(findings.arranged())
    _check_overrides(axes, typed["overrides"], typed["models"])

    def cell(numbered: tuple[int, Patch]) -> Cell:
        number, patch = numbered
        loaded = load_source(
            source,
            overrides=typed["overrides"],
            models=typed["models"],
            patch=patch,
            environment=environment,
        )
        return Cell(number=number, values=in_words(patch), loaded=_with_share(loaded, len(patches), patch))

    labels = [label_of(in_words(patch)) for patch in patches]
    return for_each(list(zip(labels, enumerate(patches, 1), strict=True)), cell)


def for_each(items: Sequence[tuple[str, Item]], make: Callable[[Item], Made]) -> tuple[Made, ...]:
    """What is made of each cell, which comes with its label. Raises SpecError with the findings of all cells."""
    made: list[Made] = []
    wrong: list[tuple[str, tuple[Diagnostic, ...]]] = []
    for label, item in items:
        try:
            made.append(make(item))
        except SpecError as error:
            wrong.append((label, error.diagnostics))
    if wrong:
        raise SpecError(in_common(wrong, len(items)))
    return tuple(made)


def in_common(found: Iterable[tuple[str, Iterable[Diagnostic]]], count: int) -> tuple[Diagnostic, ...]:
    """The findings of several cells, each once; what not all `count` cells have names the first that has it."""
    where: dict[Diagnostic, list[str]] = {}
    for label, diagnostics in found:
        for diagnostic in dict.fromkeys(diagnostics):
            where.setdefault(diagnostic, []).append(label)
    findings = Findings()
    for diagnostic, labels in where.items():
        if diagnostic.path.startswith("budget.") and f"{diagnostic.path}=" not in labels[0]:
            hint = f"each of {count} cells has an equal share of the budget: {diagnostic.hint}"
            diagnostic = msgspec.structs.replace(diagnostic, hint=hint)
        if len(labels) == count:
            findings.extend([diagnostic])
            continue
        which = (
            f"cell {labels[0]}"
            if len(labels) == 1
            else f"{len(labels)} of {count} cells, such as {labels[0]}"
        )
        findings.extend([msgspec.structs.replace(diagnostic, message=f"{diagnostic.message} ({which})")])
    return findings.arranged()


def share(budget: Budget, count: int, own: Iterable[KeyPath]) -> Budget:
    """A cell's part of a budget for `count` cells: equal shares of every wall but those that the cell itself sets."""
    swept = tuple(own)

    def part(name: tuple[str, ...], wall: float | None, whole: bool) -> Any:
        if wall is None or any(name[: len(path)] == path for path in swept):
            return wall
        return int(wall) // count if whole else wall / count

    def walls(prefix: tuple[str, ...], limits: Budget | RoleBudget) -> dict[str, Any]:
        shared = {"calls": part((*prefix, "calls"), limits.calls, True)}
        shared["tokens"] = part((*prefix, "tokens"), limits.tokens, True)
        shared["usd"] = part((*prefix, "usd"), limits.usd, False)
        return shared

    roles = {
        role: msgspec.structs.replace(limits, **walls(("budget", "roles", role), limits))
        for role, limits in budget.roles.items()
    }
    minutes = part(("budget", "minutes"), budget.minutes, False)
    return msgspec.structs.replace(budget, **walls(("budget",), budget), minutes=minutes, roles=roles)


def _with_share(loaded: Loaded, count: int, patch: Patch) -> Loaded:
    own = [change.path for change in patch]
    spec = msgspec.structs.replace(loaded.spec, budget=share(loaded.spec.budget, count, own))
    return msgspec.structs.replace(loaded, spec=msgspec.structs.replace(spec, resolved=resolved_tree(spec)))


def _check_overrides(axes: Sequence[Axis], overrides: Sequence[str], models: Sequence[str]) -> None:
    """A key that a flag sets in every cell cannot be swept. Raises UsageError."""
    roles = [("--model", text.partition("=")[0] if "=" in text else "task") for text in models]
    given = [("--set", text.partition("=")[0].strip()) for text in overrides]
    given += [(flag, f"models.{role}") for flag, role in roles]
    for flag, key in given:
        path = split_dotted(key)
        for swept in (path_ for axis in axes for path_ in axis.paths):
            if swept[: len(path)] == path:
                raise UsageError(
                    f"{flag} gives {key} one value, and the sweep gives it several",
                    f"drop {flag} or the sweep; --no-sweep runs the spec alone",
                )
