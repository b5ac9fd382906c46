"""A program: the immutable, runnable form of a spec.

A program knows its predictors; what they say comes from a candidate. `Program.compile` puts the two together once per
candidate, and the compiled form runs rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.asking import Predictor, Role, Speaker, speaker_of, talking
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.failures import RowFailed
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import TwoPart
from promptc.runners.ledger import Amount
from promptc.runners.models.request import Message
from promptc.runners.modules.protocol import Module, judge_calls, shown_replies, talking_module
from promptc.runners.phase import Lane
from promptc.runners.pipeline import Graph, Row, results_of
from promptc.runners.retrievers.embedding import vector_calls
from promptc.runners.step_call import StepCall, TraceStep
from promptc.runners.talk import Talk
from promptc.runners.tools.protocol import Function, Offered, with_description
from promptc.spec.expressions import Expression, ExpressionError
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Check, Spec, Step
from promptc.spec.tuning import with_choices

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for estimates; walls use a true bound instead."""
EXPECTED_REPLY_TOKENS = 200
"""What a reply is taken to cost before the first one has come."""

Dollars = Callable[[str, int, int], float]
"""US dollars for (model, tokens in, tokens out)."""


class Assertion(msgspec.Struct, frozen=True):
    """A check of a step, compiled once."""

    check: Check
    expression: Expression

    def problem(self, scope: Mapping[str, Any]) -> str:
        """What to tell the model; "" when the check holds."""
        said = self.check.message or f"this must hold: {self.check.check}"
        try:
            return "" if self.expression.evaluate(scope) is True else said
        except ExpressionError as error:
            return f"{said} (it could not be checked: {error.message})"


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The program's output for one row, and how it came about."""

    outputs: dict[str, Any]
    trace: tuple[TraceStep, ...] = ()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a spec with their modules and predictors built.

    `graph` is how they are wired, and `results` the expressions of the outputs; both None where the whole program is
    one step. `texts` holds what the predictors of artifacts among the steps say. `choices` are those under `tune:` that
    this form of the program has made, and `base` the form that has made none; `variants` remembers the other forms.
    """

    spec: Spec
    steps: tuple[Step, ...]
    modules: dict[str, Module]
    predictors: dict[str, Predictor]
    checks: dict[str, tuple[Assertion, ...]]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    graph: Graph | None = None
    results: dict[str, Expression] = {}
    texts: dict[str, PredictorTexts] = {}
    choices: dict[str, Any] = {}
    base: Program | None = None
    variants: dict[str, Program] = msgspec.field(default_factory=dict)

    def start(self) -> Candidate:
        """The candidate that the spec itself describes: its instructions and the demos given by hand."""
        steps = {step.name: step for step in self.steps}
        own = {
            name: PredictorTexts(
                instructions=p.signature.instructions, demos=_given_demos(steps[p.step], p.signature)
            )
            for name, p in self.predictors.items()
        }
        return Candidate(predictors={**own, **self.texts}, choices=self.choices)

    def variant(self, choices: Mapping[str, Any]) -> Program:
        """The program with these choices made, and no others. Raises SpecError for a value that does not fit."""
        if choices == self.choices:
            return self
        base = self.base or self
        if not choices:
            return base
        key = msgspec.json.encode(choices, order="deterministic").decode()
        if key not in base.variants:
            from promptc.runners.build import build_program

            built = build_program(with_choices(base.spec, choices))
            base.variants[key] = msgspec.structs.replace(
                built, spec=base.spec, choices=dict(choices), base=base
            )
        return base.variants[key]

    def calls(self, only: Collection[str] | None = None) -> tuple[int, int]:
        """Fewest and most predictor calls per row, of all steps or of some alone, without re-asks."""
        if self.graph is not None:
            return self.graph.calls(only)
        ranges = [module.calls() for step, module in self.modules.items() if only is None or step in only]
        return sum(low for low, _ in ranges), sum(high for _, high in ranges)

    def judge_calls(self) -> int:
        """Most model calls per row of the metrics that modules ask while they run."""
        if self.graph is not None:
            return self.graph.judge_calls()
        return sum(judge_calls(module) for module in self.modules.values())

    def widest_calls(self) -> tuple[int, int]:
        """Fewest and most predictor calls per row, whatever is chosen under `tune:`."""
        low, high = self.calls()
        for key, values in self.spec.tune.items():
            ranges = [self.variant({key: value}).calls() for value in values]
            low -= max(0, self.calls()[0] - min(fewest for fewest, _ in ranges))
            high += max(0, max(most for _, most in ranges) - self.calls()[1])
        return max(0, low), high

    @property
    def bounded(self) -> bool:
        """False where a prompt may show what other steps or tools gave, or files: nobody knows how long that is."""
        plain = all(field.attachment is None for field in self.inputs)
        return self.graph is None and plain and not any(map(talking_module, self.modules.values()))

    def tool_keys(self, step: str, names: Sequence[str] | None) -> list[str]:
        """The keys under `tools:` of the tools that a step calls so, of all of its program's without names."""
        prefix = step.rpartition(".")[0]
        own = [key for key in self.spec.tools if key.rpartition(".")[0] == prefix]
        return own if names is None else [f"{prefix}.{name}" if prefix else name for name in names]

    def tools(self) -> tuple[str, ...]:
        """The keys under `tools:` that some step uses, in the order of the spec."""
        used: set[str] = set()
        for step, module in self.modules.items():
            found = talking_module(module)
            if found is not None:
                used.update(self.tool_keys(step, found.tool_names()))
        return tuple(key for key in self.spec.tools if key in used)

    def extractions(self) -> tuple[int, int]:
        """Fewest and most calls per row of the model that reads fields out of free replies, without re-asks."""
        free = frozenset(p.step for p in self.predictors.values() if isinstance(p.format, TwoPart))
        return self.calls(free) if free else (0, 0)

    def most_shown(self) -> int:
        """How many earlier replies of a row one predictor call may show at most, without its own re-asks."""
        return max((shown_replies(module) for module in self.modules.values()), default=0)

    def most_reasks(self) -> int:
        """How often one predictor call may be asked again at most."""
        retries = self.spec.run.format_retries
        return retries + max((check.retries for step in self.steps for check in step.checks), default=0)

    def known_inputs(self, step: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Those inputs of a step that a row alone decides."""
        if self.graph is None:
            return dict(row)
        node = next((node for node in self.graph.nodes if node.name == step), None)
        given = {"inputs": {f.name: row[f.name] for f in self.inputs if f.name in row}}
        known = {}
        for name, expression in node.inputs.items() if node is not None else ():
            if expression.roots <= {"inputs"}:
                with contextlib.suppress(ExpressionError):  # a value that the row lacks is not known
                    known[name] = expression.evaluate(given)
        return known

    def seen_by(self, step: str, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a step takes and should give for a row, by its own fields' names; None where only a run can tell.

        In a pipeline that is so where all that goes in comes from the row. Gold is known of what the program gives as
        the step gave it.
        """
        if self.graph is None:
            return row
        node = next((node for node in self.graph.nodes if node.name == step), None)
        seen = self.known_inputs(step, row)
        if node is None or node.foreach is not None or seen.keys() < node.inputs.keys():
            return None
        return {**seen, **self.gold_of(step, row)}

    def gold_of(self, step: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a step should give for a row, by its own fields' names: what the program gives as the step gave it."""
        if self.graph is None:
            return row
        node = next((node for node in self.graph.nodes if node.name == step), None)
        if node is None or node.foreach is not None:
            return {}
        given = {field.name for field in node.outputs}
        found = {}
        for name, expression in self.results.items():
            root, _, field = expression.text.strip().partition(".")
            if root == step and field in given and name in row:
                found[field] = row[name]
        return found

    def compile(self, candidate: Candidate) -> CompiledProgram:
        """Put a candidate's texts into the program that it chose. What it does not name keeps the spec's texts."""
        if candidate.choices != self.choices:
            return self.variant(candidate.choices).compile(candidate)
        start = self.start()
        speakers = {
            name: speaker_of(predictor, candidate.predictors.get(name, start.predictors[name]), self.spec)
            for name, predictor in self.predictors.items()
        }
        return CompiledProgram(program=self, candidate=candidate, speakers=speakers)


class CompiledProgram(msgspec.Struct, frozen=True, kw_only=True):
    """A program that says what one candidate wants it to say."""

    program: Program
    candidate: Candidate
    speakers: dict[str, Speaker]

    def prompt_characters(self) -> int:
        """The length of all prompts without a row's own text."""
        return sum(speaker.characters() for speaker in self.speakers.values())

    def talk(
        self, predictor: str, functions: Mapping[str, Sequence[Function]], *, native: bool
    ) -> Talk | None:
        """How a predictor talks about tools that offer these functions, by tool; None where it may call nothing."""
        found = self.program.predictors[predictor]
        module = talking_module(self.program.modules[found.step])
        if module is None or found.suffix not in module.predictors(found.signature):
            return None
        texts = self.speakers[predictor].texts
        offered = [
            with_description(Offered(function, key), texts.descriptions).function
            for key in self.program.tool_keys(found.step, module.tool_names())
            for function in functions.get(key, ())
        ]
        return module.talk(found.signature, tuple(offered), native=native)

    def messages(
        self, predictor: str, inputs: Mapping[str, Any], talk: Talk | None = None
    ) -> tuple[Message, ...]:
        """Exactly what is sent first for a row, without the demos that a model would have to choose for it."""
        speaker = self.speakers[predictor]
        if speaker.pool is not None:
            speaker = speaker.showing(speaker.pool.chosen_here(inputs) or ())
        if talk is not None:
            speaker = talking(speaker, talk)
        return joined(speaker.prefix, speaker.predictor.format.row(speaker.signature, inputs))

    def call_estimate(self, row_characters: int, output_tokens: float, dollars: Dollars) -> Amount:
        """What one call is expected to cost: the mean over the predictors, before any has been asked."""
        amounts = []
        for speaker in self.speakers.values():
            characters = speaker.characters() + row_characters
            tokens_in = characters / CHARACTERS_PER_TOKEN
            spent = dollars(speaker.predictor.model, int(tokens_in), int(output_tokens))
            amounts.append(Amount(1, tokens_in + output_tokens, spent))
        return sum(amounts, Amount()) * (1 / max(1, len(amounts)))

    def vector_calls(self) -> int:
        """Requests for vectors that a row makes at most: for its searches, and for predictors that choose demos."""
        choosing = sum(s.pool is not None and s.pool.asks_a_model for s in self.speakers.values())
        return vector_calls(self.program.spec) + choosing

    async def run(
        self,
        lane: Lane,
        inputs: Mapping[str, Any],
        *,
        role: Role = "task",
        rollout: int = 0,
        trace: list[TraceStep] | None = None,
        steady: bool = False,
    ) -> Prediction:
        """The prediction for one row. Raises RowFailed; a `trace` that is handed in holds what came before it.

        A `steady` rollout is a repeat: the same requests with another seed, where others are sampled to differ.
        """
        trace = [] if trace is None else trace
        program = self.program
        given = {field.name: _input(field, inputs) for field in program.inputs}
        if program.graph is None:
            (step,) = program.steps
            call = StepCall(self, step, lane, trace, role, rollout, steady=steady, scope={"inputs": given})
            outputs = await program.modules[step.name].run(call, step.signature, given)
        else:
            row = Row(compiled=self, lane=lane, trace=trace, role=role, rollout=rollout, steady=steady)
            scope = {"inputs": given}
            values = await program.graph.run(row, scope)
            outputs = results_of(program.results, {**scope, **values}, "the program")
        return Prediction(outputs=outputs, trace=tuple(trace))


def _given_demos(step: Step, signature: Signature) -> tuple[Demo, ...]:
    """The step's demos for one of its predictors, with what they say about fields that the module adds."""
    if step.demos is None or step.demos == "none":
        return ()
    return tuple(labeled_demo(signature, row) for row in step.demos)


def labeled_demo(signature: Signature, row: Mapping[str, Any], row_id: str = "") -> Demo:
    """A data row as a worked example: those of its values that the signature has fields for."""
    return Demo(
        inputs={f.name: row[f.name] for f in signature.inputs if f.name in row},
        outputs={f.name: row[f.name] for f in signature.outputs if row.get(f.name) is not None},
        row_id=row_id,
    )


def _input(field: Field, row: Mapping[str, Any]) -> Any:
    if field.name in row:
        return row[field.name]
    if field.required:
        raise RowFailed("data", f"the row has no `{field.name}`")
    return field.default
