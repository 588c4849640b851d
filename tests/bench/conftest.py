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
FIRST = 1 << 24
HEAD = b"to the relay" + FIRST.to_bytes(4, "big")
FRAMING = b"from"

Treatment = Callable[[int, int, bytes], list[bytes]]
"""(which frame of the sender, which member, its payload) → what to write to this member."""


def honestly(number: int, member: int, payload: bytes) -> list[bytes]:
    """Pass a frame on to everybody but its sender, who is member 0."""
    return [FRAMING + payload] if member else []


class Room:
    """Members on socket pairs. What the first one sends goes to the others, after the treatment."""

    def __init__(self, receivers: int, treat: Treatment) -> None:
        self.heads: list[bytes] = []
        """What stood before the payloads that the sender sent."""
        self._treat = treat
        pairs = [socket.socketpair() for _ in range(receivers + 1)]
        self._near, self._far = zip(*pairs, strict=True)
        for far in self._far:
            far.settimeout(20)
        sender = load.Member(self._near[0], 0, Wrap(HEAD, b"!", counter_at=len(HEAD) - 4, counter_bytes=4))
        self.members = [sender, *(load.Member(near, 0) for near in self._near[1:])]
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def run(self, *, seconds: float = 0.1, echoes: bool = False, rate: float = 0) -> load.Outcome:
        """Let the generator loose."""
        timing = load.Timing(0, seconds, 0.3)
        window = 0 if rate else 16
        return load.run(self.members, (), SIZE, window=window, rate=rate, timing=timing, echoes=echoes)

    def hang_up(self, member: int) -> None:
        """End a member's connection from the relay's side."""
        self._far[member].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for near in self._near:
            near.close()
        self._thread.join()
        for far in self._far:
            far.close()

    def _relay(self) -> None:
        number = 0
        with contextlib.suppress(OSError), self._far[0].makefile("rb") as source:
            while message := source.read(len(HEAD) + SIZE + 1):
                self.heads.append(message[: len(HEAD)])
                for member, far in enumerate(self._far):
                    for piece in self._treat(number, member, message[len(HEAD) : -1]):
                        far.sendall(piece)
                number += 1


@pytest.fixture
def room() -> Iterator[Callable[..., Room]]:
    """Make rooms, which are closed at the end."""
    if compiler() is None:
        pytest.skip("no C compiler here")
    with contextlib.ExitStack() as stack:

        def make(receivers: int = 3, treat: Treatment = honestly) -> Room:
            return stack.enter_context(contextlib.closing(Room(receivers, treat)))

        yield make
