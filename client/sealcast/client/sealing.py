"""What drives a channel's encryption: the loop's clock, the connection of the moment, the application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sealcast.protocol import controls
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .alarm import Alarm
from .e2ee import ChannelCrypto, ControlFrame
from .errors import SealError

if TYPE_CHECKING:
    from .e2ee import RefusedMember
    from .membership import Route
    from .reception import Reception

__all__ = ["Clocked", "Sealing"]


class Clocked:
    """Who is there, told to the encryption with the time."""

    __slots__ = ("_crypto", "_loop")

    def __init__(self, crypto: ChannelCrypto) -> None:
        self._crypto = crypto
        self._loop = asyncio.get_running_loop()

    def joined(self, roster: Iterable[tuple[int, str, bytes | None]]) -> list[RefusedMember]:
        """Replace the roster; return whose hello is refused."""
        return self._crypto.joined(roster, self._loop.time())

    def add_member(self, member: int, user: str, hello: bytes | None) -> None:
        """Add one member; raises HelloRefused."""
        self._crypto.add_member(member, user, hello, self._loop.time())

    def remove_member(self, member: int) -> None:
        """Remove one member."""
        self._crypto.remove_member(member, self._loop.time())


class Sealing:
    """Carries out what a channel's encryption wants, whenever something has stirred it.

    Args:
        crypto: the encryption.
        reception: delivers what had to wait, and tells what happened.
        route: how to send at present; None while there is no way.

    """

    __slots__ = ("_alarm", "_crypto", "_loop", "_reception", "_route")

    def __init__(
        self, crypto: ChannelCrypto, reception: Reception, route: Callable[[], Route | None]
    ) -> None:
        self._crypto = crypto
        self._reception = reception
        self._route = route
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._on_time)

    def seal(self, descriptor: Descriptor, payload: bytes) -> bytes:
        """Seal a frame or message; what has to go out before it is queued by then."""
        self._catch_up()
        frame = self._crypto.seal(descriptor, payload)
        if descriptor.kind is Kind.MESSAGE:
            self._crypto.hasten()
        if self._crypto.stirred:
            self.settle()
        return frame

    def seal_value(self, label: bytes, data: bytes, most: int) -> bytes:
        """Seal what is set for all to see; see ``ChannelCrypto.seal_value``."""
        self._catch_up()
        value = self._crypto.seal_value(label, data, most)
        if self._crypto.stirred:
            self.settle()
        return value

    def _catch_up(self) -> None:
        due = self._alarm.due
        if due is not None and due <= self._loop.time():
            # The loop is late. What is due may be another key, so that who left does not have this one.
            self._alarm.ring()

    def part(self) -> None:
        """Send what the others need for what they were sent last: nothing comes after it."""
        self._crypto.hasten()
        with contextlib.suppress(SealError):  # a context that is dead has nothing to send
            self.settle()

    def set_key(self, epoch: int, secret: bytes) -> None:
        """Take the application's secret for an epoch."""
        self._crypto.set_key(epoch, secret, self._loop.time())
        self.settle()

    def rotate(self, secret: bytes) -> int:
        """Take the application's secret for the next epoch; return its number."""
        epoch = self._crypto.rotate(secret, self._loop.time())
        self.settle()
        return epoch

    def reconsider(self, roster: Iterable[tuple[int, str, bytes | None]]) -> list[int]:
        """Ask again about members that were not trusted; return who is admitted now."""
        admitted = self._crypto.reconsider(roster, self._loop.time())
        self.settle()
        return admitted

    def directed(self, directed: controls.Directed) -> None:
        """Take what another member sent to this one alone."""
        try:
            self._crypto.receive_direct(directed.member, directed.data, self._loop.time())
        except SealError as error:
            self._reception.refused_direct(directed.member, error)
        self.settle()

    def settle(self) -> None:
        """Send what wants to be sent, deliver what has waited, and set the clock."""
        now = self._loop.time()
        self._reception.settle()
        route = self._route()
        if route is None:
            self.stop()
            return
        for item in self._crypto.outgoing(now):
            if isinstance(item, ControlFrame):
                route.link.send_frame(route.channel, route.member, item.data)
            else:
                direct = controls.Direct(channel=route.channel, member=item.member, data=item.data)
                route.link.directs.put(direct, lambda: self._route() is route)
        self._alarm.set(self._crypto.next_timeout())

    def stop(self) -> None:
        """Let no time pass: there is no connection, or no membership any more."""
        self._alarm.set(None)

    def _on_time(self) -> None:
        self._crypto.handle_timeout(self._loop.time())
        self.settle()
