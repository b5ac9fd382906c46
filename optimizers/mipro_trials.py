"""The trials of a `mipro` search: combinations are drawn, scored on minibatches, and the best of them on all of dev.

Source: Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs", 2024,
arXiv 2406.11695, section 4, and algorithm 1 (initialize, propose, update), with a tree-structured Parzen estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from promptc.optimizers.bayesian import Bayesian, Combination, Draw
from promptc.optimizers.demos import with_demos
from promptc.optimizers.mipro_options import Demos
from promptc.optimizers.search import Search, Trial, valid_mean
from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import RowRecord
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.mipro import Mipro

MOST_NAMED = 3
"""Combinations that a note names."""


class Tried(msgspec.Struct, kw_only=True):
    """A combination with what it scored on minibatches so far."""

    combination: dict[str, int]
    candidate: Candidate
    origin: str
    scores: list[float]

    @property
    def mean(self) -> float:
        """The mean over its minibatches."""
        return sum(self.scores) / len(self.scores)


class Trials:
    """Draws combinations of the options and keeps what is known about them. The first option is the start's own."""

    def __init__(
        self,
        settings: Mipro,
        search: Search,
        start: Trial,
        instructions: Mapping[str, Sequence[str]],
        demos: Mapping[str, Sequence[Demos]],
    ) -> None:
        self._settings = settings
        self._search = search
        self._instructions = instructions
        self._demos = demos
        self._variables = {
            **{_text(name): len(texts) for name, texts in instructions.items() if len(texts) > 1},
            **{_set(name): len(sets) for name, sets in demos.items() if len(sets) > 1},
        }
        self._size = settings.batch(len(search.dev))
        self._most = settings.trials(search.program) if self._variables else 0
        self._tried: dict[str, Tried] = {}
        self._drawn = 0
        self._passes = 0
        self._looked_at = 0
        self._trials_before = len(search.trials)
        if self._variables:
            self._surrogate = Bayesian(self._variables, search.rng("surrogate").randrange(2**31))
            self._surrogate.add(dict.fromkeys(self._variables, 0), start.score or 0.0)

    def goes_on(self) -> bool:
        """False once all combinations are drawn, or the budget does not hold one more and the pass that it may earn."""
        return self._drawn < self._most and self._room() > 0 and self._search.may_go_on("trial")

    def passes_since(self) -> int:
        """Passes over dev since this was last asked."""
        passes, self._looked_at = self._passes - self._looked_at, self._passes
        return passes

    async def draw(self) -> None:
        """Draw combinations, score each on a minibatch of its own, and tell the surrogate, in order."""
        draws = [self._surrogate.draw() for _ in range(self._room())]
        named = [(draw, self._candidate(draw.combination), self._origin(draw.combination)) for draw in draws]
        first = self._drawn + 1
        self._drawn += len(draws)
        self._search.now(
            f"combination {first}" if len(draws) == 1 else f"combinations {first} to {self._drawn}"
        )
        if self._size == len(self._search.dev):
            await self._score_whole(named)
        else:
            await self._score_minibatches(named, first)

    async def pass_over_dev(self, *, last: bool = False) -> None:
        """Score the best by mean on all of dev when that is due: every few minibatches, and at the end."""
        if self._size == len(self._search.dev):
            return
        due = self._drawn // self._settings.full_pass_every
        due += last and self._drawn % self._settings.full_pass_every > 0
        known = {trial.candidate.digest() for trial in self._search.trials}
        waiting = [one for digest, one in self._tried.items() if digest not in known]
        waiting.sort(key=lambda one: -round(one.mean, 12))
        chosen = waiting[: max(0, due - self._passes)]
        self._passes = max(due, self._passes)
        trials = await self._search.try_all([(one.candidate, one.origin) for one in chosen])
        for one, trial in zip(chosen, trials, strict=False):
            if trial.score is not None:
                self._surrogate.add(one.combination, trial.score)

    async def end(self) -> None:
        """The last pass over dev, which the budget kept back; what the budget left out is the reason to stop."""
        await self.pass_over_dev(last=True)
        if self._drawn < self._most and self._search.stop_reason == "finished":
            self._search.stop_reason = "budget"

    def notes(self) -> list[str]:
        """What was tried, in words."""
        if not self._variables:
            return ["there was nothing to choose from: no new instruction, no other demonstrations"]
        whole = 1
        for count in self._variables.values():
            whole *= count
        text = f"{self._drawn} draws from {whole:,} combinations"
        if self._tried:
            text += f", {len(self._tried)} of them on minibatches of {self._size} rows"
        best = sorted(self._tried.values(), key=lambda one: -round(one.mean, 12))[:MOST_NAMED]
        named = [f"{one.origin}: {one.mean:.3f} ({len(one.scores)} times)" for one in best]
        return [text, *([f"best by mean: {'; '.join(named)}"] if named else [])]

    def _room(self) -> int:
        """How many combinations to draw now: what the budget holds beside a pass over dev, at most a wave."""
        wanted = min(self._settings.trials_at_once, self._most - self._drawn)
        kept = 0 if self._size == len(self._search.dev) else len(self._search.dev)
        return (self._search.affordable_rows(wanted * self._size + kept) - kept) // self._size

    async def _score_whole(self, named: Sequence[tuple[Draw, Candidate, str]]) -> None:
        await self._search.try_all([(candidate, origin) for _, candidate, origin in named])
        scores = {trial.candidate.digest(): trial.score for trial in self._search.trials}
        for draw, candidate, _ in named:
            self._surrogate.tell(draw, scores.get(candidate.digest()))
        self._passes = len(self._search.trials) - self._trials_before

    async def _score_minibatches(self, named: Sequence[tuple[Draw, Candidate, str]], first: int) -> None:
        pairs = [(one, self._minibatch(number)) for number, (_, one, _) in enumerate(named, start=first)]
        results = await self._search.run_rows(pairs, role="task")
        for (draw, candidate, origin), (_, rows), records in zip(named, pairs, results, strict=False):
            score = self._score(records) if len(records) == len(rows) else None
            self._surrogate.tell(draw, score)
            if score is not None:
                tried = Tried(combination=draw.combination, candidate=candidate, origin=origin, scores=[])
                self._tried.setdefault(candidate.digest(), tried).scores.append(score)

    def _score(self, records: Sequence[RowRecord]) -> float | None:
        if any(record.failure is not None and record.failure.kind == "budget" for record in records):
            return None
        return valid_mean(records, self._search.program.spec.run.max_unscored)

    def _minibatch(self, number: int) -> list[Example]:
        dev = self._search.dev
        places = self._search.rng("minibatch", number).sample(range(len(dev)), self._size)
        return [dev[place] for place in sorted(places)]

    def _candidate(self, combination: Combination) -> Candidate:
        start = self._search.start
        sets = {name: sets[combination.get(_set(name), 0)] for name, sets in self._demos.items()}
        candidate = with_demos(self._search.program, start, sets)
        for name, texts in self._instructions.items():
            chosen = texts[combination.get(_text(name), 0)]
            told = msgspec.structs.replace(candidate.predictors[name], instructions=chosen)
            candidate = candidate.with_predictor(name, told)
        return candidate

    def _origin(self, combination: Combination) -> str:
        """The places of what is combined, predictor by predictor; 0 is the start's own."""
        parts = [
            f"{word} {'/'.join(str(combination.get(key(name), 0)) for name in options)}"
            for word, key, options in (
                ("instruction", _text, self._instructions),
                ("demo set", _set, self._demos),
            )
            if any(key(name) in self._variables for name in options)
        ]
        return ", ".join(parts)


def _text(name: str) -> str:
    """The variable that says which instruction a predictor gets."""
    return f"{name} instruction"


def _set(name: str) -> str:
    """The variable that says which demonstrations a predictor gets."""
    return f"{name} demos"
