"""A relay in a thread that does to every frame what a test wants, and the generator that must notice."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from bench import load
from bench.peers.base import Wrap
from bench.toolchain import compiler

SIZE = 100
HEAD = b"to:relay" + (1 << 24).to_bytes(4, "big")
FRAMING = b"from"

Treatment = Callable[[int, int, bytes], list[bytes]]
"""(the sender's n-th frame, the receiver's number, the payload) → what to write to this receiver."""


def honestly(number: int, receiver: int, payload: bytes) -> list[bytes]:
    return [FRAMING + payload]


@pytest.fixture(autouse=True)
def _needs_a_compiler(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("compiled") and compiler() is None:
        pytest.skip("no C compiler here")


class Room:
    """Socket pairs; what the first member sends goes to the others, after the treatment."""

    def __init__(self, receivers: int, treat: Treatment, *, stalled: int = 0) -> None:
        self.heads: list[bytes] = []
        self._treat = treat
        self._pairs = [socket.socketpair() for _ in range(receivers + 1)]
        for near, far in self._pairs:
            near.settimeout(10)
            far.settimeout(10)
        self.members = [
            load.Member(near, 0, Wrap(HEAD, b"!", len(HEAD) - 4, 4) if n == 0 else None)
            for n, (near, _) in enumerate(self._pairs)
        ]
        for member in self.members[len(self.members) - stalled :]:
            member.reads = False
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def _relay(self) -> None:
        source = self._pairs[0][1].makefile("rb")
        number = 0
        with contextlib.suppress(OSError):
            while message := source.read(len(HEAD) + SIZE + 1):
                self.heads.append(message[: len(HEAD)])
                for receiver, (_, far) in enumerate(self._pairs):
                    for piece in self._treat(number, receiver, message[len(HEAD) : -1]):
                        if receiver or piece[:1] == b"\0":
                            far.sendall(piece)
                number += 1
        source.close()

    def close(self) -> None:
        for near, _ in self._pairs:
            near.close()
        self._thread.join()
        for _, far in self._pairs:
            far.close()


@pytest.fixture
def rooms() -> Iterator[Callable[..., Room]]:
    """Make rooms that are closed at the end."""
    made: list[Room] = []

    def make(receivers: int = 3, treat: Treatment = honestly, **more: int) -> Room:
        made.append(Room(receivers, treat, **more))
        return made[-1]

    yield make
    for room in made:
        room.close()
