"""The gate: nothing of a session is delivered before it has proved that it is not an old one.

A secret that is used for a second meeting opens the first one's frames, hello and all; the relay could
play it again. So frames wait, for each epoch of each session, until one of its beacons shows that its
sender is here now:

strict    the beacon echoes this side's own challenge, which is random and new in this context
relaxed   the beacon's time is within 30 s of this side's clock: for audiences, where a beacon cannot echo
          everybody. A replay within those seconds is not noticed.

Time is an argument everywhere. What does not pass in time is handed back to be counted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeAlias, TypeVar

from .beacon import Beacon
from .hold import Hold
from .rekey import Name

__all__ = ["OPEN_MAX", "RELAXED_MS", "Gate", "Passage"]

RELAXED_MS: Final = 30_000
OPEN_MAX: Final = 65_536
"""Epochs of sessions that are known to be fresh; the oldest are forgotten, and have to prove it again."""

Passage: TypeAlias = tuple[Name, int]
"""A session and one of its epochs."""

T = TypeVar("T")


class Gate(Generic[T]):
    """What is fresh, and what waits to be.

    Args:
        challenge: the one in this side's hello.
        strict: whether beacons must echo it.

    """

    __slots__ = ("_challenge", "_open", "_open_max", "hold", "strict")

    def __init__(
        self,
        challenge: bytes,
        *,
        strict: bool = True,
        hold: Hold[Passage, T] | None = None,
        open_max: int = OPEN_MAX,
    ) -> None:
        self._challenge = challenge
        self._open: OrderedDict[Passage, None] = OrderedDict()
        self._open_max = open_max
        self.strict = strict
        self.hold: Hold[Passage, T] = Hold() if hold is None else hold

    def __repr__(self) -> str:
        return (
            f"Gate({'strict' if self.strict else 'relaxed'}, open={len(self._open)}, held={len(self.hold)})"
        )

    def is_open(self, passage: Passage) -> bool:
        """Whether this epoch of this session has proved to be fresh."""
        return passage in self._open

    def beacon(self, passage: Passage, beacon: Beacon, wall_ms: int) -> list[T]:
        """Take an authentic beacon of *passage*; return what may be delivered by it, in order."""
        if passage not in self._open:
            if not self._fresh(beacon, wall_ms):
                return []
            self._open[passage] = None
            if len(self._open) > self._open_max:
                self._open.popitem(last=False)
        return self.hold.take(passage)

    def _fresh(self, beacon: Beacon, wall_ms: int) -> bool:
        if self.strict:
            return self._challenge in beacon.challenges
        return abs(wall_ms - beacon.time_ms) <= RELAXED_MS
