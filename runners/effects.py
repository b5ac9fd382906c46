"""Effects: whatever leaves the process or depends on the outside, recorded before it is used.

One `Effects` per run. It numbers the phases, asks the journal before it asks the world, counts in the ledger, and knows
whether a signal or the clock wants the run to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from promptc.runners.failures import Failure, RowFailed
from promptc.runners.journal import Effect, EffectKind, Journal
from promptc.runners.ledger import Amount, Estimate, Ledger
from promptc.runners.models.prices import Pricing
from promptc.runners.models.request import (
    CallAbandoned,
    CallFailed,
    Completion,
    Message,
    Request,
    Usage,
)
from promptc.runners.phase import Lane, Phase
from promptc.runners.sandbox import Code, Ran
from promptc.runners.tools.protocol import Tools
from promptc.spec.errors import Interrupted, Untrusted

Content = TypeVar("Content")

DEFAULT_MAX_TOKENS = 2048
"""Sent with every request when a budget is in tokens or dollars and the spec names no `max_tokens`."""


GRACE_SECONDS = 10.0
"""How long replies to requests that were sent are awaited after a signal."""
ATTACHMENT_TOKENS = 50_000
"""More than providers count for one image: its bytes say little about its tokens."""
SAMPLING_TEMPERATURE = 1.0
"""Sent with a further sample (rollout > 0) where the spec names no temperature: at 0 all samples would be the same."""


class Models(Protocol):
    """The models of a run: `promptc.runners.models.stack.ModelStack`, or a scripted one in tests."""

    def request(
        self,
        name: str,
        messages: tuple[Message, ...],
        params: Mapping[str, Any] | None = None,
        rollout: int = 0,
    ) -> Request:
        """The request to the model of that name, with its default parameters filled in."""
        ...

    async def complete(self, request: Request, name: str) -> Completion:
        """The reply; raises CallFailed."""
        ...

    def pricing(self, name: str) -> Pricing | None:
        """What the model costs; None where no price is known."""
        ...

    def calls_tools(self, name: str) -> bool:
        """Whether the model can be shown tools in its provider's own way."""
        ...


Recall = Callable[[bytes], tuple[EffectKind, bytes] | None]
"""What another run recorded under a key; None where it has nothing."""


class Hooks(Protocol):
    """The user's functions: `promptc.runners.hooks.HookPool`."""

    async def call(self, reference: str, payload: Any) -> Any:
        """Run `file.py:function` on plain data; raises RowFailed."""
        ...


class Retrievers(Protocol):
    """What finds passages: `promptc.runners.retrievers`."""

    async def search(
        self, lane: Lane, name: str, queries: Sequence[str], k: int | None, where: Mapping[str, Any] | None
    ) -> list[list[dict[str, Any]]]:
        """Per query the hits of the retriever of that name, best first, as {id, text, score, meta}; raises RowFailed.

        What is asked of another machine goes through `lane.outside`.
        """
        ...


class Interpreter(Protocol):
    """What runs programs of models: `promptc.runners.sandbox.Sandbox`."""

    async def run(self, code: Code) -> Ran:
        """How far a program comes."""
        ...


class _RecordedFailure(msgspec.Struct, frozen=True):
    """A failure of the provider as the journal keeps it: final for this run unless `--retry-failed`."""

    kind: str
    message: str
    status: int | None = None


