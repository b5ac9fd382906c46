"""One predictor and what it says: asked, parsed, checked, and asked again within its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.runners.candidate import Demo, Nearest, PredictorTexts, Turn
from promptc.runners.exchange import Exchange
from promptc.runners.failures import RowFailed
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format, ParseError, TwoPart
from promptc.runners.models.request import CallFailed, Completion, Message, Request, ToolCall
from promptc.runners.modules.protocol import free_name
from promptc.runners.neighbours import Pool
from promptc.runners.phase import BudgetDenied, Lane
from promptc.runners.retrievers.embedding import embedding_of
from promptc.runners.talk import Talk, talk_prefix
from promptc.spec.fields import Field, Signature
from promptc.spec.model import Spec

Role = Literal["task", "teacher", "judge"]
EXTRACT = "extract"
"""The model, and the role, that reads the fields out of a free reply."""

Validator = Callable[[Mapping[str, Any]], "Verdict | None"]


class Verdict(msgspec.Struct, frozen=True):
    """A failed assertion: what to tell the model, how often, and whether the row fails in the end."""

    message: str
    retries: int
    suggest: bool


class Predictor(msgspec.Struct, frozen=True, kw_only=True):
    """One place in a program that calls a language model.

    `nearest` says which of its demos a row sees, where that is not all of them and a candidate says nothing else.
    """

    name: str
    step: str
    suffix: str
    signature: Signature
    format: Format
    model: str
    params: dict[str, Any] = {}
    nearest: Nearest | None = None


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """A predictor with a candidate's texts: what it says to the model, rendered once for all rows.

    With a `pool` the prefix holds no demos yet: each row has its own.
    """

    predictor: Predictor
    signature: Signature
    prefix: tuple[Message, ...]
    params: dict[str, Any]
    texts: PredictorTexts = PredictorTexts()
    pool: Pool | None = None

    async def to_row(self, lane: Lane, inputs: Mapping[str, Any]) -> Speaker:
        """What it says to a row with these inputs. Raises RowFailed."""
        return self if self.pool is None else self.showing(await self.pool.chosen(lane, inputs))

    def showing(self, demos: Sequence[Demo]) -> Speaker:
        """The same with these demos in the prefix."""
        prefix = self.predictor.format.prefix(self.signature, demos)
        texts = msgspec.structs.replace(self.texts, demos=tuple(demos))
        return msgspec.structs.replace(self, prefix=prefix, texts=texts, pool=None)

    def characters(self) -> int:
        """The length of what it says before a row's own text, at most."""
        prefix = self.prefix if self.pool is None else self.showing(self.pool.longest()).prefix
        return sum(len(message.content) for message in prefix)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a predictor call came to: the values, and what happened on the way.

    `reply` is the free text that another model read the values out of, "" where none did. With `calls` the model has
    not answered yet: it said `reply` and wants these tools called.
    """

    values: dict[str, Any] = {}
    reasks: int = 0
    notes: tuple[str, ...] = ()
    reply: str = ""
    calls: tuple[ToolCall, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor call: asked, parsed, checked, and asked again within its limits.

    `exchanges`, where it is a list, collects what was said. `talk` is there where the model may call something before
    it answers; `turns` are what it did so far, and with `final` it has to answer now.
    A rollout that is `sampled` is to differ; one that is not repeats the plain request as it stands, with another seed.
    """

    lane: Lane
    speaker: Speaker
    model: str
    role: str
    rollout: int
    format_retries: int
    advice: str = ""
    exchanges: list[Exchange] | None = None
    sampled: bool = True
    talk: Talk | None = None
    turns: tuple[Turn, ...] = ()
    final: bool = False

    async def said(self, inputs: Mapping[str, Any], validate: Validator | None = None) -> Said:
        """The values, how often it was asked again, and the failed assertions on the way. Raises RowFailed."""
        format_, signature = self.speaker.predictor.format, self.speaker.signature
        messages = joined(self.speaker.prefix, self._row(inputs), *self._so_far())
        parse_failures, reasks, notes = 0, 0, list[str]()
        failed: RowFailed | None = None
        accepted: Said | None = None
        while True:
            completion = await self._complete(messages, reask=bool(reasks))
            if completion is None:
                break
            place = len(self.exchanges or ())
            try:
                read = await self._read(completion, self.format_retries - parse_failures)
            except RowFailed as error:
                self._keep(place, messages, completion, "")
                if accepted is None or not error.failure.scored:
                    raise
                break
            except ParseError as error:
                failed = _unreadable(completion, error)
                self._keep(place, messages, completion, str(failed))
                parse_failures += 1
                if parse_failures > self.format_retries or failed.failure.kind != "parse":
                    break
                correction = format_.reask(signature, error)
            else:
                parse_failures += read.reasks
                reasks += read.reasks
                read = msgspec.structs.replace(read, reasks=reasks, notes=tuple(notes))
                verdict = validate(read.values) if validate and not read.calls else None
                self._keep(place, messages, completion, verdict.message if verdict is not None else "")
                if verdict is None:
                    return read
                notes.append(verdict.message)
                accepted = read if verdict.suggest else None
                failed = RowFailed("constraint", verdict.message)
                if len(notes) > verdict.retries:
                    break
                correction = (
                    f"Your answer was read, but a check failed: {verdict.message}\nAnswer again in full."
                )
            reasks += 1
            messages = (*messages, Message("assistant", completion.text), Message("user", correction))
        if accepted is not None:
            return msgspec.structs.replace(accepted, reasks=reasks, notes=tuple(notes))
        assert failed is not None
        raise failed

    def _keep(self, place: int, messages: tuple[Message, ...], completion: Completion, problem: str) -> None:
        """Note what was said, before what another model read out of it, where somebody watches."""
        if self.exchanges is not None:
            reply = Message("assistant", completion.text, tool_calls=completion.tool_calls).shown()
            said = Exchange(messages=messages, reply=reply, reasoning=completion.reasoning, problem=problem)
            self.exchanges.insert(place, said)

    async def _read(self, completion: Completion, retries: int) -> Said:
        """What a reply says, read by its format, or by another model that may raise RowFailed. Raises ParseError."""
        format_, signature = self.speaker.predictor.format, self.speaker.signature
        if self.talk is not None:
            said, calls = self.talk.read(signature, completion)
            if calls and self.final:
                raise ParseError("Nothing can be called any more.")
            if calls:
                return Said(reply=said, calls=calls)
        values = format_.parse(signature, completion)
        if not isinstance(format_, TwoPart):
            return Said(values=with_reasoning(signature, values, completion.reasoning))
        asked, read_by = format_.second(signature)
        reader = Asked(
            lane=self.lane,
            speaker=plain_speaker(f"{self.speaker.predictor.name}.{EXTRACT}", asked, read_by, EXTRACT),
            model=EXTRACT,
            role=EXTRACT,
            rollout=self.rollout,
            format_retries=retries,
            sampled=self.sampled,
            exchanges=self.exchanges,
        )
        found = await reader.said(values)
        [reply] = values.values()
        ordered = {f.name: found.values.get(f.name, f.default) for f in signature.outputs}
        return Said(values=with_reasoning(signature, ordered, reply), reasks=found.reasks, reply=reply)

    def _so_far(self) -> Iterator[tuple[Message, ...]]:
        """The turns before this call."""
        if self.talk is None:
            return
        number = 0
        for turn in self.turns:
            yield self.talk.turn(turn, number)
            number += len(turn.calls)
        if self.final:
            yield self.talk.closing()

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

    async def _complete(self, messages: tuple[Message, ...], *, reask: bool) -> Completion | None:
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
        params = self.speaker.params
        if self.talk is not None:
            # What makes a provider write nothing but the answer keeps the model from calling anything first.
            kept = params if self.final else {k: v for k, v in params.items() if k != "response_format"}
            params = {**kept, **self.talk.params(final=self.final)}
        return self.lane.phase.effects.request(
            self.model, messages, params, self.rollout, sampled=self.sampled
        )


