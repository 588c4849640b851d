"""What a test counts: the payload that carries the numbers, one receiver's check of them, and the sums."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .histogram import Histogram
from .plan import HEADER

__all__ = ["MEASURED", "WARMUP", "Arrivals", "Totals", "payload"]

_LAYOUT: Final = struct.Struct(">8sBIIQ")
assert _LAYOUT.size == HEADER
WARMUP, MEASURED = 0, 1
_TEXTS: Final = 8


def payload(run: bytes, phase: int, publisher: int, counter: int, now: int, size: int) -> bytes:
    """Return a payload of *size* bytes: ``run (8) | phase | u32 publisher | u32 counter | u64 ns``, zeros."""
    return _LAYOUT.pack(run, phase, publisher, counter, now).ljust(size, b"\0")


class Arrivals:
    """Checks what one member receives: nothing twice, nothing missing, nothing of another length or run.

    Args:
        run: the eight bytes that this run's payloads begin with.
        size: the bytes of a payload.

    """

    __slots__ = ("_next", "_run", "_size", "doubled", "latency", "received", "strange")

    def __init__(self, run: bytes, size: int) -> None:
        self._run = run
        self._size = size
        self._next: dict[int, int] = {}
        self.received = 0
        """Payloads of the measured phase that came once and in order."""
        self.doubled = 0
        """Payloads that came again, or after a later one."""
        self.strange = 0
        """Payloads that nobody in this run has sent so."""
        self.latency = Histogram()

    def take(self, data: bytes, now: int) -> None:
        """Take a payload that arrived at *now*, in nanoseconds of the clock that it was stamped by."""
        if len(data) != self._size or data[:8] != self._run:
            self.strange += 1
            return
        _, phase, publisher, counter, sent = _LAYOUT.unpack_from(data)
        if phase != MEASURED:
            return
        if counter < self._next.get(publisher, 0):
            self.doubled += 1
            return
        self._next[publisher] = counter + 1
        self.received += 1
        self.latency.add((now - sent) // 1000)


@dataclass(slots=True)
class Totals:
    """The sums of one process, or of all."""

    joined: int = 0
    join_failures: dict[str, int] = field(default_factory=dict)
    """Joins that failed, by the error's text."""
    join_seconds: float = 0.0
    """From the first join to the last."""
    joins: Histogram = field(default_factory=Histogram)
    """How long a join took."""
    offered: int = 0
    """Frames or messages that the schedule asked for in the measured phase."""
    accepted: int = 0
    """Those that the SDK took; of messages, those that were acknowledged."""
    refused: int = 0
    """Those that it did not take, because its queue was full."""
    received: int = 0
    doubled: int = 0
    strange: int = 0
    unopened: int = 0
    """Frames that came and could not be opened."""
    dropped: dict[str, int] = field(default_factory=dict)
    """What receivers were told that they did not get, by who dropped it: ``server`` or ``client``."""
    lost: int = 0
    """Connections that ended during the run."""
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    """How much later than planned something was sent: the generator's own delay."""
    cpu: float = 0.0
    """The highest share of a core that one of the generator's processes used."""

    def refuse(self, text: str, count: int = 1) -> None:
        """Count joins that failed with an error of this text; of many different ones, the rest as one."""
        known = text in self.join_failures or len(self.join_failures) < _TEXTS
        text = text if known else "other errors"
        self.join_failures[text] = self.join_failures.get(text, 0) + count

    def add(self, other: Totals) -> None:
        """Add the sums of another process."""
        for name in ("joined", "offered", "accepted", "refused", "received", "doubled", "strange"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unopened += other.unopened
        self.lost += other.lost
        for text, count in other.join_failures.items():
            self.refuse(text, count)
        for where, count in other.dropped.items():
            self.dropped[where] = self.dropped.get(where, 0) + count
        for name in ("joins", "latency", "lateness"):
            getattr(self, name).merge(getattr(other, name))
        self.join_seconds = max(self.join_seconds, other.join_seconds)
        self.cpu = max(self.cpu, other.cpu)

    def take(self, arrivals: Iterable[Arrivals]) -> None:
        """Add what members received."""
        for each in arrivals:
            self.received += each.received
            self.doubled += each.doubled
            self.strange += each.strange
            self.latency.merge(each.latency)

    def to_json(self) -> dict[str, Any]:
        """Return what ``of_json`` reads."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: v.to_json() if isinstance(v, Histogram) else v for name, v in values.items()}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Totals:
        """Return the sums that ``to_json`` wrote."""
        totals = cls()
        for name in cls.__slots__:
            is_times = isinstance(getattr(totals, name), Histogram)
            setattr(totals, name, Histogram.of_json(data[name]) if is_times else data[name])
        return totals
