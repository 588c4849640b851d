"""How long to wait before coming back: exponential back-off with full jitter.

Pure: the random value and the time are arguments. Full jitter (a wait drawn evenly from zero to the
ceiling) is what spreads the clients of a server that has just come back; a wait that the server named
is added to it, never shortened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["HINT_MAX", "STABLE", "Backoff", "Tries"]

HINT_MAX: Final = 300.0
"""Seconds: a longer wait named by a server is cut to this, so that none can switch a client off."""

STABLE: Final = 30.0
"""Seconds that something has to last before its failure counts as the first one again."""

_STEPS_MAX = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """The shape of the waits, in seconds.

    Attempt *n*, counted from 0, waits between 0 and ``min(cap, base × factor^n)``.

    Raises:
        ValueError: a wait below zero, or a factor below one.

    """

    base: float = 0.5
    factor: float = 1.7
    cap: float = 15.0

    def __post_init__(self) -> None:
        if not (0 <= self.base <= self.cap) or self.factor < 1:
            raise ValueError("a back-off needs 0 ≤ base ≤ cap and factor ≥ 1")

    def ceiling(self, attempt: int) -> float:
        """Return the longest wait before *attempt*."""
        return float(min(self.cap, self.base * self.factor ** min(attempt, _STEPS_MAX)))

    def seconds(self, attempt: int, chance: float, after: float = 0.0) -> float:
        """Return the wait before *attempt*.

        Args:
            attempt: how many have failed in a row before it.
            chance: a random number from 0 to 1.
            after: the wait that the server asked for; at most ``HINT_MAX`` of it counts.

        """
        return min(max(after, 0.0), HINT_MAX) + chance * self.ceiling(attempt)


class Tries:
    """Counts what failed in a row, so that a server which accepts and then drops us is left in peace too.

    A success resets the count only once it has lasted ``STABLE`` seconds.
    """

    __slots__ = ("_backoff", "_since", "failed")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._since: float | None = None
        self.failed = 0
        """Attempts in a row that came to nothing."""

    def wait(self, chance: float, after: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt, and count it as begun."""
        seconds = self._backoff.seconds(self.failed, chance, after)
        self.failed += 1
        return seconds

    def succeeded(self, now: float) -> None:
        """Note that an attempt succeeded at *now*."""
        self._since = now

    def ended(self, now: float) -> None:
        """Note that what had succeeded ended at *now*."""
        if self._since is not None and now - self._since >= STABLE:
            self.failed = 0
        self._since = None
