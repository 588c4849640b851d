"""What can be adjusted in a client, once: name, default, unit, meaning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .backoff import Backoff

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The adjustable parts of a ``Client``.

    Raises:
        ValueError: a time or size that is not above zero.

    """

    timeout: float = 10.0
    """Seconds to wait for the answer to a request, and for the ack of a message."""
    connect_timeout: float = 10.0
    """Seconds for the WebSocket handshake, and again for the server's ``welcome``."""
    heartbeat: float = 15.0
    """Seconds between WebSocket pings, and seconds to wait for each pong before giving up."""
    queue_bytes: int = 1024 * 1024
    """Bytes that may wait to be sent: over it frames are dropped and messages wait."""
    inbox_events: int = 4096
    """Events of one channel that may wait for the application."""
    inbox_bytes: int = 16 * 1024 * 1024
    """Bytes of frames and messages of one channel that may wait for the application."""
    backoff: Backoff = field(default_factory=Backoff)
    """The waits between attempts to come back."""
    chance: Callable[[], float] = field(default=random.random, repr=False)
    """Draws the jitter, from 0 to 1. Not a secret, so no cryptographic source is needed."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    """Waits between attempts; tests put their own here."""

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout", "heartbeat", "queue_bytes", "inbox_events", "inbox_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero")
