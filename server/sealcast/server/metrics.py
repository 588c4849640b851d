"""What the relay counts. Plain integers on the hot path; every drop and refusal has a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Metrics"]


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
    clear_frames: int = 0
    """Frames relayed in clear, where an app's policy allows it."""
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

    def snapshot(self) -> dict[str, int | float | dict[str, int]]:
        """Return all counters as plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: dict(v) if isinstance(v, Counter) else v for name, v in values.items()}
