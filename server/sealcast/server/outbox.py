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
_ORDER = (frozenset({_CONTROL, _AUDIO}), frozenset({_CONTROL}), frozenset[int]())
"""What is spared in each round of making room: the members' own controls carry keys and go last."""


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

    __slots__ = ("_age", "_dropped", "_items", "_most", "size")

    def __init__(self, most: int, age: float, dropped: dict[int, Counter[int]]) -> None:
        self._most = most
        self._age = age
        self._items: deque[_Item] = deque()
        self.size = 0
        self._dropped = dropped

    def __len__(self) -> int:
        return len(self._items)

    def push(self, kind: int, wire: bytes, channel: int, now: float) -> None:
        """Queue one frame, message or notice.

        Raises:
            Overfull: nothing more can be dropped to make room.

        """
        self._items.append(_Item(kind, wire, now, channel))
        self.size += len(wire)
        if self.size > self._most:
            self._expire(now)
            for spared in _ORDER:
                self._shed(spared)
            if self.size > self._most:
                raise Overfull

    def pop(self, most: int, now: float) -> bytes:
        """Take at least one and at most about *most* bytes of what is still worth sending, joined."""
        self._expire(now)
        parts: list[bytes] = []
        taken = 0
        while self._items and (not parts or taken + len(self._items[0].wire) <= most):
            wire = self._items.popleft().wire
            parts.append(wire)
            taken += len(wire)
        self.size -= taken
        return b"".join(parts)

    def forget(self, channel: int) -> None:
        """Drop the frames of a channel whose membership has ended; its messages still go out."""
        self._filter(lambda item: item.channel != channel or item.kind in _KEPT)

    def _expire(self, now: float) -> None:
        oldest = now - self._age
        items = self._items
        if items and items[0].since < oldest:
            self._filter(lambda item: item.since >= oldest or item.kind in _KEPT)

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
            surplus -= len(item.wire)
            return False

        self._filter(keep)

    def _filter(self, keep: Callable[[_Item], bool]) -> None:
        kept: deque[_Item] = deque()
        for item in self._items:
            if keep(item):
                kept.append(item)
            else:
                self.size -= len(item.wire)
                self._dropped.setdefault(item.channel, Counter())[item.kind] += 1
        self._items = kept
