"""The state of an `auto` search and its two moves: improve, which asks for proposals, and sift, which tests lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptc.optimizers.allotment import FEWEST_ROWS, Allotment
from promptc.optimizers.coverage import Grounding
from promptc.optimizers.demo_choice import DemoChoice
from promptc.optimizers.drafting import Drafted, Drafting, with_text
from promptc.optimizers.line_worth import Estimates, LineWorth
from promptc.optimizers.merging import Key, edit_of, lines_of, without_lines
from promptc.optimizers.practice import Practice
from promptc.optimizers.proposing import open_predictors
from promptc.optimizers.race import Entry, better, distinct, entry_of, look, mean
from promptc.optimizers.reflecting import Lesson
from promptc.optimizers.search import Search, StopReason
from promptc.optimizers.sifting import Line, added_lines, left_out
from promptc.runners.candidate import Candidate
from promptc.runners.rows import Example

if TYPE_CHECKING:
    from promptc.optimizers.auto import Auto

ROWS_AN_ARM = 20
"""About so many program runs of a round make room for one more candidate in its race."""
MOST_ARMS = 14
PLACES = 2
"""Candidates that go on after the first look at a race."""
RULED_OUT = 0.05
"""p below which the incumbent has lost to a newcomer for good."""
DRIFT = 0.15
"""p above which proposals may go on from a merge that has not won: it may lack only the last step."""
LOOSE_LINES = 3
"""So many lines that no row can judge are sifted."""
FRUITLESS = 2
"""After so many rounds in a row without a better candidate whatever there is is sifted."""
FEWEST_LINES = 4
MOST_SIFTED = 3
"""Sifting rounds in a row where proposals only repeat themselves; elsewhere one."""
SECOND_CHANCE = 5
"""Each such proposal may be for a predictor whose changes have done harm so far."""
SIFTED_SHARE = 0.8
"""The share of a sifting round's runs that goes into halves; the rest compares what came out."""
FEW_DEMOS = 4
"""The divisor of a smaller set of demos."""
ROUNDING = 3
"""Digits to which expected scores are compared: below them the shorter prompt wins."""


