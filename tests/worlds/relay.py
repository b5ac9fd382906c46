"""Two predictors of which only one is at fault: the first reads a term off a note, the second knows what to do with it.

The first is good as it is, and every change makes it worse; the second knows nothing until it is told. The program is
one step whose module calls both, in place of a pipeline of two steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from promptc.runners.modules.protocol import Call
from promptc.runners.program import Predictor, Program
from promptc.spec.fields import Field, Signature
from worlds.reading import Heard, Material, examples, generator, invented, stated

QUEUES = ("alpha", "beta", "gamma", "delta", "omega")
TERMS = 14
FIRST = "Find the term in the note."
SECOND = "Name the queue for the term."


class Relay(msgspec.Struct, frozen=True):
    """Notes hide a term; every term has a queue."""

    seed: int
    name: ClassVar[str] = "relay"

    def tree(self) -> dict[str, Any]:
        """A note in, a queue out; `wired` puts the two predictors in between."""
        return {
            "signature": f"note -> queue: Literal[{', '.join(map(repr, QUEUES))}]",
            "instructions": SECOND,
            "metrics": ["exact_match"],
        }

    def wired(self, program: Program) -> Program:
        """The program with its two predictors."""
        [(name, predictor)] = program.predictors.items()
        module = TwoCalls(predictor.signature)
        predictors = {
            f"{name}.{suffix}": Predictor(
                name=f"{name}.{suffix}",
                step=predictor.step,
                suffix=suffix,
                signature=signature,
                format=predictor.format,
                model=predictor.model,
            )
            for suffix, signature in module.predictors(predictor.signature).items()
        }
        return msgspec.structs.replace(program, modules={predictor.step: module}, predictors=predictors)

    def queues(self) -> dict[str, str]:
        """Term → queue."""
        rng = generator("relay", self.seed)
        return {term: rng.choice(QUEUES) for term in invented(rng, TERMS)}

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """One term among words that mean nothing."""
        rng = generator("relay", self.seed, part)
        queues = self.queues()
        words = invented(generator("relay words", self.seed), 60)
        weights = [1 / (rank + 3) for rank in range(TERMS)]
        found = []
        for index in range(count):
            [term] = rng.choices(list(queues), weights)
            said = [*rng.sample(words, 7), term]
            rng.shuffle(said)
            note = f"Note {rng.randrange(10**4)}: {' '.join(said)}"
            found.append({"id": f"{part}{index}", "note": note, "queue": queues[term]})
        return found

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """The first step by the words of the note, the second by what it was told."""
        queues = self.queues()
        if "term" not in prompt.row:
            said = prompt.row.get("note", "").split()
            right = next((word for word in said if word in queues), "none")
            added = sum(line.startswith("- ") for line in prompt.instruction.splitlines() if " goes " in line)
            sure = max(0.4, 0.97 - 0.06 * added)
            return {"term": right if rng.random() < sure else rng.choice([*said[2:], "none"])}
        known = {inputs.get("term", ""): outputs.get("queue", "") for inputs, outputs in prompt.demos}
        known |= stated(prompt.instruction.splitlines(), list(queues), QUEUES)
        term = prompt.row["term"]
        if term in known and rng.random() < 0.97:
            return {"queue": known[term]}
        return {"queue": rng.choice(QUEUES)}

    def write(self, seen: Material, rng: Random) -> str:
        """Rules for the second step, and for the first ones that only distract."""
        queues = self.queues()
        lines = [line for line in seen.current.splitlines() if line.strip()]
        asked = dict(examples(seen.others, "term", "queue"))
        if not asked:
            lines.append(
                f"- What is {rng.choice(invented(rng, 5))} goes before what is {rng.choice(QUEUES)}."
            )
            return "\n".join(lines)
        told = {term: queue for term, queue in asked.items() if term in queues}
        known = stated(lines, list(queues), QUEUES)
        lines = [
            line
            for line in lines
            if all(told.get(t, q) == q for t, q in stated([line], list(queues), QUEUES).items())
        ]
        new = [term for term in told if known.get(term) != told[term]]
        rng.shuffle(new)
        for term in new[:3]:
            queue = told[term] if rng.random() > 0.12 else rng.choice(QUEUES)
            lines.append(f"- {term} goes to {queue}")
        return "\n".join(lines)


class TwoCalls(msgspec.Struct, frozen=True):
    """Asks for the term, then for the queue."""

    whole: Signature

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """One signature for each of the two calls."""
        term = Field(name="term", description="The term that decides")
        return {
            "find": Signature(inputs=signature.inputs, outputs=(term,), instructions=FIRST),
            "decide": Signature(inputs=(term,), outputs=signature.outputs, instructions=SECOND),
        }

    def calls(self) -> tuple[int, int]:
        """Exactly two."""
        return (2, 2)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """One after the other."""
        found = await call.predict("find", inputs)
        return await call.predict("decide", found)
