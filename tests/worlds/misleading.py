"""Demonstrations that mislead: the model copies the answer of whichever of them looks most like the row.

What a row looks like (product, colour, town) has nothing to do with its answer, which depends on the symptom alone. So
demos hurt, however they were chosen, and instructions help.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from worlds.reading import Heard, Material, draw, examples, generator, invented, stated

TEAMS = ("red", "green", "blue", "amber")
SYMPTOMS = 16
COPIES = 0.7
"""How often the model copies where it can."""


class Misleading(msgspec.Struct, frozen=True):
    """Complaints about products go to the team that knows the symptom."""

    seed: int
    name: ClassVar[str] = "misleading"

    def tree(self) -> dict[str, Any]:
        """A complaint in, a team out."""
        return {
            "signature": "complaint -> team: Literal['red', 'green', 'blue', 'amber']",
            "instructions": "Name the team for the complaint.",
            "metrics": ["exact_match"],
        }

    def teams(self) -> dict[str, str]:
        """Symptom → team."""
        rng = generator("misleading", self.seed)
        return {symptom: TEAMS[number % 4] for number, symptom in enumerate(invented(rng, SYMPTOMS))}

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """Every symptom is as frequent as any other."""
        rng = generator("misleading", self.seed, part)
        teams = self.teams()
        words = invented(generator("misleading words", self.seed), 20)
        found = []
        for index in range(count):
            symptom = rng.choice(list(teams))
            product, colour, town = rng.choice(words[:8]), rng.choice(words[8:13]), rng.choice(words[13:])
            text = f"The {colour} {product} from {town} shows {symptom} since day {rng.randrange(400)}."
            found.append({"id": f"{part}{index}", "complaint": text, "team": teams[symptom]})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """Copies from a demo that looks alike, else goes by the symptom, of which it knows a third by itself."""
        teams = self.teams()
        row = prompt.row.get("complaint", "")
        if prompt.demos and rng.random() < COPIES:
            alike = [(_shared(inputs.get("complaint", ""), row), outputs) for inputs, outputs in prompt.demos]
            return {"team": max(alike, key=lambda pair: pair[0])[1].get("team", TEAMS[0])}
        [symptom] = [symptom for symptom in teams if symptom in row][:1] or [""]
        known = {s: team for s, team in teams.items() if draw("known", self.seed, s) < 0.33}
        known |= stated(prompt.instruction.splitlines(), list(teams), TEAMS)
        if symptom in known and rng.random() < 0.96:
            return {"team": known[symptom]}
        return {"team": rng.choice(TEAMS)}

    def write(self, seen: Material, rng: Random) -> str:
        """Reads up to four symptoms, each sometimes wrongly."""
        teams = self.teams()
        lines = [line for line in seen.current.splitlines() if line.strip()]
        read = {
            symptom: right
            for complaint, right in examples(seen.others, "complaint", "team")
            for symptom in teams
            if symptom in complaint
        }
        lines = [
            line
            for line in lines
            if all(read.get(s, t) == t for s, t in stated([line], list(teams), TEAMS).items())
            and rng.random() > 0.03
        ]
        known = stated(lines, list(teams), TEAMS)
        new = [symptom for symptom in read if symptom not in known]
        rng.shuffle(new)
        for symptom in new[:4]:
            team = read[symptom] if rng.random() > 0.15 else rng.choice(TEAMS)
            lines.append(f"- {symptom} goes to {team}")
        return "\n".join(lines)


def _shared(one: str, other: str) -> int:
    return len(set(one.split()) & set(other.split()))
