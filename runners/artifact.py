"""The artifact: a compiled program as one file of data, and candidates as YAML that a person can edit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.program import Program
from promptc.spec.errors import DataError
from promptc.spec.model import Spec

ARTIFACT_VERSION = 1
LARGEST_ARTIFACT = 256 << 20
"""Bytes. A larger file is not read."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """compiled/program.json: the spec, the winning texts, and what they were chosen on.

    `base` leads from the artifact's folder to the spec's, for the data and hooks that the spec names. `formats` names
    the version of each predictor's prompt format. `trained_on` and `chosen_on` are content digests of rows.
    `real_rows` counts demos that hold rows of the data.
    """

    artifact: int = ARTIFACT_VERSION
    promptc: str = ""
    name: str = ""
    base: str = "."
    spec: dict[str, Any] = {}
    candidate: Candidate = Candidate()
    formats: dict[str, str] = {}
    trained_on: tuple[str, ...] = ()
    chosen_on: tuple[str, ...] = ()
    real_rows: int = 0


def artifact_bytes(artifact: Artifact) -> bytes:
    """The file's content: indented JSON in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(artifact, order="deterministic"), indent=2) + b"\n"


def make_artifact(
    spec: Spec,
    program: Program,
    candidate: Candidate,
    *,
    folder: Path,
    version: str,
    trained_on: tuple[str, ...],
    chosen_on: tuple[str, ...],
) -> Artifact:
    """The artifact of a candidate, to be written into `folder`."""
    return Artifact(
        promptc=version,
        name=spec.name,
        base=os.path.relpath(spec.base, folder),
        spec=spec.resolved,
        candidate=candidate,
        formats={name: p.format.version for name, p in program.predictors.items()},
        trained_on=trained_on,
        chosen_on=chosen_on,
        real_rows=sum(len(t.demos) for t in candidate.predictors.values()),
    )


def is_artifact(path: Path) -> bool:
    """True for a file that claims to be an artifact, by its name and its first bytes."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with open(path, "rb") as file:
        return b'"artifact"' in file.read(4096)


def read_artifact(path: Path) -> Artifact:
    """The artifact in a file. Loading never runs code. Raises DataError."""
    try:
        if path.stat().st_size > LARGEST_ARTIFACT:
            raise DataError(path, "larger than any artifact")
        found = msgspec.json.decode(path.read_bytes(), type=Artifact)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise DataError(path, f"not an artifact: {error}") from error
    if found.artifact > ARTIFACT_VERSION:
        raise DataError(
            path, f"artifact version {found.artifact} is newer than this promptc", hint="update promptc"
        )
    return found


def candidate_tree(candidate: Candidate) -> dict[str, Any]:
    """A candidate as plain data for YAML: what a person may edit and hand back with --candidate."""
    predictors: dict[str, Any] = {}
    for name, texts in candidate.predictors.items():
        entry: dict[str, Any] = {"instructions": texts.instructions}
        if texts.descriptions:
            entry["descriptions"] = dict(texts.descriptions)
        if texts.model:
            entry["model"] = texts.model
        entry["demos"] = [msgspec.to_builtins(demo) for demo in texts.demos]
        predictors[name] = entry
    return {
        "candidate": 1,
        "predictors": predictors,
        **({"choices": candidate.choices} if candidate.choices else {}),
    }


def candidate_from_tree(tree: Any, path: Path | str, program: Program) -> Candidate:
    """A candidate from plain data. Raises DataError for what does not fit the program."""
    if not isinstance(tree, dict) or not isinstance(tree.get("predictors"), dict):
        raise DataError(path, "not a candidate: expected a mapping with `predictors:`")
    unknown = set(tree["predictors"]) - set(program.predictors)
    if unknown:
        raise DataError(
            path,
            f"unknown predictor {', '.join(sorted(unknown))}",
            hint=f"the program has {', '.join(program.predictors)}",
        )
    candidate = program.start()
    for name, entry in tree["predictors"].items():
        try:
            texts = msgspec.convert(entry, PredictorTexts)
        except msgspec.ValidationError as error:
            raise DataError(path, f"predictor {name}: {error}") from error
        _check_demos(program, name, texts.demos, path)
        candidate = candidate.with_predictor(name, texts)
    return candidate


def _check_demos(program: Program, name: str, demos: tuple[Demo, ...], path: Path | str) -> None:
    signature = program.predictors[name].signature
    known = {f.name for f in signature.inputs} | {f.name for f in signature.outputs}
    for number, demo in enumerate(demos, start=1):
        extra = (demo.inputs.keys() | demo.outputs.keys()) - known
        if extra:
            raise DataError(
                path, f"predictor {name}, demo {number}: unknown field {', '.join(sorted(extra))}"
            )


def prompt_markdown(name: str, messages: tuple[Any, ...], format_version: str) -> bytes:
    """compiled/prompts/<predictor>.md: what is sent before a row's own text, message by message."""
    parts = [f"# Prompt of `{name}` ({format_version})\n"]
    for message in messages:
        fence = "`" * max(3, _longest_backticks(message.content) + 1)
        parts.append(f"\n## {message.role}\n\n{fence}text\n{message.content}\n{fence}\n")
    return "".join(parts).encode()


def _longest_backticks(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
