"""Programs made of steps: the pipeline of a spec, and other specs and artifacts that are one of its steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import msgspec

from promptc.spec.building import Parts
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.fields import Field
from promptc.spec.files import FileRefused, digest
from promptc.spec.model import (
    Loop,
    Model,
    PythonCall,
    Retrieve,
    RetrieverUse,
    Spec,
    Stage,
    Step,
    Subprogram,
    ToolUse,
)
from promptc.spec.nodes import Node, plain
from promptc.spec.pipeline import StageReader, asking_steps
from promptc.spec.program import STEP
from promptc.spec.types import TypeBuilder
from promptc.spec.wiring import Wiring, schema_of, unread

DEEPEST = 8
"""How many programs may stand within each other."""
_OF_ONE_STEP = ("fields", "signature", "module", "instructions", "demos", "assert", "keep", "freeze")

LoadProgram = Callable[[bytes, str, FilePath, int], tuple[Spec | None, tuple[Diagnostic, ...]]]
"""Loads a spec from its text: what messages call it, its folder, and how deep it stands within others."""


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """Steps that fit together, what goes in, and what comes out by which expressions."""

    stages: tuple[Stage, ...]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    results: dict[str, str]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps that carry a signature out."""
        return asking_steps(self.stages)


def read_pipeline(parts: Parts, types: TypeBuilder, programs: ProgramFiles) -> Pipeline | None:
    """The pipeline of a spec; None where something in it is wrong."""
    before = parts.findings.failed
    for key in _OF_ONE_STEP:
        node = parts.root.value.get(key)
        if node is not None:
            parts.findings.error(
                f"{key}: at the top belongs to a spec of one step",
                node.key or node.position,
                path=key,
                hint="say it in the step, or take pipeline: out",
            )
    inputs = _inputs(parts, types)
    node = parts.at("pipeline")
    if node is None:
        return None
    defaults = {key: own for key in ("format", "model") if (own := parts.whole(key)) is not None}
    written = StageReader(types, programs.read, defaults).stages(parts, "pipeline", node)
    wiring = Wiring(written, {"inputs": inputs}, (field.name for field in inputs or ()))
    if inputs is None or len(written) < len(node.value):
        return None
    wiring.check()
    known = wiring.known()
    stages = tuple(one.stage for one in written)
    results, outputs = _outputs(parts, stages, known)
    if parts.findings.failed and not before:
        return None
    for name in unread(stages, results):
        one = next(one for one in written if one.stage.name == name)
        parts.findings.warning(
            f'nothing reads what "{name}" gives',
            one.stage.position,
            path=one.parts.where(("step",)),
            hint="wire it to another step or to outputs:, or take it out",
        )
    return Pipeline(stages=stages, inputs=inputs, outputs=outputs, results=results)


def _inputs(parts: Parts, types: TypeBuilder) -> tuple[Field, ...] | None:
    if "inputs" not in parts.root.value:
        node = parts.root.value["pipeline"]
        parts.findings.error(
            "nothing says what goes into the pipeline",
            node.place,
            path="inputs",
            hint="add inputs: {question: string}",
        )
        return None
    inputs = parts.at("inputs")
    if inputs is None:
        return None
    sound = {name: child for name, child in inputs.value.items() if parts.sound(("inputs", name))}
    fields = types.fields(msgspec.structs.replace(inputs, value=sound), ("inputs",))
    return fields if len(fields) == len(inputs.value) else None


def _outputs(
    parts: Parts, stages: Sequence[Stage], known: Mapping[str, tuple[Field, ...] | None]
) -> tuple[dict[str, str], tuple[Field, ...]]:
    """The expressions of the outputs with their fields: those of the last step where the spec names none."""
    if "outputs" not in parts.root.value:
        last = stages[-1]
        if last.outputs is None:
            parts.findings.error(
                f'nothing says what "{last.name}" gives',
                last.position,
                path="outputs",
                hint=f"add outputs: {{answer: {last.name}.answer}}, or a signature: to the step",
            )
            return {}, ()
        return {field.name: f"{last.name}.{field.name}" for field in last.outputs}, last.outputs
    scope = {
        name: None if fields is None else frozenset(f.name for f in fields) for name, fields in known.items()
    }
    results = {}
    for path, node in parts.entries("outputs"):
        if parts.expression(node, path, scope):
            results[str(path[-1])] = node.value
    return results, tuple(_field(name, text, known) for name, text in results.items())


