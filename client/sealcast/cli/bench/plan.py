"""What a load test does: channels, who sits in them, what they send; and who of the processes plays whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

__all__ = ["HEADER", "KINDS", "Plan", "Seat"]

HEADER: Final = 25
"""Bytes of a payload that the test itself needs: run, phase, publisher, counter and time."""

KINDS: Final = ("audio", "video", "screen", "data", "custom", "message")


class Seat(NamedTuple):
    """One member of the test."""

    channel: str
    user: str
    publisher: int | None
    """Its number among all publishers; None for a subscriber."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A load test, in numbers; times are seconds, sizes bytes of payload."""

    prefix: str
    """The beginning of the channels' names."""
    channels: int
    publishers: int
    """Members of each channel that send."""
    subscribers: int
    """Members of each channel that only listen."""
    rate: float
    """Frames or messages per second of each publisher."""
    size: int
    kind: str
    duration: float
    warmup: float
    ramp: float
    """Joins per second, over all processes; 0 for as fast as it goes."""

    @property
    def members(self) -> int:
        """All members."""
        return self.channels * (self.publishers + self.subscribers)

    @property
    def copies(self) -> int:
        """How many members get what one publisher sends."""
        return self.publishers + self.subscribers - 1

    def seats(self, process: int, processes: int) -> Iterator[Seat]:
        """Yield the members that one of the processes plays: every so-manieth, so that all play all roles."""
        number = publisher = 0
        for channel in range(self.channels):
            for place in range(self.publishers + self.subscribers):
                sends = place < self.publishers
                if number % processes == process:
                    name = f"{self.prefix}-{channel}"
                    yield Seat(name, f"bench-{place}", publisher if sends else None)
                publisher += sends
                number += 1

    def to_json(self) -> dict[str, Any]:
        """Return what ``of_json`` reads."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan that ``to_json`` wrote."""
        return cls(**data)
