"""The way out to one connection: straight to its transport, or through an outbox while it is backed up."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sealcast.protocol.names import Kind

from .config import AppLimits
from .interfaces import NOTICE, Transport
from .outbox import Outbox

__all__ = ["Delivery"]

_REFILL: Final = 64 * 1024
"""Bytes handed from the outbox to a transport at a time."""


class Delivery:
    """Writes to a transport and knows when that would only pile up.

    Args:
        transport: where bytes go.
        limits: the bounds of the outbox.

    """

    __slots__ = ("_dropped", "_limits", "_outbox", "_transport", "write")

    def __init__(self, transport: Transport, limits: AppLimits) -> None:
        self._transport = transport
        self._limits = limits
        self._outbox: Outbox | None = None
        self._dropped: dict[int, Counter[int]] = {}
        self.write = transport.write
        """Sends ready-made frames now; the fan-out calls it for a connection that is not slow."""

    @property
    def slow(self) -> bool:
        """Whether the connection is backed up."""
        return self._outbox is not None

    def send(self, wire: bytes, now: float) -> None:
        """Send a control in order with what waits. Raises Overfull."""
        self.queue(NOTICE, wire, 0, now) if self._outbox is not None else self.write(wire)

    def queue(self, kind: int, wire: bytes, channel: int, now: float) -> None:
        """Queue one ready-made frame; nothing happens when the connection is not slow. Raises Overfull."""
        if self._outbox is not None:
            self._outbox.push(kind, wire, channel, now)

    def pause(self) -> bool:
        """The connection is backed up from now on; return whether that is news."""
        news = self._outbox is None
        if news:
            self._outbox = Outbox(self._limits.outbox, self._limits.outbox_age, self._dropped)
        return news

    def resume(self, now: float) -> bool:
        """Send what waited until the transport is full again; return whether all of it has gone."""
        outbox = self._outbox
        if outbox is None or outbox.overfull:
            return False
        while outbox and not self._transport.backed_up:
            self.write(outbox.pop(_REFILL, now))
        if outbox or self._transport.backed_up:
            return False
        self._outbox = None
        return True

    def forget(self, channel: int) -> None:
        """Throw away what waits of a channel whose membership has ended, but for its messages."""
        if self._outbox is not None:
            self._outbox.forget(channel)

    def take_drops(self) -> dict[int, dict[str, int]]:
        """Return what was dropped since the last time, by channel number and the kind's name."""
        dropped = {
            channel: {Kind(kind).name.lower(): count for kind, count in counts.items()}
            for channel, counts in self._dropped.items()
        }
        self._dropped.clear()
        return dropped