def _field(name: str, text: str, known: Mapping[str, tuple[Field, ...] | None]) -> Field:
    """The field that an expression gives: that of the path that it is, or one of any type."""
    root, _, own = text.strip().partition(".")
    for field in known.get(root) or ():
        if field.name == own:
            return msgspec.structs.replace(field, name=name)
    return Field(name=name, schema=schema_of(text, known) or {})


class _Source(msgspec.Struct, frozen=True):
    """A program's spec, what messages call it, its folder, and the candidate of an artifact as plain data."""

    text: bytes
    shown: str
    folder: FilePath
    texts: dict[str, Any] = {}


class ProgramFiles:
    """Reads the programs that steps name. `models`, `retrievers`, `tools` and `files` collect what they bring along."""

    def __init__(self, load: LoadProgram, depth: int) -> None:
        self._load = load
        self._depth = depth
        self.models: dict[str, Model] = {}
        self.retrievers: dict[str, RetrieverUse] = {}
        self.tools: dict[str, ToolUse] = {}
        self.files: dict[str, str] = {}

    def read(self, parts: Parts, node: Node, name: str) -> Subprogram | None:
        """The program behind `program:`, as the step of that name; None, and findings, where it is wrong."""
        if self._depth >= DEEPEST:
            parts.findings.error(
                f"programs within programs, {DEEPEST} deep: does one of them name itself?",
                node.place,
                path=parts.where(("program",)),
            )
            return None
        source = _written_here(parts, node) if isinstance(node.value, dict) else self._file(parts, node)
        if source is None:
            return None
        spec, findings = self._load(source.text, source.shown, source.folder, self._depth + 1)
        parts.findings.extend(one for one in findings if one.severity == "error")
        if spec is None:
            return None
        for model, declared in spec.models.items():
            if model != "task":
                self.models.setdefault(model, declared)
        inner = os.path.relpath(spec.base, parts.folder.base.resolve())
        self.retrievers |= {
            f"{name}.{own}": _moved_retriever(use, name, inner) for own, use in spec.retrievers.items()
        }
        self.tools |= {f"{name}.{own}": _moved_tool(use, inner) for own, use in spec.tools.items()}
        self.files |= {os.path.normpath(os.path.join(inner, file)): mark for file, mark in spec.files.items()}
        return _as_step(spec, parts, name, source.texts)

    def _file(self, parts: Parts, node: Node) -> _Source | None:
        """The text of a spec, or the spec and texts in an artifact."""
        try:
            path = parts.folder.inside(node.value, origin=parts.folder.origin(node.position.file))
            if path.is_dir():
                path = path / "compiled" / "program.json"
            content = parts.folder.read(path)
        except FileRefused as error:
            parts.findings.error(
                error.message, node.position, path=parts.where(("program",)), hint=error.hint
            )
            return None
        self.files[parts.folder.key(path)] = digest(content)
        shown = parts.folder.name(path)
        if path.suffix != ".json":
            return _Source(content, shown, path.parent)
        try:
            tree = msgspec.json.decode(content)
            spec, texts = msgspec.json.encode(tree["spec"]), tree["candidate"]
            folder = (path.parent / tree["base"]).resolve()
        except (msgspec.DecodeError, TypeError, KeyError):
            parts.findings.error(
                f"{shown} is no artifact",
                node.position,
                path=parts.where(("program",)),
                hint="name a spec, a run directory or its compiled/program.json",
            )
            return None
        if not folder.is_relative_to(parts.folder.base.resolve()):
            folder = path.parent
        return _Source(spec, shown, folder, texts)


def _written_here(parts: Parts, node: Node) -> _Source | None:
    """A program as a resolved spec holds it: whole, with its folder and its texts."""
    tree = plain(node)
    base = parts.folder.base.resolve()
    folder = (base / tree.get("base", ".")).resolve()
    if not folder.is_relative_to(base):
        parts.findings.error(
            f'"{tree["base"]}" lies outside of the spec\'s folder',
            node.place,
            path=parts.where(("program", "base")),
        )
        return None
    return _Source(msgspec.json.encode(tree["spec"]), node.position.file, folder, tree.get("texts", {}))


