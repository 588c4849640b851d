"""What waits to be sent on one connection: first in, first out, bounded in bytes.

Everything that is sealed goes through here in the order in which it was sealed. A frame asks whether it
fits *before* it is sealed, so that a dropped frame burns no counter; a message waits for its turn; a
control always fits (a connection has few of them, and they are small).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["FRAME_WAIT", "Outgoing", "OutgoingClosed"]

FRAME_WAIT: Final = 1.0
"""Seconds: while what is first in the queue has waited longer, new frames are dropped. Late is worthless."""


class OutgoingClosed(Exception):
    """The connection has ended: nothing more can be queued."""


class Outgoing:
    """The send queue of one connection.

    Args:
        most: its bound in bytes. Something larger fits when nothing else waits.

    """

    __slots__ = ("_closed", "_filled", "_finishing", "_freed", "_items", "_most", "_order", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[tuple[bytes, float]] = deque()
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()
        self._order = asyncio.Lock()
        self._closed = False
        self._finishing = False
        self.size = 0
        """Bytes that have not been handed to the transport yet."""

    def fits(self, size: int, now: float) -> bool:
        """Say whether a frame of *size* bytes may be queued now; messages that wait go first."""
        if self._closed or self._finishing or self._order.locked() or not self._room(size):
            return False
        return not self._items or now - self._items[0][1] <= FRAME_WAIT

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """Wait until *size* bytes fit and no other message is before this one; then ``put`` without waiting.

        Raises:
            OutgoingClosed: the connection has ended or is about to.

        """
        async with self._order:
            while not (self._closed or self._finishing or self._room(size)):
                self._freed.clear()
                await self._freed.wait()
            if self._closed or self._finishing:
                raise OutgoingClosed
            yield

    def put(self, data: bytes, now: float) -> None:
        """Queue one complete message of the wire."""
        if not self._closed:
            self._items.append((data, now))
            self.size += len(data)
            self._filled.set()

    async def get(self) -> bytes | None:
        """Return what is first, once there is something; None when all is sent and nothing more comes.

        It stays in the queue until ``sent`` is called.
        """
        while not self._items:
            if self._finishing or self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        return self._items[0][0]

    def sent(self) -> None:
        """Note that what ``get`` returned was handed to the transport."""
        if self._items:
            self.size -= len(self._items.popleft()[0])
            self._freed.set()

    def finish(self) -> None:
        """Take no more frames and messages; let ``get`` return None once the rest is out."""
        self._finishing = True
        self._filled.set()
        self._freed.set()

    def close(self) -> None:
        """Forget everything: the connection has ended."""
        self._closed = True
        self._items.clear()
        self.size = 0
        self._filled.set()
        self._freed.set()

    def _room(self, size: int) -> bool:
        return self.size == 0 or self.size + size <= self._most
