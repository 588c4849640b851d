"""WebSocket by hand: so that a member is a socket and nothing else, and a message a few ready-made bytes."""

from __future__ import annotations

import os
import socket
import struct
from base64 import b64encode

__all__ = ["connect", "exactly", "handshake", "header", "masked", "read_message"]

_ZERO_MASK = b"\0\0\0\0"
_HEADERS_MAX = 16 * 1024


def connect(port: int, path: str, *, subprotocol: str = "", timeout: float = 20.0) -> socket.socket:
    """Open a WebSocket to 127.0.0.1; return the blocking socket, read exactly up to its first message.

    Raises:
        RuntimeError: the server did not upgrade; its answer's first line is in the message.
        OSError: no connection, or silence for *timeout* seconds.

    """
    sock = socket.create_connection(("127.0.0.1", port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handshake(sock, path, subprotocol)
    sock.settimeout(None)
    return sock


def handshake(sock: socket.socket, path: str, subprotocol: str = "") -> None:
    """Upgrade a connected socket. Raises RuntimeError when the server says no."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    sock.sendall("\r\n".join((*lines, "", "")).encode())
    status = _headers(sock).partition(b"\r\n")[0]
    if b" 101 " not in status:
        raise RuntimeError(f"no upgrade at {path}: {status.decode(errors='replace')}")


def _headers(sock: socket.socket) -> bytes:
    # What follows the headers belongs to the first message: it is looked at before it is taken.
    while True:
        seen = sock.recv(_HEADERS_MAX, socket.MSG_PEEK)
        end = seen.find(b"\r\n\r\n")
        if end >= 0:
            return exactly(sock, end + 4)
        if not seen or len(seen) == _HEADERS_MAX:
            raise RuntimeError("the server closed the connection during the handshake")


def exactly(sock: socket.socket, count: int) -> bytes:
    """Read *count* bytes. Raises RuntimeError when the connection ends before."""
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise RuntimeError("the server closed the connection")
        data += chunk
    return data


def read_message(sock: socket.socket) -> tuple[int, bytes]:
    """Read one unfragmented, unmasked frame; return its opcode and its payload."""
    first, length = exactly(sock, 2)
    if length == 126:
        length = int.from_bytes(exactly(sock, 2), "big")
    elif length == 127:
        length = int.from_bytes(exactly(sock, 8), "big")
    return first & 15, exactly(sock, length)


def header(length: int, opcode: int = 2) -> bytes:
    """Return the header of a client's message of *length* bytes.

    The mask is zero, which is legal and costs the client nothing; the server does the same work.
    """
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + _ZERO_MASK
    if length < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, 0xFE, length) + _ZERO_MASK
    return struct.pack(">BBQ", 0x80 | opcode, 0xFF, length) + _ZERO_MASK


def masked(data: bytes, opcode: int = 2) -> bytes:
    """Return a whole client message."""
    return header(len(data), opcode) + data
