"""One WebSocket connection: an ``asyncio.Protocol`` around websockets' sans-I/O ``ServerProtocol``.

The library does the handshake, framing, masking, control frames, closing and size limits (RFC 6455); this
shell feeds it and owns the write path, so that ready-made frames are shared by all receivers. No task, no
timer and no queue per connection. Compression is never negotiated: ciphertext does not compress.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from sealcast.protocol.names import SUBPROTOCOL

from ..clock import Clock, TimingWheel
from ..interfaces import Receiver

__all__ = ["Connection", "Door"]

_HIGH_WATER: Final = 64 * 1024
_NOTSENT_LOWAT: Final = 128 * 1024
_BINARY, _TEXT, _CONT, _CLOSE = Opcode.BINARY, Opcode.TEXT, Opcode.CONT, Opcode.CLOSE

# The library logs tracebacks and peers' bytes; this process writes its own lines.
_SILENT = logging.getLogger("sealcast.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class Door:
    """What a connection asks of its listener, before and after the handshake."""

    clock: Clock
    wheel: TimingWheel
    handshake: float
    """Seconds that a handshake may take."""
    close: float
    """Seconds that a closing connection may linger."""

    def opened(self, connection: Connection) -> None:
        """Note a connection whose handshake has begun."""
        raise AssertionError

    def judge(self, connection: Connection, request: Request) -> tuple[HTTPStatus, str] | int:
        """Say how to answer a handshake: a refusal, or the largest message that will be accepted."""
        raise AssertionError

    def accept(self, connection: Connection, request: Request) -> Receiver:
        """Make the core of a connection whose handshake is done."""
        raise AssertionError

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        raise AssertionError


class _ServerProtocol(ServerProtocol):
    """Closes with our codes where the library would use its own."""

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection (RFC 6455 §7.1.7) with the end code that stands for the cause."""
        if code == 1009:
            super().fail(4503, "too_big")
        elif code in (1002, 1007):
            super().fail(4501, "protocol_error")
        else:
            super().fail(code, reason)


class Connection(asyncio.Protocol):
    """One TCP connection, from the first byte of its handshake to its end."""

    __slots__ = (
        "_close_code",
        "_door",
        "_message",
        "_protocol",
        "_receiver",
        "_transport",
        "_write",
        "address",
        "backed_up",
        "due",
    )

    def __init__(self, door: Door) -> None:
        self._door = door
        self._receiver: Receiver | None = None
        self._message: bytearray | None = None
        self._close_code: int | None = None
        self.backed_up = False
        self.due: float | None = None
        self.address = ""

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self._receiver is not None

    @property
    def receiver(self) -> Receiver | None:
        """The core, once the handshake is done."""
        return self._receiver

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake's time."""
        self._transport = cast(asyncio.Transport, transport)
        self._write: Callable[[bytes], None] = self._transport.write
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Keeps the kernel from hiding a backlog from us: what it has not sent is bounded.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)
        self._protocol = _ServerProtocol(subprotocols=[SUBPROTOCOL], logger=_SILENT)  # type: ignore[list-item]
        self._door.wheel.schedule(self, self._door.clock.monotonic() + self._door.handshake)
        self._door.opened(self)

    def data_received(self, data: bytes) -> None:
        """Feed the library and pass on what it made of it."""
        protocol = self._protocol
        protocol.receive_data(data)
        receiver = self._receiver
        if receiver is not None:
            receiver.heard()
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            else:
                self._request(event)
        self._flush()

    def eof_received(self) -> None:
        """The peer has finished sending: so have we."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the core, once."""
        self._door.wheel.schedule(self, None)
        self._door.closed(self)
        if self._receiver is not None:
            self._receiver.lost(self._close_code)

    def pause_writing(self) -> None:
        """The transport's buffer is over its high-water mark."""
        self.backed_up = True
        if self._receiver is not None:
            self._receiver.pause()

    def resume_writing(self) -> None:
        """The transport's buffer has gone out."""
        self.backed_up = False
        if self._receiver is not None:
            self._receiver.resume()

    # --- the wheel's side ---

    def on_time(self, now: float) -> float | None:
        """The handshake, or the close, took too long."""
        self._transport.abort()
        return None

    # --- the core's side ---

    def write(self, data: bytes) -> None:
        """Send ready-made WebSocket frames. Never blocks; bytes after a close are dropped."""
        if self._protocol.state is State.OPEN:
            self._write(data)

    def ping(self) -> None:
        """Send a WebSocket ping."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the connection is cut when the peer does not finish it in time."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
        self._linger()

    def abort(self) -> None:
        """Cut the connection now."""
        self._transport.abort()

    # --- inside ---

    def _request(self, request: Request | Response) -> None:
        assert isinstance(request, Request)
        protocol = self._protocol
        verdict = self._door.judge(self, request)
        if isinstance(verdict, int):
            protocol.max_message_size = verdict
            response = protocol.accept(request)
            if response.status_code == 101 and protocol.subprotocol is None:
                response = protocol.reject(
                    HTTPStatus.BAD_REQUEST, f"offer the WebSocket subprotocol {SUBPROTOCOL}\n"
                )
        else:
            response = protocol.reject(*verdict)
            if verdict[0] is HTTPStatus.SERVICE_UNAVAILABLE:
                response.headers["Retry-After"] = "5"
        protocol.send_response(response)
        self._flush()
        if protocol.state is State.OPEN:
            self._door.wheel.schedule(self, None)
            self._receiver = self._door.accept(self, request)
            # The library's parser holds on to the request for the connection's life: 2 KiB that nobody reads.
            request.headers.clear()

    def _frame(self, frame: Frame) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        opcode = frame.opcode
        if opcode is _BINARY and frame.fin:
            receiver.receive(cast(bytes, frame.data))
        elif opcode is _BINARY:
            self._message = bytearray(frame.data)
        elif opcode is _CONT:
            self._continue(frame, receiver)
        elif opcode is _TEXT:
            receiver.refuse("text_refused")
        elif opcode is _CLOSE and self._protocol.close_rcvd is not None:
            self._close_code = self._protocol.close_rcvd.code

    def _continue(self, frame: Frame, receiver: Receiver) -> None:
        # The library has checked that the sum stays within the size limit.
        if self._message is None:
            return
        self._message += frame.data
        if frame.fin:
            data, self._message = bytes(self._message), None
            receiver.receive(data)

    def _flush(self) -> None:
        """Write what the library has to say; it says b"" for the end of the stream."""
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
            else:
                self._linger()
                # Closes when the buffer has gone out; the wheel cuts a peer that does not read.
                self._transport.close()
        if self._protocol.close_expected() and self.due is None:
            self._linger()

    def _linger(self) -> None:
        if self.due is None:
            self._door.wheel.schedule(self, self._door.clock.monotonic() + self._door.close)
