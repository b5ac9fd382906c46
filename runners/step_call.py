"""What a module may do while it runs on one row of one step."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from promptc.runners.asking import Asked, Role, Said, Speaker, Validator, Verdict, talking
from promptc.runners.candidate import Turn
from promptc.runners.conversation import Conversation
from promptc.runners.exchange import Exchange
from promptc.runners.failures import RowFailed
from promptc.runners.metrics.protocol import Case, Metric, Score
from promptc.runners.models.request import ToolCall
from promptc.runners.phase import Lane
from promptc.runners.sandbox import Code, Ran
from promptc.runners.talk import Talk
from promptc.runners.tools.protocol import Offered, Tools, with_description
from promptc.runners.tools.using import Used, used
from promptc.spec.model import Step

if TYPE_CHECKING:
    from promptc.runners.program import CompiledProgram

Outcome = TypeVar("Outcome")
Work = Callable[[Lane], Awaitable[Outcome]]


TraceKind = Literal["predict", "retrieve", "python", "set", "tool", "round", "skipped", "failed"]


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor call that gave outputs, on the way to a prediction; or a step that asked no model.

    `predictor` is the step's name where `kind` is not `predict`. `kept` is False where a module ran several times and
    took the result of another run. `reply` is the free text that another model read the outputs out of, "" where none
    did, `turns` what a module with tools did before it answered. `exchanges` are there where the run's effects are
    watched.
    """

    predictor: str
    kind: TraceKind = "predict"
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    reasks: int = 0
    notes: tuple[str, ...] = ()
    kept: bool = True
    turns: tuple[Turn, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    reply: str = ""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which of several runs a call belongs to: per level its index and their number, outermost first.

    With `checked` False no assertion makes a predictor ask again; `advice` is put to every predictor after its inputs.
    """

    path: tuple[tuple[int, int], ...] = ()
    checked: bool = True
    advice: str = ""


class StepCall:
    """What a module may do while it runs on one row of one step."""

    __slots__ = (
        "_compiled",
        "_lane",
        "_role",
        "_rollout",
        "_sampling",
        "_scope",
        "_spans",
        "_steady",
        "_step",
        "_trace",
    )

    def __init__(
        self,
        compiled: CompiledProgram,
        step: Step,
        lane: Lane,
        trace: list[TraceStep],
        role: Role,
        rollout: int,
        *,
        scope: Mapping[str, Any],
        steady: bool = False,
        sampling: Sampling | None = None,
    ) -> None:
        self._compiled = compiled
        self._step = step
        self._lane = lane
        self._trace = trace
        self._scope = scope
        self._role = role
        self._rollout = rollout
        self._steady = steady
        self._sampling = sampling or Sampling()
        self._spans: list[range] = []

    async def predict(self, predictor: str, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """The outputs of one predictor, asked again with the exact error where the reply does not hold them."""
        name = self._named(predictor)
        speaker = await self._compiled.speakers[name].to_row(self._lane, inputs)
        exchanges = self._watched()
        said = await self._said(name, self._asked(speaker, exchanges, rollout), inputs)
        self._leave(name, inputs, said, exchanges)
        return said.values

    def conversation(self, predictor: str, inputs: Mapping[str, Any], talk: Talk) -> Conversation:
        """A call of one predictor in which the model may call something before it answers."""
        name = self._named(predictor)
        exchanges = self._watched()

        async def ask(turns: tuple[Turn, ...], final: bool) -> Said:
            speaker = await self._compiled.speakers[name].to_row(self._lane, inputs)
            plain = self._asked(talking(speaker, talk), exchanges, 0)
            asked = msgspec.structs.replace(plain, talk=talk, turns=turns, final=final)
            return await self._said(name, asked, inputs)

        def leave(said: Said, turns: tuple[Turn, ...]) -> None:
            self._leave(name, inputs, said, exchanges, turns)

        return Conversation(inputs, ask, leave)

    def calls_natively(self, predictor: str) -> bool:
        """Whether the predictor's model can be shown tools in its provider's own way."""
        model = self._model(self._compiled.speakers[self._named(predictor)])
        return self._lane.phase.effects.models.calls_tools(model)

    async def offered(self, predictor: str, names: Sequence[str] | None) -> tuple[Offered, ...]:
        """The functions of these tools, of all without names, as the candidate describes them. Raises RowFailed."""
        texts = self._compiled.speakers[self._named(predictor)].texts
        wanted = self._compiled.program.tool_keys(self._step.name, names)
        if not wanted:
            return ()
        found = await self._tools().offered(self._lane, wanted)
        return tuple(with_description(offered, texts.descriptions) for offered in found)

    async def use(
        self,
        offered: Sequence[Offered],
        calls: Sequence[ToolCall],
        conversation: Conversation,
        *,
        first: int = 0,
    ) -> tuple[Used, ...]:
        """What comes of calls, all made at once. A tool that fails says so in its result. Raises RowFailed."""
        return await used(self._lane, self._tools(), offered, calls, conversation, first)

    async def run_code(self, code: Code) -> Ran:
        """How far a program comes in the sandbox; recorded like everything that depends on the clock."""
        sandbox = self._lane.phase.effects.sandbox
        assert sandbox is not None, "a program that runs code is opened with a sandbox"

        async def work() -> Any:
            return msgspec.to_builtins(await sandbox.run(code))

        return msgspec.convert(await self._lane.outside("sandbox", [msgspec.to_builtins(code)], work), Ran)

    def seed(self, inputs: Mapping[str, Any]) -> str:
        """What random numbers of a model's program begin with: equal for the run's seed and equal inputs."""
        content = msgspec.json.encode(inputs, order="deterministic")
        return f"{self._compiled.program.spec.run.seed}:{hashlib.blake2b(content, digest_size=8).hexdigest()}"

    def objection(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
        """What an assertion has against outputs that no predictor gave; "" where all hold or none counts here."""
        if not self._sampling.checked:
            return ""
        problems = zip(self.check(inputs, outputs), self.required(), strict=True)
        return next((problem for problem, required in problems if problem and required), "")

    def _tools(self) -> Tools:
        tools = self._lane.phase.effects.tools
        assert tools is not None, "a program with tools is opened with them"
        return tools

    def _named(self, predictor: str) -> str:
        return f"{self._step.name}.{predictor}" if predictor else self._step.name

    def _watched(self) -> list[Exchange] | None:
        return [] if self._lane.phase.effects.watching else None

    def _model(self, speaker: Speaker) -> str:
        role_model = "teacher" if self._role == "teacher" else "task"
        return role_model if speaker.predictor.model == "task" else speaker.predictor.model

    def _asked(self, speaker: Speaker, exchanges: list[Exchange] | None, rollout: int) -> Asked:
        return Asked(
            lane=self._lane,
            speaker=speaker,
            model=self._model(speaker),
            role=self._role,
            rollout=self._numbered(rollout),
            sampled=bool(self._inner(rollout)) or not self._steady,
            format_retries=self._compiled.program.spec.run.format_retries,
            advice=self._sampling.advice,
            exchanges=exchanges,
        )

    async def _said(self, name: str, asked: Asked, inputs: Mapping[str, Any]) -> Said:
        """What the call comes to; one that fails is left in the trace where somebody watches. Raises RowFailed."""
        try:
            return await asked.said(inputs, self._validator(asked.speaker, inputs))
        except RowFailed as error:
            if asked.exchanges is not None:
                self._trace.append(
                    TraceStep(
                        predictor=name,
                        kind="failed",
                        inputs=dict(inputs),
                        notes=(str(error),),
                        turns=asked.turns,
                        exchanges=tuple(asked.exchanges),
                    )
                )
            raise

    def _leave(
        self,
        name: str,
        inputs: Mapping[str, Any],
        said: Said,
        exchanges: list[Exchange] | None,
        turns: tuple[Turn, ...] = (),
    ) -> None:
        self._trace.append(
            TraceStep(
                predictor=name,
                inputs=dict(inputs),
                outputs=said.values,
                reasks=said.reasks,
                notes=said.notes,
                reply=said.reply,
                turns=turns,
                exchanges=tuple(exchanges or ()),
            )
        )

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
        scope = {**self._scope, "args": dict(inputs), "self": {**self.last_reply(), **outputs}}
        assertions = self._compiled.program.checks.get(self._step.name, ())
        return tuple(assertion.problem(scope) for assertion in assertions)

    async def reward(
        self, metric: Metric, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Score | None:
        """What a metric that needs no gold says of outputs: of the only one, or of all together."""
        from promptc.runners.formats.chat import Chat
        from promptc.runners.judging import LaneServices

        fields = self._step.signature.outputs
        value = outputs.get(fields[0].name) if len(fields) == 1 else outputs
        case = Case(value=value, row=dict(inputs), outputs=outputs, trace=tuple(self._trace))
        services = LaneServices(self._lane, Chat(), self._compiled.program.spec.run.format_retries)
        return await metric.score(case, services)

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
        return StepCall(
            self._compiled,
            self._step,
            lane,
            trace,
            self._role,
            self._rollout,
            scope=self._scope,
            steady=self._steady,
            sampling=sampling,
        )

    def _numbered(self, rollout: int) -> int:
        """One number for the sample at every level: equal only for the same run of the same runs, 0 for all firsts."""
        _, most = self._compiled.program.modules[self._step.name].calls()
        return self._rollout * most + self._inner(rollout)

    def _inner(self, rollout: int) -> int:
        """The number of the sample among those that the step's module takes of itself."""
        for index, of in reversed(self._sampling.path):
            rollout = rollout * of + index
        return rollout

    def _validator(self, speaker: Speaker, inputs: Mapping[str, Any]) -> Validator | None:
        checks = self._compiled.program.checks.get(self._step.name, ())
        names = {field.name for field in speaker.signature.outputs}
        whole = names.issuperset(field.name for field in self._step.signature.outputs)
        if not checks or not whole or not self._sampling.checked:
            return None

        def validate(outputs: Mapping[str, Any]) -> Verdict | None:
            scope = {**self._scope, "args": dict(inputs), "self": dict(outputs)}
            for assertion in checks:
                problem = assertion.problem(scope)
                if problem:
                    return Verdict(problem, assertion.check.retries, assertion.check.suggest)
            return None

        return validate
