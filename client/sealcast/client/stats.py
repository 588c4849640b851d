"""What a channel has counted since it was joined."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    """The counters of one channel; ``room.stats`` is the live object.

    ``frames_dropped`` is what this side could not send, by kind; ``dropped_by_server`` and
    ``dropped_by_client`` what this side should have received, because the connection or the
    application was too slow.
    """

    frames_sent: int = 0
    frames_dropped: Counter[str] = field(default_factory=Counter)
    messages_sent: int = 0
    messages_sent_again: int = 0
    """Times that a message went out once more, because the answer did not come or was to wait."""
    frames_received: int = 0
    messages_received: int = 0
    seal_failures: Counter[str] = field(default_factory=Counter)
    """Frames, messages and hellos that the encryption did not accept, by reason."""
    unknown_senders: int = 0
    """Frames and messages of a member number that is not in the channel."""
    dropped_by_server: Counter[str] = field(default_factory=Counter)
    dropped_reasons: Counter[str] = field(default_factory=Counter)
    """What the server dropped, by reason."""
    dropped_by_client: int = 0
    frames_refused: int = 0
    """Frames of this side that the server refused."""
    disconnects: int = 0
    states_not_restored: int = 0
    """Times that this side's state could not be set again after an interruption."""
