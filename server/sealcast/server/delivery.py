"""The way out to one connection: straight to its transport, or through an outbox while it is backed up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sealcast.protocol.controls import Dropped

from .config import AppLimits
from .drops import Drops
from .interfaces import NOTICE, Transport
from .metrics import Metrics
from .outbox import Outbox
from .shedding import Gates, Waiting

__all__ = ["Delivery", "Overfull"]

_REFILL: Final = 64 * 1024
"""Bytes handed from the outbox to a transport at a time."""


class Overfull(Exception):
    """What may not be dropped does not fit: the connection must end."""


class Delivery:
    """Writes to a transport and knows when that would only pile up.

    A connection that was backed up is *slow* until all that waited has gone out and no stream waits for
    a keyframe: frames that it could not decode are not for it.

    Args:
        transport: where bytes go.
        limits: the bounds of the outbox.
        metrics: where drops are counted.

    """

    __slots__ = ("_drops", "_gates", "_limits", "_metrics", "_outbox", "_transport", "write")

    def __init__(self, transport: Transport, limits: AppLimits, metrics: Metrics) -> None:
        self._transport = transport
        self._limits = limits
        self._metrics = metrics
        # Most connections are never slow: what only those need is made then.
        self._outbox: Outbox | None = None
        self._gates: Gates | None = None
        self._drops: Drops | None = None
        self.write = transport.write
        """Sends ready-made frames now; the fan-out calls it for a connection that is not slow."""

    @property
    def slow(self) -> bool:
        """Whether the connection is off the shared path."""
        return self._outbox is not None

    @property
    def owed(self) -> int:
        """Bytes of answers that wait: whoever sends large ones keeps this within bounds."""
        return 0 if self._outbox is None else self._outbox.owed

    def send(self, wire: bytes, now: float, *, answer: bool = False) -> bool:
        """Send a control in order with what waits; return whether the connection is not slow any more.

        An *answer* is what the member has asked for and may not be dropped, however large.

        Raises:
            Overfull: there is no room for it.

        """
        if self._outbox is None:
            self.write(wire)
            return False
        item = Waiting.answer(wire, now) if answer else Waiting(NOTICE, wire, 0, now)
        return self.queue((item,), now)

    def queue(self, items: Iterable[Waiting], now: float) -> bool:
        """Send frames as the policies allow; return whether the connection is not slow any more.

        Nothing happens when it is not slow.

        Raises:
            Overfull: there is no room for what may not be dropped.

        """
        outbox = self._outbox
        if outbox is None:
            return False
        for item in items:
            outbox.push(item, now)
        if outbox.overfull:
            raise Overfull
        return self._drain(outbox, now)

    def pause(self) -> bool:
        """The connection is backed up from now on; return whether that is news."""
        news = self._outbox is None
        if news:
            if self._gates is None or self._drops is None:
                self._gates, self._drops = Gates(), Drops(self._metrics)
            self._outbox = Outbox(self._limits.outbox, self._limits.outbox_age, self._gates, self._drops)
        return news

    def resume(self, now: float) -> bool:
        """Send what waited until the transport is full again; return whether it is not slow any more."""
        if self._drops is not None:
            self._drops.hasten()
        return self._outbox is not None and self._drain(self._outbox, now)

    def _drain(self, outbox: Outbox, now: float) -> bool:
        if outbox.overfull:
            return False
        while outbox and not self._transport.backed_up:
            data = outbox.pop(_REFILL, now)
            if data:
                self.write(data)
        if outbox or self._transport.backed_up or (self._gates is not None and not self._gates.settle(now)):
            return False
        self._outbox = None
        return True

    def forget(self, channel: int) -> None:
        """Throw away what waits of a channel whose membership has ended, but for its messages."""
        if self._gates:
            self._gates.forget(channel)
        if self._outbox is not None:
            self._outbox.forget(channel)
        if self._drops is not None:
            self._drops.forget(channel)

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        """Return the frames of a channel that were dropped, by kind and reason."""
        return {} if self._drops is None else self._drops.of(channel)

    def close(self) -> None:
        """Count what waited as dropped: the connection is gone."""
        if self._outbox is not None:
            self._outbox.close()

    def due(self) -> float | None:
        """Return when there are drops to tell, in monotonic seconds; None while it is backed up."""
        return None if self._drops is None or self._transport.backed_up else self._drops.due()

    def report(self, now: float) -> list[Dropped]:
        """Return what tells the member of its drops, if it is time: once a second, and after a backlog."""
        return [] if self._drops is None else self._drops.report(now)
