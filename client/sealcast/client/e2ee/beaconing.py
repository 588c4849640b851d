"""When this side sends a beacon, and whose challenges it echoes.

A beacon is for those who receive something, so only a member that has sealed something (other than a
beacon) in its session sends any: one before the first frame of each epoch, one on each new connection,
one within 250 ms of a new member's hello, and one every 5 s. 255 challenges fit; those that were not
echoed yet go first, and while there are any the next beacon comes after 250 ms. What its receivers hold
back until then would be lost if the sender or the epoch ended before, so both end with a beacon, and a
message does not wait for one.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Final

from .beacon import ECHOES_MAX
from .rekey import Name

__all__ = ["EVERY", "SOON", "Beaconing"]

EVERY: Final = 5.0
SOON: Final = 0.25


class Beaconing:
    """The schedule. No I/O, no clock. ``spoke`` may be called from any thread."""

    __slots__ = ("_announced", "_due", "_echoed", "_last", "_speaking", "_waiting", "urgent")

    def __init__(self) -> None:
        self._speaking = False
        self._announced = False
        """Whether the present epoch has had a beacon."""
        self._due: float | None = None
        self._last = float("-inf")
        # Challenges that were not echoed under the present key, and those that were, in turn.
        self._waiting: dict[Name, bytes] = {}
        self._echoed: dict[Name, bytes] = {}
        self.urgent = False
        """Whether a beacon is to be sent before anything else."""

    def spoke(self) -> None:
        """Note that something is being sealed."""
        self._speaking = True
        if not self._announced:
            self.urgent = True

    @property
    def owes(self) -> bool:
        """Whether something was sealed in this epoch, and somebody has not been answered in it yet."""
        return self._speaking and self._announced and bool(self._waiting)

    def hasten(self) -> None:
        """Make a beacon urgent if somebody has not been answered yet: what is sealed now must not wait."""
        if self._speaking and self._waiting:
            self.urgent = True

    def rekeyed(self, now: float) -> None:
        """Note that this side seals in a new epoch: all challenges have to be echoed anew."""
        self._start_over()
        if self._speaking:
            # The first frame brings its own; this is for a member that is silent just now.
            self._due = now + SOON

    def returned(self) -> None:
        """Note that this side is back on another connection, and cannot know which beacons arrived."""
        self._start_over()
        self.urgent = self._speaking

    def _start_over(self) -> None:
        self._waiting = {**self._waiting, **self._echoed}
        self._echoed = {}
        self._announced = False

    def welcome(self, name: Name, challenge: bytes, now: float) -> None:
        """Note a member whose challenge is to be echoed."""
        self._echoed.pop(name, None)
        self._waiting[name] = challenge
        if self._speaking:
            soon = max(now, self._last + SOON)
            self._due = soon if self._due is None else min(self._due, soon)

    def dismiss(self, name: Name) -> None:
        """Note that a member is gone."""
        self._waiting.pop(name, None)
        self._echoed.pop(name, None)

    def next_timeout(self) -> float | None:
        """Return when ``handle_timeout`` has something to do."""
        return self._due if self._speaking else None

    def handle_timeout(self, now: float) -> None:
        """Make a beacon urgent when it is due."""
        if self._speaking and self._due is not None and now >= self._due:
            self.urgent = True

    def echo(self, now: float) -> tuple[bytes, ...]:
        """Return the challenges for the beacon that is sent now."""
        names = list(islice(chain(self._waiting, self._echoed), ECHOES_MAX))
        challenges = []
        for name in names:
            challenge = self._waiting.pop(name, None) or self._echoed.pop(name)
            self._echoed[name] = challenge
            challenges.append(challenge)
        self.urgent = False
        self._announced = True
        self._last = now
        self._due = now + (SOON if self._waiting else EVERY)
        return tuple(challenges)
