"""One WebSocket connection: an ``asyncio.Protocol`` around websockets' sans-I/O ``ServerProtocol``.

The library does the handshake, framing, masking, control frames, closing and size limits (RFC 6455); this
shell feeds it and owns the write path, so that ready-made frames are shared by all receivers. No task, no
timer and no queue per connection. Compression is never negotiated: ciphertext does not compress.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from sealcast.protocol.codes import end
from sealcast.protocol.controls import CLIENT_CONTROL_MAX
from sealcast.protocol.names import SUBPROTOCOL

from ..interfaces import Receiver
from .door import Door, peer_of
from .lane import frame_size, take

__all__ = ["Connection"]

_HEAD_MAX: Final = 16 * 1024
"""Bytes of a handshake request. The library takes 128 header lines of 8 KiB each, from anybody."""
_UNADMITTED_MAX: Final = CLIENT_CONTROL_MAX
"""The largest message of a peer that is not a member of anything: it has only controls to send."""
_HIGH_WATER: Final = 64 * 1024
_NOTSENT_LOWAT: Final = 128 * 1024
_BINARY, _TEXT, _CONT, _CLOSE = Opcode.BINARY, Opcode.TEXT, Opcode.CONT, Opcode.CLOSE

_HEAD_TOO_LARGE: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"a handshake has at most {_HEAD_MAX} bytes\n",
)

# The library logs tracebacks and peers' bytes; this process writes its own lines.
_SILENT = logging.getLogger("sealcast.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


def _discard(data: bytes) -> None:
    """Write to nowhere."""


_GONE: Final = asyncio.Protocol()
"""Has what is left of a connection that was not taken at all."""


_FAILURES: Final = {1002: "protocol_error", 1007: "protocol_error", 1009: "too_big", 1011: "internal_error"}
"""The library's close codes, and the names of the end codes that stand for the same causes."""


