"""Time, as an argument: a clock that tests can replace, and the one timing wheel of the process."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timed", "TimingWheel"]


class Clock(Protocol):
    """Two readings of the present, in seconds."""

    def monotonic(self) -> float:
        """Never goes back; for deadlines."""
        ...

    def wall(self) -> float:
        """Unix time; for tokens."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Timed(Protocol):
    """Something that wants to be woken."""

    due: float | None
    """When, in monotonic seconds; owned by the wheel."""

    def on_time(self, now: float) -> float | None:
        """Do what is due and return when to be woken next, or None."""
        ...


class TimingWheel:
    """Wakes thousands of things with one timer.

    Times are rounded up to a tick, so nothing is woken early and each is at most one tick late.
    Scheduling and cancelling cost one set operation; a tick costs what is due in it.
    """

    def __init__(self, now: float, tick: float = 0.1, slots: int = 1024) -> None:
        self.tick = tick
        self._slots: list[set[Timed]] = [set() for _ in range(slots)]
        self._position = int(now / tick)

    def schedule(self, timed: Timed, when: float | None) -> None:
        """Wake *timed* at *when*; None cancels. An earlier appointment is forgotten."""
        if timed.due is not None:
            self._slots[self._slot(timed.due)].discard(timed)
        timed.due = when
        if when is not None:
            # An appointment beyond the horizon waits in a nearer slot and is put on when that comes round.
            # Bounds lie in the middle of a slot: at its edge, rounding could take the slot before, which
            # has been served.
            first, last = self._position + 0.5, self._position + len(self._slots) - 1.5
            timed.due = min(max(when, first * self.tick), last * self.tick)
            self._slots[self._slot(timed.due)].add(timed)

    def sooner(self, timed: Timed, when: float | None) -> None:
        """Wake *timed* at *when* if that is before its appointment; else it is asked again then anyway."""
        if when is not None and (timed.due is None or when < timed.due):
            self.schedule(timed, when)

    def advance(self, now: float) -> None:
        """Wake everything that is due at *now*."""
        target = int(now / self.tick)
        # After a long sleep of the machine every slot comes round once, and no more.
        first = max(self._position, target - len(self._slots))
        for position in range(first, target):
            self._position = position + 1
            slot = self._slots[position % len(self._slots)]
            try:
                while slot:
                    timed = slot.pop()
                    timed.due = None
                    self.schedule(timed, timed.on_time(now))
            except BaseException:
                self._position = position  # the next tick serves the rest of the slot
                raise
        self._position = max(self._position, target)

    def _slot(self, when: float) -> int:
        return int(when / self.tick) % len(self._slots)
