"""A program: the immutable, runnable form of a spec.

A program knows its predictors; what they say comes from a candidate. `Program.compile` puts the two together once per
candidate, and the compiled form runs rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.failures import RowFailed
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format, ParseError
from promptc.runners.ledger import Amount
from promptc.runners.models.request import CallFailed, Completion, Message, Request
from promptc.runners.modules.protocol import Module, free_name, shown_replies
from promptc.runners.phase import BudgetDenied, Lane
from promptc.spec.expressions import Expression, ExpressionError
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Check, Spec, Step

Outcome = TypeVar("Outcome")
Work = Callable[[Lane], Awaitable[Outcome]]
Role = Literal["task", "teacher"]
Validator = Callable[[Mapping[str, Any]], "Verdict | None"]

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for estimates; walls use a true bound instead."""
EXPECTED_REPLY_TOKENS = 200
"""What a reply is taken to cost before the first one has come."""


Dollars = Callable[[str, int, int], float]
"""US dollars for (model, tokens in, tokens out)."""


class Verdict(msgspec.Struct, frozen=True):
    """A failed assertion: what to tell the model, how often, and whether the row fails in the end."""

    message: str
    retries: int
    suggest: bool


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


class Predictor(msgspec.Struct, frozen=True, kw_only=True):
    """One place in a program that calls a language model."""

    name: str
    step: str
    suffix: str
    signature: Signature
    format: Format
    model: str


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor call that gave outputs, on the way to a prediction.

    `kept` is False where a module ran several times and took the result of another run.
    """

    predictor: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    reasks: int = 0
    notes: tuple[str, ...] = ()
    kept: bool = True


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The program's output for one row, and how it came about."""

    outputs: dict[str, Any]
    trace: tuple[TraceStep, ...] = ()


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """A predictor with a candidate's texts: what it says to the model, rendered once for all rows."""

    predictor: Predictor
    signature: Signature
    prefix: tuple[Message, ...]
    params: dict[str, Any]


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a spec with their modules and predictors built."""

    spec: Spec
    steps: tuple[Step, ...]
    modules: dict[str, Module]
    predictors: dict[str, Predictor]
    checks: dict[str, tuple[Assertion, ...]]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def start(self) -> Candidate:
        """The candidate that the spec itself describes: its instructions and the demos given by hand."""
        demos = {step.name: _given_demos(step) for step in self.steps}
        return Candidate(
            predictors={
                name: PredictorTexts(instructions=p.signature.instructions, demos=demos[p.step])
                for name, p in self.predictors.items()
            }
        )

    def calls(self) -> tuple[int, int]:
        """Fewest and most predictor calls per row, without re-asks."""
        ranges = [module.calls() for module in self.modules.values()]
        return sum(low for low, _ in ranges), sum(high for _, high in ranges)

    def most_shown(self) -> int:
        """How many earlier replies of a row one predictor call may show at most, without its own re-asks."""
        return max((shown_replies(module) for module in self.modules.values()), default=0)

    def most_reasks(self) -> int:
        """How often one predictor call may be asked again at most."""
        retries = self.spec.run.format_retries
        return retries + max((check.retries for step in self.steps for check in step.checks), default=0)

    def compile(self, candidate: Candidate) -> CompiledProgram:
        """Put a candidate's texts into the program. A predictor that the candidate does not name keeps the spec's."""
        start = self.start()
        speakers = {
            name: _speaker(predictor, candidate.predictors.get(name, start.predictors[name]))
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
        return sum(len(m.content) for speaker in self.speakers.values() for m in speaker.prefix)

    def messages(self, predictor: str, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """Exactly what is sent first for a row."""
        speaker = self.speakers[predictor]
        return joined(speaker.prefix, speaker.predictor.format.row(speaker.signature, inputs))

    def call_estimate(self, row_characters: int, output_tokens: float, dollars: Dollars) -> Amount:
        """What one call is expected to cost: the mean over the predictors, before any has been asked."""
        amounts = []
        for speaker in self.speakers.values():
            characters = sum(len(m.content) for m in speaker.prefix) + row_characters
            tokens_in = characters / CHARACTERS_PER_TOKEN
            spent = dollars(speaker.predictor.model, int(tokens_in), int(output_tokens))
            amounts.append(Amount(1, tokens_in + output_tokens, spent))
        return sum(amounts, Amount()) * (1 / len(amounts))

    async def run(
        self, lane: Lane, inputs: Mapping[str, Any], *, role: Role = "task", rollout: int = 0
    ) -> Prediction:
        """The prediction for one row. Raises RowFailed."""
        trace: list[TraceStep] = []
        values = {field.name: _input(field, inputs) for field in self.program.inputs}
        outputs: dict[str, Any] = {}
        for step in self.program.steps:
            call = StepCall(self, step, lane, trace, role, rollout)
            module = self.program.modules[step.name]
            outputs = await module.run(call, step.signature, values)
        return Prediction(outputs=outputs, trace=tuple(trace))


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which of several runs a call belongs to: per level its index and their number, outermost first.

    With `checked` False no assertion makes a predictor ask again; `advice` is put to every predictor after its inputs.
    """

    path: tuple[tuple[int, int], ...] = ()
    checked: bool = True
    advice: str = ""


