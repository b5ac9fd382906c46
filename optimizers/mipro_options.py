"""What `mipro` chooses from: sets of demonstrations, and instructions that a proposer wrote.

Source: Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs", 2024,
arXiv 2406.11695, section 3 (bootstrapping demonstrations, grounding).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from promptc.optimizers.bootstrapping import Teacher, Wanted, demos_of
from promptc.optimizers.demos import open_to_demos
from promptc.optimizers.grounding import (
    MOST_BATCHES,
    TIPS,
    data_summary,
    descriptions,
    grounds,
    labelled_rows,
)
from promptc.optimizers.labeled_few_shot import labeled_candidate
from promptc.optimizers.proposal import Ask, Shown
from promptc.optimizers.proposing import Proposer, open_predictors, sample_of
from promptc.optimizers.search import Search
from promptc.runners.candidate import Demo

if TYPE_CHECKING:
    from promptc.optimizers.mipro import Mipro

SHOWN_DEMOS = 3
"""Demonstrations that a proposal is shown; so many are bootstrapped for it where prompts are to have none."""

Demos = tuple[Demo, ...]


class DemoSets:
    """Sets of demonstrations, each for all predictors: none, labelled ones, the plain bootstrap, random bootstraps."""

    def __init__(self, settings: Mipro, search: Search) -> None:
        self._settings = settings
        self._search = search
        self._searched = settings.searches_demos(search.program)
        self._sets: list[Mapping[str, Demos]] = []
        self._labelled: Mapping[str, Demos] = {}
        self.notes: list[str] = []

    async def bootstrap(self) -> None:
        """Let the teacher run training rows, as many as the sets need."""
        settings, search = self._settings, self._search
        labeled = settings.max_labeled_demos if self._searched else 0
        if labeled:
            texts = labeled_candidate(search, labeled).predictors
            self._labelled = {name: texts[name].demos for name in open_to_demos(search.program)}
        most = settings.max_bootstrapped_demos if self._searched else SHOWN_DEMOS
        wanted = [
            Wanted(search.train, most),
            *(self._random(number, most) for number in range(self._random_sets())),
        ]
        if settings.bootstraps(search.program):
            search.now("demonstrations")
            teacher = Teacher(
                search,
                max_labeled_demos=labeled,
                max_rounds=settings.max_rounds,
                threshold=settings.threshold,
                wave=settings.wave,
            )
            collected = await teacher.collect(wanted)
            self.notes.append(teacher.summary())
        else:
            collected = [[] for _ in wanted]
        self._sets = [demos_of(search, passes, labeled, number) for number, passes in enumerate(collected)]

    def options(self) -> dict[str, tuple[Demos, ...]]:
        """For each predictor whose demonstrations may change: those of the start, none, and each set, once."""
        if not self._searched:
            return {}
        found = {}
        for name in open_to_demos(self._search.program):
            sets = [self._search.start.predictors[name].demos, (), self._labelled.get(name, ())]
            sets += [demos[name] for demos in self._sets]
            found[name] = tuple(one for place, one in enumerate(sets) if one not in sets[:place])
        return found

    def shown(self, name: str, number: int) -> tuple[Shown, ...]:
        """What proposal `number` for a predictor is shown: bootstrapped demonstrations where there are some."""
        rows = {example.id: example for example in self._search.train}
        demos = self._sets[number % len(self._sets)].get(name, ()) if self._sets else ()
        chosen = [demo for demo in demos if demo.source == "bootstrapped"] or list(demos)
        return tuple(
            Shown(row=rows[d.row_id], inputs=d.inputs, given={}, expected=d.outputs, feedback="")
            for d in chosen[:SHOWN_DEMOS]
            if d.row_id in rows
        )

    def _random_sets(self) -> int:
        """Beside none, the labelled ones and the plain bootstrap."""
        if not self._searched:
            return max(0, self._settings.proposals(self._search.program) - 1)
        return max(0, self._settings.sets() - 2 - bool(self._labelled))

    def _random(self, number: int, most: int) -> Wanted:
        rng = self._search.rng("demo set", number)
        order = list(self._search.train)
        rng.shuffle(order)
        return Wanted(tuple(order), rng.randint(1, most) if most else 0)


async def propose_instructions(
    settings: Mipro, search: Search, proposer: Proposer, demos: DemoSets
) -> dict[str, tuple[str, ...]]:
    """For each predictor whose instruction may change: the one in use, and what the proposer wrote, once each."""
    names = open_predictors(search.program)
    if not names:
        return {}
    seen: Sequence[Shown] = ()
    summary, purpose, parts = "", "", dict.fromkeys(names, "")
    if settings.data_summary:
        seen = labelled_rows(search, search.train[: MOST_BATCHES * settings.summary_rows])
        summary = await data_summary(search, proposer, seen, settings.summary_rows)
    if settings.describe_program:
        purpose, parts = await descriptions(search, proposer, names)
    asks = [
        Ask(
            predictor=name,
            current=search.start.predictors[name].instructions,
            examples=demos.shown(name, number) if settings.show_demos else (),
            grounds=grounds(summary, purpose, parts[name]),
            seen=tuple(seen),
            tip=_tip(search, name, number) if settings.tips else "",
            rollout=sample_of(search, "instruction", name, number),
        )
        for number in range(settings.proposals(search.program))
        for name in names
    ]
    search.now("instructions")
    options = {name: [search.start.predictors[name].instructions] for name in names}
    for proposal in await proposer.propose(asks):
        known = options[proposal.ask.predictor]
        if proposal.instruction not in known:
            known.append(proposal.instruction)
    return {name: tuple(texts) for name, texts in options.items()}


def _tip(search: Search, name: str, number: int) -> str:
    return search.rng("tip", name, number).choice(list(TIPS.values()))