_NOT_OF_A_STEP = ("data", "metrics", "objective", "slices", "optimizer", "budget", "gates", "run")
"""What a spec says about itself alone: nothing of it counts where it is a step."""


def _as_step(spec: Spec, parts: Parts, name: str, texts: dict[str, Any]) -> Subprogram:
    model, freeze = parts.whole("model"), parts.whole("freeze")
    change = _Change(
        prefix=name,
        folder=os.path.relpath(spec.base, parts.folder.base.resolve()),
        model=model.value if model is not None else "task",
        frozen=freeze is not None and freeze.value is True,
        path=parts.where(("program",)),
    )
    stages = spec.stages or (_only_stage(spec),)
    return Subprogram(
        stages=tuple(change.stage(stage) for stage in stages),
        inputs=spec.inputs,
        outputs=spec.outputs,
        results=spec.results or {field.name: f"{STEP}.{field.name}" for field in spec.outputs},
        texts={renamed(name, key): value for key, value in texts.get("predictors", {}).items()},
        source={
            "base": change.folder,
            "spec": {key: value for key, value in spec.resolved.items() if key not in _NOT_OF_A_STEP},
            **({"texts": texts} if texts else {}),
        },
        model=change.model,
        frozen=change.frozen,
    )


def _only_stage(spec: Spec) -> Stage:
    """The one step of a spec without a pipeline, wired to the spec's inputs."""
    step = spec.steps[0]
    return Stage(
        name=STEP,
        action=step,
        outputs=step.signature.outputs,
        inputs={field.name: f"inputs.{field.name}" for field in step.signature.inputs},
    )


def renamed(prefix: str, name: str) -> str:
    """What a step or predictor of a program is called where the program is a step of that name."""
    first, _, rest = name.partition(".")
    parts = [prefix, rest if first == STEP else name]
    return ".".join(part for part in parts if part)


def _moved(reference: str, folder: str) -> str:
    """A function of a program's folder, as the outer spec calls it."""
    file, _, function = reference.rpartition(":")
    return f"{os.path.normpath(os.path.join(folder, file))}:{function}"


def _moved_retriever(use: RetrieverUse, prefix: str, folder: str) -> RetrieverUse:
    """A retriever of a program, with the names that it and those that it asks have in the outer spec."""
    params = dict(use.plugin.params)
    if use.plugin.name == "python":
        params["function"] = _moved(params["function"], folder)
    if use.plugin.name == "hybrid":
        params["retrievers"] = [f"{prefix}.{name}" for name in params["retrievers"]]
    plugin = msgspec.structs.replace(use.plugin, params=params)
    return msgspec.structs.replace(use, name=f"{prefix}.{use.name}", plugin=plugin)


def _moved_tool(use: ToolUse, folder: str) -> ToolUse:
    """A tool of a program, as the outer spec finds it; models go on calling it by its own name."""
    params = use.plugin.params
    if use.plugin.name != "python":
        return use
    moved = {**params, "function": _moved(params["function"], folder)}
    return msgspec.structs.replace(use, plugin=msgspec.structs.replace(use.plugin, params=moved))


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a program's steps where it is a step itself."""

    prefix: str
    folder: str
    model: str
    frozen: bool
    path: str

    def stage(self, stage: Stage) -> Stage:
        """The step with its place in the outer program. Expressions stay: a program has a scope of its own."""
        action: Any = stage.action
        if isinstance(action, Step):
            action = self._step(action)
        elif isinstance(action, PythonCall):
            action = msgspec.structs.replace(action, reference=_moved(action.reference, self.folder))
        elif isinstance(action, Retrieve):
            action = msgspec.structs.replace(action, retriever=f"{self.prefix}.{action.retriever}")
        elif isinstance(action, Loop | Subprogram):
            action = msgspec.structs.replace(action, stages=tuple(self.stage(one) for one in action.stages))
            if isinstance(action, Subprogram):
                texts = {renamed(self.prefix, name): text for name, text in action.texts.items()}
                action = msgspec.structs.replace(action, texts=texts)
        return msgspec.structs.replace(stage, action=action)

    def _step(self, step: Step) -> Step:
        return msgspec.structs.replace(
            step,
            name=renamed(self.prefix, step.name),
            model=self.model if step.model == "task" else step.model,
            freeze=("instructions", "descriptions", "demos") if self.frozen else step.freeze,
            path=self.path,
        )
