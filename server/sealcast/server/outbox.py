"""The slow path: what a member that does not keep up is still to get, bounded in bytes and age.

While a connection is backed up its frames wait here instead of in the transport. Frames may be dropped:
the oldest first, audio after everything else and the members' own control frames last of all. The relay's
controls and messages may not: when they alone fill the outbox the connection cannot be served any more,
and it ends with ``slow_consumer``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from sealcast.protocol.names import Kind

from .interfaces import NOTICE

__all__ = ["Outbox", "Overfull"]

_KEPT = frozenset({NOTICE, int(Kind.MESSAGE)})
_CONTROL, _AUDIO = int(Kind.CONTROL), int(Kind.AUDIO)
_AGELESS = _KEPT | {_CONTROL}
"""What is worth as much when it comes late."""
_ORDER = (frozenset({_CONTROL, _AUDIO}), frozenset({_CONTROL}), frozenset[int]())
"""What is spared in each round of making room: the members' own controls carry keys and go last."""

_ITEM = 128
"""Bytes that a waiting frame costs beside its own: a flood of tiny ones is not to break the bound."""


class Overfull(Exception):
    """What may not be dropped does not fit: the connection must end."""


class _Item(NamedTuple):
    kind: int
    wire: bytes
    since: float
    channel: int


class Outbox:
    """A bounded queue of ready-made WebSocket frames.

    Args:
        most: its bound in bytes.
        age: seconds after which a waiting frame is worthless.
        dropped: where to count dropped frames, by channel number and kind.

    """

    __slots__ = ("_age", "_dropped", "_items", "_kept", "_most", "overfull", "size")

    def __init__(self, most: int, age: float, dropped: dict[int, Counter[int]]) -> None:
        self._most = most
        self._age = age
        self._items: deque[_Item] = deque()
        self._dropped = dropped
        self._kept = 0
        self.size = 0
        """Bytes that wait, each frame's share of bookkeeping included."""
        self.overfull = False
        """Whether something that may not be dropped was turned away: what waits has a gap behind it."""

    def __len__(self) -> int:
        return len(self._items)

    def push(self, kind: int, wire: bytes, channel: int, now: float) -> None:
        """Queue one frame, message or notice.

        Raises:
            Overfull: nothing more can be dropped to make room, now or when it was last asked to.

        """
        if self.overfull:
            raise Overfull
        if kind in _KEPT:
            self._kept += len(wire) + _ITEM
        elif self._kept > self._most // 4 * 3:
            # Too little room to be worth walking the queue for, once for every frame.
            self._count(kind, channel)
            return
        self._items.append(_Item(kind, wire, now, channel))
        self.size += len(wire) + _ITEM
        if self.size > self._most:
            self._expire(now)
            for spared in _ORDER:
                self._shed(spared)
            if self.size > self._most:
                self.overfull = True
                raise Overfull

    def pop(self, most: int, now: float) -> bytes:
        """Take at least one and at most about *most* bytes of what is still worth sending, joined."""
        self._expire(now)
        parts: list[bytes] = []
        taken = 0
        while self._items and (not parts or taken + len(self._items[0].wire) <= most):
            item = self._items.popleft()
            parts.append(item.wire)
            taken += len(item.wire)
            self._discount(item)
        return b"".join(parts)

    def forget(self, channel: int) -> None:
        """Drop the frames of a channel whose membership has ended; its messages still go out."""
        self._filter(lambda item: item.channel != channel or item.kind in _KEPT)

    def _expire(self, now: float) -> None:
        oldest = now - self._age
        items = self._items
        if items and items[0].since < oldest:
            self._filter(lambda item: item.since >= oldest or item.kind in _AGELESS)

    def _shed(self, spared: frozenset[int]) -> None:
        """Drop the oldest droppable frames, except of *spared* kinds, until the rest fits in half the bound.

        Going down to half means that the queue is walked once for many drops, not once for each.
        """
        if self.size <= self._most:
            return
        surplus = self.size - self._most // 2

        def keep(item: _Item) -> bool:
            nonlocal surplus
            if surplus <= 0 or item.kind in _KEPT or item.kind in spared:
                return True
            surplus -= len(item.wire) + _ITEM
            return False

        self._filter(keep)

    def _filter(self, keep: Callable[[_Item], bool]) -> None:
        if self.size == self._kept:
            return
        kept: deque[_Item] = deque()
        for item in self._items:
            if keep(item):
                kept.append(item)
            else:
                self._discount(item)
                self._count(item.kind, item.channel)
        self._items = kept

    def _discount(self, item: _Item) -> None:
        weight = len(item.wire) + _ITEM
        self.size -= weight
        if item.kind in _KEPT:
            self._kept -= weight

    def _count(self, kind: int, channel: int) -> None:
        self._dropped.setdefault(channel, Counter())[kind] += 1
