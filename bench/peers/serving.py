"""What the relays of this package that are written in Python do alike in their own process."""

from __future__ import annotations

import resource
import struct
import sys

__all__ = ["BACKLOG", "MESSAGE_MAX", "OUTBOX_MAX", "allow_connections", "announce", "framed"]

MESSAGE_MAX = 1 << 20
"""Bytes of one message."""

OUTBOX_MAX = 64 << 20
"""Bytes that may wait for one client, where a server has such a limit."""

BACKLOG = 4096
"""Connections that wait to be accepted."""


def allow_connections() -> None:
    """Raise the limit of open files to what the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def announce(port: int) -> None:
    """Say where it listens, as ``process.run`` expects it."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def framed(message: bytes) -> bytes:
    """Return a binary message as a server sends it."""
    length = len(message)
    if length < 126:
        return bytes((0x82, length)) + message
    if length < 1 << 16:
        return struct.pack(">BBH", 0x82, 126, length) + message
    return struct.pack(">BBQ", 0x82, 127, length) + message
