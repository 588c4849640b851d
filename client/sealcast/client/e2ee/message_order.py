"""Messages leave in the order of the channel, also when one of them has to wait.

A message that waits for its key or for its sender's proof holds back the messages of all others behind
it, for as long as it waits and so for ten seconds at most. Frames of streams are not concerned.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["BEHIND_BYTES", "BEHIND_MAX", "MessageOrder"]

BEHIND_MAX: Final = 4096
BEHIND_BYTES: Final = 8 * 1024 * 1024
"""What may wait behind a message, in number and bytes; over it the order is given up."""


class _Placed(Protocol):
    @property
    def offset(self) -> int | None: ...
    @property
    def size(self) -> int: ...


M = TypeVar("M", bound=_Placed)


class MessageOrder(Generic[M]):
    """The messages that wait, and those behind them. What has no offset passes."""

    __slots__ = ("_behind", "_bytes", "_first", "_waiting")

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._first: list[int] = []
        """A heap of the offsets that wait, with some that do no more."""
        self._behind: list[tuple[int, int, M]] = []
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    @property
    def first(self) -> int | None:
        """The offset of the first message that waits; None when none does."""
        return min(self._waiting, default=None)

    def wait(self, offset: int | None) -> None:
        """Note that the message at *offset* has to wait."""
        if offset is not None and offset not in self._waiting:
            self._waiting.add(offset)
            heappush(self._first, offset)

    def settle(self, offset: int | None, messages: list[M]) -> list[M]:
        """Note that the message at *offset* waits no more, whatever became of it; return as ``let``."""
        if offset is not None:
            self._waiting.discard(offset)
        return self.let(messages)

    def let(self, messages: list[M]) -> list[M]:
        """Return which of *messages*, and of those that were kept back, may go now, in order."""
        out: list[M] = []
        for message in messages:
            if message.offset is None:
                out.append(message)
                continue
            self._waiting.discard(message.offset)
            heappush(self._behind, (message.offset, len(self._behind), message))
            self._bytes += message.size
            out += self._go()
        return out + self._go()

    def _go(self) -> list[M]:
        if len(self._behind) > BEHIND_MAX or self._bytes > BEHIND_BYTES:
            self._waiting.clear()
        while self._first and self._first[0] not in self._waiting:
            heappop(self._first)
        going: list[M] = []
        while self._behind and (not self._first or self._behind[0][0] < self._first[0]):
            _, _, message = heappop(self._behind)
            self._bytes -= message.size
            going.append(message)
        return going
