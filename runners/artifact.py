"""The artifact: a compiled program as one file of data, and candidates as YAML that a person can edit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.attachments import AttachmentRefused, carried, store_of
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.failures import RowFailed
from promptc.runners.formats.demonstrations import shown_outputs
from promptc.runners.formats.problems import quote
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.values import conform
from promptc.runners.program import Program
from promptc.spec.errors import DataError
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Spec
from promptc.spec.suggest import did_you_mean, listed

ARTIFACT_VERSION = 1
CANDIDATE_VERSION = 1
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
    """The file's content: indented JSON. Its order is the spec's: that of fields and labels is in the prompt."""
    return msgspec.json.format(msgspec.json.encode(artifact), indent=2) + b"\n"


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
    """The artifact of a candidate, to be written into `folder`. Raises DataError where a demo's file is gone."""
    return Artifact(
        promptc=version,
        name=spec.name,
        base=os.path.relpath(spec.base, folder),
        spec=spec.resolved,
        candidate=_carrying(candidate, program),
        formats={name: p.format.version for name, p in program.predictors.items()},
        trained_on=trained_on,
        chosen_on=chosen_on,
        real_rows=sum(len(t.demos) for t in candidate.predictors.values()),
    )


def _carrying(candidate: Candidate, program: Program) -> Candidate:
    """The candidate with the files of its demos inside."""
    for name, texts in candidate.predictors.items():
        fields = program.predictors[name].signature.inputs
        if not any(field.attachment is not None for field in fields):
            continue
        try:
            store = store_of(program.spec)
            demos = tuple(
                msgspec.structs.replace(demo, inputs=carried(fields, demo.inputs, store))
                for demo in texts.demos
            )
        except (AttachmentRefused, RowFailed) as error:
            raise DataError(program.spec.source, f"a demo of {name} cannot be kept: {error}") from error
        candidate = candidate.with_predictor(name, msgspec.structs.replace(texts, demos=demos))
    return candidate


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
        if texts.nearest is not None:
            entry["nearest"] = msgspec.to_builtins(texts.nearest)
        entry["demos"] = [msgspec.to_builtins(demo) for demo in texts.demos]
        predictors[name] = entry
    return {
        "candidate": CANDIDATE_VERSION,
        "predictors": predictors,
        **({"choices": candidate.choices} if candidate.choices else {}),
    }


def candidate_from_tree(tree: Any, path: Path | str, program: Program) -> Candidate:
    """A candidate from plain data. Raises DataError for what does not fit the program.

    A predictor that is not there keeps all that the spec says, and one without `instructions` the spec's instructions.
    What a person wrote must be shown as it stands: a demo that no prompt would show is an error, except in an artifact.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("predictors"), dict):
        raise DataError(path, "not a candidate: expected a mapping with `predictors:`")
    _check_keys(tree, ("candidate", "predictors", "choices"), path, "")
    version = tree.get("candidate", CANDIDATE_VERSION)
    if type(version) is not int or version != CANDIDATE_VERSION:
        raise DataError(
            path,
            f"`candidate:` is the version {CANDIDATE_VERSION}, found {quote(version)}",
            hint=f"write candidate: {CANDIDATE_VERSION}",
        )
    program = _chosen(program, tree.get("choices") or {}, path)
    for name in tree["predictors"]:
        if name not in program.predictors:
            hint = did_you_mean(name, program.predictors)
            raise DataError(path, f"unknown predictor {name}", hint=hint)
    written = not is_artifact(Path(path))
    candidate = program.start()
    for name, entry in tree["predictors"].items():
        signature = program.predictors[name].signature
        texts = _texts(entry, path, f"predictor {name}", signature)
        if written:
            _check_demos(signature, texts.demos, path, name)
            if "instructions" not in entry:
                own = candidate.predictors[name].instructions
                texts = msgspec.structs.replace(texts, instructions=own)
        candidate = candidate.with_predictor(name, texts)
    return candidate


def _chosen(program: Program, choices: Any, path: Path | str) -> Program:
    """The program with the candidate's choices made, each of which is one of those under `tune:`."""
    tune = program.spec.tune
    if not isinstance(choices, dict):
        raise DataError(path, f"`choices:` is a mapping, found {quote(choices)}")
    _check_keys(choices, tuple(tune), path, "choices: ", "choice")
    for key, value in choices.items():
        if value not in tune[key]:
            values = listed([quote(one) for one in tune[key]])
            raise DataError(path, f"choices: {key} is one of {values}, found {quote(value)}")
    return program.variant(choices)


