"""Instructions that help some rows and hurt others: advice for one kind of row is carried over to all kinds.

Advice that names its kind helps that kind alone; advice that does not overrides whatever the model would have done
elsewhere. The proposer generalizes rashly from examples of one kind, and is more careful when it sees several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from worlds.reading import Heard, Material, draw, examples, generator, invented

KINDS = ("invoice", "letter", "form", "memo", "ticket", "order", "report", "contract")
STYLES = 6
SKILL = 0.45
"""How often the model is right about a kind that nothing says anything about."""


class Divided(msgspec.Struct, frozen=True):
    """Documents of eight kinds, each with the desk it belongs to."""

    seed: int
    name: ClassVar[str] = "divided"

    def tree(self) -> dict[str, Any]:
        """A document in, a desk out."""
        return {
            "signature": f"document -> desk: Literal[{', '.join(repr(desk) for desk in self.desks())}]",
            "instructions": "Name the desk for the document.",
            "metrics": ["exact_match"],
        }

    def desks(self) -> tuple[str, ...]:
        """What there is to choose from."""
        return tuple(invented(generator("divided", self.seed), STYLES))

    def right(self) -> dict[str, str]:
        """Kind → desk. Two of the kinds share one."""
        rng = generator("divided kinds", self.seed)
        desks = [*self.desks(), *rng.sample(self.desks(), len(KINDS) - STYLES)]
        rng.shuffle(desks)
        return dict(zip(KINDS, desks, strict=True))

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """Documents with filler; some kinds are frequent."""
        rng = generator("divided", self.seed, part)
        right = self.right()
        words = invented(generator("divided words", self.seed), 50)
        weights = [1 / (rank + 2) for rank in range(len(KINDS))]
        found = []
        for index in range(count):
            [kind] = rng.choices(KINDS, weights)
            text = f"{kind} no. {rng.randrange(10**5)}: {' '.join(rng.sample(words, 8))}"
            found.append({"id": f"{part}{index}", "document": text, "desk": right[kind]})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """The advice for the row's kind, else whatever advice stands last, else what it would guess."""
        right = self.right()
        kind = prompt.row.get("document", "").split(" ", 1)[0]
        desks = self.desks()
        narrow, wide = self._advice(prompt.instruction)
        shown = [o.get("desk", "") for i, o in prompt.demos if i.get("document", "").startswith(f"{kind} ")]
        if kind in narrow and rng.random() < 0.96:
            return {"desk": narrow[kind]}
        if wide and rng.random() < 0.85:
            return {"desk": wide}
        if shown and rng.random() < 0.6:
            return {"desk": shown[-1]}
        if draw("skill", self.seed, kind, prompt.row.get("document")) < SKILL and kind in right:
            return {"desk": right[kind]}
        return {"desk": rng.choice(desks)}

    def write(self, seen: Material, rng: Random) -> str:
        """Advice for up to two kinds; the more kinds it sees, the more often it says for which."""
        lines = [line for line in seen.current.splitlines() if line.strip()]
        read = {
            document.split(" ", 1)[0]: right
            for document, right in examples(seen.others, "document", "desk")
            if document.split(" ", 1)[0] in KINDS
        }
        lines = [line for line in lines if not self._contradicted(line, read)]
        narrow, _ = self._advice("\n".join(lines))
        new = [kind for kind in read if kind not in narrow]
        rng.shuffle(new)
        careful = 0.25 if len(set(read.values())) <= 1 else 0.65
        for kind in new[:2]:
            wide = rng.random() > careful
            lines.append(f"- Send it to {read[kind]}." if wide else f"- {kind}: send it to {read[kind]}.")
        return "\n".join(lines)

    def _advice(self, text: str) -> tuple[dict[str, str], str]:
        narrow: dict[str, str] = {}
        wide = ""
        for line in text.splitlines():
            found = re.match(rf"- (?:({'|'.join(KINDS)}): )?[Ss]end it to (\w+)\.", line)
            if found and found[1]:
                narrow[found[1]] = found[2]
            elif found:
                wide = found[2]
        return narrow, wide

    def _contradicted(self, line: str, read: dict[str, str]) -> bool:
        narrow, wide = self._advice(line)
        if wide:
            return sum(right != wide for right in read.values()) >= 3
        return any(read.get(kind, desk) != desk for kind, desk in narrow.items())
