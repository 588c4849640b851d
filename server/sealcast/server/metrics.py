"""What the relay counts. Plain integers on the hot path; every drop and refusal has a reason."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["BOUNDS", "Lengths", "Metrics"]

BOUNDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds: the upper bounds of the buckets; one more has no bound."""


class Lengths:
    """How long something took, each time: a histogram, the sum and the longest, in seconds."""

    __slots__ = ("_counts", "longest", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.longest = 0.0
        self.total = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        # Nearly all are in the first bucket.
        self._counts[0 if seconds <= BOUNDS[0] else bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds

    @property
    def counts(self) -> tuple[int, ...]:
        """How many were in each bucket: one for each of ``BOUNDS``, and one for what was longer."""
        return tuple(self._counts)

    def quantile(self, part: float, counts: Sequence[int]) -> float | None:
        """Return what *part* of these, which are counted like ``counts``, were not longer than.

        It is the bound of a bucket, or the longest that there ever was. None when there are none.
        """
        left = part * sum(counts)
        if not left:
            return None
        for bound, count in zip(BOUNDS, counts, strict=False):
            left -= count
            if left <= 0:
                return min(bound, self.longest)
        return self.longest

    def snapshot(self) -> dict[str, int | float]:
        """Return the buckets that are not empty, by upper bound (or ``inf``), the total and the longest."""
        bounds = [*map(str, BOUNDS), "inf"]
        counts = {bound: count for bound, count in zip(bounds, self._counts, strict=True) if count}
        return {**counts, "total": round(self.total, 6), "longest": round(self.longest, 6)}


@dataclass(slots=True)
class Metrics:
    """The counters of one process; a snapshot is what operators and tests read."""

    connections: int = 0
    """Open connections, handshakes included."""
    connections_total: int = 0
    joins_total: int = 0
    frames_in: int = 0
    messages_in: int = 0
    bytes_in: int = 0
    """Bytes of accepted frames and messages, envelope included."""
    deliveries: int = 0
    """Frames and messages written or queued, once per receiving member."""
    turns: int = 0
    """Flushes: deliveries ÷ turns says how well frames are coalesced."""
    gc_pauses: int = 0
    """Runs of Python's garbage collector, during which nothing is relayed."""
    gc_seconds: float = 0.0
    gc_longest: float = 0.0
    """Seconds, all pauses together and the longest one."""
    turn_waits: Lengths = field(default_factory=Lengths)
    """How long what was collected first in a turn of the event loop waited: the load of the process."""
    turn_work: Lengths = field(default_factory=Lengths)
    """How long a turn of the event loop spent on sending to members; it is bounded in bytes and writes."""
    clear_frames: int = 0
    """Frames relayed in clear, where an app's policy allows it."""
    recovered: int = 0
    """Joins that went on from a place, with everything that came after it."""
    not_recovered: int = 0
    """Joins for which that was not to be had."""
    replayed: int = 0
    """Messages that were sent again to members that had missed them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Refused requests, frames and messages, by the code's name."""
    limited: Counter[str] = field(default_factory=Counter)
    """What was refused because it came too fast, by the option that says so."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Frames that a slow member did not get, by kind; messages too, when its connection ended."""
    dropped_for: Counter[str] = field(default_factory=Counter)
    """The same by kind and reason, as ``video/keyframe``."""
    ended: Counter[str] = field(default_factory=Counter)
    """Ended connections, by the end code's name."""
    handshakes_refused: Counter[str] = field(default_factory=Counter)
    """Connections that did not get past the HTTP handshake, by reason."""
    address_blocks: Counter[str] = field(default_factory=Counter)
    """Addresses that were blocked, by the offence that was one too many."""

    def snapshot(self) -> dict[str, int | float | dict[str, int | float]]:
        """Return all counters as plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Lengths):
        return value.snapshot()
    return dict(value) if isinstance(value, Counter) else value
