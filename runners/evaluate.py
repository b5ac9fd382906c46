"""Runs programs over rows and scores them: one phase for any number of candidates."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec

from promptc.runners.asking import EXTRACT, Role
from promptc.runners.effects import Effects
from promptc.runners.failures import Failure, RowFailed
from promptc.runners.judging import Judge, Judged, LaneServices
from promptc.runners.ledger import UNLIMITED, Amount, Estimate, scaled
from promptc.runners.phase import Job, Lane
from promptc.runners.program import EXPECTED_REPLY_TOKENS, CompiledProgram, Prediction
from promptc.runners.records import RowRecord as RowRecord
from promptc.runners.records import judged_record, merged
from promptc.runners.records import not_reached as not_reached
from promptc.runners.repeats import Repeats
from promptc.runners.retrievers.vectors import EMBED
from promptc.runners.rows import Example

BYTES_PER_CHARACTER = 4
"""UTF-8's longest character: with it a count of characters bounds a count of bytes, and so of tokens."""
CORRECTION_BYTES = 4096
"""Longest correction that a re-ask adds."""
EXTRACT_PROMPT_BYTES = 4096
"""Longest text that the second prompt of `two_step` adds to what the first says of the fields."""
JUDGE_PROMPT_BYTES = 16384
"""Longest text that a judge's own instructions and rubric are taken to have."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate in an evaluation: what runs, as whom, and with which sample of the model's replies.

    Each row is run as often as `run.repeat` says, and `once` where it is learned from rather than measured.
    """

    compiled: CompiledProgram
    role: Role = "task"
    rollout: int = 0
    once: bool = False