class JointSearch:
    """What an `auto` search knows: the incumbent, the base that proposals go on from, and what everything was worth."""

    def __init__(self, settings: Auto, search: Search, allotment: Allotment, *, is_wall: bool) -> None:
        """`is_wall`: the allotted runs end the search, since the budget does not."""
        self._settings = settings
        self._search = search
        self._allotment = allotment
        self._names = open_predictors(search.program)
        self._practice = Practice(search, allotment.runs if is_wall else math.inf)
        self._demos = DemoChoice(search, self._practice)
        grounding = Grounding(self._demos.rows)
        self._drafting = Drafting(search, grounding, self._names, settings.examples)
        given = {name: lines_of(search.start.predictors[name].instructions) for name in self._names}
        self._lines = LineWorth(
            self._practice, grounding, self._demos.rows, self._names, settings.max_demos, given
        )
        self._order = list(search.train)
        search.rng("order").shuffle(self._order)
        self._cursor = 0
        self._round = 0
        self._fruitless = 0
        self._sifted_in_a_row = 0
        self._saved = 0
        self.incumbent = self._enter(search.start, "start")
        self._base = self.incumbent
        self._past = [self.incumbent]

    # ── how far it is ────────────────────────────────────────────────────────────────────────────────────

    def may_change(self) -> bool:
        """False where `freeze:` and `demos:` leave nothing to search for."""
        start = self._search.start
        return bool(self._names) or self._demos.covering(start, self._settings.max_demos) != start

    def goes_on(self) -> bool:
        """False once the budget for learning is spent, or rounds bring nothing."""
        if self._fruitless >= self._settings.no_improvement or self._left() < FEWEST_ROWS:
            return False
        return self._search.may_go_on("round")

    def why_ended(self) -> StopReason:
        """Why it does not go on, where neither the clock nor a score ended it."""
        if self._fruitless >= self._settings.no_improvement:
            return "no_improvement"
        least = FEWEST_ROWS + self._allotment.kept
        return "budget" if self._search.affordable_rows(least) < least else "finished"

    def training_score(self) -> float:
        """The incumbent's mean on the training rows that it was run on."""
        return mean(self._practice.scores(self.incumbent.candidate, self._search.train))

    def finalists(self) -> list[tuple[Candidate, str]]:
        """Who has a pass over dev: the incumbent, then what it can do without, the last merge, and whom it replaced.

        Of these the most promising ones.
        """
        best = self.incumbent
        bare = self._enter(self._demos.without(best.candidate), f"{best.origin}, no demos")
        loose = [line for line in self._added_lines(best.candidate) if self._lines.is_loose(line[1])]
        plain = self._enter(self._without(best.candidate, loose), f"{best.origin}, facts only")
        estimates = self._lines.estimate()
        others = sorted(
            [plain, bare, self._base, *reversed(self._past)],
            key=lambda entry: -round(estimates.value(entry.candidate), ROUNDING),
        )
        entries = distinct([best, *others])
        return [(entry.candidate, entry.origin) for entry in entries][: self._allotment.finals]

    def summary(self) -> list[str]:
        """What happened, in words."""
        return [
            f"{self._round} rounds; {self._drafting.proposer.summary()}; "
            f"{self._practice.runs} program runs on training rows, {self._saved} saved by races"
        ]

    def _left(self) -> int:
        """Program runs that are left for learning."""
        wanted = self._allotment.runs + self._allotment.kept
        affordable = self._search.affordable_rows(wanted) - self._allotment.kept
        return int(min(affordable, self._practice.left()))

    # ── improve ──────────────────────────────────────────────────────────────────────────────────────────

    async def warm_up(self) -> None:
        """Run the start on a few rows, to have something to show to the first proposers."""
        rows = self._rows(max(4, self._allotment.round_runs(self._left()) // 8))
        await self._practice.run([(self.incumbent.candidate, rows)])
        self._cursor += len(rows)

    async def improve(self) -> None:
        """Ask for proposals, merge them, race what comes out on rows that were not used lately, keep what is best."""
        runs = self._begin_round("proposals")
        self._sifted_in_a_row = 0
        drafted = await self._drafting.ask(self._base.candidate, self._lessons(), self._turns(), self._round)
        merge, arms = self._arms(drafted, room=max(2, min(MOST_ARMS, runs // ROWS_AN_ARM - 2)))
        count = max(4, runs // (len(arms) + 3))
        rows = self._rows(2 * count)
        first = await self._look([self.incumbent, *arms], rows[:count], PLACES)
        self._saved += (1 + len(arms) - len(first)) * (len(rows) - count)
        self._drafting.remember(drafted.edits)
        screened = self._screened(first[0].candidate, drafted)
        second = [*first, screened, *([] if self._is_beaten(first[0], rows[:count]) else [self.incumbent])]
        last = await self._look(second, rows, 1)
        self._cursor += len(rows)
        self._accept(self._best_of([*last, self.incumbent]))
        self._base = self._next_base(merge, [*arms, screened], rows)

    def _arms(self, drafted: Drafted, room: int) -> tuple[Entry, list[Entry]]:
        """The merge of all proposals, and who races against the incumbent, the most promising kinds first."""
        estimates = self._lines.estimate()
        inc, demos, most = self.incumbent.candidate, self._demos, self._settings.max_demos
        text = self._merged(drafted, estimates)
        merge = self._enter(text, self._named("merge"))
        arms = [merge]
        if demos.count(inc):
            arms.append(self._enter(demos.without(text), self._named("merge, no demos")))
        alone = [
            self._enter(self._merged(drafted, estimates, [name]), self._named(f"merge of {name}"))
            for name in (self._names if len(self._names) > 1 else ())
        ]
        if most:
            shown = (
                demos.copied(demos.covering(inc, most), text)
                if demos.count(inc)
                else demos.covering(text, most)
            )
            arms.append(self._enter(shown, self._named("merge with demos")))
            drawn = demos.random(text, most, self._search.rng("demos", self._round))
            arms.append(self._enter(drawn, self._named("merge with other demos")))
        single = [self._enter(one, self._named("proposal")) for one in drafted.alone]
        few = [self._enter(demos.covering(inc, most // FEW_DEMOS), self._named("few demos"))]
        bare = [self._enter(demos.without(inc), self._named("no demos"))]
        arms = [*alone, *arms[:4], *single[:1], *arms[4:], *bare, *few, *single[1:]]
        arms = [entry for entry in distinct(arms) if entry.digest != self.incumbent.digest]
        return merge, arms[: max(room, len(alone) + 1)]

    def _merged(
        self, drafted: Drafted, estimates: Estimates, names: Sequence[str] | None = None
    ) -> Candidate:
        base = self._base.candidate
        return self._drafting.merge(
            base,
            drafted.edits,
            self._harmful(base, drafted, estimates),
            onto=self.incumbent.candidate,
            names=names,
        )

    def _screened(self, winner: Candidate, drafted: Drafted) -> Entry:
        """The winner with every line that was ever proposed and is expected to help, and no other."""
        unwanted = self._harmful(winner, drafted, self._lines.estimate())
        return self._enter(self._drafting.merge(winner, {}, unwanted), self._named("screened"))

    def _harmful(self, base: Candidate, drafted: Drafted, estimates: Estimates) -> dict[str, frozenset[Key]]:
        return {
            name: estimates.harmful(
                name, self._drafting.lines(name, base.predictors[name].instructions, drafted.edits)
            )
            for name in self._names
        }

    def _next_base(self, merge: Entry, arms: Sequence[Entry], rows: Sequence[Example]) -> Entry:
        """Where proposals go on from: the merge while it may still win, with demos that suit it; else the incumbent."""
        if self._texts(merge) == self._texts(self.incumbent):
            return self.incumbent
        ahead = self._practice.scores(self.incumbent.candidate, rows)
        same = [
            entry
            for entry in arms
            if self._texts(entry) == self._texts(merge)
            and better(ahead, self._practice.scores(entry.candidate, rows)) > DRIFT
        ]
        return self._best_of(same) if same else self.incumbent

    def _is_beaten(self, ahead: Entry, rows: Sequence[Example]) -> bool:
        scores = self._practice.scores(ahead.candidate, rows)
        return better(scores, self._practice.scores(self.incumbent.candidate, rows)) <= RULED_OUT

    def _turns(self) -> list[str]:
        """The predictor of each proposal."""
        if not self._names:
            return []
        estimates = self._lines.estimate()
        promising = [name for name in self._names if estimates.is_promising(name)] or list(self._names)
        turns: list[str] = []
        for place in range(self._allotment.round_proposals(self._left(), self._drafting.proposer.asked)):
            names = self._names if place % SECOND_CHANCE == SECOND_CHANCE - 1 else promising
            turns.append(min(names, key=turns.count))
        return turns

    def _lessons(self) -> list[Lesson]:
        base = self._base.candidate
        return [Lesson(row, self._practice.record(base, row.example)) for row in self._demos.rows]

    # ── sift ─────────────────────────────────────────────────────────────────────────────────────────────

    def is_in_doubt(self) -> bool:
        """True when there are lines that only an experiment can judge, or proposals bring nothing any more."""
        if not self._round or self._sifted_in_a_row >= (MOST_SIFTED if self._drafting.repeats else 1):
            return False
        lines = self._added_lines(self._base.candidate)
        loose = [key for _, key in lines if self._lines.is_loose(key)]
        return len(loose) >= LOOSE_LINES or (self._fruitless >= FRUITLESS and len(lines) >= FEWEST_LINES)

    async def sift(self) -> None:
        """Run random halves of the lines on the same rows, and keep those lines that do good."""
        runs = self._begin_round("sifting lines")
        whole = self._without_harmful(self._base.candidate)
        lines = self._added_lines(whole)
        lines = [line for line in lines if self._lines.is_loose(line[1])] or lines
        pairs = int(SIFTED_SHARE * runs) // 2
        rng = self._search.rng("sift", self._round)
        wanted = []
        for row, halves in zip(self._cycled(pairs), left_out(lines, pairs, rng), strict=True):
            for half in halves:
                candidate = self._without(whole, half)
                self._lines.enter(candidate)
                wanted.append((candidate, [row]))
        await self._practice.run(wanted)
        self._cursor += pairs
        sifted = self._enter(self._without_harmful(self._base.candidate), self._named("sifted"))
        entries = distinct([sifted, self._enter(whole, self._named("merge")), self.incumbent])
        rows = self._rows(int((1 - SIFTED_SHARE) * runs) // len(entries))
        last = await self._look(entries, rows, 1)
        self._cursor += len(rows)
        self._sifted_in_a_row += 1
        if self._accept(self._best_of([*last, self.incumbent])):
            self._base = self.incumbent

    def _without_harmful(self, candidate: Candidate) -> Candidate:
        nothing = Drafted({}, ())
        return self._drafting.merge(candidate, {}, self._harmful(candidate, nothing, self._lines.estimate()))

    def _added_lines(self, candidate: Candidate) -> list[Line]:
        return added_lines(self._search.start, candidate, self._names)

    def _without(self, candidate: Candidate, lines: Sequence[Line]) -> Candidate:
        for name in self._names:
            gone = {key for owner, key in lines if owner == name}
            text = without_lines(candidate.predictors[name].instructions, gone)
            if gone and self._drafting.is_sound(name, text):
                candidate = with_text(candidate, name, text)
        return candidate

    # ── what both need ───────────────────────────────────────────────────────────────────────────────────

    def _begin_round(self, what: str) -> int:
        self._round += 1
        self._search.now(f"round {self._round}: {what}, train {self.training_score():.3f}")
        return self._allotment.round_runs(self._left())

    def _accept(self, entry: Entry) -> bool:
        """Make the entry the incumbent; False when it is already."""
        if entry.digest == self.incumbent.digest:
            self._fruitless += 1
            return False
        for name in self._names:
            texts = (one.predictors[name].instructions for one in (self.incumbent.candidate, entry.candidate))
            if edit_of(*texts) is None:
                self._drafting.forget(name)
        self._fruitless = 0
        self.incumbent = entry
        self._past.append(entry)
        return True

    def _best_of(self, entries: Sequence[Entry]) -> Entry:
        """Who is expected to score best on all that is known; of equals the shorter prompt."""
        estimates = self._lines.estimate()
        return min(
            distinct(entries),
            key=lambda entry: (-round(estimates.value(entry.candidate), ROUNDING), entry.characters),
        )

    async def _look(
        self, entries: Sequence[Entry], rows: Sequence[Example], places: int
    ) -> tuple[Entry, ...]:
        return (await look(self._practice, entries, rows, places)).order

    def _enter(self, candidate: Candidate, origin: str) -> Entry:
        self._lines.enter(candidate)
        return entry_of(self._search, candidate, origin)

    def _named(self, what: str) -> str:
        return f"round {self._round}: {what}"

    def _texts(self, entry: Entry) -> list[str]:
        return [entry.candidate.predictors[name].instructions for name in self._names]

    def _rows(self, count: int) -> list[Example]:
        """The next training rows, none of them twice."""
        return self._cycled(min(count, len(self._order)))

    def _cycled(self, count: int) -> list[Example]:
        return [self._order[(self._cursor + place) % len(self._order)] for place in range(count)]
