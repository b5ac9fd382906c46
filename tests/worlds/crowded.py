"""Prompts that get worse as they grow: the model overlooks more of a long prompt than of a short one.

A dozen rules are worth stating, the common ones most. The proposer is talkative: it adds a rule or two, often with a
justification nobody needs, and platitudes; demonstrations state rules too, and are longer still.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from random import Random
from typing import Any, ClassVar

import msgspec

from worlds.reading import Heard, Material, examples, generator, invented, stated

LABELS = ("ship", "hold", "refund", "escalate", "archive")
CUES = 12
BARE = 700
"""Characters of a prompt that are read with full attention: about what the layout takes."""
ATTENTION = 1500
"""Characters beyond them after which a third of the attention is left."""
PLATITUDES = (
    "Think carefully about every word of the message before you come to a decision, since haste leads to mistakes.",
    "Always remember that the customer's satisfaction is the most important thing of all, today and in future.",
    "Consider the whole context of the message, weigh all the evidence in it, and only then decide what to do.",
)
BECAUSE = (
    ", because that is what the department's policy has been for a long time, and colleagues rely on it",
    " in every case of this kind that has been seen so far, whatever else the message may go on to say",
)


class Crowded(msgspec.Struct, frozen=True):
    """A message has one cue that decides among five actions, and words that do not matter."""

    seed: int
    name: ClassVar[str] = "crowded"

    def tree(self) -> dict[str, Any]:
        """A message in, an action out."""
        return {
            "signature": "message -> action: Literal['ship', 'hold', 'refund', 'escalate', 'archive']",
            "instructions": "Choose the action for the message.",
            "metrics": ["exact_match"],
        }

    def actions(self) -> dict[str, str]:
        """Cue → action."""
        rng = generator("crowded", self.seed)
        return {cue: rng.choice(LABELS) for cue in invented(rng, CUES)}

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """Common cues come up more often."""
        rng = generator("crowded", self.seed, part)
        actions = self.actions()
        noise = invented(generator("crowded noise", self.seed), 60)
        weights = [1 / (rank + 2) for rank in range(CUES)]
        found = []
        for index in range(count):
            [cue] = rng.choices(list(actions), weights)
            words = [*rng.sample(noise, 12), cue]
            rng.shuffle(words)
            message = f"Message {rng.randrange(10**5)}. They wrote: {' '.join(words)}."
            found.append({"id": f"{part}{index}", "message": message, "action": actions[cue]})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """Follows a rule that it knows, if it has not overlooked it."""
        actions = self.actions()
        known = {}
        for inputs, outputs in prompt.demos:
            known.update(
                {cue: outputs.get("action", "") for cue in actions if cue in inputs.get("message", "")}
            )
        known |= stated(prompt.instruction.splitlines(), list(actions), LABELS)
        [cue] = [cue for cue in actions if cue in prompt.row.get("message", "")][:1] or [""]
        attention = exp(-max(0, prompt.characters - BARE) / ATTENTION)
        if cue in known and rng.random() < 0.97 * attention:
            return {"action": known[cue]}
        return {"action": rng.choice(LABELS)}

    def write(self, seen: Material, rng: Random) -> str:
        """Adds rules to what is there, tersely or not."""
        actions = self.actions()
        lines = [line for line in seen.current.splitlines() if line.strip()]
        known = stated(lines, list(actions), LABELS)
        read = {
            cue: right
            for message, right in examples(seen.others, "message", "action")
            for cue in actions
            if cue in message
        }
        lines = [
            line
            for line in lines
            if all(read.get(c, a) == a for c, a in stated([line], list(actions), LABELS).items())
        ]
        new = [cue for cue in read if known.get(cue) != read[cue]]
        rng.shuffle(new)
        for cue in new[: rng.randint(1, 3)]:
            reason = rng.choice(BECAUSE) if rng.random() < 0.5 else ""
            lines.append(f"- {cue}: {read[cue]}{reason}.")
        if rng.random() < 0.6:
            lines.append(rng.choice(PLATITUDES))
        return "\n".join(lines)
