"""From the text of a spec to a Spec, with everything that is wrong in it at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path as FilePath

import msgspec

from promptc.spec.building import Parts
from promptc.spec.check import check_spec
from promptc.spec.diagnostics import Diagnostic, Findings, Position, arrange
from promptc.spec.environment import resolve_environment
from promptc.spec.errors import UsageError
from promptc.spec.extends import Extender
from promptc.spec.fields import Field, Signature
from promptc.spec.files import Folder
from promptc.spec.includes import Includer
from promptc.spec.later import refuse_later
from promptc.spec.model import Spec, Step
from promptc.spec.nodes import Node, dotted, walk
from promptc.spec.overrides import changed, named, override_all
from promptc.spec.program import metric_scope, read_signature, read_step
from promptc.spec.programs import Pipeline, ProgramFiles, read_pipeline
from promptc.spec.references import References
from promptc.spec.resolved import resolved_tree
from promptc.spec.structure import Schema, check_structure, describe
from promptc.spec.sweep import Axis, Patch, joined, option_axis, spec_axes
from promptc.spec.tree import parse
from promptc.spec.tuning import read_tune
from promptc.spec.types import TypeBuilder

Loaded = tuple[Spec | None, tuple[Diagnostic, ...]]


def committed_schema() -> Schema:
    """The JSON Schema of a spec, as it comes with promptc."""
    content = resources.files("promptc.spec").joinpath("schema/spec.json").read_bytes()
    schema: Schema = msgspec.json.decode(content)
    return schema


def load(
    text: str | bytes,
    *,
    file: str,
    base: FilePath,
    schema: Schema | None = None,
    overrides: Sequence[str] = (),
    patch: Patch = (),
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The spec, and all findings; None instead of the spec when one of them is an error.

    `file` is how messages call the text, `base` the folder against which its paths are resolved, `overrides`
    what `--set` says, `patch` what a cell of a sweep changes beneath that, `environment` what `${env:NAME}`
    refers to. The default schema is the committed one.
    """
    return _load(
        text,
        file,
        base,
        schema or committed_schema(),
        overrides=overrides,
        patch=patch,
        environment=environment or {},
        depth=0,
    )


def _load(
    text: str | bytes,
    file: str,
    base: FilePath,
    schema: Schema,
    *,
    overrides: Sequence[str],
    patch: Patch,
    environment: Mapping[str, str],
    depth: int,
) -> Loaded:
    """`depth` counts the programs that this one is a step of."""
    findings = Findings()
    root = _parsed(text, file, findings)
    spec = None
    if root is not None:

        def load_program(text: bytes, file: str, base: FilePath, depth: int) -> Loaded:
            return _load(
                text, file, base, schema, overrides=(), patch=(), environment=environment, depth=depth
            )

        reading = _Reading(_folder(base, file), file, schema, findings, ProgramFiles(load_program, depth))
        spec = reading.spec(root, overrides, patch, environment)
    diagnostics = arrange(named(item) for item in findings.arranged())
    if spec is None or findings.failed:
        return None, diagnostics
    return spec, diagnostics


def read_axes(
    text: str | bytes,
    *,
    file: str,
    base: FilePath,
    overrides: Sequence[str] = (),
    sweeps: Sequence[str] = (),
) -> tuple[tuple[Axis, ...], tuple[Diagnostic, ...]]:
    """What a spec's `sweep:` and the `--sweep` options let vary, and what is wrong with that.

    There are no axes where something is wrong. The rest of the spec is not looked at: it may be right in the cells
    alone.
    """
    findings = Findings()
    root = _parsed(text, file, findings)
    axes: tuple[Axis, ...] = ()
    if root is not None:
        extender = Extender(_folder(base, file), findings)
        extended = _extended(root, _own(base, file), extender, overrides, (), findings)
        given = [axis for option in sweeps if (axis := option_axis(option, findings)) is not None]
        axes = joined(spec_axes(extended, findings), given, findings)
    return (() if findings.failed else axes), arrange(named(item) for item in findings.arranged())


