"""What a spec gets wrong although each part is well written: unknown names, figures that nothing makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from promptc.spec.diagnostics import Diagnostic, Findings, Position
from promptc.spec.model import MODEL_ROLES, Gate, Loop, MetricUse, Retrieve, Spec, Stage, Subprogram
from promptc.spec.nodes import dotted
from promptc.spec.pipeline import all_stages, judging_steps
from promptc.spec.suggest import closest, did_you_mean, listed

SPLITS = ("train", "dev", "test", "all")
WHOLE_PREDICTION = frozenset({"llm_judge", "python", "all", "any"})
"""Metrics that judge all outputs together unless `field:` names one."""
PASSAGE_METRICS = frozenset({"recall_at_k", "mrr", "ndcg", "passage_match"})
"""Metrics that judge passages: an output field's, or those that a step found."""
TOOL_METRICS = frozenset({"tool_called", "trajectory"})
"""Metrics that look at the tools that were called, and at no output."""
OTHER_FIGURES = ("cost", "models", "winner")
"""Groups of figures that are no part of the data."""

LOWER_IS_BETTER = ("tokens", "cost")
"""Objectives that are no metrics."""

_COMPOSITES = frozenset({"all", "any"})


def check_spec(spec: Spec, broken: frozenset[str] = frozenset()) -> tuple[Diagnostic, ...]:
    """All findings. What depends on a top-level key in `broken`, which is wrong already, is not looked at."""
    checker = _Checker(spec, broken)
    checker.models()
    checker.retrievers()
    checker.metrics()
    checker.unread_outputs()
    checker.objective()
    checker.gates()
    checker.data()
    checker.texts()
    return checker.findings.arranged()


