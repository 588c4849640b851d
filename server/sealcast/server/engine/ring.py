"""A channel's kept messages: a log bounded in number, bytes and age. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from ..interfaces import Keep, Kept, Page

__all__ = ["COST", "Ring"]

COST: Final = 200
"""Bytes that a kept message is taken to cost beside its own."""


class Ring:
    """The newest messages of one epoch, without a gap between them.

    Args:
        keep: how many, how large together, how long.

    """

    __slots__ = ("_keep", "_messages", "floor", "size")

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._messages: deque[Kept] = deque()
        self.floor = 0
        """Everything above this offset is here, as far as it was placed."""
        self.size = 0
        """Bytes, each message's share of bookkeeping included."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def first(self) -> Kept | None:
        """The oldest one."""
        return self._messages[0] if self._messages else None

    def allow(self, keep: Keep) -> list[Kept]:
        """Let these bounds count from now on; return what went."""
        self._keep = keep
        return self._trim()

    def append(self, message: Kept) -> list[Kept]:
        """Keep a message, whose offset follows the last one's; return what went for it, perhaps itself."""
        self._messages.append(message)
        self.size += len(message.data) + COST
        return self._trim()

    def expire(self, now: float) -> list[Kept]:
        """Let go what is too old at *now* (Unix seconds); return it."""
        messages, oldest = self._messages, now - self._keep.ttl
        gone: list[Kept] = []
        while messages and messages[0].at <= oldest:
            gone.append(self._drop())
        return gone

    def erase(self, upto: int | None = None) -> list[Kept]:
        """Let go everything up to and including an offset, or everything; return it."""
        gone: list[Kept] = []
        while self._messages and (upto is None or self._messages[0].offset <= upto):
            gone.append(self._drop())
        return gone

    def since(self, offset: int, newest: int, most: int, most_bytes: int) -> Sequence[Kept] | None:
        """Return everything above *offset* up to *newest*; None when that is not whole, or too much."""
        if offset >= newest:
            return () if offset == newest else None
        count = newest - offset
        if offset < self.floor or count > most or count > len(self._messages):
            return None
        found = list(islice(reversed(self._messages), count))
        found.reverse()
        return None if sum(len(message.data) for message in found) > most_bytes else found

    def page(self, *, after: int, before: int | None, limit: int, most_bytes: int) -> Page:
        """Return the newest messages below *before*, or the oldest above *after*; at least one, if any."""
        messages = self._messages
        if not messages:
            return Page((), False)
        base = messages[0].offset
        start = max(after + 1 - base, 0)
        stop = len(messages) if before is None else min(max(before - base, 0), len(messages))
        places = range(start, stop) if before is None else range(stop - 1, start - 1, -1)
        found: list[Kept] = []
        size = 0
        for place in places:
            message = messages[place]
            size += len(message.data)
            if found and (size > most_bytes or len(found) == limit):
                break
            found.append(message)
        if before is not None:
            found.reverse()
        return Page(found, len(found) < len(places))

    def _trim(self) -> list[Kept]:
        gone: list[Kept] = []
        while self._messages and (len(self._messages) > self._keep.messages or self.size > self._keep.bytes):
            gone.append(self._drop())
        return gone

    def _drop(self) -> Kept:
        message = self._messages.popleft()
        self.size -= len(message.data) + COST
        self.floor = message.offset
        return message
