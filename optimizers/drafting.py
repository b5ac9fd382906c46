"""Asks for instructions in a round of `auto`, and merges what comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from promptc.optimizers.coverage import Grounding
from promptc.optimizers.merging import Claim, Edit, Key, edit_of, key_of, lines_of, merged
from promptc.optimizers.proposal import Ask, problem_of
from promptc.optimizers.proposing import LONGEST_INSTRUCTION, Proposer, sample_of
from promptc.optimizers.reflecting import Lesson, Reader
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate

MOST_ALONE = 4
"""Proposals that also run by themselves beside what all of them are merged to."""
WORDY = 1.5
"""A line that is so many times as long as the median is left out of what some proposals see: what it says comes back
in fewer words, or is not missed."""
REWORDED_EVERY = 2
NEW_LINES = 0.3
"""Proposals that bring fewer lines each that nobody has proposed before only repeat themselves."""

Edits = Mapping[str, Sequence[Edit]]
Unwanted = Mapping[str, Collection[Key]]


class Drafted(msgspec.Struct, frozen=True):
    """What a round's proposals came to: edits by predictor, and candidates with one proposal as it is."""

    edits: Mapping[str, list[Edit]]
    alone: tuple[Candidate, ...]


class Drafting:
    """The proposers' side of a search. `repeats` is True when the last proposals brought hardly anything new."""

    def __init__(self, search: Search, grounding: Grounding, names: Sequence[str], shown: int) -> None:
        self.proposer = Proposer(search)
        self._search = search
        self._grounding = grounding
        self._names = tuple(names)
        self._shown = shown
        self._reader = Reader(search, search.rng("batches"))
        self._earlier: dict[str, list[Edit]] = {name: [] for name in self._names}
        self._seen: set[tuple[str, Key]] = set()
        self.repeats = False

    async def ask(
        self, base: Candidate, lessons: Sequence[Lesson], turns: Sequence[str], round_number: int
    ) -> Drafted:
        """One proposal for each predictor in `turns`, all at once, each from examples of its own."""
        asks = []
        for place, name in enumerate(turns):
            examples = self._reader.batch(name, lessons, self._shown, turns.count(name))
            if not examples:
                continue
            current = base.predictors[name].instructions
            if place % REWORDED_EVERY == 1:
                current = self._without_wordy(name, current)
            rollout = sample_of(self._search, round_number, place)
            asks.append(Ask(predictor=name, current=current, examples=examples, rollout=rollout))
        edits: dict[str, list[Edit]] = {name: [] for name in self._names}
        alone: list[Candidate] = []
        for proposal in await self.proposer.propose(asks):
            edit = edit_of(proposal.ask.current, proposal.instruction)
            if edit is not None and (edit.added or edit.dropped):
                edits[proposal.ask.predictor].append(self._informed(edit, proposal.ask))
            if edit is None or len(alone) < MOST_ALONE:
                alone.append(self.proposer.candidate(base, proposal))
        added = {(name, key_of(line)) for name in edits for edit in edits[name] for line in edit.added}
        self.repeats = len(added - self._seen) < NEW_LINES * len(asks)
        self._seen |= added
        return Drafted(edits, tuple(alone))

    def merge(
        self,
        base: Candidate,
        edits: Edits,
        unwanted: Unwanted,
        *,
        onto: Candidate | None = None,
        names: Sequence[str] | None = None,
    ) -> Candidate:
        """The instructions of the base with all edits, for some predictors, on a candidate that keeps the rest."""
        found = onto if onto is not None else base
        for name in names if names is not None else self._names:
            text = merged(
                base.predictors[name].instructions,
                edits.get(name, ()),
                earlier=self._earlier[name],
                unwanted=unwanted.get(name, ()),
                claim_of=self.claim,
            )
            if self.is_sound(name, text):
                found = with_text(found, name, text)
        return found

    def remember(self, edits: Edits) -> None:
        """Keep the edits for merges to come."""
        for name, some in edits.items():
            self._earlier[name] += some

    def forget(self, name: str) -> None:
        """Drop what was added to texts that are gone."""
        self._earlier[name] = []

    def lines(self, name: str, text: str, edits: Edits) -> dict[Key, str]:
        """All lines that a merge could hold."""
        found = lines_of(text)
        for edit in (*self._earlier[name], *edits.get(name, ())):
            for line in edit.added:
                found |= lines_of(line)
        return found

    def claim(self, line: str) -> Claim | None:
        """What the line says about what: its words from inputs, and from right answers. None where one is missing."""
        topic, says = self._grounding.topic(line), self._grounding.statement(line)
        return Claim(topic, says) if topic and says else None

    def is_sound(self, name: str, text: str) -> bool:
        """True for an instruction that keeps the contract that proposals have to keep."""
        ask = Ask(predictor=name, current=self._search.start.predictors[name].instructions, examples=())
        keep = self.proposer.keep(self._search.program.predictors[name])
        return not problem_of(text, ask, keep=keep, rows=(), max_characters=LONGEST_INSTRUCTION)

    def _informed(self, edit: Edit, ask: Ask) -> Edit:
        """The edit with the lines that its examples say something about."""
        ids = [one.row.id for one in ask.examples]
        about = frozenset(
            key
            for key, line in lines_of(ask.current).items()
            if any(self._grounding.concerns(line, row_id) for row_id in ids)
        )
        return msgspec.structs.replace(edit, about=about)

    def _without_wordy(self, name: str, text: str) -> str:
        """The text without the lines that say something simple at length."""
        given = lines_of(self._search.start.predictors[name].instructions)
        lines = {key: line for key, line in lines_of(text).items() if key not in given and self.claim(line)}
        if not lines:
            return text
        usual = sorted(len(line) for line in lines.values())[(len(lines) - 1) // 2]
        wordy = {key for key, line in lines.items() if len(line) > WORDY * usual}
        kept = "\n".join(line for line in text.split("\n") if not wordy & lines_of(line).keys())
        return kept if wordy and self.is_sound(name, kept) else text


def with_text(candidate: Candidate, name: str, text: str) -> Candidate:
    """The candidate with another instruction for one predictor."""
    texts = msgspec.structs.replace(candidate.predictors[name], instructions=text)
    return candidate.with_predictor(name, texts)
