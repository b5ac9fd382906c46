"""Sends proposals out as one phase, and counts what came back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.optimizers.proposal import (
    Ask,
    Proposal,
    problem_of,
    proposal_inputs,
    proposal_signature,
    proposed_text,
)
from promptc.optimizers.search import Search
from promptc.runners.asking import Asked, Predictor, plain_speaker
from promptc.runners.candidate import Candidate
from promptc.runners.failures import RowFailed
from promptc.runners.formats.chat import Chat
from promptc.runners.ledger import Amount
from promptc.runners.phase import Job, Lane, Phase
from promptc.runners.program import EXPECTED_REPLY_TOKENS, Program
from promptc.spec.errors import Untrusted
from promptc.spec.fields import Signature

MOST_FAILURES = 10
"""Failed proposals in a row after which the search stops: the proposer does not do what it is asked."""
LONGEST_INSTRUCTION = 12_000
"""Characters. Prompts that only grow are the peers' known fault."""
REASONS_SHOWN = 3
"""Reasons for rejected proposals that a note names."""

PROPOSER = "proposer"


def open_predictors(program: Program) -> tuple[str, ...]:
    """The predictors whose instructions a search may change: those that `freeze:` leaves open."""
    frozen = {step.name for step in program.steps if "instructions" in step.freeze}
    return tuple(name for name, predictor in program.predictors.items() if predictor.step not in frozen)


def sample_of(search: Search, *purpose: object) -> int:
    """The rollout of a proposal: another one for each purpose and each seed, the same wherever it is drawn."""
    return search.rng("proposal", *purpose).randrange(1, 2**31)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a text that is no instruction: what is asked, of what, and which sample of the model's replies."""

    signature: Signature
    inputs: dict[str, Any]
    rollout: int = 0


