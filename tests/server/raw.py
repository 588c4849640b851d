"""A client of the relay, by hand: websockets and sealcast.protocol, no SDK and no cipher."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Ack, Control, Error, Join, Joined, Ping, Place, Pong, Side
from sealcast.protocol.descriptor import Descriptor, streams_of
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

if TYPE_CHECKING:
    from .conftest import Lab

PATIENCE = 10.0
"""Seconds after which something that should have come is missed; no test waits for them to pass."""


class Told(NamedTuple):
    """A control that came in."""

    control: Control
    ref: int


class Frame(NamedTuple):
    """A frame that came in; ``sealed`` is everything from its descriptor on."""

    channel: int
    member: int
    sealed: bytes


class Message(NamedTuple):
    """A delivered message."""

    channel: int
    member: int
    offset: int
    sealed: bytes


Item = Told | Frame | Message
C = TypeVar("C", bound=Control)


def read(data: bytes) -> Item:
    """Take apart what the relay sent."""
    if data[0] == envelope.CONTROL:
        return Told(*controls.decode(data, Side.SERVER))
    head = envelope.decode(data)
    if head.type == envelope.FRAME:
        return Frame(head.channel, head.member, data[head.start :])
    assert head.type == envelope.DELIVERED
    return Message(head.channel, head.member, head.number, data[head.start :])


def sealed(
    kind: Kind,
    counter: int,
    *,
    key_id: int = 0,
    payload: bytes | None = None,
    version: int = 1,
    **described: int,
) -> bytes:
    """Return a descriptor, an SFrame header and random bytes: all that the relay can tell from a frame.

    *described* are other fields of the descriptor.
    """
    described.setdefault("stream", streams_of(kind)[0])
    head = Descriptor(kind, version=version, **described).encode()
    header = encode_header(key_id, counter) if version == 1 else b""
    return head + header + (os.urandom(32) if payload is None else payload)


class Room:
    """One membership, as its member sees it."""

    def __init__(self, name: str, user: str, joined: Joined) -> None:
        self.name = name
        self.user = user
        self.joined = joined
        self.number = joined.channel
        self.member = joined.member
        self.counter = itertools.count()

    def frame(self, kind: Kind = Kind.AUDIO, **how: Any) -> bytes:
        """Return a frame from this member with the next counter."""
        return envelope.frame(self.number, self.member, sealed(kind, next(self.counter), **how))

    def message(self, ref: int, **how: Any) -> bytes:
        """Return a message from this member with the next counter."""
        body = sealed(Kind.MESSAGE, next(self.counter), **how)
        return envelope.message(self.number, self.member, ref, body)


class Client:
    """A connection that speaks sealcast.1 by hand. What nobody asked for waits in ``aside``."""

    def __init__(self, lab: Lab, app_id: str, ws: ClientConnection) -> None:
        self.lab = lab
        self.app_id = app_id
        self.ws = ws
        self.aside: list[Item] = []
        self.refs = itertools.count(1)

    async def receive(self) -> Item:
        """Return what comes next, whatever it is."""
        async with asyncio.timeout(PATIENCE):
            data = await self.ws.recv()
        assert isinstance(data, bytes), "the relay sends binary messages only"
        return read(data)

    async def until(self, wanted: Callable[[Item], bool]) -> Any:
        """Return the next item that is wanted; the others wait in ``aside``."""
        while not wanted(item := await self.receive()):
            self.aside.append(item)
        return item

    async def told(self, kind: type[C]) -> C:
        """Return the next control of this kind."""
        found = await self.until(lambda item: isinstance(item, Told) and isinstance(item.control, kind))
        control: C = found.control
        return control

    async def send(self, control: Control, ref: int | None = None) -> int:
        """Send a control under a fresh ref; return the ref."""
        ref = next(self.refs) if ref is None else ref
        await self.ws.send(controls.encode(control, ref))
        return ref

    async def ask(self, control: Control) -> Control:
        """Send a request and return its answer."""
        ref = await self.send(control)
        answer = await self.until(lambda item: isinstance(item, Told) and item.ref == ref)
        reply: Control = answer.control
        return reply

    async def refused(self, control: Control) -> Error:
        """Send a request that is to be refused; return the refusal."""
        answer = await self.ask(control)
        assert isinstance(answer, Error), answer
        return answer

    async def join(
        self,
        name: str,
        user: str,
        token: str | None = "mint",
        hello: bytes | None = None,
        since: tuple[str, int] | None = None,
        run: bytes | None = None,
        **rights: Any,
    ) -> Room:
        """Join with a token for exactly this; ``rights`` are those of ``lab.token``."""
        if token == "mint":
            token = self.lab.token(name, user, app_id=self.app_id, **rights)
        place = None if since is None else Place(epoch=since[0], offset=since[1])
        answer = await self.ask(Join(channel=name, user=user, token=token, hello=hello, since=place, run=run))
        assert isinstance(answer, Joined), answer
        return Room(name, user, answer)

    async def frame(self, room: Room, kind: Kind = Kind.AUDIO, **how: Any) -> bytes:
        """Send a frame; return what the others are to receive."""
        data = room.frame(kind, **how)
        await self.ws.send(data)
        return data[envelope.FRAME_START :]

    async def message(self, room: Room, **how: Any) -> tuple[bytes, int]:
        """Send a message and wait for its ack; return what the others are to receive, and its offset."""
        ref = next(self.refs)
        data = room.message(ref, **how)
        await self.ws.send(data)
        answer = await self.until(lambda item: isinstance(item, Told) and item.ref == ref)
        assert isinstance(answer.control, Ack), answer
        assert answer.control.channel == room.number
        return data[envelope.MESSAGE_START :], answer.control.offset

    async def settle(self) -> list[Item]:
        """Return all that has come since the last time: it is there when the answer to a ping is."""
        ref = await self.send(Ping())
        await self.until(lambda item: item == Told(Pong(), ref))
        items, self.aside = self.aside, []
        return items

    async def ended(self) -> tuple[int, str]:
        """Read to the end of the connection; return close code and reason."""
        try:
            while True:
                self.aside.append(await self.receive())
        except ConnectionClosed:
            return self.ws.close_code or 0, self.ws.close_reason or ""


class Wire:
    """A socket that a test moves byte by byte. It reads only when told to."""

    def __init__(self, lab: Lab, sock: socket.socket) -> None:
        self.lab = lab
        self.sock = sock
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True
    ) -> None:
        """Send one WebSocket frame; the mask is zero, which is as good as any."""
        await self.send(ws_frame(opcode, payload, fin=fin, masked=masked))

    async def binary(self, payload: bytes) -> None:
        await self.frame(2, payload)

    async def more(self) -> bool:
        """Read what is there; False at the end of the stream, however it came."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            try:
                data = await loop.sock_recv(self.sock, 65536)
            except ConnectionError:
                data = b""
        self.buffer += data
        return bool(data)

    async def rest(self) -> bytes:
        """Return everything up to the end of the stream."""
        while await self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not await self.more():
                raise EOFError
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    async def head(self) -> bytes:
        """Return the head of an HTTP response."""
        while b"\r\n\r\n" not in self.buffer:
            if not await self.more():
                raise EOFError
        end = self.buffer.index(b"\r\n\r\n") + 4
        return await self.exactly(end)

    async def received(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next WebSocket frame; EOFError at the end of the stream."""
        first, length = await self.exactly(2)
        if length >= 126:
            length = int.from_bytes(await self.exactly(2 if length == 126 else 8), "big")
        return first & 15, await self.exactly(length)

    async def ended(self) -> int | None:
        """Read to the end of the connection, answer a close; return its code, if one came."""
        code = None
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                opcode, payload = await self.received()
                if opcode == 8:
                    code = int.from_bytes(payload[:2], "big")
                    await self.frame(8, payload)
        return code

    async def told(self, kind: type[C]) -> tuple[C, int]:
        """Return the next control of this kind, with its ref."""
        while True:
            opcode, payload = await self.received()
            if opcode == 2 and isinstance(item := read(payload), Told) and isinstance(item.control, kind):
                return item.control, item.ref

    async def join(self, name: str, user: str) -> Room:
        join = Join(channel=name, user=user, token=self.lab.token(name, user))
        await self.binary(controls.encode(join, 1))
        joined, _ = await self.told(Joined)
        return Room(name, user, joined)

    def close(self) -> None:
        self.sock.close()


def ws_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """Return a WebSocket frame as a client sends it, masked with zeros."""
    first, mask = bytes(((0x80 if fin else 0) | opcode,)), 0x80 if masked else 0
    if len(payload) < 126:
        length = bytes((mask | len(payload),))
    elif len(payload) < 65536:
        length = bytes((mask | 126,)) + len(payload).to_bytes(2, "big")
    else:
        length = bytes((mask | 127,)) + len(payload).to_bytes(8, "big")
    return first + length + (bytes(4) if masked else b"") + payload


def request(path: str, *lines: str, subprotocol: str = "sealcast.1") -> bytes:
    """Return a WebSocket handshake request."""
    offered = (f"Sec-WebSocket-Protocol: {subprotocol}",) if subprotocol else ()
    head = (
        f"GET {path} HTTP/1.1",
        "Host: relay",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *offered,
        *lines,
    )
    return "\r\n".join((*head, "", "")).encode("latin-1")
