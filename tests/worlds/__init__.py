"""Simulated worlds on which optimizers are compared, by name."""

from __future__ import annotations

from collections.abc import Callable

from worlds.crowded import Crowded
from worlds.divided import Divided
from worlds.glossary import Glossary
from worlds.misleading import Misleading
from worlds.noisy import Noisy
from worlds.relay import Relay
from worlds.world import World

WORLDS: dict[str, Callable[[int], World]] = {
    "glossary": Glossary,
    "crowded": Crowded,
    "misleading": Misleading,
    "noisy": Noisy,
    "divided": Divided,
    "relay": Relay,
}
