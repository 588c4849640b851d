"""What happens in a simulation: a list of steps drawn from a seed, from which steps can be left out again."""

from __future__ import annotations

import random
from typing import NamedTuple

__all__ = ["LENGTH", "Step", "draw"]

LENGTH = 8.0
"""Simulated seconds during which steps happen; peace and a last round of messages follow."""

_WEIGHTS = {
    "send": 40,
    "burst": 4,
    "cut": 6,
    "stall": 3,
    "flow": 5,
    "crash": 1,
    "restart": 3,
    "fill": 1,
    "clear": 2,
    "leave": 2,
    "join": 4,
    "frames": 3,
}


class Step(NamedTuple):
    """Something that happens at a time, to one of the members."""

    at: float
    what: str
    who: int


def draw(seed: int, members: int) -> list[Step]:
    """Return the steps of a seed, in the order of their times."""
    chance = random.Random(seed)
    whats = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=chance.randint(5, 40))
    return sorted(Step(chance.uniform(0, LENGTH), what, chance.randrange(members)) for what in whats)
