"""Facts: rows use invented terms, and only the prompt can tell what code each term has.

More facts are always better, so whatever collects them fastest wins. The proposer reads a few facts off its examples,
some of them wrongly, forgets a line now and then, and takes back what its examples contradict.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from worlds.reading import Heard, Material, examples, generator, invented, stated

TERMS = 30
SLIPS = 0.03
FORGOTTEN = 0.04
WRONG = 0.15
READ_AT_ONCE = 3


class Glossary(msgspec.Struct, frozen=True):
    """Terms with codes; common terms are in many rows, rare ones in few."""

    seed: int
    name: ClassVar[str] = "glossary"

    def tree(self) -> dict[str, Any]:
        """One text in, the codes of its terms out."""
        return {
            "signature": "note -> codes",
            "instructions": "Give the codes of the note.",
            "metrics": ["exact_match"],
        }

    def codes(self) -> dict[str, str]:
        """Term → code."""
        rng = generator("glossary", self.seed)
        codes = [f"{letter}{number}" for letter in "QXZ" for number in range(10, 100)]
        return dict(zip(invented(rng, TERMS), rng.sample(codes, TERMS), strict=True))

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """One to three terms in a row; the first term is about ten times as frequent as the last."""
        rng = generator("glossary", self.seed, part)
        codes = self.codes()
        weights = [1 / (rank + 3) ** 0.8 for rank in range(TERMS)]
        found = []
        for index in range(count):
            terms = dict.fromkeys(rng.choices(list(codes), weights, k=rng.choice([1, 2, 2, 3])))
            note = f"Shift {rng.randrange(1000)}: saw {', then '.join(f'one {t}' for t in terms)}."
            found.append({"id": f"{part}{index}", "note": note, "codes": " ".join(codes[t] for t in terms)})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """Looks each term up; guesses where nothing says its code, and slips now and then."""
        codes = self.codes()
        known = {}
        for inputs, outputs in prompt.demos:
            terms = self._terms(inputs.get("note", ""))
            given = outputs.get("codes", "").split()
            if len(terms) == len(given):
                known.update(zip(terms, given, strict=True))
        known |= stated(prompt.instruction.splitlines(), list(codes), list(codes.values()))
        asked = self._terms(prompt.row.get("note", ""))
        said = [
            known[term] if term in known and rng.random() > SLIPS else rng.choice(list(codes.values()))
            for term in asked
        ]
        return {"codes": " ".join(said)}

    def write(self, seen: Material, rng: Random) -> str:
        """Keeps what it knows, and adds what it reads."""
        codes = self.codes()
        read: dict[str, str] = {}
        for note, right in examples(seen.others, "note", "codes"):
            terms = self._terms(note)
            if len(terms) == len(right.split()):
                read.update(zip(terms, right.split(), strict=True))
        lines = [line for line in seen.current.splitlines() if line.strip()] or [
            "Give the codes of the note."
        ]
        known = stated(lines, list(codes), list(codes.values()))
        kept = [line for line in lines if self._stays(line, read, codes, rng)]
        new = [term for term in read if known.get(term) != read[term]]
        rng.shuffle(new)
        for term in new[:READ_AT_ONCE]:
            code = read[term] if rng.random() > WRONG else rng.choice(list(codes.values()))
            kept.append(rng.choice([f"- {term} is {code}", f"- A {term} has the code {code}."]))
        return "\n".join(kept)

    def _stays(self, line: str, read: dict[str, str], codes: dict[str, str], rng: Random) -> bool:
        said = stated([line], list(codes), list(codes.values()))
        if any(read.get(term, code) != code for term, code in said.items()):
            return False
        return not said or rng.random() > FORGOTTEN

    def _terms(self, note: str) -> list[str]:
        codes = self.codes()
        words = (word.strip(".,:;") for word in note.split())
        return list(dict.fromkeys(word for word in words if word in codes))
