"""`copro`: coordinate ascent over instructions, from a list of what was tried with its scores.

Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines", 2023, and its
optimizer COPRO, which carries on from Yang et al., "Large Language Models as Optimizers", 2023, arXiv 2309.03409.
Mended against the peer: candidates are compared on train and the best of each round is chosen on dev, where the start
is a candidate too; proposals see training rows with what the instruction made of them (`examples: 0` is the peer's
blind form); samples are rollouts, each a request of its own, instead of the provider's `n` with a temperature of 1.4
that many models refuse; a proposal that cannot be read costs itself alone; there is no prefix to search, since no
format renders one; of equal scores the shorter prompt wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from promptc.optimizers.demos import gold_columns
from promptc.optimizers.proposal import Ask, Shown, shown
from promptc.optimizers.proposing import Proposer, open_predictors, sample_of
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.search import Search, valid_mean
from promptc.optimizers.stopping import NoImprovement, StopAtScore, Stopping
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.program import Program


class Copro(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Propose many instructions for each predictor, keep the best, and show the proposer what each of them scored."""

    breadth: Annotated[
        int, msgspec.Meta(ge=2, description="Instructions for each predictor in each round.", examples=[10])
    ] = 10
    depth: Annotated[int, msgspec.Meta(ge=1, description="Rounds.", examples=[3])] = 3
    examples: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Training rows that a proposal is shown, those that went wrong first.",
            examples=[4],
        ),
    ] = 4
    stop_at_score: StopAtScore = None
    no_improvement: NoImprovement = None

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        """Each round's new instructions on train, with several predictors the old ones too; its best on dev."""
        predictors = len(open_predictors(program))
        first = 2 * sizes.dev + 2 * sizes.train
        scored = self.breadth * self.depth
        if predictors > 1:
            scored = self.breadth * self.depth * (self.depth + 1) // 2
        most = max(first, (1 + self.depth) * sizes.dev + predictors * scored * sizes.train)
        return Plan(
            runs={
                "task": (first, most),
                "proposer": (1, max(1, predictors * (self.breadth * self.depth - 1))),
            },
            first_trial=first,
            trials=self.depth,
            notes=() if predictors else ("freeze: leaves no instruction that copro could change",),
        )

    async def optimize(self, search: Search) -> None:
        """Rounds of coordinate ascent: for each predictor its best instruction while the others stay."""
        start = await search.begin()
        names = open_predictors(search.program)
        if not start.valid or not names:
            return
        stopping = Stopping(search, self.stop_at_score, self.no_improvement)
        if stopping.met():
            return
        ascent = _Ascent(self, search)
        for round_ in range(self.depth):
            await ascent.propose(names, round_)
            for name in names:
                await ascent.climb(name)
            await search.try_all([(ascent.incumbent, f"best of round {round_ + 1}")])
            if ascent.out_of_budget() or stopping.met(rounds=1):
                break
        search.notes += ascent.summary()


class _Scored(msgspec.Struct, frozen=True):
    """A program's records on train and their mean; None where too many rows have no score."""

    records: tuple[RowRecord, ...]
    score: float | None