class Proposer:
    """Asks for instructions. `rejected` counts broken contracts by reason, `failed` replies that never came,
    `unanswered` questions without a text.
    """

    def __init__(self, search: Search, *, max_characters: int = LONGEST_INSTRUCTION) -> None:
        self._search = search
        self._max_characters = max_characters
        self._format = Chat()
        self._in_a_row = 0
        self.rejected: dict[str, int] = {}
        self.failed = 0
        self.unanswered = 0
        self.asked = 0

    def affordable(self, wanted: int) -> int:
        """How many of so many proposals the budget holds."""
        ledger = self._search.evaluator.effects.ledger
        return ledger.largest({PROPOSER: self._one()}, wanted)

    async def propose(self, asks: Sequence[Ask]) -> list[Proposal]:
        """The proposals that keep their contract, in the order of the asks; those that the budget holds.

        Raises Untrusted after ten failures in a row, with what was said last.
        """
        return [proposal for proposal in await self.replies(asks) if not proposal.problem]

    async def replies(self, asks: Sequence[Ask]) -> list[Proposal]:
        """The same with those that were rejected or never came, each with its problem."""
        asks = asks[: self.affordable(len(asks))]
        if not asks or not self._search.may_go_on("proposals"):
            return []
        results: list[Proposal | None] = [None] * len(asks)
        await self._phase(_digest(asks), len(asks)).run([self._job(ask) for ask in asks], results.__setitem__)
        found = [result for result in results if result is not None]
        self.asked += len(found)
        for proposal in found:
            self._count(proposal)
        return found

    async def texts(self, questions: Sequence[Question]) -> list[str]:
        """What the proposer says to each question: its one output; "" where the budget ended or no reply came."""
        said = [""] * len(questions)
        asked = questions[: self.affordable(len(questions))]
        if asked and self._search.may_go_on("questions"):
            digest = hashlib.blake2b(repr(asked).encode(), digest_size=8).hexdigest()
            jobs = [self._answer(question) for question in asked]
            await self._phase(digest, len(asked)).run(jobs, said.__setitem__)
            self.unanswered += said[: len(asked)].count("")
        return said

    def summary(self) -> str:
        """How many proposals were asked for, and what became of them, in words."""
        rejected = sum(self.rejected.values())
        text = f"{self.asked} proposals, {self.asked - rejected - self.failed} kept their contract"
        if rejected:
            most = sorted(self.rejected, key=lambda reason: (-self.rejected[reason], reason))[:REASONS_SHOWN]
            text += f", {rejected} rejected ({'; '.join(most)})"
        if self.failed:
            text += f", {self.failed} never came"
        return text + (f", {self.unanswered} questions about the task unanswered" if self.unanswered else "")

    def candidate(self, base: Candidate, proposal: Proposal) -> Candidate:
        """The base with the proposed instruction."""
        name = proposal.ask.predictor
        texts = msgspec.structs.replace(base.predictors[name], instructions=proposal.instruction)
        return base.with_predictor(name, texts)

    def keep(self, predictor: Predictor) -> tuple[str, ...]:
        """The sentences that stand verbatim in every instruction of this predictor."""
        return next(step.keep for step in self._search.program.steps if step.name == predictor.step)

    def _job(self, ask: Ask) -> Job[Proposal]:
        predictor = self._search.program.predictors[ask.predictor]
        keep = self.keep(predictor)
        signature = proposal_signature(ask)
        inputs = proposal_inputs(ask, predictor, keep)

        async def job(lane: Lane) -> Proposal:
            try:
                outputs = (await self._asked(lane, signature, ask.rollout).said(inputs)).values
            except RowFailed as error:
                return Proposal(
                    ask=ask,
                    instruction="",
                    problem=f"no reply: {error.failure.message}",
                    too_long=error.failure.kind == "context",
                )
            text = proposed_text(ask, str(outputs["instruction"]))
            rows = (*ask.examples, *ask.seen)
            problem = problem_of(text, ask, keep=keep, rows=rows, max_characters=self._max_characters)
            return Proposal(ask=ask, instruction=text, problem=problem)

        return job

    def _answer(self, question: Question) -> Job[str]:
        [field] = question.signature.outputs

        async def job(lane: Lane) -> str:
            asked = self._asked(lane, question.signature, question.rollout)
            try:
                outputs = (await asked.said(question.inputs)).values
            except RowFailed:
                return (
                    ""  # a text that would have helped is missing; what is asked for next says so by its own
                )
            return str(outputs[field.name]).strip()

        return job

    def _phase(self, digest: str, calls: int) -> Phase[Any]:
        effects = self._search.evaluator.effects
        worst = Amount(1 + self._search.program.spec.run.format_retries) * calls
        return effects.phase(digest, {PROPOSER: worst if not effects.ledger.counts_tokens else _UNBOUNDED})

    def _asked(self, lane: Lane, signature: Signature, rollout: int) -> Asked:
        """One call of the proposer, whatever it is asked."""
        speaker = plain_speaker(PROPOSER, signature, self._format, PROPOSER)
        return Asked(
            lane=lane,
            speaker=speaker,
            model=PROPOSER,
            role=PROPOSER,
            rollout=rollout,
            format_retries=self._search.program.spec.run.format_retries,
        )

    def _count(self, proposal: Proposal) -> None:
        if not proposal.problem:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if proposal.problem.startswith("no reply"):
            self.failed += 1
        else:
            reason = proposal.problem.split(":")[0]
            self.rejected[reason] = self.rejected.get(reason, 0) + 1
        if self._in_a_row >= MOST_FAILURES:
            said = proposal.instruction[:300] or "nothing"
            raise Untrusted(
                f"{MOST_FAILURES} proposals in a row failed, the last because {proposal.problem}",
                f"the proposer said: {said}",
            )

    def _one(self) -> Amount:
        seen = self._search.evaluator.effects.ledger.mean_call(PROPOSER)
        if seen is not None:
            return seen
        tokens_in = LONGEST_INSTRUCTION // 4
        dollars = self._search.evaluator.effects.dollars(PROPOSER, tokens_in, EXPECTED_REPLY_TOKENS)
        return Amount(1, tokens_in + EXPECTED_REPLY_TOKENS, dollars)


_UNBOUNDED = Amount(float("inf"), float("inf"), float("inf"))


def _digest(asks: Sequence[Ask]) -> str:
    whole = hashlib.blake2b(digest_size=8)
    for ask in asks:
        told = (
            ask.predictor,
            ask.current,
            ask.tip,
            ask.rollout,
            ask.history,
            ask.rules,
            ask.advice,
            ask.grounds,
        )
        whole.update(repr(told).encode())
        for one in ask.examples:
            whole.update(f"{one.row.id}\t{one.feedback}\n".encode())
    return whole.hexdigest()