def load_file(
    path: FilePath,
    *,
    schema: Schema | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The spec in a file. UsageError when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    return load(
        content, file=str(path), base=path.parent, schema=schema, overrides=overrides, environment=environment
    )


def read_sources(diagnostics: Iterable[Diagnostic], known: Mapping[str, str]) -> dict[str, str]:
    """The texts of the files in which diagnostics stand, to show their lines; `known` is at hand already."""
    sources = dict(known)
    for diagnostic in diagnostics:
        name = diagnostic.position.file if diagnostic.position is not None else ""
        if not name or name in sources:
            continue
        try:
            sources[name] = FilePath(name).read_bytes().decode("utf-8", errors="replace")
        except (OSError, ValueError):
            sources[name] = ""
    return sources


class _Reading:
    """One spec on its way from tree to Spec."""

    def __init__(
        self, folder: Folder, file: str, schema: Schema, findings: Findings, programs: ProgramFiles
    ) -> None:
        self._folder = folder
        self._file = file
        self._schema = schema
        self._findings = findings
        self._programs = programs

    def spec(
        self, root: Node, overrides: Sequence[str], patch: Patch, environment: Mapping[str, str]
    ) -> Spec | None:
        """Extend, patch, override, check the structure, resolve what stands elsewhere, and build."""
        extender = Extender(self._folder, self._findings)
        own = _own(self._folder.base, self._file)
        root = _extended(root, own, extender, overrides, patch, self._findings)
        # A key that the whole spec lacks makes nothing else in it wrong.
        broken = frozenset(check_structure(root, self._schema, self._findings)) - {()}
        root = _without_sweep(root)
        includer = Includer(self._folder, self._findings)
        resolved = resolve_environment(includer.include(root, broken), environment, self._findings)
        broken |= includer.failed
        references = References(self._folder)
        parts = Parts(
            resolved, folder=self._folder, schema=self._schema, findings=self._findings, broken=broken
        )
        spec = self._build(parts, TypeBuilder(references, self._findings), root)
        if spec is None:
            return None
        files = {**extender.files, **includer.files, **references.files, **self._programs.files}
        spec = msgspec.structs.replace(spec, files=dict(sorted(files.items())))
        return msgspec.structs.replace(spec, resolved=resolved_tree(spec))

    def _build(self, parts: Parts, types: TypeBuilder, written: Node) -> Spec | None:
        """Every part, also where others are wrong, so that all findings come at once."""
        refuse_later(parts)
        program = self._program(parts, types)
        name, optimizer = parts.whole("name"), parts.whole("optimizer")
        description, objective = parts.whole("description"), parts.whole("objective")
        judged = Signature(inputs=program.inputs, outputs=program.outputs) if program is not None else None
        spec = Spec(
            version=1,
            name=name.value if name is not None else self._default_name(),
            description=description.value.strip() if description is not None else "",
            base=str(self._folder.base.resolve()),
            source=self._file,
            models={**self._programs.models, **parts.models()},
            data=parts.data(),
            inputs=program.inputs if program is not None else (),
            outputs=program.outputs if program is not None else (),
            steps=program.steps if program is not None else (),
            stages=program.stages if isinstance(program, Pipeline) else (),
            results=program.results if isinstance(program, Pipeline) else {},
            retrievers={**self._programs.retrievers, **parts.retrievers()},
            tools={**self._programs.tools, **parts.tools(types)},
            metrics=parts.metrics(metric_scope(judged), self._programs.read),
            objective=_objective(objective),
            slices=parts.texts("slices"),
            optimizer=parts.plugin("optimizer", optimizer, ("optimizer",)) if optimizer is not None else None,
            budget=parts.budget(),
            gates=parts.gates(),
            run=parts.run(),
            promote=parts.promotion(),
            positions=_positions(written),
            key_positions=_key_positions(written),
        )
        if program is not None:
            spec = msgspec.structs.replace(spec, tune=read_tune(parts, spec))
        broken = frozenset(str(path[0]) for path in parts.broken if path)
        self._findings.extend(check_spec(spec, broken if program is not None else broken | {"pipeline"}))
        return spec if program is not None else None

    def _program(self, parts: Parts, types: TypeBuilder) -> Pipeline | _OneStep | None:
        """What runs: the pipeline, or the one step that the whole spec is; None where that is wrong."""
        if "pipeline" in parts.root.value:
            return read_pipeline(parts, types, self._programs)
        for key in ("inputs", "outputs"):
            node = parts.root.value.get(key)
            if node is not None:
                self._findings.error(
                    f"{key}: at the top belongs to a pipeline",
                    node.place,
                    path=key,
                    hint=f"write fields: {{{key}: …}}",
                )
        signature = read_signature(parts, types)
        step = read_step(parts, signature)
        return _OneStep(signature.inputs, signature.outputs, (step,)) if signature is not None else None

    def _default_name(self) -> str:
        """The file's name, or its folder's where the file is called as files of promptc are."""
        stem = os.path.basename(self._file).partition(".")[0]
        name = self._folder.base.resolve().name if stem in ("promptc", "spec", "", "program") else stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:80] or "program"


class _OneStep(msgspec.Struct, frozen=True):
    """A spec that is one step."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    steps: tuple[Step, ...]


def _parsed(text: str | bytes, file: str, findings: Findings) -> Node | None:
    """The mapping that a text holds; None where it holds none, which is noted."""
    document, found = parse(text, file, hint_when_empty="`promptc init` writes a first spec")
    findings.extend(found)
    if document is None or not _is_mapping(document.root, findings):
        return None
    return document.root


def _folder(base: FilePath, file: str) -> Folder:
    return Folder(base, os.path.dirname(file) if not file.startswith("<") else "")


def _own(base: FilePath, file: str) -> FilePath:
    """The file that a text stands in."""
    return base.resolve() / os.path.basename(file)


def _extended(
    root: Node,
    own: FilePath,
    extender: Extender,
    overrides: Sequence[str],
    patch: Patch,
    findings: Findings,
) -> Node:
    """The tree with what it extends beneath it, what a cell changes in it, and overrides on top."""
    first = [text for text in overrides if text.partition("=")[0].strip() == "extends"]
    rest = [text for text in overrides if text not in first]
    tree = extender.extend(override_all(root, first, findings), own)
    # A key goes before those within it, which it would replace.
    for change in sorted(patch, key=lambda change: len(change.path)):
        tree = changed(tree, change.path, change.value, change.position, findings)
    return override_all(tree, rest, findings)


def _without_sweep(root: Node) -> Node:
    """The tree of a single run: what a sweep lets vary stands in its cells."""
    return msgspec.structs.replace(root, value={k: v for k, v in root.value.items() if k != "sweep"})


def _is_mapping(root: Node, findings: Findings) -> bool:
    if isinstance(root.value, dict):
        return True
    findings.error(
        f"a spec is a mapping of keys, found {describe(root.value)} at the top",
        root.position,
        hint="start with version: 1",
    )
    return False


def _objective(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return (node.value,) if isinstance(node.value, str) else tuple(child.value for child in node.value)


def _positions(root: Node) -> dict[str, Position]:
    return {dotted(path): node.position for path, node in walk(root) if path}


def _key_positions(root: Node) -> dict[str, Position]:
    return {dotted(path): node.key for path, node in walk(root) if path and node.key is not None}
