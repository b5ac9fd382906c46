"""What has to hold of the cells of a sweep together, before any of them asks anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.opening import Prepared, prepared_with, show_warnings
from promptc.cli.sweep_cells import Cell, for_each, in_common
from promptc.runners.dataset import Dataset, load_examples
from promptc.runners.judging import build_judge
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError, UsageError
from promptc.spec.model import MODEL_ROLES, DataSource, Model, Spec


def prepare_cells(
    cells: Sequence[Cell], terminal: Terminal, *, candidate: Path | None = None
) -> tuple[Prepared, ...]:
    """Every cell, ready to be opened. Rows that several cells share are read once. Raises SpecError, DataError."""
    findings = judge_findings([cell.loaded.spec for cell in cells])
    if findings:
        raise SpecError(tuple(findings))
    read = Reader()
    ready = for_each(
        [(cell.label, cell) for cell in cells],
        lambda cell: prepared_with(cell.loaded, read, candidate=candidate),
    )
    warned = [
        (cell.label, (*cell.loaded.warnings, *found)) for cell, (_, found) in zip(cells, ready, strict=True)
    ]
    show_warnings(terminal, in_common(warned, len(cells)))
    return tuple(prepared for prepared, _ in ready)


class Reader:
    """Reads rows as `load_examples` does, and the same ones once."""

    def __init__(self) -> None:
        self._read: dict[bytes, Dataset] = {}

    def __call__(
        self,
        source: DataSource,
        *,
        seed: int,
        gold: Collection[str] = (),
        types: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Dataset:
        """The rows of a spec in their parts."""
        asked = (msgspec.structs.replace(source, position=None), seed, tuple(gold), types)
        key = msgspec.json.encode(asked, order="deterministic")
        if key not in self._read:
            self._read[key] = load_examples(source, seed=seed, gold=gold, types=types)
        return self._read[key]


def judge_findings(specs: Sequence[Spec]) -> list[Diagnostic]:
    """Metrics whose model is another one in every cell because it falls back to the task model, which is swept.

    Scores that different judges gave are not on one scale. A model that is swept by its own name is meant so.
    """
    asked: dict[int, list[tuple[Spec, str, Model]]] = {}
    for spec in specs:
        for index, name in _judges(spec):
            if name not in spec.models and name in MODEL_ROLES:
                asked.setdefault(index, []).append((spec, name, _placeless(spec.model_named(name))))
    return [
        _follows(found[0][0], index, found[0][1])
        for index, found in asked.items()
        if any(model != found[0][2] for _, _, model in found)
    ]


def _judges(spec: Spec) -> Iterator[tuple[int, str]]:
    """The metrics that ask a model, by their place, with its name."""
    for index, applied in enumerate(build_judge(spec).metrics):
        if applied.metric.calls():
            yield index, applied.use.model


def _follows(spec: Spec, index: int, name: str) -> Diagnostic:
    use = spec.metrics[index]
    return Diagnostic(
        message=f"{use.name} asks the model `{name}`, which is not declared and so is the task model: "
        "the sweep would judge every cell by another model",
        position=use.position,
        path=f"metrics.{index}",
        hint=f"declare models.{name}, the same for all cells",
    )


def role_notes(specs: Sequence[Spec], roles: Collection[str]) -> list[str]:
    """A word on the roles that are another model in every cell because they fall back to the task model."""
    following = [
        role
        for role in sorted(roles)
        if role != "task"
        and all(role not in spec.models for spec in specs)
        and len({msgspec.json.encode(_placeless(spec.model_named(role))) for spec in specs}) > 1
    ]
    if not following:
        return []
    keys = " and ".join(f"models.{role}" for role in following)
    return [f"{' and '.join(following)}: each cell asks its own task model; {keys} would be the same for all"]


def _placeless(model: Model) -> Model:
    return msgspec.structs.replace(model, position=None)


def check_distinct(labels: Sequence[str], identities: Sequence[str]) -> None:
    """Two cells that are the same run differ in nothing that changes a result. Raises UsageError."""
    seen: dict[str, str] = {}
    for label, identity in zip(labels, identities, strict=True):
        if identity in seen:
            raise UsageError(
                f"two cells of the sweep are the same run: {seen[identity]} and {label}",
                "keep one of them: they differ in nothing that changes a result",
            )
        seen[identity] = label


def cells_findings(cells: Sequence[Cell], check: Callable[[Cell], Sequence[Diagnostic]]) -> list[Diagnostic]:
    """What `check` finds in any cell, and what is wrong with all of them together."""
    found = list(in_common([(cell.label, check(cell)) for cell in cells], len(cells)))
    if not any(finding.severity == "error" for finding in found):
        found += judge_findings([cell.loaded.spec for cell in cells])
    return found