class StepCall:
    """What a module may do while it runs on one row of one step."""

    __slots__ = ("_compiled", "_lane", "_role", "_rollout", "_sampling", "_spans", "_step", "_trace")

    def __init__(
        self,
        compiled: CompiledProgram,
        step: Step,
        lane: Lane,
        trace: list[TraceStep],
        role: Role,
        rollout: int,
        *,
        sampling: Sampling | None = None,
    ) -> None:
        self._compiled = compiled
        self._step = step
        self._lane = lane
        self._trace = trace
        self._role = role
        self._rollout = rollout
        self._sampling = sampling or Sampling()
        self._spans: list[range] = []

    async def predict(self, predictor: str, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """The outputs of one predictor, asked again with the exact error where the reply does not hold them."""
        name = f"{self._step.name}.{predictor}" if predictor else self._step.name
        speaker = self._compiled.speakers[name]
        role_model = "teacher" if self._role == "teacher" else "task"
        model = role_model if speaker.predictor.model == "task" else speaker.predictor.model
        asked = Asked(
            lane=self._lane,
            speaker=speaker,
            model=model,
            role=self._role,
            rollout=self._numbered(rollout),
            format_retries=self._compiled.program.spec.run.format_retries,
            advice=self._sampling.advice,
        )
        outputs, reasks, notes = await asked.outputs(inputs, self._validator(speaker, inputs))
        self._trace.append(
            TraceStep(predictor=name, inputs=dict(inputs), outputs=outputs, reasks=reasks, notes=tuple(notes))
        )
        return outputs

    async def together(self, works: Sequence[Callable[[StepCall], Awaitable[Outcome]]]) -> list[Outcome]:
        """Do several things at once, each with a lane and a trace of its own; the traces are joined in order."""
        traces: list[list[TraceStep]] = [[] for _ in works]

        def on_lane(work: Callable[[StepCall], Awaitable[Outcome]], trace: list[TraceStep]) -> Work[Outcome]:
            def begin(lane: Lane) -> Awaitable[Outcome]:
                return work(self._with(lane, trace, self._sampling))

            return begin

        try:
            return await self._lane.together([on_lane(w, t) for w, t in zip(works, traces, strict=True)])
        finally:
            for trace in traces:
                self._spans.append(range(len(self._trace), len(self._trace) + len(trace)))
                self._trace.extend(trace)

    def sample(self, index: int, of: int, *, checked: bool = True, advice: str = "") -> StepCall:
        """This call for one of several runs: rollouts of its own, assertions or none, and what to do better."""
        sampling = Sampling(
            path=(*self._sampling.path, (index, of)),
            checked=self._sampling.checked and checked,
            advice="\n".join(text for text in (self._sampling.advice, advice) if text),
        )
        return self._with(self._lane, self._trace, sampling)

    def check(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> tuple[str, ...]:
        """Per assertion of the step what is wrong with the outputs, "" where it holds."""
        scope = {"args": dict(inputs), "self": {**self.last_reply(), **outputs}, "inputs": dict(inputs)}
        assertions = self._compiled.program.checks.get(self._step.name, ())
        return tuple(assertion.problem(scope) for assertion in assertions)

    def required(self) -> tuple[bool, ...]:
        """Per assertion of the step whether a row must not end without it: True for all but suggestions."""
        return tuple(not check.suggest for check in self._step.checks)

    def last_reply(self) -> dict[str, Any]:
        """All outputs of the last predictor call, those too that a module leaves in the trace."""
        return self._trace[-1].outputs if self._trace else {}

    def take(self, work: int | None, note: str) -> None:
        """Put the calls of the taken work after those of the others, which count as not kept; note why."""
        taken = self._spans[work] if work is not None else range(0)
        lost = {place for span in self._spans if span != taken for place in span}
        end = self._spans[-1].stop
        before = [
            msgspec.structs.replace(step, kept=False) if place in lost else step
            for place, step in enumerate(self._trace[:end])
            if place not in taken
        ]
        chosen = [self._trace[place] for place in taken]
        settled = [*before, *chosen, *self._trace[end:]]
        settled[-1] = msgspec.structs.replace(settled[-1], notes=(*settled[-1].notes, note))
        self._trace[:] = settled
        self._spans.clear()

    def _with(self, lane: Lane, trace: list[TraceStep], sampling: Sampling) -> StepCall:
        return StepCall(self._compiled, self._step, lane, trace, self._role, self._rollout, sampling=sampling)

    def _numbered(self, rollout: int) -> int:
        """One number for the sample at every level: equal only for the same run of the same runs, 0 for all firsts."""
        for index, of in reversed(self._sampling.path):
            rollout = rollout * of + index
        _, most = self._compiled.program.modules[self._step.name].calls()
        return self._rollout * most + rollout

    def _validator(self, speaker: Speaker, inputs: Mapping[str, Any]) -> Validator | None:
        checks = self._compiled.program.checks.get(self._step.name, ())
        names = {field.name for field in speaker.signature.outputs}
        whole = names.issuperset(field.name for field in self._step.signature.outputs)
        if not checks or not whole or not self._sampling.checked:
            return None

        def validate(outputs: Mapping[str, Any]) -> Verdict | None:
            scope = {"args": dict(inputs), "self": dict(outputs), "inputs": dict(inputs)}
            for assertion in checks:
                problem = assertion.problem(scope)
                if problem:
                    return Verdict(problem, assertion.check.retries, assertion.check.suggest)
            return None

        return validate


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor call: asked, parsed, checked, and asked again within its limits."""

    lane: Lane
    speaker: Speaker
    model: str
    role: str
    rollout: int
    format_retries: int
    advice: str = ""

    async def outputs(
        self, inputs: Mapping[str, Any], validate: Validator | None = None
    ) -> tuple[dict[str, Any], int, list[str]]:
        """The values, how often it was asked again, and the failed assertions on the way. Raises RowFailed."""
        format_, signature = self.speaker.predictor.format, self.speaker.signature
        messages = joined(self.speaker.prefix, self._row(inputs))
        parse_failures, reasks, notes = 0, 0, list[str]()
        failed: RowFailed | None = None
        accepted: dict[str, Any] | None = None
        while True:
            completion = await self._complete(messages, reasks > 0, failed, accepted)
            if completion is None:
                break
            try:
                values = format_.parse(signature, completion)
            except ParseError as error:
                failed = _unreadable(completion, error)
                parse_failures += 1
                if parse_failures > self.format_retries or failed.failure.kind != "parse":
                    break
                correction = format_.reask(signature, error)
            else:
                verdict = validate(values) if validate else None
                if verdict is None:
                    return values, reasks, notes
                notes.append(verdict.message)
                accepted = values if verdict.suggest else None
                failed = RowFailed("constraint", verdict.message)
                if len(notes) > verdict.retries:
                    break
                correction = (
                    f"Your answer was read, but a check failed: {verdict.message}\nAnswer again in full."
                )
            reasks += 1
            messages = (*messages, Message("assistant", completion.text), Message("user", correction))
        if accepted is not None:
            return accepted, reasks, notes
        assert failed is not None
        raise failed

    def _row(self, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The row's messages; advice is one input more, and without any the prompt is the plain one."""
        format_, signature = self.speaker.predictor.format, self.speaker.signature
        plain = format_.row(signature, inputs)
        if not self.advice:
            return plain
        name = free_name("advice", (field.name for field in (*signature.inputs, *signature.outputs)))
        more = msgspec.structs.replace(signature, inputs=(*signature.inputs, Field(name=name)))
        advised = format_.row(more, {**inputs, name: self.advice})
        # A template of the user's own shows only the fields that it names.
        return advised if advised != plain else (*plain, Message("user", f"\n\n{self.advice}"))

    async def _complete(
        self,
        messages: tuple[Message, ...],
        reask: bool,
        failed: RowFailed | None,
        accepted: dict[str, Any] | None,
    ) -> Completion | None:
        """The reply; None when the budget leaves no re-ask and the row keeps what it has."""
        request = self._request(messages)
        try:
            completion = await self.lane.complete(request, model=self.model, role=self.role, reask=reask)
        except CallFailed as error:
            raise RowFailed(error.kind, error.message) from error
        except BudgetDenied as error:
            if not reask:
                raise RowFailed("budget", "the budget ended before this row was asked") from error
            return None
        if completion.finish_reason == "refused":
            raise RowFailed("refused", completion.text[:200] or "the model refused to answer")
        return completion

    def _request(self, messages: tuple[Message, ...]) -> Request:
        return self.lane.phase.effects.request(self.model, messages, self.speaker.params, self.rollout)


def _unreadable(completion: Completion, error: ParseError) -> RowFailed:
    if completion.finish_reason == "length":
        return RowFailed("truncated", f"the reply was cut off at its length limit: {error}")
    return RowFailed("parse", str(error))


def _speaker(predictor: Predictor, texts: PredictorTexts) -> Speaker:
    signature = _described(predictor.signature, texts)
    return Speaker(
        predictor=predictor,
        signature=signature,
        prefix=predictor.format.prefix(signature, texts.demos),
        params=predictor.format.params(signature),
    )


def _described(signature: Signature, texts: PredictorTexts) -> Signature:
    """The signature with a candidate's instructions and field descriptions."""

    def described(fields: Sequence[Field]) -> tuple[Field, ...]:
        return tuple(
            msgspec.structs.replace(f, description=texts.descriptions[f.name])
            if f.name in texts.descriptions
            else f
            for f in fields
        )

    return Signature(
        inputs=described(signature.inputs),
        outputs=described(signature.outputs),
        instructions=texts.instructions,
    )


def _given_demos(step: Step) -> tuple[Demo, ...]:
    if step.demos is None or step.demos == "none":
        return ()
    return tuple(labeled_demo(step.signature, row) for row in step.demos)


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
