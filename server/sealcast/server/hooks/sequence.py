"""Numbers that only grow, over restarts too: the clock's milliseconds, made to grow where it stands still."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Sequence"]


class Sequence:
    """Gives each event its number.

    Args:
        wall: Unix time.

    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.last = 0
        """The number that was given last."""

    def beyond(self, number: int) -> None:
        """Give numbers above this one only: it was given before the start."""
        self.last = max(self.last, number)

    def next(self) -> int:
        """Return a number that was never returned before."""
        self.last = max(self.last + 1, int(self._wall() * 1000))
        return self.last
