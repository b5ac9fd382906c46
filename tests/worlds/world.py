"""What a world is: a task with rows, and simulated models whose answers depend on what their prompts say.

Everything is a function of the world's seed and the request, so searches in a world can be compared and repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

from promptc.runners.models.prices import FREE, Pricing
from promptc.runners.models.request import Completion, Message, Request, Usage
from worlds.reading import Heard, Material, answered, heard, material, proposed, sampled

PARTS = ("train", "dev", "test")


class World(Protocol):
    """A task that prompts can get better at."""

    @property
    def name(self) -> str: ...

    def tree(self) -> dict[str, Any]:
        """What its spec says beyond models and data: signature, instructions, metrics."""
        ...

    def rows(self, part: str, count: int) -> list[dict[str, Any]]:
        """Rows with their right answers."""
        ...

    def answer(self, prompt: Heard, rng: Random) -> Mapping[str, str]:
        """What the task model gives for a prompt."""
        ...

    def write(self, seen: Material, rng: Random) -> str:
        """The instruction that the proposer writes."""
        ...


def reply(world: World, request: Request) -> Completion:
    """The reply of the model that the request names."""
    rng = sampled(request)
    if request.model == "proposer":
        seen = material(request)
        text = proposed(seen, world.write(seen, rng))
    else:
        text = answered(world.answer(heard(request), rng))
    prompt = sum(len(message.content) for message in request.messages)
    return Completion(text=text, usage=Usage(prompt // 4, len(text) // 4), cost=0.0)


class SimulatedModels:
    """A world's models for a run, without a network. Counts the calls of each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls = {"task": 0, "proposer": 0}

    def request(
        self,
        name: str,
        messages: tuple[Message, ...],
        params: Mapping[str, Any] | None = None,
        rollout: int = 0,
    ) -> Request:
        """Teacher and task are one model."""
        known = name if name in self.calls else "task"
        return Request(model=known, messages=messages, params=dict(params or {}), rollout=rollout)

    async def complete(self, request: Request, name: str) -> Completion:
        """The reply, at once."""
        self.calls[request.model] += 1
        return reply(self._world, request)

    def pricing(self, name: str) -> Pricing:
        """Nothing."""
        return FREE
