"""A relay in the middle: a WebSocket proxy before the real one that understands sealcast.1 and obeys a test.

Every connection of a client is one ``Wire``. What the relay sends down it is read (envelope,
descriptor, SFrame header, controls), goes through the wire's rule, and comes out as that says. What the
client sends up is kept, in the words of ``Sent``, and reaches the relay unchanged: what a client does is
its own. Only directs to members that the middle has invented end here, and are answered for the relay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sealcast.protocol import controls, envelope
from sealcast.protocol.descriptor import BYTES, Descriptor
from sealcast.protocol.descriptor import decode as read_descriptor
from sealcast.protocol.names import SUBPROTOCOL, Kind
from sealcast.protocol.sframe import read_header

__all__ = ["Middle", "Passing", "Rule", "Sent", "Wire"]

_OPTIONS: dict[str, Any] = {
    "subprotocols": [SUBPROTOCOL],
    "compression": None,
    "max_size": None,
    "ping_interval": None,
    "close_timeout": 0.5,
}
_TURNS = 25
"""Turns of the loop in which everything that is ready in this process has been done."""


class Passing:
    """One message on its way down, taken apart as far as a relay can."""

    __slots__ = ("control", "data", "descriptor", "head", "ref", "sealed")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.control: controls.Control | None = None
        self.ref = 0
        self.head: envelope.Envelope | None = None
        self.sealed = b""
        self.descriptor: Descriptor | None = None
        if data[0] == envelope.CONTROL:
            self.control, self.ref = controls.decode(data, controls.Side.SERVER)
        else:
            self.head = envelope.decode(data)
            self.sealed = data[self.head.start :]
            self.descriptor = read_descriptor(self.sealed[:BYTES])

    @property
    def member(self) -> int | None:
        """Whose it is: of frames and messages the sender, of controls the member that they are about."""
        return self.head.member if self.head is not None else getattr(self.control, "member", None)

    @property
    def kind(self) -> Kind | None:
        """The kind of a frame or message."""
        return None if self.descriptor is None else self.descriptor.kind

    @property
    def header(self) -> tuple[int, int, int]:
        """The key id and counter of a frame, and where its ciphertext begins."""
        return read_header(self.sealed, BYTES)

    def holding(self, sealed: bytes) -> bytes:
        """Return the same message with another ``D | SFrame``."""
        assert self.head is not None
        return self.data[: self.head.start] + sealed

    def under(self, member: int, *, channel: int | None = None, offset: int | None = None) -> bytes:
        """Return the same frame, message or direct under another envelope."""
        if isinstance(self.control, controls.Directed):
            where = self.control.channel if channel is None else channel
            return controls.encode(controls.Directed(channel=where, member=member, data=self.control.data))
        assert self.head is not None
        where = self.head.channel if channel is None else channel
        if self.head.type == envelope.FRAME:
            return envelope.frame(where, member, self.sealed)
        place = self.head.number if offset is None else offset
        return envelope.delivered(where, member, place, self.sealed)


Rule = Callable[[Passing], Iterable[bytes]]
"""Says what a client gets in place of a message: nothing, the message, others."""


class Sent(NamedTuple):
    """Something that a client did, as the relay sees it: when, what, and how large."""

    at: float
    what: str
    size: int


class Wire:
    """One client's connection, in the hands of the middle."""

    def __init__(self, middle: Middle, near: ServerConnection, far: ClientConnection) -> None:
        self._middle = middle
        self._near = near
        self._far = far
        self.user = ""
        """Who joined on it."""
        self.channel = 0
        self.member = 0
        """The numbers that the relay gave the client, of the channel that it joined last."""
        self.members: dict[int, str] = {}
        """The others whom the relay has announced on it."""
        self.tape: list[Passing] = []
        """What the relay sent, as it sent it."""
        self.rule: Rule | None = None
        """Applied to what the relay sends; None lets it pass."""

    def number(self, user: str) -> int:
        """Return the latest member number that the relay has announced for a user."""
        return next(number for number, name in reversed(self.members.items()) if name == user)

    def of(self, user: str) -> list[Passing]:
        """Return the frames, messages and directs of a user that the relay has sent."""
        number = self.number(user)
        return [
            passing
            for passing in self.tape
            if passing.member == number and (passing.head or isinstance(passing.control, controls.Directed))
        ]

    def hello(self, user: str) -> bytes:
        """Return the hello that the relay has announced for a user."""
        infos: list[controls.MemberInfo | controls.MemberJoined] = []
        for passing in self.tape:
            if isinstance(passing.control, controls.Joined):
                infos += passing.control.members
            elif isinstance(passing.control, controls.MemberJoined):
                infos.append(passing.control)
        hello = next(info.hello for info in reversed(infos) if info.user == user)
        assert hello is not None
        return hello

    async def put(self, *messages: bytes) -> None:
        """Send these to the client, as if the relay had."""
        with contextlib.suppress(ConnectionClosed):
            for data in messages:
                await self._near.send(data)

    def cut(self) -> None:
        """Break the connection, without a farewell."""
        self._near.transport.abort()

    async def carry(self) -> None:
        """Pass messages on in both directions until either side ends it."""
        pumps = [asyncio.create_task(pump()) for pump in (self._pump_up, self._pump_down)]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for outcome in await asyncio.gather(*pumps, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def fence(self) -> None:
        """Return when both ends have read all that was sent to them before this."""
        with contextlib.suppress(ConnectionClosed):
            pongs = [await end.ping() for end in (self._near, self._far)]
            await asyncio.gather(*pongs)

    async def _pump_down(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self._far:
                assert isinstance(data, bytes), "the relay sends binary messages only"
                self._middle.passed += 1
                passing = Passing(data)
                self.tape.append(passing)
                self._note(passing.control)
                for out in [data] if self.rule is None else self.rule(passing):
                    await self._near.send(out)

    def _note(self, control: controls.Control | None) -> None:
        if isinstance(control, controls.Joined):
            self.channel, self.member = control.channel, control.member
            self.members |= {info.member: info.user for info in control.members}
        elif isinstance(control, controls.MemberJoined):
            self.members[control.member] = control.user

    async def _pump_up(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self._near:
                assert isinstance(data, bytes), "the SDK sends binary messages only"
                self._middle.passed += 1
                self._middle.heard.append(data)
                control, ref = None, 0
                if data[0] == envelope.CONTROL:
                    control, ref = controls.decode(data, controls.Side.CLIENT)
                if isinstance(control, controls.Join):
                    self.user = control.user
                    self.rule = self.rule or self._middle.rules.get(control.user)
                # Tokens are compressed, so their sizes vary.
                size = len(control.hello or b"") if isinstance(control, controls.Join) else len(data)
                self._middle.note(self, self._word(data, control), size)
                if isinstance(control, controls.Direct) and control.member in self._middle.invented:
                    await self.put(controls.encode(controls.Sent(channel=control.channel), ref))
                else:
                    await self._far.send(data)

    def _word(self, data: bytes, control: controls.Control | None) -> str:
        """Say what a client has sent: all that the relay can tell from it, but no number that chance made."""
        if isinstance(control, controls.Direct):
            invented = control.member in self._middle.invented
            receiver = "an invented member" if invented else self.members[control.member]
            return f"direct {control.data[0]} to {receiver}"
        if control is not None:
            return control.NAME
        head = envelope.decode(data)
        descriptor = read_descriptor(data[head.start : head.start + BYTES])
        kid, ctr, _ = read_header(data, head.start + BYTES)
        what = "message" if head.type == envelope.MESSAGE else "frame"
        sealed = "" if descriptor.sealed else " IN CLEAR"
        return f"{what} {descriptor.kind.name.lower()} {kid:04x} #{ctr} flags {descriptor.flags:02x}{sealed}"


class Middle:
    """All wires of the clients that were given its address.

    Args:
        port: where the real relay listens on the loopback.

    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: Server | None = None
        self._loop = asyncio.get_running_loop()
        self.url = ""
        self.wires: list[Wire] = []
        self.rules: dict[str, Rule] = {}
        """By user: the rule of a connection from its join on."""
        self.passed = 0
        """Messages in both directions."""
        self.heard: list[bytes] = []
        """What the clients have sent."""
        self.sent: dict[str, list[Sent]] = {}
        """What each user's client has done, its connections and all."""
        self.invented: set[int] = set()
        """Member numbers that the real relay does not know."""
        self.closed = 0
        """Connections that have ended."""
        self.started = self._loop.time()
        """By the loop's clock."""

    async def start(self) -> None:
        """Listen."""
        # websockets would log what a test breaks on purpose.
        self._server = await serve(self._carry, "127.0.0.1", 0, **_OPTIONS)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Cut everything."""
        assert self._server is not None
        for wire in self.wires:
            wire.cut()
        self._server.close()
        await self._server.wait_closed()

    def wire(self, user: str) -> Wire:
        """Return the latest connection of a user."""
        return next(wire for wire in reversed(self.wires) if wire.user == user)

    def note(self, wire: Wire, what: str, size: int) -> None:
        """Note what a client did."""
        self.sent.setdefault(wire.user, []).append(Sent(self._loop.time(), what, size))

    async def settle(self) -> None:
        """Return when nothing is under way any more: everybody has read everything and has done with it.

        The first quiet round lets what is ready in this process happen, the second one finds what it
        has written.
        """
        quiet = 0
        while quiet < 2:
            before = self.passed, self.closed, len(self.wires)
            await asyncio.gather(*(wire.fence() for wire in self.wires))
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            quiet = quiet + 1 if (self.passed, self.closed, len(self.wires)) == before else 0

    async def _carry(self, near: ServerConnection) -> None:
        assert near.request is not None
        address = f"ws://127.0.0.1:{self._port}{near.request.path}"
        async with connect(address, proxy=None, **_OPTIONS) as far:
            wire = Wire(self, near, far)
            self.wires.append(wire)
            try:
                await wire.carry()
            finally:
                self.closed += 1
                self.note(wire, "closed", 0)