class _Checker:
    """The checks, each of which looks at one thing."""

    def __init__(self, spec: Spec, broken: frozenset[str]) -> None:
        self._spec = spec
        self._broken = broken
        self._outputs = tuple(field.name for field in spec.outputs)
        self.findings = Findings()

    def _sound(self, *keys: str) -> bool:
        return not self._broken & set(keys)

    def _place(self, *paths: str) -> Position | None:
        """The place of the first of these paths that the spec has; at the top, of the key."""
        for path in paths:
            if path in self._spec.positions:
                return (
                    self._spec.key_positions.get(path) if path.count(".") == 0 else self._spec.positions[path]
                )
        return Position(self._spec.source, 1, 1, 2)

    def models(self) -> None:
        """Names of models that are neither declared nor a provider's."""
        if not self._sound("models", "model"):
            return
        asked = any(step.model == "task" for step in self._spec.steps)
        if "task" not in self._spec.models and (asked or not (self._spec.steps or self._spec.stages)):
            names = self._spec.models
            near = closest("task", [name for name in names if name not in MODEL_ROLES])
            place = self._spec.key_positions.get(f"models.{near}") if near is not None else None
            self.findings.error(
                'no model is called "task": nothing runs the program'
                if names
                else "no model: nothing runs the program",
                place or self._place("models", "version"),
                path="models.task",
                hint=f'did you mean "task" where it says "{near}"?'
                if near is not None
                else "add models: {task: openai/gpt-4.1-mini}, or embedded/icl to try promptc without one",
            )
        for step in self._spec.steps:
            path = step.at("model")
            self._model(step.model, self._spec.positions.get(path) or step.position, path)
        for key, values in self._spec.tune.items():
            if key.rpartition(".")[2] == "model":
                for index, name in enumerate(values):
                    path = dotted(("tune", key, index))
                    self._model(name, self._spec.positions.get(path), path)
        for use in self._spec.metrics:
            self._model(use.model, use.position, "metrics")
        for step in judging_steps(self._spec.metrics):
            self._model(step.model, step.position, "metrics")
        for role in self._spec.budget.roles:
            if role not in (*MODEL_ROLES, *self._spec.models):
                self.findings.error(
                    f'no model is called "{role}"',
                    self._spec.key_positions.get(f"budget.roles.{role}") or self._spec.budget.position,
                    path=f"budget.roles.{role}",
                    hint=did_you_mean(role, (*self._spec.models, *MODEL_ROLES)),
                )
        for name, model in self._spec.models.items():
            if model.api_key is not None and model.api_key_command is not None:
                self.findings.error(
                    "api_key: and api_key_command: both give a key",
                    model.position,
                    path=f"models.{name}",
                    hint="keep one",
                )

    def retrievers(self) -> None:
        """Names of retrievers, and of their models, that nobody has declared."""
        if not self._sound("retrievers"):
            return
        for stage in all_stages(self._spec.stages):
            action = stage.action
            if isinstance(action, Retrieve) and action.retriever not in self._spec.retrievers:
                names = [name for name in self._spec.retrievers if "." not in name]
                self.findings.error(
                    f'no retriever is called "{action.retriever}"',
                    stage.position,
                    path="pipeline",
                    hint=did_you_mean(action.retriever, names) or "declare it under retrievers:",
                )
        if self._sound("models"):
            for name, use in self._spec.retrievers.items():
                model = use.plugin.params.get("model")
                if isinstance(model, str):
                    place = self._spec.positions.get(f"retrievers.{name}.{use.plugin.name}.model")
                    self._model(model, place or use.position, f"retrievers.{name}")

    def _model(self, name: str, position: Position | None, path: str) -> None:
        known = tuple(dict.fromkeys((*self._spec.models, *MODEL_ROLES)))
        if name in known or "/" in name:
            return
        near = closest(name, known)
        self.findings.error(
            f'no model is called "{name}"',
            position,
            path=path,
            hint=f'did you mean "{near}"?' if near else "declare it under models:, or write provider/model",
        )

    def metrics(self) -> None:
        """Fields that metrics name and the program has not, or that they should name."""
        uses = self._spec.metrics
        if self._spec.optimizer is not None and not uses and self._sound("metrics"):
            self.findings.error(
                "an optimizer needs metrics to know what is better",
                self._spec.optimizer.position,
                path="optimizer",
                hint="add metrics: [exact_match]",
            )
        if uses and all(use.weight == 0 for use in uses) and self._sound("metrics"):
            self.findings.error(
                "every metric has weight 0: there is no score", uses[0].position, path="metrics"
            )
        if not self._outputs or not self._sound("fields", "signature", "pipeline"):
            return
        for index, use in enumerate(uses):
            path = f"metrics.{index}.{use.plugin.name}"
            self._metric_step(use, path)
            parts = [(use.plugin.name, use.plugin.params, use.field)]
            for name, params, field in _with_parts(parts):
                if not _judges_a_step(name, params):
                    self._metric_field(name, field, use, f"{path}.field")
            self._other_output(use, f"{path}.of")

    def _metric_step(self, use: MetricUse, path: str) -> None:
        """A step that a metric of passages names and the pipeline has not, or without gold for it."""
        name, key = use.plugin.name, "step" if _judges_a_step(use.plugin.name, use.plugin.params) else ""
        if not key:
            return
        step = use.plugin.params[key]
        steps = tuple(_retrieving(self._spec.stages))
        if step not in steps:
            self.findings.error(
                f'no step called "{step}" retrieves',
                self._spec.positions.get(f"{path}.{key}") or use.position,
                path=f"{path}.{key}",
                hint=did_you_mean(step, steps) or "name a step with retrieve:",
            )
        if use.expected is None:
            self.findings.error(
                f"{name}: nothing says what the step should find",
                use.position,
                path=path,
                hint="add expected: with the column that holds it",
            )

    def _other_output(self, use: MetricUse, path: str) -> None:
        """The output that a calibration is `of`."""
        name = use.plugin.params.get("of") if use.plugin.name == "calibration" else None
        if name is not None and name not in self._outputs:
            self.findings.error(
                f'no output is called "{name}"',
                self._spec.positions.get(path) or use.position,
                path=path,
                hint=did_you_mean(name, self._outputs),
            )

    def _metric_field(self, name: str, field: str | None, use: MetricUse, path: str) -> None:
        if field is not None and field not in self._outputs:
            self.findings.error(
                f'no output is called "{field}"',
                self._spec.positions.get(path) or use.position,
                path=path,
                hint=did_you_mean(field, self._outputs),
            )
        if name == "trajectory" and use.expected is None:
            self.findings.error(
                "trajectory: nothing says which tools should be called",
                use.position,
                path=path.rpartition(".")[0],
                hint="add expected: with the column that lists them",
            )
        if field is None and len(self._outputs) > 1 and name not in WHOLE_PREDICTION | TOOL_METRICS:
            self.findings.error(
                f'the metric "{name}" judges one output, and there are {len(self._outputs)}',
                use.position,
                path=path,
                hint=f"write {name}: {{field: …}} with one of: {listed(self._outputs)}",
            )

    def unread_outputs(self) -> None:
        """Outputs that no metric reads, which an optimizer is free to ruin."""
        if not self._spec.metrics or not self._sound("metrics", "fields", "signature", "pipeline", "outputs"):
            return
        if any(use.field not in (None, *self._outputs) for use in self._spec.metrics):
            return
        read: set[str] = set()
        for use in self._spec.metrics:
            for name, params, field in _with_parts([(use.plugin.name, use.plugin.params, use.field)]):
                if name in TOOL_METRICS or _judges_a_step(name, params):
                    continue
                if field is not None:
                    read.add(field)
                elif name not in _COMPOSITES or len(self._outputs) == 1:
                    read.update(self._outputs)
        for output in self._outputs:
            if output not in read:
                path = f"{'outputs' if self._spec.stages else 'fields.outputs'}.{output}"
                self.findings.warning(
                    f'no metric reads the output "{output}"',
                    self._spec.key_positions.get(path) or self._place("signature", "fields", "pipeline"),
                    path=path,
                    hint="nothing says whether it is right",
                )

    def objective(self) -> None:
        """The figures that count have to be figures that there are; the first one has to be maximized."""
        if not self._sound("metrics", "objective"):
            return
        highest = ["score", *(use.name for use in self._spec.metrics)]
        for place, name in enumerate(self._spec.objective):
            position = self._spec.positions.get(f"objective.{place}") or self._spec.positions.get("objective")
            if name not in (*highest, *LOWER_IS_BETTER):
                hint = did_you_mean(name, [*highest, *LOWER_IS_BETTER])
                self.findings.error(f'no metric is called "{name}"', position, path="objective", hint=hint)
            elif place == 0 and name not in highest:
                self.findings.error(
                    f"the first objective is what a search maximizes; {name} cannot be",
                    position,
                    path="objective",
                    hint=f"write objective: [score, {name}]",
                )

    def gates(self) -> None:
        """Figures that no run makes. Those of other commands are shown as not applicable, later."""
        for gate in self._spec.gates:
            for message, hint in self._wrong_gate(gate):
                self.findings.error(message, gate.position, path="gates", hint=hint)

    def _wrong_gate(self, gate: Gate) -> Iterator[tuple[str, str]]:
        first, *rest = gate.path.split(".")
        near = closest(first, SPLITS)
        if first not in SPLITS and near is not None and rest and first not in OTHER_FIGURES:
            yield f'no part of the data is called "{first}"', f'did you mean "{near}"?'
        if first not in SPLITS:
            return
        if not rest:
            yield f"{first} is a part of the data, not a figure", f"write {first}.score"
        if len(rest) > 1 and rest[0] == "metrics" and self._sound("metrics"):
            names = [use.name for use in self._spec.metrics]
            if not any(".".join(rest[1:]).startswith(name) for name in names):
                yield f'no metric is called "{rest[1]}"', did_you_mean(rest[1], names)
        if len(rest) > 1 and rest[0] == "slices" and self._sound("slices"):
            columns = self._spec.sliced
            if not any(".".join(rest[1:]).startswith(column) for column in columns):
                yield (
                    f'"{rest[1]}" is not under slices:',
                    did_you_mean(rest[1], columns) or f"add slices: [{rest[1]}]",
                )

    def data(self) -> None:
        """A split of what is split already."""
        source = self._spec.data
        if source.train and source.dev and source.test and "data.split" in self._spec.positions:
            self.findings.warning(
                "split: has no effect: train, dev and test are files of their own",
                self._spec.key_positions.get("data.split"),
                path="data.split",
            )

    def texts(self) -> None:
        """Instructions that are blank or lack what they are said to keep, and an optimizer without anything
        to do.
        """
        for step in self._spec.steps:
            text = step.signature.instructions
            path = step.at("instructions")
            if path in self._spec.positions and not text and self._sound("instructions"):
                self.findings.warning("the instructions are empty", self._place(path), path=path)
            for sentence in step.keep:
                if sentence not in text:
                    self.findings.warning(
                        f'the instructions do not say what is to be kept: "{sentence[:60]}"',
                        self._place(step.at("keep"), path),
                        path=step.at("keep"),
                        hint="every proposal will have it, the start has not",
                    )
        if self._spec.optimizer is not None and all(len(step.freeze) == 3 for step in self._spec.steps):
            path = self._spec.steps[0].at("freeze") if self._spec.steps else "pipeline"
            self.findings.warning(
                "freeze: leaves the optimizer nothing to change", self._place(path), path=path
            )


def _judges_a_step(name: str, params: Mapping[str, Any]) -> bool:
    """True for a metric of passages that looks at a step's hits and not at an output."""
    return name in PASSAGE_METRICS and "step" in params


def _retrieving(stages: Iterable[Stage], prefix: str = "") -> Iterator[str]:
    """The retrieving steps as the trace names them: those of a program with its name before theirs."""
    for stage in stages:
        if isinstance(stage.action, Retrieve):
            yield f"{prefix}{stage.name}"
        elif isinstance(stage.action, Loop):
            yield from _retrieving(stage.action.stages, prefix)
        elif isinstance(stage.action, Subprogram):
            yield from _retrieving(stage.action.stages, f"{prefix}{stage.name}.")


def _with_parts(
    entries: Iterable[tuple[str, Mapping[str, Any], str | None]],
) -> Iterator[tuple[str, Any, str | None]]:
    """Each metric and the parts of composite ones, which judge the whole's field unless they name one."""
    for name, params, field in entries:
        yield name, params, field
        if name not in _COMPOSITES:
            continue
        for entry in params.get("metrics", ()):
            part, own = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
            own = own or {}
            yield from _with_parts([(part, own, own.get("field") or field)])
