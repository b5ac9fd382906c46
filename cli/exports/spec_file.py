"""`spec`: a YAML spec with the compiled instructions, descriptions and demos, which evaluates to the same scores."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from promptc.cli.checking import spec_findings
from promptc.cli.exports.gaps import turns
from promptc.cli.exports.subject import Exported, Subject, Uncarried, figures_line
from promptc.cli.untrusted import one_line
from promptc.runners.build import build_program
from promptc.runners.candidate import PredictorTexts
from promptc.runners.program import CompiledProgram
from promptc.spec.dump import dump_tree
from promptc.spec.errors import UsageError
from promptc.spec.load import load
from promptc.spec.model import Spec
from promptc.spec.program import STEP
from promptc.spec.resolved import resolved_tree
from promptc.spec.tuning import with_choices

Tree = dict[str, Any]

_PROGRAM = ".program"


def spec_file(subject: Subject) -> Exported:
    """The spec. It is read again before it is handed out: its prompts are the artifact's, or an error says why not."""
    tree = _rebased(subject)
    program = subject.compiled.program
    steps = {step.name: step for step in program.steps}
    for name, texts in subject.compiled.candidate.predictors.items():
        step = steps[program.predictors[name].step]
        if step.path.endswith(_PROGRAM):
            _say_within(_at(tree, step.path.removesuffix(_PROGRAM)), name, texts)
        else:
            _say(_at(tree, step.path), texts)
    text = _heading(subject) + dump_tree(tree)
    _verify(subject, text)
    return Exported(text=text)


def _rebased(subject: Subject) -> Tree:
    """The spec with the winner's choices made, its data seen from the folder that the export goes to."""
    chosen = resolved_tree(with_choices(subject.spec, subject.compiled.program.choices))
    tree: Tree = msgspec.json.decode(msgspec.json.encode(chosen))
    tree.pop("promote", None)
    data = tree.get("data", {})
    for key in ("path", "train", "dev", "test"):
        if key in data:
            data[key] = os.path.relpath(os.path.join(subject.spec.base, data[key]), subject.folder)
    return tree


def _at(tree: Any, path: str) -> Tree:
    """The part of the tree at a dotted path; all of it for an empty one."""
    for part in path.split(".") if path else ():
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    found: Tree = tree
    return found


def _say_within(stage: Tree, name: str, texts: PredictorTexts) -> None:
    """Put a predictor's texts beside the program that is a step, under its name in that program."""
    source = stage["program"]
    inner = name.removeprefix(stage["step"]).removeprefix(".")
    if "pipeline" not in source["spec"]:
        inner = f"{STEP}.{inner}".removesuffix(".")
    source.setdefault("texts", {}).setdefault("predictors", {})[inner] = msgspec.to_builtins(texts)


def _say(step: Tree, texts: PredictorTexts) -> None:
    """Put a predictor's texts into its step. Of several predictors the last one counts, and `_verify` compares."""
    _put(step, "instructions", texts.instructions)
    _put(step, "demos", [{**demo.inputs, **demo.outputs} for demo in texts.demos])
    if texts.model:
        step["model"] = texts.model
    if texts.descriptions:
        _describe(step, texts.descriptions)


def _put(step: Tree, key: str, value: Any) -> None:
    """Set a key where it stands, or in front of what follows it in a spec; leave it out where it says nothing."""
    if not value:
        step.pop(key, None)
        return
    behind = (
        "demos",
        "keep",
        "freeze",
        "module",
        "format",
        "model",
        "assert",
        "metrics",
        "objective",
        "slices",
    )
    rest = {
        name: step.pop(name)
        for name in list(step)
        if name in (*behind, "optimizer", "budget", "gates", "run")
    }
    rest.pop(key, None)
    step[key] = value
    step.update(rest)


def _describe(step: Tree, descriptions: dict[str, str]) -> None:
    """Field descriptions where the fields stand; that of the reasoning is a parameter of its module."""
    sides = {side: dict(fields) for side, fields in step["fields"].items()}
    for name, said in descriptions.items():
        side = next((side for side, fields in sides.items() if name in fields), None)
        if side is not None:
            sides[side][name] = {**sides[side][name], "description": said}
        elif isinstance(step.get("module"), str):
            step["module"] = {step["module"]: {"description": said}}
        elif "module" in step:
            [(module, params)] = step["module"].items()
            step["module"] = {module: {**params, "description": said}}
    step["fields"] = sides


def _heading(subject: Subject) -> str:
    figures = figures_line(subject.summary)
    measured = f" ({figures})" if figures else ""
    origin = one_line(f"Exported by promptc {subject.version} from {subject.source}{measured}.", 300)
    return f"# {origin}\n"


def _verify(subject: Subject, text: str) -> None:
    """Raise where the text would not be valid in its folder, or would ask anything else than the artifact."""
    spec, findings = load(text, file=str(subject.output or "the export"), base=subject.folder, environment={})
    wrong = [finding.message for finding in findings if finding.severity == "error"]
    if spec is not None and not wrong:
        wrong = [finding.message for finding in spec_findings(spec) if finding.severity == "error"]
    if spec is None or wrong:
        beside = os.path.relpath(os.path.join(subject.spec.base, f"{subject.spec.name}.compiled.yaml"))
        raise UsageError(
            "\n".join([f"in {subject.folder} the exported spec would not be valid:", *wrong[:5]]),
            f"files that a spec names have to lie in its folder: -o {beside}",
        )
    different = _different(subject, spec)
    if different:
        raise Uncarried("spec", different)


def _different(subject: Subject, spec: Spec) -> list[str]:
    """What the exported spec would ask otherwise, per predictor."""
    program = build_program(spec)
    exported = program.compile(program.start())
    return [
        f"the texts of {name} cannot be said in a spec: they differ from those of the other predictors of its step"
        for name in subject.compiled.speakers
        if name not in exported.speakers or not _asks_the_same(subject.compiled, exported, name)
    ]


def _asks_the_same(one: CompiledProgram, other: CompiledProgram, name: str) -> bool:
    return (
        turns(one, name) == turns(other, name)
        and one.speakers[name].params == other.speakers[name].params
        and one.speakers[name].predictor.model == other.speakers[name].predictor.model
    )
