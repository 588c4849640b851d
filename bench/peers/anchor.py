"""The C relays of ``bench/anchor``: what one core can do when nothing but relaying is done."""

from __future__ import annotations

import socket

from ..toolchain import built, compiler
from .base import Peer, Running, Wrap
from .process import run
from .websocket import connect, header

__all__ = ["PEERS", "Anchor"]


class Anchor(Peer):
    """The relay, with or without one write per receiver and loop turn."""

    def __init__(self, name: str, note: str, *flags: str) -> None:
        self.name = name
        self.note = note
        self._flags = flags

    def missing(self) -> str | None:
        """Return what to do when there is no compiler."""
        return None if compiler() else "needs a C compiler: apt-get install gcc libc6-dev"

    def start(self) -> Running:
        """Compile it if need be, and start it."""
        return run([str(built("anchor")), *self._flags])

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Upgrade; the path is the channel."""
        return connect(port, f"/c/{channel}")

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return the header alone."""
        return Wrap(header(size))


PEERS = (
    Anchor(
        "anchor-coalescing",
        "C, epoll, one write per receiver and loop turn; no tokens, rights, counters or metrics",
        "--coalesce",
    ),
    Anchor("anchor", "C, epoll, one send per frame and receiver; no tokens, rights, counters or metrics"),
)