def _texts(entry: Any, path: Path | str, place: str, signature: Signature) -> PredictorTexts:
    """One predictor's entry, every key of which has a meaning."""
    fields = [field.name for field in (*signature.inputs, *signature.outputs)]
    if isinstance(entry, dict):
        _check_keys(entry, PredictorTexts.__struct_fields__, path, f"{place}: ")
        demos = entry.get("demos")
        for number, demo in enumerate(demos if isinstance(demos, list | tuple) else (), start=1):
            _check_demo_keys(demo, path, f"{place}, demo {number}: ", signature)
    try:
        texts = msgspec.convert(entry, PredictorTexts)
    except msgspec.ValidationError as error:
        raise DataError(path, f"{place}: {error}") from error
    named = {key: said for key, said in texts.descriptions.items() if not key.startswith("tools.")}
    _check_keys(named, fields, path, f"{place}, descriptions: ", "field")
    return texts


def _check_demo_keys(demo: Any, path: Path | str, place: str, signature: Signature) -> None:
    if isinstance(demo, dict):
        _check_keys(demo, Demo.__struct_fields__, path, place)
        for side, fields in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            if isinstance(demo.get(side), dict):
                _check_keys(demo[side], [f.name for f in fields], path, f"{place}{side}: ", "field")
    try:
        msgspec.convert(demo, Demo)
    except msgspec.ValidationError as error:
        raise DataError(path, f"{place}{error}") from error


def _check_keys(
    found: Iterable[str], known: Sequence[str], path: Path | str, place: str, kind: str = "key"
) -> None:
    for key in found:
        if key not in known:
            raise DataError(path, f"{place}unknown {kind} `{key}`", hint=did_you_mean(str(key), known))


def _check_demos(signature: Signature, demos: tuple[Demo, ...], path: Path | str, name: str) -> None:
    """Raise DataError for a demo that a prompt format would leave out."""
    for number, demo in enumerate(demos, start=1):
        place = f"predictor {name}, demo {number}"
        if signature.inputs and not demo.inputs:
            raise DataError(path, f"{place}: no input", hint=f"give {_names(signature.inputs)}")
        for field in signature.outputs:
            value = demo.outputs.get(field.name)
            if value is None and not field.required:
                continue
            if field.name not in demo.outputs:
                raise DataError(path, f"{place}: the output `{field.name}` is missing")
            try:
                conform(field, value)
            except ParseError as error:
                raise DataError(path, f"{place}: {error}", hint="no prompt would show this demo") from error
        if not shown_outputs(signature, demo):
            raise DataError(path, f"{place}: no output", hint=f"give {_names(signature.outputs)}")


def _names(fields: Iterable[Field]) -> str:
    return listed([field.name for field in fields])


def prompt_markdown(name: str, messages: tuple[Any, ...], format_version: str) -> bytes:
    """compiled/prompts/<predictor>.md: what is sent before a row's own text, message by message."""
    parts = [f"# Prompt of `{name}` ({format_version})\n"]
    for message in messages:
        text = message.shown()
        fence = "`" * max(3, _longest_backticks(text) + 1)
        parts.append(f"\n## {message.role}\n\n{fence}text\n{text}\n{fence}\n")
    return "".join(parts).encode()


def _longest_backticks(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
