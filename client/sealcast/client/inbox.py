"""The events of one channel that wait for the application, bounded in number and bytes.

When the application reads too slowly the oldest frames are thrown away first, then the oldest
messages, then the oldest other events; each is counted, and the counts come out as one ``Dropped``
event where the gap is. The final event is never lost. A place can be held for an event that is not known
yet; what comes behind it waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final, NamedTuple

from .events import Dropped, Event, Frame, Left, Message

__all__ = ["Inbox"]

_FRAME, _MESSAGE, _OTHER = range(3)
_OVERHEAD: Final = 256
"""Bytes that an event is taken to cost beside its data."""


class _Item(NamedTuple):
    number: int
    size: int
    event: Event


class Inbox:
    """A bounded queue of events with one or more readers.

    Args:
        most_events: how many events may wait.
        most_bytes: how many bytes they may hold.

    """

    __slots__ = (
        "_bytes",
        "_counts",
        "_filled",
        "_final",
        "_held",
        "_lanes",
        "_most",
        "_most_bytes",
        "_number",
        "_over",
    )

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._most = most_events
        self._most_bytes = most_bytes
        # One lane for each rank: the next event is the lowest number of three heads, and dropping the
        # oldest of a rank needs no search.
        self._lanes: tuple[deque[_Item], ...] = (deque(), deque(), deque())
        self._bytes = 0
        self._number = 0
        self._counts: Counter[str] = Counter()
        self._held: int | None = None
        self._final: Left | None = None
        self._over = False
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def put(self, event: Event) -> int:
        """Take an event; return how many were dropped for it, itself included. Nothing after the end."""
        if self._final is not None:
            return 0
        rank, size = _OTHER, _OVERHEAD
        if isinstance(event, Frame | Message):
            rank = _FRAME if isinstance(event, Frame) else _MESSAGE
            size += len(event.data)
        self._number += 1
        self._lanes[rank].append(_Item(self._number, size, event))
        self._bytes += size
        dropped = 0
        while len(self) > self._most or self._bytes > self._most_bytes:
            self._drop()
            dropped += 1
        self._filled.set()
        return dropped

    def hold(self) -> None:
        """Keep the next place free; what is put from now on is handed out when the place is filled."""
        self._number += 1
        self._held = self._number

    def fill(self, event: Event | None) -> None:
        """Put *event* where the place was held; None gives the place up."""
        number, self._held = self._held, None
        if number is not None and event is not None and self._final is None:
            lane = self._lanes[_OTHER]
            at = next((i for i, item in enumerate(lane) if item.number > number), len(lane))
            lane.insert(at, _Item(number, _OVERHEAD, event))
            self._bytes += _OVERHEAD
        self._filled.set()

    @property
    def first_message(self) -> Message | None:
        """The oldest message that nobody has taken yet."""
        lane = self._lanes[_MESSAGE]
        event = lane[0].event if lane else None
        return event if isinstance(event, Message) else None

    def end(self, final: Left) -> None:
        """Let *final* be the last event; a place that is held is given up."""
        if self._final is None:
            self._final = final
            self._held = None
            self._filled.set()

    async def get(self) -> Event:
        """Return the next event; wait for it when there is none.

        Cancelling it loses nothing: an event is taken and returned in one step.

        Raises:
            StopAsyncIteration: the final event has been returned.

        """
        while True:
            event = self._take()
            if event is not None:
                return event
            self._filled.clear()
            await self._filled.wait()

    def _take(self) -> Event | None:
        if self._counts:
            counts, self._counts = self._counts, Counter()
            return Dropped(dict(counts), "client")
        lane = min(filter(None, self._lanes), key=lambda lane: lane[0].number, default=None)
        if lane is not None:
            if self._held is not None and lane[0].number > self._held:
                return None
            item = lane.popleft()
            self._bytes -= item.size
            return item.event
        return self._take_final()

    def _take_final(self) -> Event | None:
        final = self._final
        if final is None:
            return None
        if self._over:
            raise StopAsyncIteration
        self._over = True
        # Other readers wait for an event that will not come: let them see the end.
        self._filled.set()
        return final

    def _drop(self) -> None:
        lane = next(lane for lane in self._lanes if lane)
        item = lane.popleft()
        self._bytes -= item.size
        event = item.event
        if isinstance(event, Frame):
            self._counts[event.kind] += 1
        elif isinstance(event, Message):
            self._counts["message"] += 1
        else:
            self._counts["event"] += 1
