"""The contract between the benchmarks and the servers that they measure.

A module of this package that has a ``PEERS`` tuple is found by itself; nothing else lists the peers.
Modules import each other relatively and are run from the root of the tree (``python -m bench.peers.check``),
so that one named after a library does not hide it.

How a payload travels: the benchmark makes ``size`` bytes that begin with a magic number, ``wrap`` says what
stands before and after them in one client message, the server may put them into any framing it likes, and
receivers find them again by the magic. So the payload must come out of the server byte for byte, in one
piece and unmasked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

__all__ = ["Peer", "Running", "Wrap"]


class Wrap(NamedTuple):
    """What stands around the payload in one client message, everything included that goes on the wire."""

    prefix: bytes
    """For a WebSocket: header with a zero mask, and what the server wants to read before the payload."""
    suffix: bytes = b""
    counter_at: int | None = None
    """Where in the prefix a big-endian counter stands that must grow; None: there is none."""
    counter_bytes: int = 0
    """Its width, 1 to 8. The prefix holds its first value; the sender's n-th message carries value + n."""


class Running:
    """A server that has been started; leaving the block ends it, with everything it started itself.

    Args:
        pids: every process whose CPU and memory count, workers included.
        port: where it listens on 127.0.0.1.
        stop: ends the server and waits until it is gone.

    """

    def __init__(self, pids: Sequence[int], port: int, stop: Callable[[], None]) -> None:
        self.pids = list(pids)
        self.port = port
        self._stop = stop

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()


class Peer(Protocol):
    """A server under test. Subclass it, so that the defaults below apply.

    One object serves one running server at a time and may keep what it learned in ``join`` for ``wrap``.
    """

    name: str
    """What the tables and ``--peers`` call it."""
    note: str
    """What differs from sealcast's work, in one line."""
    echoes: bool = False
    """Whether a sender gets its own messages back, and nothing can be done about it."""
    steady: bool = True
    """Whether the framing of delivered messages never changes in length: then any odd byte is an error."""

    def missing(self) -> str | None:
        """Return why it cannot run here and the command that would help; None when it can."""
        ...

    def start(self) -> Running:
        """Start the server on a free port of 127.0.0.1 and return when it accepts connections.

        The processes inherit the caller's CPU affinity, which the benchmark sets before: leave it alone.

        Raises:
            RuntimeError: it did not start; the message ends with its own last words.

        """
        ...

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Return a blocking socket whose handshake and subscription are done: what is sent to the channel
        from now on arrives at it.

        Names are ASCII letters, digits and ``-``. Several threads may join at once. *sends*: the benchmark
        will send messages of ``wrap`` on it. Every member is to receive what the others in its channel
        send; a server whose publishers cannot receive says so in its note.
        """
        ...

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return what turns *size* payload bytes into one message of this member, which has joined."""
        ...
