"""The generator's side: raw sockets that join, send and count, cheap enough not to be the limit.

A receiver never parses frame by frame: all frames of a run have one length, so the bytes of the counter
stand at a fixed stride, and one slice per byte checks the order of thousands of frames at once.
"""

from __future__ import annotations

import os
import socket
import struct
from base64 import b64encode
from typing import Protocol

from peers import APP_ID, CERTIFICATE

from sealcast.client.tokens import mint
from sealcast.protocol.controls import Join, Joined, Side, decode, encode

_ZERO_MASK = b"\0\0\0\0"


def masked(data: bytes) -> bytes:
    """Frame a client's binary message; the mask is zero, which is legal and costs the sender nothing."""
    length = len(data)
    if length < 126:
        return bytes((0x82, 0x80 | length)) + _ZERO_MASK + data
    return struct.pack(">BBH", 0x82, 0xFE, length) + _ZERO_MASK + data


def connect(port: int, path: str) -> socket.socket:
    """Open a WebSocket by hand, so that a socket is all that it costs."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: sealcast.1\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(1)
    if b" 101 " not in answer.split(b"\r\n")[0]:
        raise RuntimeError(answer.decode())
    return sock


def _read_message(sock: socket.socket) -> bytes:
    def exact(count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = sock.recv(count - len(data))
            if not chunk:
                raise RuntimeError("the server closed the connection")
            data += chunk
        return data

    _, length = exact(2)
    if length == 126:
        length = int.from_bytes(exact(2), "big")
    elif length == 127:
        length = int.from_bytes(exact(8), "big")
    return exact(length)


class Dialect(Protocol):
    """How one of the servers wants to be spoken to."""

    def join(self, port: int, channel: str, user: str) -> socket.socket:
        """Open a connection and make it a member."""
        ...

    def frames(self, first: int, count: int) -> bytes:
        """Return *count* ready-made client frames with ascending counters."""
        ...

    received: int
    """Bytes of one frame as a receiver gets it."""
    counter_at: int
    """Where the four bytes of the counter stand in it."""


class Sealcast:
    """Real joins with real tokens; frames with a descriptor, an SFrame header and random ciphertext."""

    def __init__(self, size: int) -> None:
        self._sealed = os.urandom(size - 12 - 4 - 7)
        self.received = size + (2 if size < 126 else 4)
        self.counter_at = self.received - len(self._sealed) - 4
        self._route = b""

    def join(self, port: int, channel: str, user: str) -> socket.socket:
        sock = connect(port, f"/v1/{APP_ID}")
        _read_message(sock)
        token = mint(APP_ID, CERTIFICATE, channel, user, ttl=86400)
        sock.sendall(masked(encode(Join(channel=channel, user=user, token=token), 1)))
        joined = None
        while not isinstance(joined, Joined):
            joined, _ = decode(_read_message(sock), Side.SERVER)
        self._route = struct.pack(">II", joined.channel, joined.member)
        return sock

    def frames(self, first: int, count: int) -> bytes:
        # Data, stream 2; SFrame: two bytes of KID (0x0200), four bytes of CTR from 2**24 on.
        start = b"\x01\0\0\0" + self._route + bytes((0x13, 0, 0, 2, 0x9B, 2, 0))
        return b"".join(
            masked(start + (0x01000000 + n).to_bytes(4, "big") + self._sealed)
            for n in range(first, first + count)
        )


class Plain:
    """No join and no envelope: the peers relay whatever bytes they get, of the same length."""

    def __init__(self, size: int) -> None:
        self._payload = os.urandom(size - 4)
        self.received = size + (2 if size < 126 else 4)
        self.counter_at = self.received - size

    def join(self, port: int, channel: str, user: str) -> socket.socket:
        return connect(port, "/")

    def frames(self, first: int, count: int) -> bytes:
        return b"".join(
            masked((0x01000000 + n).to_bytes(4, "big") + self._payload) for n in range(first, first + count)
        )


class Receiver:
    """Counts frames of one socket and checks that none is missing, doubled or out of order."""

    def __init__(self, sock: socket.socket, dialect: Dialect) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.frames = 0
        self._rest = b""
        self._size = dialect.received
        self._at = dialect.counter_at

    def read(self) -> int:
        """Read what is there; return how many whole frames came."""
        try:
            data = self._rest + self.sock.recv(1 << 20)
        except BlockingIOError:
            return 0
        whole = len(data) // self._size
        end = whole * self._size
        if whole:
            want = 0x01000000 + self.frames
            for byte, shift in ((0, 24), (1, 16), (2, 8), (3, 0)):
                got = data[self._at + byte : end : self._size]
                if got != _column(want, whole, shift):
                    raise RuntimeError(f"frames after {self.frames} are missing, doubled or out of order")
        self._rest = data[end:]
        self.frames += whole
        return whole


_PERIOD = bytes(range(256))


def _column(first: int, count: int, shift: int) -> bytes:
    """Return one byte of each of *count* ascending numbers."""
    if shift == 0:
        start = first & 255
        return (_PERIOD * (count // 256 + 2))[start : start + count]
    step = 1 << shift
    out = []
    number = first
    end = first + count
    while number < end:
        until = min(end, (number // step + 1) * step)
        out.append(bytes((number >> shift & 255,)) * (until - number))
        number = until
    return b"".join(out)
