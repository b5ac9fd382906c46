"""What the lines and demos of candidates are worth, by everything that was run.

A line is *stated* when it speaks of something that only some rows hold: it can only matter there, and is judged by
those rows. Every other line is *loose*: it may change any row. Few runs cannot tell loose lines apart, so those of one
predictor share a part of their worth: where they have done harm so far, the next one is expected to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from promptc.optimizers.coverage import Grounding, Row
from promptc.optimizers.credit import Worth, worths
from promptc.optimizers.merging import Key, lines_of
from promptc.optimizers.practice import Practice
from promptc.runners.candidate import Candidate

LENGTH_UNIT = 500
"""Characters of instructions that count as one unit of length."""
PRIORS: Mapping[str, Worth] = {
    "length": Worth(0.0, 0.1),
    "demos": Worth(0.0, 0.2),
    "itself": Worth(0.0, 0.05),
    "stated": Worth(0.1, 0.3),
    "kin": Worth(0.0, 0.06),
    "loose": Worth(0.01, 0.06),
}
"""What a part is taken to be worth before it was run, in points of score on the rows that it concerns."""
HOPE: Mapping[str, float] = {"stated": 1.2, "loose": 0.2}
"""How many standard deviations a line gets for free: what is not known yet has to be tried."""
FEWEST_RUNS = 4
"""Rows from which on a candidate may be better or worse than its parts."""


class Part(msgspec.Struct, frozen=True):
    """A part of a candidate: its length, a predictor's demos, a line of its instructions, or what only it has.

    `kin` is what all loose lines of a predictor have in common. `of` names the predictor, of `itself` the candidate.
    """

    kind: Literal["length", "demos", "stated", "loose", "kin", "itself"]
    of: str = ""
    key: Key = ()


class LineWorth:
    """Keeps the candidates that were tried, and reads worths off the records. `names` are the open predictors."""

    def __init__(
        self,
        practice: Practice,
        grounding: Grounding,
        rows: Sequence[Row],
        names: Sequence[str],
        max_demos: int,
        given: Mapping[str, Iterable[Key]],
    ) -> None:
        self._practice = practice
        self._grounding = grounding
        self._rows = [row.example.id for row in rows]
        self._names = tuple(names)
        self._max_demos = max(1, max_demos)
        self._given = {name: frozenset(keys) for name, keys in given.items()}
        self._candidates: dict[str, Candidate] = {}
        self._concerned: dict[tuple[Key, str], bool] = {}
        self._shares: dict[Part, float] = {}
        self._kinds: dict[Key, Literal["stated", "loose"]] = {}

    def enter(self, candidate: Candidate) -> None:
        """Remember a candidate that is going to be run."""
        self._candidates[candidate.digest()] = candidate

    def is_loose(self, key: Key) -> bool:
        """True when no row can tell what the line is about."""
        return self._kind(key) == "loose"

    def estimate(self) -> Estimates:
        """Worths by all records so far."""
        table = self._practice.table()
        runs: dict[str, int] = {}
        for scores in table.values():
            for digest in scores:
                runs[digest] = runs.get(digest, 0) + 1
        parts = {
            digest: self.parts(candidate, itself=runs[digest] >= FEWEST_RUNS)
            for digest, candidate in self._candidates.items()
            if digest in runs
        }
        return Estimates(self, worths(table, parts, lambda part: PRIORS[part.kind], self._concerns))

    def parts(self, candidate: Candidate, *, itself: bool = True) -> dict[Part, float]:
        """How much the candidate has of each part."""
        found: dict[Part, float] = {}
        characters = 0
        for name in self._names:
            text = candidate.predictors[name].instructions
            characters += len(text)
            loose = 0
            for key in lines_of(text):
                found[Part(self._kind(key), name, key)] = 1.0
                loose += self.is_loose(key) and key not in self._given[name]
            if loose:
                found[Part("kin", name)] = float(loose)
        found[Part("length")] = characters / LENGTH_UNIT
        for name, texts in candidate.predictors.items():
            if texts.demos:
                found[Part("demos", name)] = min(1.0, len(texts.demos) / self._max_demos)
        if itself:
            found[Part("itself", candidate.digest())] = 1.0
        return found

    def share(self, part: Part) -> float:
        """The share of the rows that the part concerns."""
        if part not in self._shares:
            concerned = sum(self._concerns(part, row) for row in self._rows)
            self._shares[part] = concerned / max(1, len(self._rows))
        return self._shares[part]

    def _kind(self, key: Key) -> Literal["stated", "loose"]:
        if key not in self._kinds:
            self._kinds[key] = "stated" if self._grounding.topic(" ".join(key)) else "loose"
        return self._kinds[key]

    def _concerns(self, part: Part, row: str) -> bool:
        if part.kind != "stated":
            return True
        place = (part.key, row)
        if place not in self._concerned:
            self._concerned[place] = self._grounding.concerns(" ".join(part.key), row)
        return self._concerned[place]


class Estimates:
    """Worths at one moment of a search."""

    def __init__(self, lines: LineWorth, found: Mapping[Part, Worth]) -> None:
        self._lines = lines
        self._found = found

    def value(self, candidate: Candidate) -> float:
        """How much better than nothing the candidate should score on average, in points of score."""
        parts = self._lines.parts(candidate)
        return sum(self._worth(part).mean * much * self._lines.share(part) for part, much in parts.items())

    def harmful(self, predictor: str, lines: Mapping[Key, str]) -> frozenset[Key]:
        """Those of the lines that a prompt should be better without, even where they get the benefit of the doubt."""
        return frozenset(key for key, line in lines.items() if self._hoped(predictor, key, line) < 0)

    def is_promising(self, predictor: str) -> bool:
        """False for a predictor whose loose lines have done harm so far."""
        kin = self._worth(Part("kin", predictor))
        return kin.mean + HOPE["loose"] * kin.spread >= 0

    def _hoped(self, predictor: str, key: Key, line: str) -> float:
        loose = self._lines.is_loose(key)
        part = Part("loose" if loose else "stated", predictor, key)
        own = self._worth(part)
        hoped = (own.mean + HOPE[part.kind] * own.spread) * self._lines.share(part)
        if loose:
            hoped += self._worth(Part("kin", predictor)).mean
        return hoped + self._worth(Part("length")).mean * len(line) / LENGTH_UNIT

    def _worth(self, part: Part) -> Worth:
        return self._found.get(part) or PRIORS[part.kind]