class Effects:
    """The run's one door to the outside.

    `missing` grows with the keys of replies that an offline run does not have: no effects, and no run to go on with.
    While `watching`, traces hold what was said in every request.
    `recall` brings effects of another run, which are recorded here as if they had just come.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        models: Models,
        hooks: Hooks | None = None,
        *,
        retrievers: Retrievers | None = None,
        tools: Tools | None = None,
        sandbox: Interpreter | None = None,
        concurrency: int = 64,
        minutes: float | None = None,
        clock: Callable[[], float] | None = None,
        version: str = "",
        stop_file: Path | None = None,
        hook_digests: dict[str, str] | None = None,
        missing: Collection[bytes] = (),
        recall: Recall | None = None,
    ) -> None:
        self.journal = journal
        self.ledger = ledger
        self.models = models
        self.hooks = hooks
        self.retrievers = retrievers
        self.tools = tools
        self.sandbox = sandbox
        self.concurrency = concurrency
        self.missing = missing
        self._recall = recall
        self.stopping = False
        self.at_once = False
        self.signal_number = 0
        self.stop_reason = ""
        self.replayed = 0
        self.rows = 0
        self.watching = False
        self.kept: dict[bytes, Any] = {}
        """What rows share for the whole run, such as indexes; see `Lane.once`."""
        self._served: dict[str, set[tuple[str, str]]] = {}
        self.wake: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self._minutes = minutes
        self._clock = clock
        self._started = clock() - journal.elapsed if clock is not None else 0.0
        self._version = version
        self._stop_file = stop_file
        self._hook_digests = hook_digests or {}
        self._phases = 0
        self._clock_reads = 0
        self._under_way: dict[bytes, asyncio.Task[Effect]] = {}

    def phase(self, digest: str, worst: Estimate) -> Phase[Any]:
        """Open the next phase. `worst` is the most that it can cost; where that does not fit, it goes in waves."""
        if self.missing:
            raise Untrusted(f"{len(self.missing)} replies are not recorded")
        self._phases += 1
        ledger = self.ledger
        in_waves = self._minutes is not None or not ledger.fits(worst)
        return Phase(self, self._phases, digest, window=self.concurrency, in_waves=in_waves)

    def request(
        self,
        model: str,
        messages: tuple[Message, ...],
        params: dict[str, Any],
        rollout: int = 0,
        *,
        sampled: bool = True,
    ) -> Request:
        """The request to a model, with a `max_tokens` where the budget needs one.

        A rollout that is `sampled` has a temperature above 0; a repeat of the plain request keeps its parameters.
        """
        request = self.models.request(model, messages, params, rollout)
        if sampled and rollout and not request.params.get("temperature"):
            request = msgspec.structs.replace(
                request, params={**request.params, "temperature": SAMPLING_TEMPERATURE}
            )
        if not self.ledger.counts_tokens or {"max_tokens", "max_completion_tokens"} & request.params.keys():
            return request
        return msgspec.structs.replace(request, params={**request.params, "max_tokens": DEFAULT_MAX_TOKENS})

    def reply_limit(self, model: str) -> int:
        """The longest reply in tokens that a request to this model allows, when replies are limited."""
        return _max_tokens(self.models.request(model, (), {}).params)

    async def complete(
        self, phase: Phase[Any], request: Request, *, model: str, role: str, reask: bool
    ) -> Completion:
        """The reply to a request, from the journal or from the world."""

        async def ask() -> tuple[EffectKind, bytes]:
            try:
                completion = await self.models.complete(request, model)
            except CallFailed as error:
                if error.fatal:
                    raise Untrusted(error.message, error.hint) from error
                if request.key() in self.missing:
                    raise
                failure = _RecordedFailure(error.kind, error.message, error.status)
                return "model_failure", msgspec.json.encode(failure)
            return "model", msgspec.json.encode(completion)

        effect, first = await self._effect(phase, request.key(), role, ask)
        if effect.kind == "model_failure":
            failure = self._content(effect, _RecordedFailure)
            raise CallFailed(failure.message, kind=failure.kind, status=failure.status)  # type: ignore[arg-type]
        completion = self._content(effect, Completion)
        if first:
            self.ledger.settle(role, completion, reask=reask)
            if completion.served_model:
                served = self._served.setdefault(request.model, set())
                served.add((completion.served_model, completion.fingerprint))
        return completion

    async def hook(self, phase: Phase[Any], reference: str, payload: Any) -> Any:
        """The result of a user's function, recorded like a reply."""
        hooks = self.hooks
        if hooks is None:
            raise RowFailed("hook", f"{reference} was not allowed to run")
        digest = self._hook_digests.get(reference, "")
        key = _key("hook", reference, digest, payload)
        return await self._recorded(
            phase, key, "hook", ("hook", "hook_failure"), lambda: hooks.call(reference, payload)
        )

    async def outside(
        self, phase: Phase[Any], role: str, parts: Sequence[Any], work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result of anything else outside (a tool, a remote retriever), recorded like a reply.

        `parts` is JSON data that holds everything that can change the result; `work` brings JSON data and raises
        RowFailed, which is recorded too.
        """
        key = _key("outside", role, *parts)
        return await self._recorded(phase, key, role, ("outside", "outside_failure"), work)

    async def _recorded(
        self,
        phase: Phase[Any],
        key: bytes,
        role: str,
        kinds: tuple[EffectKind, EffectKind],
        work: Callable[[], Awaitable[Any]],
    ) -> Any:
        """A result that is JSON data, or the failure that came instead; `kinds` are the two in the journal."""

        async def ask() -> tuple[EffectKind, bytes]:
            try:
                return kinds[0], msgspec.json.encode(await work())
            except RowFailed as error:
                return kinds[1], msgspec.json.encode(error.failure)

        effect, _ = await self._effect(phase, key, role, ask)
        if effect.kind == kinds[1]:
            failure = self._content(effect, Failure)
            raise RowFailed(failure.kind, failure.message)
        return self._content(effect, Any)

    def served(self) -> dict[str, tuple[str, ...]]:
        """Which model really answered under each name, with its fingerprint where the provider tells one."""
        return {
            name: tuple(sorted(f"{model} ({mark})" if mark else model for model, mark in answered))
            for name, answered in sorted(self._served.items())
        }

    def worst_call(self, request: Request, model: str) -> Amount:
        """The most that one call can cost: no token is shorter than a byte, and no reply longer than max_tokens."""
        if not self.ledger.counts_tokens:
            return Amount(1)
        input_bound = sum(_bound(message) for message in request.messages) + 16
        input_bound += len(msgspec.json.encode(request.params.get("tools", ())))
        output_bound = 0 if request.embeds else _max_tokens(request.params)
        return Amount(1, input_bound + output_bound, self.dollars(model, input_bound, output_bound))

    def dollars(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """US dollars for so many tokens; 0 where no price is known."""
        pricing = self.models.pricing(model)
        return pricing.cost(Usage(input_tokens, output_tokens)) if pricing is not None else 0.0

    def clock_allows(self, label: str) -> bool:
        """False once the `minutes` of the budget are over or the stop file lies in the run directory.

        Only the decision to stop is recorded; a replay consults neither the clock nor the file.
        """
        self._clock_reads += 1
        key = _key("clock", label, self._clock_reads)
        recorded = self.journal.find(key)
        if recorded is not None:
            self.journal.use(recorded)
            self.stop_reason = self._content(recorded, str)
            return False
        reason = "" if self.journal.replaying else self._reason_to_stop()
        if not reason:
            return True
        self.stop_reason = reason
        payload = msgspec.json.encode(reason)
        self.journal.record_now(key, phase=self._phases, kind="clock", role="clock", payload=payload)
        return False

    def _reason_to_stop(self) -> str:
        if self._stop_file is not None and self._stop_file.exists():
            return "stop_file"
        timed = self._minutes is not None and self._clock is not None
        if timed and self._clock() - self._started >= self._minutes * 60:  # type: ignore[misc,operator]
            return "minutes"
        return ""

    def save_elapsed(self) -> None:
        """Note how long the run has worked, for the `minutes` of a later session."""
        if self._clock is not None:
            self.journal.elapsed = self._clock() - self._started

    def stop(self, signal_number: int) -> None:
        """Ask the run to end: what was sent is awaited for a while and recorded, nothing more is sent.

        Asked twice, what is under way is given up.
        """
        self.at_once = self.stopping
        self.stopping = True
        self.signal_number = signal_number
        self.on_stop()
        self.wake()
        with contextlib.suppress(RuntimeError):  # no loop: nothing is under way
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for task in self._under_way.values():
            task.cancel()

    async def drain(self, seconds: float = 10.0) -> None:
        """Let what is under way end and be recorded, for so many seconds at most."""
        if self._under_way:
            timeout = 0.0 if self.at_once else seconds
            _, late = await asyncio.wait(self._under_way.values(), timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def interruption(self) -> Interrupted:
        """The error that ends an interrupted run."""
        if self.at_once:
            return Interrupted(
                self.signal_number, "interrupted at once; every reply that had come is recorded"
            )
        return Interrupted(self.signal_number, "interrupted; everything that was paid for is recorded")

    def what_changed(self) -> str:
        """Why a replay may have diverged, as far as it can be told."""
        if self.journal.written_by != self._version:
            return f"it was recorded by promptc {self.journal.written_by}, this is {self._version}"
        return "the data, a hook or a library has changed since it was recorded"

    def _content(self, effect: Effect, kind: type[Content]) -> Content:
        try:
            return msgspec.json.decode(effect.payload, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.journal.damaged(error) from error

    async def _effect(
        self,
        phase: Phase[Any],
        key: bytes,
        role: str,
        ask: Callable[[], Awaitable[tuple[EffectKind, bytes]]],
    ) -> tuple[Effect, bool]:
        """The effect of that key, and whether this is its first use."""
        recorded = self.journal.find(key)
        if recorded is not None:
            first = self.journal.use(recorded)
            self.replayed += first
            return recorded, first
        if key not in self._under_way:
            await phase.until_live()
            recorded = self.journal.find(key)
            if recorded is not None:
                return recorded, self.journal.use(recorded)
        task = self._under_way.get(key)
        if task is not None:
            return await self._outcome(task), False
        if self.stopping:
            raise self.interruption()
        task = asyncio.create_task(self._ask(phase, key, role, ask))
        self._under_way[key] = task
        return await self._outcome(task), True

    async def _outcome(self, task: asyncio.Task[Effect]) -> Effect:
        """What a call under way comes to; it goes on when the one who waits for it is gone."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self.stopping and task.cancelled():
                raise self.interruption() from None
            raise

    async def _ask(
        self,
        phase: Phase[Any],
        key: bytes,
        role: str,
        ask: Callable[[], Awaitable[tuple[EffectKind, bytes]]],
    ) -> Effect:
        try:
            try:
                recalled = self._recall(key) if self._recall is not None else None
                kind, payload = recalled or await ask()
            except CallAbandoned:
                raise self.interruption() from None
            return await self.journal.record(key, phase=phase.number, kind=kind, role=role, payload=payload)
        finally:
            del self._under_way[key]


def _key(*parts: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).digest()


def _bound(message: Message) -> int:
    """More tokens than a message can have: no token is shorter than a byte."""
    calls = sum(len(call.name) + len(call.arguments.encode()) + 32 for call in message.tool_calls)
    attached = sum(max(a.size, ATTACHMENT_TOKENS) for a in message.attachments)
    return len(message.content.encode()) + 16 + calls + attached


def _max_tokens(params: dict[str, Any]) -> int:
    limits = (params.get(name) for name in ("max_tokens", "max_completion_tokens"))
    return max((int(limit) for limit in limits if limit is not None), default=DEFAULT_MAX_TOKENS)
