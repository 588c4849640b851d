"""Who goes first: messages are handed to a connection in the order in which they were given to ``send``."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

__all__ = ["Line"]


class Line:
    """Numbers that wait; the lowest is first, also when it came back to the line behind others."""

    __slots__ = ("_heap", "_inside", "_last", "_waiters")

    def __init__(self) -> None:
        self._last = 0
        self._inside: set[int] = set()
        self._heap: list[int] = []
        """All of those inside, and some that have left."""
        self._waiters: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._inside)

    def join(self) -> int:
        """Go to the end of the line; return the number."""
        self._last += 1
        self.enter(self._last)
        return self._last

    def enter(self, number: int) -> None:
        """Come back under a number of before."""
        if number not in self._inside:
            self._inside.add(number)
            heappush(self._heap, number)

    def leave(self, number: int) -> None:
        """Go out of the line; whoever is first then is woken."""
        if number in self._inside:
            self._inside.discard(number)
            waiter = self._waiters.get(self._first() or 0)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def is_first(self, number: int) -> bool:
        """Say whether nobody inside has a lower number."""
        return self._first() == number

    async def wait(self, number: int) -> None:
        """Wait until *number* is first, or all were woken; it may be first no more when this returns."""
        if not self.is_first(number):
            waiter = self._waiters[number] = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                del self._waiters[number]

    def wake(self) -> None:
        """Wake all that wait, because something else has changed for them."""
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_result(None)

    def _first(self) -> int | None:
        while self._heap and self._heap[0] not in self._inside:
            heappop(self._heap)
        return self._heap[0] if self._heap else None
