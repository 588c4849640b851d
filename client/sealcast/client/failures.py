"""Counting what did not open, so that a flood of bad frames becomes one event a second."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["REPORT_EVERY", "FailureCounts", "Failures", "reason_of"]

REPORT_EVERY: Final = 1.0
"""Seconds between two events for the same member and reason."""

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def reason_of(error: Exception | type[Exception]) -> str:
    """Return the name of an error's class as the events spell it: ``KeyMissing`` is ``key_missing``."""
    return _HUMP.sub("_", (error if isinstance(error, type) else type(error)).__name__).lower()


class Failures(NamedTuple):
    """Failures to be reported now."""

    member: int
    user: str
    reason: str
    times: int


class _Entry:
    __slots__ = ("reported", "times", "user")

    def __init__(self, user: str, reported: float) -> None:
        self.user = user
        self.reported = reported
        self.times = 0


class FailureCounts:
    """Failures by member and reason. Time is an argument, in seconds of any monotonic clock."""

    __slots__ = ("_entries", "waiting")

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str], _Entry] = {}
        self.waiting = 0
        """Failures that are counted and not reported yet."""

    def note(self, member: int, user: str, reason: str, now: float, times: int = 1) -> Failures | None:
        """Count one failure, or several; return them when they may be reported at once."""
        entry = self._entries.get((member, reason))
        if entry is None:
            self._entries[member, reason] = _Entry(user, now)
            return Failures(member, user, reason, times)
        if entry.times == 0 and now - entry.reported >= REPORT_EVERY:
            entry.reported = now
            return Failures(member, user, reason, times)
        entry.times += times
        self.waiting += times
        return None

    def due(self, now: float) -> list[Failures]:
        """Return what waits and may be reported at *now*; forget what has been quiet for a while."""
        reports = []
        for (member, reason), entry in list(self._entries.items()):
            if now - entry.reported < REPORT_EVERY:
                continue
            if entry.times:
                reports.append(Failures(member, entry.user, reason, entry.times))
                self.waiting -= entry.times
                entry.times, entry.reported = 0, now
            else:
                del self._entries[member, reason]
        return reports