class Evaluator(msgspec.Struct, frozen=True, kw_only=True):
    """What every evaluation of a run shares."""

    effects: Effects
    judge: Judge | None
    on_row: Callable[[RowRecord], None] | None = None

    async def evaluate(self, arm: Arm, examples: Sequence[Example]) -> tuple[RowRecord, ...]:
        """The records of one candidate, in the order of the examples. The phase must have been admitted."""
        return (await self.evaluate_all([arm], examples))[0]

    async def evaluate_all(
        self, arms: Sequence[Arm], examples: Sequence[Example]
    ) -> tuple[tuple[RowRecord, ...], ...]:
        """The records of several candidates on the same examples, as one phase, candidate by candidate."""
        pairs = [(arm, examples) for arm in arms]
        return await self.evaluate_pairs(pairs)

    async def evaluate_pairs(
        self, pairs: Sequence[tuple[Arm, Sequence[Example]]]
    ) -> tuple[tuple[RowRecord, ...], ...]:
        """The records of several candidates, each on examples of its own, as one phase."""
        count = sum(len(examples) for _, examples in pairs)
        records: list[RowRecord | None] = [None] * count
        await self.stream(pairs, lambda place, record: records.__setitem__(place, record))
        result, start = [], 0
        for _, examples in pairs:
            mine = records[start : start + len(examples)]
            result.append(tuple(r or not_reached(e) for r, e in zip(mine, examples, strict=True)))
            start += len(examples)
        return tuple(result)

    async def stream(
        self,
        pairs: Sequence[tuple[Arm, Iterable[Example]]],
        finished: Callable[[int, RowRecord], None],
        *,
        rows_digest: str | None = None,
    ) -> int:
        """Evaluate and hand each record on as it comes, with its place; returns how many rows were started."""
        digest, worst = self._phase_of(pairs, rows_digest)
        phase = self.effects.phase(digest, worst)

        def jobs() -> Iterator[Job[RowRecord]]:
            for arm, examples in pairs:
                for example in examples:
                    yield self._job(arm, example)

        def done(place: int, record: RowRecord) -> None:
            self.effects.rows += 1
            if self.on_row is not None:
                self.on_row(record)
            finished(place, record)

        return await phase.run(jobs(), done)

    async def stream_rows(
        self, arm: Arm, rows: AsyncIterator[Example], finished: Callable[[int, RowRecord], None]
    ) -> int:
        """Evaluate rows as they arrive, however many; returns how many were started."""
        digest, worst = self._phase_of([(arm, ())], "stream")
        phase = self.effects.phase(digest, worst)

        async def jobs() -> AsyncIterator[Job[RowRecord]]:
            async for example in rows:
                yield self._job(arm, example)

        def done(place: int, record: RowRecord) -> None:
            self.effects.rows += 1
            if self.on_row is not None:
                self.on_row(record)
            finished(place, record)

        return await phase.run(jobs(), done)

    def repeats(self, arm: Arm) -> Repeats:
        """How often each row of the arm is run, and what the runs come to."""
        return Repeats() if arm.once or self.judge is None else self.judge.repeats

    def row_estimate(self, arm: Arm, sample: Sequence[Example]) -> dict[str, Amount]:
        """What a row is expected to cost, re-asks included at the rate seen so far."""
        ledger = self.effects.ledger
        _, calls = arm.compiled.program.calls()
        factor = (1.0 + ledger.reask_rate) * self.repeats(arm).count
        estimate: dict[str, Amount] = {arm.role: self._call(arm, sample) * (calls * factor)}
        _, extractions = arm.compiled.program.extractions()
        if extractions:
            extracted = ledger.mean_call(EXTRACT) or self._call(arm, sample)
            estimate[EXTRACT] = extracted * (extractions * factor)
        if judgements := self._judgements(arm):
            judged = ledger.mean_call("judge") or self._call(arm, sample)
            estimate["judge"] = judged * (judgements * factor)
        vectors = arm.compiled.vector_calls()
        if vectors:
            estimate[EMBED] = (ledger.mean_call(EMBED) or Amount(1)) * (vectors * self.repeats(arm).count)
        return estimate

    def _judgements(self, arm: Arm) -> int:
        """Most model calls of metrics per row: of the spec's, and of those that modules ask."""
        own = self.judge.calls() if self.judge is not None else 0
        return own + arm.compiled.program.judge_calls()

    def nominal_estimate(self, arm: Arm, sample: Sequence[Example]) -> dict[str, Amount]:
        """What a row costs without re-asks."""
        return scaled(self.row_estimate(arm, sample), 1.0 / (1.0 + self.effects.ledger.reask_rate))

    def _call(self, arm: Arm, sample: Sequence[Example]) -> Amount:
        seen = self.effects.ledger.mean_call(arm.role)
        if seen is not None:
            return seen
        characters = sum(len(str(e.row)) for e in sample[:50]) / max(1, len(sample[:50]))
        return arm.compiled.call_estimate(int(characters), EXPECTED_REPLY_TOKENS, self.effects.dollars)

    def _phase_of(
        self, pairs: Sequence[tuple[Arm, Iterable[Example]]], rows_digest: str | None
    ) -> tuple[str, Estimate]:
        whole = hashlib.blake2b(digest_size=8)
        worst: dict[str, Amount] = {}
        for arm, examples in pairs:
            whole.update(f"{arm.role}\n{arm.rollout}\n{arm.compiled.candidate.digest()}\n".encode())
            if rows_digest is not None:
                whole.update(rows_digest.encode())
                mine = self._unbounded(arm)
            else:
                sized = list(examples)
                whole.update("\n".join(f"{e.id}\t{e.digest}" for e in sized).encode())
                mine = scaled(self._worst_row(arm, sized), len(sized))
            for role, amount in mine.items():
                worst[role] = worst.get(role, Amount()) + amount
        return whole.hexdigest(), worst

    def _unbounded(self, arm: Arm) -> dict[str, Amount]:
        """The worst case of a stream whose length nobody knows."""
        more = UNLIMITED if self.effects.ledger.counts_tokens else 0.0
        return {arm.role: Amount(UNLIMITED, more, more)}

    def _worst_row(self, arm: Arm, examples: Sequence[Example]) -> dict[str, Amount]:
        program = arm.compiled.program
        # Whether documents have to be embedded first shows only when a row asks.
        if arm.compiled.vector_calls() or (self.effects.ledger.counts_tokens and not program.bounded):
            return self._unbounded(arm)
        _, high = program.calls()
        largest = 0
        if self.effects.ledger.counts_tokens:
            largest = max((len(msgspec.json.encode(e.row)) for e in examples), default=0)
        prompt = arm.compiled.prompt_characters() * BYTES_PER_CHARACTER + largest
        prompt += self._shown(program.most_shown(), arm.role)
        worst: dict[str, Amount] = {
            arm.role: self._worst_call(prompt, program.most_reasks(), arm.role) * high
        }
        _, extractions = program.extractions()
        if extractions:
            read = prompt + self._shown(1, arm.role) + EXTRACT_PROMPT_BYTES
            worst[EXTRACT] = self._worst_call(read, program.most_reasks(), EXTRACT) * extractions
        if judgements := self._judgements(arm):
            worst["judge"] = self._worst_judgement(arm, prompt) * judgements
        return scaled(worst, self.repeats(arm).count)

    def _worst_judgement(self, arm: Arm, prompt_bytes: int) -> Amount:
        """One call of a metric on a row whose own prompts have so many bytes."""
        programs = self.judge.programs() if self.judge is not None else ()
        if self.effects.ledger.counts_tokens and not all(one.program.bounded for one in programs):
            return Amount(UNLIMITED, UNLIMITED, UNLIMITED)
        own = max((one.prompt_characters() * BYTES_PER_CHARACTER for one in programs), default=0)
        own += max((self._shown(one.program.most_shown(), "judge") for one in programs), default=0)
        retries = arm.compiled.program.spec.run.format_retries
        reasks = max([retries, *(one.program.most_reasks() for one in programs)])
        return self._worst_call(prompt_bytes + max(JUDGE_PROMPT_BYTES, own), reasks, "judge")

    def _shown(self, replies: int, model: str) -> int:
        """The bytes of earlier replies that a module shows the model again."""
        if not replies or not self.effects.ledger.counts_tokens:
            return 0
        return replies * (2 * self.effects.reply_limit(model) + CORRECTION_BYTES)

    def _worst_call(self, prompt_bytes: int, reasks: int, model: str) -> Amount:
        """One call with every re-ask; each re-ask sends the reply and a correction again."""
        if not self.effects.ledger.counts_tokens:
            return Amount(1 + reasks)
        reply = self.effects.reply_limit(model)
        whole = Amount()
        for asked in range(1 + reasks):
            tokens_in = prompt_bytes + asked * (2 * reply + CORRECTION_BYTES)
            whole += Amount(1, tokens_in + reply, self.effects.dollars(model, tokens_in, reply))
        return whole

    def _job(self, arm: Arm, example: Example) -> Job[RowRecord]:
        async def job(lane: Lane) -> RowRecord:
            return await self.row(arm, example, lane)

        return job

    async def row(self, arm: Arm, example: Example, lane: Lane) -> RowRecord:
        """Predict and judge one row, as often as it is to be repeated, all at once."""
        # Where nothing is judged, ids are whatever the rows of others have.
        lane.row_id = example.id if self.judge is not None else ""
        repeats = self.repeats(arm)
        if repeats.count == 1:
            record = await self._run(arm, example, lane, 0)
            scores = [] if record.score is None else [record.score]
            return msgspec.structs.replace(record, passed=repeats.passed(scores))

        def run(index: int) -> Callable[[Lane], Awaitable[RowRecord]]:
            return lambda own: self._run(arm, example, own, index)

        return merged(await lane.together([run(index) for index in range(repeats.count)]), repeats)

    async def _run(self, arm: Arm, example: Example, lane: Lane, repeat: int) -> RowRecord:
        try:
            prediction = await arm.compiled.run(
                lane,
                example.row,
                role=arm.role,
                rollout=arm.rollout * self.repeats(arm).count + repeat,
                steady=arm.rollout == 0,
            )
        except RowFailed as error:
            return self._failed(example, error.failure, lane)
        if self.judge is None:
            return judged_record(
                example, prediction, Judged(score=None, metrics={}, feedback={}, details={}), lane
            )
        services = LaneServices(lane, self.judge.judge_format, self.judge.format_retries)
        used = lane.usage()
        try:
            judged = await self.judge.judge(example.row, prediction, services)
        except RowFailed as error:
            return self._failed(example, error.failure, lane, prediction)
        return judged_record(example, prediction, judged, lane, used)

    def _failed(
        self, example: Example, failure: Failure, lane: Lane, prediction: Prediction | None = None
    ) -> RowRecord:
        empty = Judged(score=None, metrics={}, feedback={}, details={})
        judged = self.judge.failed(example.row, failure) if self.judge is not None else empty
        tokens_in, tokens_out, cost = lane.usage()
        return RowRecord(
            id=example.id,
            index=example.index,
            outputs=prediction.outputs if prediction else None,
            score=judged.score,
            metrics=judged.metrics,
            failure=failure,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=cost,
            trace=prediction.trace if prediction else (),
        )
