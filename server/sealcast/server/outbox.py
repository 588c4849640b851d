"""The slow path: what a member that does not keep up is still to get, bounded in bytes and age.

While a connection is backed up its frames wait here instead of in the transport. What goes when there is no
room is decided in ``shedding``; here it is kept in order, counted and taken away. When what may not
be dropped fills the outbox alone, the connection cannot be served any more: it ends with ``slow_consumer``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .drops import Drops
from .shedding import TIERS, Gates, Verdict, Waiting, broken, overdue, surplus

__all__ = ["Outbox"]

_NEVER: Final = float("inf")
_LATE: Final = 1.125
"""Ages after which the queue is gone through for what is too old, so that it is not done for each frame."""
_LEAST: Final = 16
"""The part of the bound that making room has to give, or it is not worth going through the queue for."""


class Outbox:
    """A bounded queue of ready-made WebSocket frames.

    Args:
        most: its bound in bytes, each frame's share of bookkeeping included.
        age: seconds after which a waiting frame is worthless.
        gates: the streams that wait for a keyframe; they outlive the queue.
        drops: where to count dropped frames.

    """

    __slots__ = (
        "_age",
        "_drops",
        "_gates",
        "_items",
        "_most",
        "_next",
        "_oldest",
        "_weights",
        "overfull",
        "owed",
        "size",
    )

    def __init__(self, most: int, age: float, gates: Gates, drops: Drops) -> None:
        self._most = most
        self._age = age
        self._gates = gates
        self._drops = drops
        self._items: OrderedDict[object, Waiting] = OrderedDict()
        """By a number in order; what a newer one may replace, by the bytes of its flow's number."""
        self._next = 0
        self._weights = [0] * TIERS
        """Bytes of what may be dropped, by tier."""
        self._oldest = _NEVER
        """Nothing that can get too old began to wait before."""
        self.size = 0
        """Bytes that wait, each frame's share of bookkeeping included."""
        self.owed = 0
        """Bytes of answers that wait, which are not counted in ``size``."""
        self.overfull = False
        """Whether something that may not be dropped found no room: what waits has a gap behind it."""

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: Waiting, now: float) -> None:
        """Queue one frame, message or notice, or drop it; something else may be dropped for it.

        Look at ``overfull`` afterwards: once it is true, nothing is queued any more.
        """
        if self.overfull:
            self._lost(item, "ended")
        elif not self._gates.admits(item):
            self._lost(item, "keyframe")
        elif self._hopeless(item):
            self._gates.shut(broken(item), now)
            self._lost(item, "room")
        else:
            self._append(item)
            if now - self._oldest > self._age * _LATE:
                self._expire(now)
            if self.size > self._most:
                self._make_room(now)

    def pop(self, most: int, now: float) -> bytes:
        """Take at least one and at most about *most* bytes of what is still worth sending, joined."""
        self._expire(now)
        parts: list[bytes] = []
        taken = 0
        items = self._items
        while items:
            key, item = items.popitem(last=False)
            if parts and taken + len(item.wire) > most:
                items[key] = item
                items.move_to_end(key, last=False)
                break
            parts.append(item.wire)
            taken += len(item.wire)
            self._discount(item)
        return b"".join(parts)

    def forget(self, channel: int) -> None:
        """Drop the frames of a channel whose membership has ended; what may not be dropped still goes out."""
        self._filter(lambda item: item.channel == channel and item.tier is not None, "left")

    def close(self) -> None:
        """Drop everything: the connection has ended."""
        self._filter(lambda item: True, "ended")

    def _append(self, item: Waiting) -> None:
        key: object = self._next
        if item.latest:
            key = item.flow.to_bytes(9, "big")
            older = self._items.pop(key, None)
            if older is not None:
                self._discount(older)
                self._lost(older, "replaced")
        else:
            self._next += 1
        self._items[key] = item
        self.size += item.weight
        self.owed += item.owed
        if item.tier is not None:
            self._weights[item.tier] += item.weight
            if not item.lasting:
                self._oldest = min(self._oldest, item.since)

    def _hopeless(self, item: Waiting) -> bool:
        """Say whether *item* finds no room, and next to nothing could go for it."""
        if item.tier is None or self.size + item.weight <= self._most:
            return False
        return sum(self._weights[: item.tier + 1]) < self._most // _LEAST

    def _make_room(self, now: float) -> None:
        must = self.size - self._most
        self._execute(surplus(list(self._items.values()), must, must + self._most // 4), now)
        self.overfull = self.size > self._most

    def _expire(self, now: float) -> None:
        oldest = now - self._age
        if self._oldest < oldest:
            self._execute(overdue(list(self._items.values()), oldest), now)
            ages = (item.since for item in self._items.values() if not item.lasting)
            self._oldest = min(ages, default=_NEVER)

    def _execute(self, verdict: Verdict, now: float) -> None:
        keys = list(self._items)
        for place, reason in verdict.going.items():
            item = self._items.pop(keys[place])
            self._discount(item)
            self._lost(item, reason)
        self._gates.shut(verdict.shut, now)

    def _filter(self, goes: Callable[[Waiting], bool], reason: str) -> None:
        for key, item in list(self._items.items()):
            if goes(item):
                del self._items[key]
                self._discount(item)
                self._lost(item, reason)

    def _discount(self, item: Waiting) -> None:
        self.size -= item.weight
        self.owed -= item.owed
        if item.tier is not None:
            self._weights[item.tier] -= item.weight

    def _lost(self, item: Waiting, reason: str) -> None:
        self._drops.note(item.kind, item.channel, reason)
