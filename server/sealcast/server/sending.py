"""The sending half of a session: controls in order with frames, the slow path, and what is told of drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control
from sealcast.protocol.session import Machine

from .config import AppLimits
from .delivery import Delivery, Overfull
from .fanout import frame_header
from .hub import Hub
from .interfaces import Transport
from .member import Member
from .shedding import Waiting

__all__ = ["Sending"]


class Sending:
    """What goes out on one connection.

    Args:
        hub: the process's registry.
        transport: the way out.
        machine: what may be said when.
        limits: the bounds of what waits.

    """

    __slots__ = (
        "_delivery",
        "_holds",
        "_hub",
        "_machine",
        "_members",
        "_transport",
        "closing",
        "due",
        "write",
    )

    def __init__(self, hub: Hub, transport: Transport, machine: Machine, limits: AppLimits) -> None:
        self.due: float | None = None
        self.closing: Code | None = None
        """Why this side ended the connection, once it has."""
        self._hub = hub
        self._transport = transport
        self._machine = machine
        self._members: dict[int, Member] = {}
        self._holds = 0
        self._delivery = Delivery(transport, limits, hub.metrics)
        self.write = self._delivery.write

    def on_time(self, now: float) -> float | None:
        """Do what is due; called by the wheel."""
        raise AssertionError

    def refuse(self, name: str) -> None:
        """End the connection with this end code."""
        raise AssertionError

    def tell(self, control: Control, ref: int = 0) -> None:
        """Send a control, in order with what waits."""
        if self.closing is None:
            self._send(self._encoded(control, ref), answer=False)

    def _answer(self, control: Control, ref: int, more: bytes = b"") -> None:
        """Answer a request with what may be large, and ready-made WebSocket frames behind it."""
        if self.closing is None:
            self._send(self._encoded(control, ref) + more, answer=True)

    def _encoded(self, control: Control, ref: int) -> bytes:
        data = self._machine.send(control, self._hub.clock.monotonic(), ref)
        return frame_header(len(data)) + data

    def _send(self, wire: bytes, *, answer: bool) -> None:
        try:
            if self._delivery.send(wire, self._hub.clock.monotonic(), answer=answer):
                self._keeps_up()
        except Overfull:
            self._hub.call_soon(self._end_slow)

    def queue(self, items: Sequence[Waiting]) -> None:
        """Take what is for a connection that is slow; it is dropped or sent as the policies say."""
        if self.closing is not None:
            return
        now = self._hub.clock.monotonic()
        try:
            if self._delivery.queue(items, now):
                self._keeps_up()
        except Overfull:
            # A channel is fanning out right now: its members must not change under it.
            self._hub.call_soon(self._end_slow)
        else:
            if not self._transport.backed_up:
                self._report_drops(now)

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        """Return the frames of a channel that were dropped, by kind and reason."""
        return self._delivery.drops(channel)

    def hold(self) -> None:
        """Read nothing from the peer until ``release``; calls are counted."""
        self._holds += 1
        if self._holds == 1:
            self._transport.hold()

    def release(self) -> None:
        """Read from the peer again."""
        self._holds -= 1
        if not self._holds:
            self._transport.release()

    def pause(self) -> None:
        """The peer does not keep up: leave the shared path in every channel."""
        if self._delivery.pause():
            for member in self._members.values():
                member.channel.slow(member)

    def resume(self) -> None:
        """The backlog has gone out: send what waited, and return to the shared path when all has gone."""
        if self.closing is not None:
            return
        now = self._hub.clock.monotonic()
        if self._delivery.resume(now):
            self._keeps_up()
        self._report_drops(now)

    def _keeps_up(self) -> None:
        for member in self._members.values():
            member.channel.fast(member)

    def _end_slow(self) -> None:
        self.refuse("slow_consumer")

    def _report_drops(self, now: float) -> None:
        for control in self._delivery.report(now):
            if control.channel in self._members:
                self.tell(control)
        self._hub.wheel.sooner(self, self._delivery.due())
