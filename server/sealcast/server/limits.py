"""Token buckets: how much of something a peer may do in a while."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """Allows *burst* at once and *rate* per second after that."""

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._then = now

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take *amount* and return 0.0; or take nothing and return the seconds to wait for it."""
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left >= amount:
            self._left -= amount
            return 0.0
        return (amount - self._left) / self._rate