def _unreadable(completion: Completion, error: ParseError) -> RowFailed:
    if completion.finish_reason == "length":
        return RowFailed("truncated", f"the reply was cut off at its length limit: {error}")
    return RowFailed("parse", str(error))


def with_reasoning(signature: Signature, values: Mapping[str, Any], reasoning: str) -> dict[str, Any]:
    """The values, with a reasoning that the reply did not write down itself taken from where it is."""
    return {
        field.name: reasoning.strip()
        if field.holds_reasoning and not values[field.name] and reasoning
        else values[field.name]
        for field in signature.outputs
    }


def plain_speaker(name: str, signature: Signature, format_: Format, model: str) -> Speaker:
    """A speaker that no candidate changes and that has no demos."""
    return Speaker(
        predictor=Predictor(
            name=name, step=name, suffix="", signature=signature, format=format_, model=model
        ),
        signature=signature,
        prefix=format_.prefix(signature, ()),
        params=format_.params(signature),
    )


def speaker_of(predictor: Predictor, texts: PredictorTexts, spec: Spec) -> Speaker:
    """The predictor with a candidate's texts."""
    signature = _described(predictor.signature, texts)
    nearest = texts.nearest or predictor.nearest
    pool = None
    if nearest is not None:
        embedding = embedding_of(spec, nearest.model or None)
        pool = Pool(signature, texts.demos, nearest, embedding=embedding, seed=spec.run.seed)
    return Speaker(
        predictor=predictor,
        signature=signature,
        prefix=predictor.format.prefix(signature, texts.demos if pool is None else ()),
        params={**predictor.format.params(signature), **predictor.params},
        pool=pool,
        texts=texts,
    )


def talking(speaker: Speaker, talk: Talk) -> Speaker:
    """The speaker with what a talk says to the model, and with the turns of its demos."""
    format_ = speaker.predictor.format
    prefix = talk_prefix(format_, speaker.signature, speaker.texts.demos, talk)
    return msgspec.structs.replace(speaker, prefix=prefix)


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
