"""What a connection is told about what it did wrong, and how often it may do it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sealcast.protocol.codes import reply
from sealcast.protocol.controls import Error

from .limits import Bucket

__all__ = ["Refusals"]

_REPORT_EVERY: Final = 1.0


class Refusals:
    """The error budget of one connection, and its refused frames that are not reported yet.

    Frames have no ref to answer under, and a flood of bad ones must not become a flood of answers: they
    are counted, and reported together at most once a second.

    Args:
        per_minute: refused requests and frames until the connection has to be closed.
        now: the present, in monotonic seconds.

    """

    __slots__ = ("_budget", "_frames", "_report_at", "_waits")

    def __init__(self, per_minute: int, now: float) -> None:
        self._budget = Bucket(per_minute / 60, per_minute, now)
        self._frames: Counter[tuple[str, int]] = Counter()
        self._waits: dict[tuple[str, int], float] = {}
        self._report_at = now

    def spend(self, now: float) -> bool:
        """Take one error from the budget; False when there is none left."""
        return not self._budget.take(now)

    def note_frame(self, name: str, channel: int, retry_after: float | None = None) -> None:
        """Remember a refused frame: the reply code's name, the channel (0: none), and how long to wait."""
        self._frames[name, channel] += 1
        if retry_after is not None:
            self._waits[name, channel] = retry_after

    def due(self) -> float | None:
        """Return when there is something to report, in monotonic seconds."""
        return self._report_at if self._frames else None

    def report(self, now: float) -> list[Error]:
        """Return the controls that report what was refused, if it is time."""
        if not self._frames or now < self._report_at:
            return []
        frames, self._frames = self._frames, Counter()
        waits, self._waits = self._waits, {}
        self._report_at = now + _REPORT_EVERY
        return [
            Error.of(
                reply(name), channel=channel or None, count=count, retry_after=waits.get((name, channel))
            )
            for (name, channel), count in frames.items()
        ]