class _ServerProtocol(ServerProtocol):
    """Closes with our codes where the library would use its own, and does not answer every ping."""

    failure = ""
    """The name of the end code for which the library gave the connection up."""
    pong: Frame | None = None
    """The answer to the newest ping, which is the only one that has to be answered (RFC 6455 §5.5.3).

    Answering all of them would let a peer fill the transport's buffer that never reads from it.
    """

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection (RFC 6455 §7.1.7) with the end code that stands for the cause."""
        name = _FAILURES.get(code)
        if name is None:
            super().fail(code, reason)
        else:
            self.failure = name
            super().fail(end(name).number, name)

    def send_frame(self, frame: Frame) -> None:
        """Keep a pong back until ``answer_ping``; send everything else."""
        if frame.opcode is Opcode.PONG:
            self.pong = frame
        else:
            super().send_frame(frame)

    def answer_ping(self) -> None:
        """Send the pong that is due, unless the connection has been closed since."""
        frame, self.pong = self.pong, None
        if frame is not None and self.state is State.OPEN:
            super().send_frame(frame)


class Connection(asyncio.Protocol):
    """One TCP connection, from the first byte of its handshake to its end."""

    __slots__ = (
        "_close_code",
        "_door",
        "_head",
        "_largest",
        "_message",
        "_owed",
        "_protocol",
        "_receiver",
        "_rest",
        "_transport",
        "_write",
        "address",
        "backed_up",
        "due",
        "key",
        "offence",
    )

    def __init__(self, door: Door, address: str = "") -> None:
        self._door = door
        self._receiver: Receiver | None = None
        self._head: bytearray | None = bytearray()
        """What has come of the handshake's request; None when it has been judged."""
        self._largest = 0
        """The largest message that a member may send."""
        self._message: bytearray | None = None
        self._owed = 0
        """Bytes still to come of a frame that the library has begun to read."""
        self._rest = b""
        """A frame header that has not come whole."""
        self._close_code: int | None = None
        self.backed_up = False
        self.due: float | None = None
        self.address = address
        """Where it comes from; by default the peer of the transport."""
        self.key = ""
        """What the listener counts it under, once it is accepted."""
        self.offence = "unfinished_handshake"
        """What it is to be blamed for if it ends now; empty for nothing."""

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
        if not self.address:
            self.address = peer_of(transport)
        if not self._door.opened(self):
            transport.set_protocol(_GONE)
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Keeps the kernel from hiding a backlog from us: what it has not sent is bounded.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)
        self._protocol = _ServerProtocol(subprotocols=[SUBPROTOCOL], logger=_SILENT)  # type: ignore[list-item]
        self._door.wheel.schedule(self, self._door.clock.monotonic() + self._door.handshake)

    def data_received(self, data: bytes) -> None:
        """Pass on whole binary messages; let the library read everything else."""
        receiver = self._receiver
        if receiver is None:
            data = self._shake_hands(data)
            receiver = self._receiver
            if receiver is None or not data:
                return
        receiver.heard()
        protocol = self._protocol
        at = 0
        if not (self._owed or self._rest) and protocol.current_size is None and protocol.state is State.OPEN:
            messages, at = take(data, 0, protocol.max_message_size or 0)
            for message in messages:
                receiver.receive(message)
            if at == len(data):
                return  # the usual end: the library was asked nothing, and has nothing to say
        self._read_rest(data, at, receiver)
        self._flush()

    def eof_received(self) -> None:
        """The peer has finished sending: so have we."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the core, once."""
        self._write = _discard  # the end of a turn may still have something for this connection
        self._door.wheel.schedule(self, None)
        self._door.closed(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(self._close_code)
        # Without these circles the connection and its session are freed here and now, and the
        # collector's pauses do not grow with the number of connections that come and go.
        self._protocol.parser = iter(())  # type: ignore[assignment]
        self._protocol.parser_exc = None

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
        self._flush()

    # --- the wheel's side ---

    def on_time(self, now: float) -> float | None:
        """The handshake, or the close, took too long."""
        if self.offence:
            self.offence = "slow_handshake"
        self._transport.abort()
        return None

    # --- the core's side ---

    def write(self, data: bytes) -> None:
        """Send ready-made WebSocket frames. Never blocks; bytes after a close are dropped."""
        if self._protocol.state is State.OPEN:
            self._write(data)

    def hold(self) -> None:
        """Read nothing from the peer; what has been read is still passed on."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        """Read from the peer again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

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

    def admitted(self) -> None:
        """Accept messages as large as a member's from now on."""
        self._protocol.max_message_size = self._largest

    def abort(self) -> None:
        """Cut the connection now."""
        self._transport.abort()

    # --- inside ---

    def _shake_hands(self, data: bytes) -> bytes:
        """Collect the request, judge it when it is complete, and return what came after it.

        A client has to wait for the answer. The library would read on, as frames, before we have said
        whether there are to be any.
        """
        head = self._head
        if head is None:
            return b""
        start = max(len(head) - 3, 0)
        head += data
        size = head.find(b"\r\n\r\n", start) + 4
        if size > _HEAD_MAX or (size < 4 and len(head) > _HEAD_MAX):
            self._head = None
            self.offence = "bad_handshake"
            self._respond(self._protocol.reject(*_HEAD_TOO_LARGE))
        elif size >= 4:
            self._head = None
            self.offence = "bad_handshake"
            self._protocol.receive_data(bytes(head[:size]))
            for request in cast(list[Request], self._protocol.events_received()):
                self._request(request)
            self._flush()
            return bytes(head[size:])
        elif not head[:1].isalpha():
            self.offence = "not_http"
            self._transport.abort()  # not HTTP, perhaps TLS: nothing that we could answer would be understood
        return b""

    def _request(self, request: Request) -> None:
        protocol = self._protocol
        verdict = self._door.judge(self, request)
        if isinstance(verdict, int):
            self._largest = verdict
            protocol.max_message_size = min(verdict, _UNADMITTED_MAX)
            response = protocol.accept(request)
        else:
            self.offence = ""
            response = protocol.reject(verdict.status, verdict.text)
            if verdict.retry_after is not None:
                response.headers["Retry-After"] = str(max(1, math.ceil(verdict.retry_after)))
        self._respond(response)
        if protocol.state is State.OPEN:
            self.offence = ""
            self._door.wheel.schedule(self, None)
            self._receiver = self._door.accept(self, request)
            # The library's parser holds on to the request for the connection's life: 2 KiB that nobody reads.
            request.headers.clear()

    def _read_rest(self, data: bytes, at: int, receiver: Receiver) -> None:
        """Read on where something else than a whole binary message begins, or goes on."""
        protocol = self._protocol
        if self._rest:
            data, self._rest = self._rest + data, b""
        elif self._owed:
            at = min(self._owed, len(data))
            self._owed -= at
            self._feed(data[:at], receiver)
        while at < len(data):
            if protocol.current_size is None and protocol.state is State.OPEN:
                messages, at = take(data, at, protocol.max_message_size or 0)
                for message in messages:
                    receiver.receive(message)
            if at < len(data):
                at = self._other_frame(data, at, receiver)

    def _other_frame(self, data: bytes, start: int, receiver: Receiver) -> int:
        """Give the library the frame that begins at *start*, as far as it has come; return where it ends."""
        size = frame_size(data, start)
        if size is None:
            self._rest = data[start:]
            return len(data)
        end = min(start + size, len(data))
        self._owed = start + size - end
        self._feed(data[start:end], receiver)
        return end

    def _feed(self, data: bytes, receiver: Receiver) -> None:
        """Let the library read these bytes, and pass on what it makes of them."""
        protocol = self._protocol
        protocol.receive_data(data)
        for frame in cast(list[Frame], protocol.events_received()):
            self._frame(frame, receiver)
        if protocol.failure:
            receiver.refuse(protocol.failure)

    def _respond(self, response: Response) -> None:
        self._protocol.send_response(response)
        self._flush()

    def _frame(self, frame: Frame, receiver: Receiver) -> None:
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
        protocol = self._protocol
        if protocol.pong is not None and not self.backed_up:
            protocol.answer_ping()
        for data in protocol.data_to_send():
            if data:
                self._write(data)
            else:
                self._linger()
                # Closes when the buffer has gone out; the wheel cuts a peer that does not read.
                self._transport.close()
        if protocol.close_expected() and self.due is None:
            self._linger()

    def _linger(self) -> None:
        if self.due is None:
            self._door.wheel.schedule(self, self._door.clock.monotonic() + self._door.close)
