"""What a run reads, as a rule for make: the spec with its includes, data, documents, scripts and user code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from promptc.cli.opening import Choices, Prepared
from promptc.cli.writing import replace_file
from promptc.runners.hook_source import hook_files
from promptc.runners.run_directory import MANIFEST
from promptc.spec.model import Spec

_SPECIAL = re.compile(r"([ \t#\\])")
"""What make reads as more than a part of a name, unless there is a backslash before it."""


def write_rule(file: Path, run: Path, prepared: Prepared, choices: Choices) -> None:
    """Write the rule: the run's manifest, which is written last, depends on all inputs. Raises RunError."""
    replace_file(file, rule(run / MANIFEST, inputs(prepared, choices)).encode())


def rule(target: Path, needed: list[Path]) -> str:
    """A rule without a recipe; each input is a target too, so that one which is removed ends no make."""
    names = [_name(path) for path in needed]
    lines = " \\\n  ".join(["", *names])
    return f"{_name(target)}:{lines}\n" + "".join(f"\n{name}:\n" for name in names)


def inputs(prepared: Prepared, choices: Choices) -> list[Path]:
    """The files that decide the result, each once, as seen from the working folder, where make runs."""
    found = [*_files(prepared), *([choices.candidate] if choices.candidate is not None else [])]
    there = [path / "compiled" / "program.json" if path.is_dir() else path for path in found]
    return list(dict.fromkeys(Path(os.path.relpath(path)) for path in there if path.is_file()))


def _files(prepared: Prepared) -> Iterator[Path]:
    spec = prepared.spec
    base = Path(spec.base)
    yield prepared.loaded.path
    yield from (base / name for name in spec.files)
    data = spec.data
    yield from (Path(name) for name in (data.path, data.train, data.dev, data.test) if name is not None)
    yield from _of_models(spec)
    searched = (use.plugin.params.get("documents") for use in spec.retrievers.values())
    yield from (Path(name) for name in searched if name is not None)
    for use in prepared.code:
        if use.kind == "function":
            yield from hook_files(base, use.reference)


def _of_models(spec: Spec) -> Iterator[Path]:
    """The scripts that models answer from."""
    for model in spec.models.values():
        if model.model == "embedded/script" and "script" in model.params:
            yield Path(spec.base) / str(model.params["script"])


def _name(path: Path) -> str:
    return _SPECIAL.sub(r"\\\1", str(path)).replace("$", "$$")
