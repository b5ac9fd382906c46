"""A metric with noise: a tenth of the gold is wrong, and what an instruction changes is small beside luck.

Some hints help a little and some harm a little; every new prompt draws anew. Whoever believes a small sample ends up
with whatever was lucky.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from worlds.reading import Heard, Material, examples, generator, invented

OPTIONS = ("north", "south", "east", "west")
HINTS = 10
SKILL = 0.4
WORTH = 0.06
WRONG_GOLD = 0.1


class Noisy(msgspec.Struct, frozen=True):
    """Ten hints that help, ten that harm, and no way to tell but to measure."""

    seed: int
    name: ClassVar[str] = "noisy"

    def tree(self) -> dict[str, Any]:
        """A reading in, a direction out."""
        return {
            "signature": "reading -> direction: Literal['north', 'south', 'east', 'west']",
            "instructions": "Say where the reading points.",
            "metrics": ["exact_match"],
        }

    def hints(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Words of hints that help, and of hints that harm."""
        words = invented(generator("noisy", self.seed), 2 * HINTS)
        return tuple(words[:HINTS]), tuple(words[HINTS:])

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """Readings; the direction stands in the text in a way that only this world can read."""
        rng = generator("noisy", self.seed, part)
        found = []
        for index in range(count):
            number = rng.randrange(10**6)
            right = OPTIONS[number % 4]
            gold = rng.choice(OPTIONS) if rng.random() < WRONG_GOLD else right
            reading = f"Dial {number}, needle {rng.randrange(360)}, drift {rng.randrange(50)}"
            found.append({"id": f"{part}{index}", "reading": reading, "direction": gold})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """Right as often as the hints allow; examples help a little."""
        good, bad = self.hints()
        words = set(prompt.instruction.replace(".", " ").split())
        skill = SKILL + WORTH * (len(words & set(good)) - len(words & set(bad)))
        skill += 0.005 * min(len(prompt.demos), 16)
        number = int(prompt.row.get("reading", "Dial 0,").split()[1].strip(","))
        right = OPTIONS[number % 4]
        if rng.random() < min(0.97, max(0.05, skill)):
            return {"direction": right}
        return {"direction": rng.choice([option for option in OPTIONS if option != right])}

    def write(self, seen: Material, rng: Random) -> str:
        """One or two more hints, good ones a little more often than not where it is shown examples."""
        good, bad = self.hints()
        lines = [line for line in seen.current.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith("- ") or rng.random() > 0.08]
        shown = len(examples(seen.others, "reading", "direction"))
        for _ in range(rng.randint(1, 2)):
            word = rng.choice(good if rng.random() < (0.6 if shown >= 3 else 0.5) else bad)
            if not any(word in line for line in lines):
                lines.append(f"- Mind the {word} of the dial.")
        return "\n".join(lines)