class _Ascent:
    """The instructions tried so far, and the program with the best of each predictor."""

    def __init__(self, settings: Copro, search: Search) -> None:
        self._settings = settings
        self._search = search
        self._proposer = Proposer(search)
        self._golds = gold_columns(search)
        self._waiting: dict[str, list[str]] = {}
        self._scores: dict[str, dict[str, float]] = {}
        self._scored: dict[str, _Scored] = {}
        self._repeated = 0
        self._short = False
        self.incumbent = search.start

    async def propose(self, names: Sequence[str], round_: int) -> None:
        """New instructions for every predictor, as one phase: in the first round beside the start's own."""
        if round_ == 0:
            await self._score([self.incumbent])
            for name in names:
                self._waiting[name] = [self._current(name)]
        asks = []
        count = self._affordable(self._settings.breadth - (round_ == 0), len(names))
        for name in names:
            history = self._history(name)
            for number in range(count):
                asks.append(
                    Ask(
                        predictor=name,
                        current=self._current(name),
                        examples=self._examples(name, round_, number),
                        history=history,
                        rollout=sample_of(self._search, round_, name, number),
                    )
                )
        for proposal in await self._proposer.propose(asks):
            name = proposal.ask.predictor
            if proposal.instruction in (*self._waiting[name], *self._scores.get(name, ())):
                self._repeated += 1
            else:
                self._waiting[name].append(proposal.instruction)

    async def climb(self, name: str) -> None:
        """Score a predictor's instructions in the program as it stands, and put the best in place.

        Where other predictors have changed since, the old instructions are scored anew: their scores are of another
        program.
        """
        known = self._scores.setdefault(name, {})
        texts = list(dict.fromkeys([self._current(name), *known, *self._waiting[name]]))
        results = await self._score([self._with(name, text) for text in texts])
        self._waiting[name] = []
        now = {text: one.score for text, one in zip(texts, results, strict=False) if one.score is not None}
        known |= now
        if now:
            best = min(now, key=lambda text: (-round(now[text], 12), len(text), texts.index(text)))
            self.incumbent = self._with(name, best)

    def out_of_budget(self) -> bool:
        """True once the budget did not hold all that a round wanted. Sets the stop reason."""
        if self._short and self._search.stop_reason == "finished":
            self._search.stop_reason = "budget"
        return self._short

    def summary(self) -> list[str]:
        """What happened, in words."""
        text = self._proposer.summary()
        if self._repeated:
            text += f", {self._repeated} of them had been tried before"
        best = {name: max(scores.values()) for name, scores in self._scores.items() if scores}
        return [
            text,
            *(f"{name}: the best instruction scores {score:.3f} on train" for name, score in best.items()),
        ]

    async def _score(self, candidates: Sequence[Candidate]) -> list[_Scored]:
        """Records and mean on train, as one phase: those of the first candidates, as many as the budget held."""
        train = self._search.train
        most_unscored = self._search.program.spec.run.max_unscored
        missing = [one for one in candidates if one.digest() not in self._scored]
        results = await self._search.run_rows([(candidate, train) for candidate in missing], role="task")
        for candidate, records in zip(missing, results, strict=False):
            whole = len(records) == len(train)
            if whole and not any(r.failure is not None and r.failure.kind == "budget" for r in records):
                self._scored[candidate.digest()] = _Scored(records, valid_mean(records, most_unscored))
        found: list[_Scored] = []
        for candidate in candidates:
            scored = self._scored.get(candidate.digest())
            if scored is None:
                self._short = True
                break
            found.append(scored)
        return found

    def _affordable(self, wanted: int, predictors: int) -> int:
        """How many new instructions for each predictor can be asked for and scored, beside a pass over dev."""
        search = self._search
        each, dev = len(search.train), len(search.dev)
        rows = search.affordable_rows(wanted * predictors * each + dev) - dev
        count = min(rows // each, self._proposer.affordable(wanted * predictors)) // predictors
        self._short = self._short or count < wanted
        return max(0, count)

    def _current(self, name: str) -> str:
        return self.incumbent.predictors[name].instructions

    def _with(self, name: str, text: str) -> Candidate:
        texts = msgspec.structs.replace(self.incumbent.predictors[name], instructions=text)
        return self.incumbent.with_predictor(name, texts)

    def _history(self, name: str) -> tuple[tuple[str, float], ...]:
        """The best instructions tried so far with their scores, the best last."""
        tried = sorted(self._scores.get(name, {}).items(), key=lambda item: item[1])
        return tuple(tried[-self._settings.breadth :])

    def _examples(self, name: str, round_: int, number: int) -> tuple[Shown, ...]:
        """Training rows with what the program in place made of them: others for each proposal, failures first."""
        rng = self._search.rng("examples", round_, name, number)
        scored = self._scored.get(self.incumbent.digest())
        pairs = list(zip(scored.records, self._search.train, strict=True)) if scored is not None else []
        rng.shuffle(pairs)
        pairs = [pair for pair in pairs if pair[0].score is not None]
        pairs.sort(key=lambda pair: pair[0].score == 1.0)
        predictor = self._search.program.predictors[name]
        return tuple(shown(r, row, predictor, self._golds) for r, row in pairs[: self._settings.examples])
