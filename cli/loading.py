"""From what was typed to a spec: files, artifacts, overrides and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.candidate import Candidate
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError, UsageError
from promptc.spec.model import Spec
from promptc.spec.sweep import Patch

DEFAULT_NAMES = ("promptc.yaml", "spec.yaml")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A spec with where it came from. `artifact` holds the compiled texts and the rows they were chosen on."""

    spec: Spec
    path: Path
    warnings: tuple[Diagnostic, ...] = ()
    candidate: Candidate | None = None
    seen_rows: frozenset[str] = frozenset()


def find_target(typed: Path | None) -> Path:
    """The file that is meant. Raises UsageError."""
    if typed is not None:
        if typed.is_dir():
            compiled = typed / "compiled" / "program.json"
            inside = [compiled, *(typed / name for name in DEFAULT_NAMES)]
            found = next((path for path in inside if path.is_file()), None)
            if found is None:
                raise UsageError(
                    f"{typed} is a folder without {', '.join(DEFAULT_NAMES)} or a compiled program"
                )
            return found
        if not typed.exists():
            raise UsageError(f"there is no {typed}", nearby(typed))
        return typed
    for name in DEFAULT_NAMES:
        if Path(name).is_file():
            return Path(name)
    raise UsageError(
        f"no spec: there is no {' or '.join(DEFAULT_NAMES)} here",
        "name one, or write one with `promptc init`",
    )


def read_environment(
    env_files: Sequence[Path], environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The process's environment with the variables of env files, which the real ones override."""
    merged: dict[str, str] = {}
    for path in env_files:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read as text: {error}") from error
        for number, line in enumerate(text.splitlines(), start=1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            name, separator, value = stripped.removeprefix("export ").partition("=")
            if not separator or not name.strip().isidentifier():
                raise UsageError(f"{path}:{number}: expected NAME=value")
            merged[name.strip()] = _unquoted(value.strip())
    merged.update(os.environ if environment is None else environment)
    return merged


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a spec, wherever it stands: in a file of its own, or in a compiled program with its candidate."""

    path: Path
    text: bytes
    base: Path
    candidate: Candidate | None = None
    seen_rows: frozenset[str] = frozenset()


def read_source(typed: Path | None) -> Source:
    """The text that is meant. Raises UsageError, DataError."""
    from promptc.runners.artifact import is_artifact, read_artifact

    path = find_target(typed)
    if is_artifact(path):
        artifact = read_artifact(path)
        return Source(
            path=path,
            text=msgspec.json.encode(artifact.spec),
            base=(path.parent / artifact.base).resolve(),
            candidate=artifact.candidate,
            seen_rows=frozenset(artifact.trained_on) | frozenset(artifact.chosen_on),
        )
    try:
        return Source(path=path, text=path.read_bytes(), base=path.parent.resolve())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def load(
    typed: Path | None,
    *,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
    environment: Mapping[str, str],
) -> Loaded:
    """The spec that is meant, checked. Raises SpecError with every finding at once."""
    return load_source(read_source(typed), overrides=overrides, models=models, environment=environment)


def load_source(
    source: Source,
    *,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
    patch: Patch = (),
    environment: Mapping[str, str],
) -> Loaded:
    """The spec of a text, or a cell of its sweep, checked. Raises SpecError with every finding at once."""
    from promptc.spec.load import load as load_text

    if models:
        written = load_source(source, overrides=overrides, patch=patch, environment=environment).spec
        overrides = (*overrides, *(_model_override(m, written) for m in models))
    spec, findings = load_text(
        source.text,
        file=str(source.path),
        base=source.base,
        overrides=tuple(overrides),
        patch=patch,
        environment=environment,
    )
    if spec is None or any(f.severity == "error" for f in findings):
        raise SpecError(tuple(findings))
    return Loaded(
        spec=spec,
        path=source.path,
        warnings=tuple(findings),
        candidate=source.candidate,
        seen_rows=source.seen_rows,
    )


def read_candidate(path: Path, program: Any) -> Candidate:
    """A candidate from candidate.yaml, an artifact, or a run directory. Raises UsageError, DataError."""
    from promptc.runners.artifact import candidate_from_tree, is_artifact, read_artifact
    from promptc.spec.tree import parse

    if path.is_dir():
        path = path / "compiled" / "program.json"
    if not path.is_file():
        raise UsageError(f"there is no candidate {path}", "name a candidate.yaml, a program.json or a run")
    if is_artifact(path):
        tree = msgspec.to_builtins(read_artifact(path).candidate)
        return candidate_from_tree(tree, path, program)
    document, findings = parse(path.read_bytes(), str(path))
    if document is None or findings:
        raise SpecError(tuple(findings))
    return candidate_from_tree(document.value, path, program)


def _model_override(text: str, spec: Spec) -> str:
    """--model as an override. Where the spec gives the role an address, key or price of its own, these stay."""
    role, separator, name = text.partition("=")
    if not separator:
        role, name = "task", text
    written = spec.resolved.get("models", {}).get(role)
    local = name.startswith("embedded/") or (
        role in spec.models and spec.models[role].model.startswith("embedded/")
    )
    if isinstance(written, dict) and not local:
        return f"models.{role}.model={name}"
    return f"models.{role}={name}"


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def nearby(typed: Path) -> str:
    """A file beside it whose name is almost the same, as a question; "" where there is none."""
    from difflib import get_close_matches

    folder = typed.parent if typed.parent.is_dir() else Path()
    near = get_close_matches(typed.name, [entry.name for entry in folder.iterdir()], n=1)
    return f"did you mean {folder / near[0]}?" if near else ""
