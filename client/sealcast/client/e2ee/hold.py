"""A place to wait: frames that cannot be delivered yet, bounded in number, bytes and time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

__all__ = ["HOLD_BYTES", "HOLD_EACH", "HOLD_SECONDS", "HOLD_TOTAL", "MESSAGE_SECONDS", "Hold"]

HOLD_SECONDS: Final = 2.0
"""How long a frame waits: later it is worth nothing."""
MESSAGE_SECONDS: Final = 10.0
"""How long a message waits: when everybody comes back to a relay at once, proofs and keys take their time."""
HOLD_EACH: Final = 256
"""Frames held for one reason, such as one sender's epoch."""
HOLD_TOTAL: Final = 4096
"""Frames held in a channel for one kind of reason."""
HOLD_BYTES: Final = 8 * 1024 * 1024

_COST: Final = 128
"""Bytes that an item is taken to cost beside its own."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Item(NamedTuple, Generic[T]):
    item: T
    size: int
    until: float


class Hold(Generic[K, T]):
    """Items in the order in which they came, by the reason they wait for.

    What does not fit is refused, and what was there first stays: an order with its end cut off can
    still be used, one with its beginning cut off often cannot.
    """

    __slots__ = ("_bytes", "_count", "_each", "_lanes", "_most_bytes", "_seconds", "_total")

    def __init__(
        self,
        *,
        seconds: float = HOLD_SECONDS,
        each: int = HOLD_EACH,
        total: int = HOLD_TOTAL,
        most_bytes: int = HOLD_BYTES,
    ) -> None:
        self._seconds = seconds
        self._each = each
        self._total = total
        self._most_bytes = most_bytes
        self._lanes: OrderedDict[K, deque[_Item[T]]] = OrderedDict()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: K) -> bool:
        return key in self._lanes

    def keys(self) -> list[K]:
        """Return the reasons for which something waits."""
        return list(self._lanes)

    def put(self, key: K, item: T, size: int, now: float, seconds: float | None = None) -> bool:
        """Let *item* of *size* bytes wait, for other *seconds* if given; return False if there is no room."""
        lane = self._lanes.get(key)
        if (
            self._count >= self._total
            or self._bytes + size + _COST > self._most_bytes
            or (lane is not None and len(lane) >= self._each)
        ):
            return False
        if lane is None:
            lane = self._lanes[key] = deque()
        lane.append(_Item(item, size + _COST, now + (self._seconds if seconds is None else seconds)))
        self._count += 1
        self._bytes += size + _COST
        return True

    def take(self, key: K) -> list[T]:
        """Return what waits for *key*, in order."""
        lane = self._lanes.pop(key, deque())
        self._count -= len(lane)
        self._bytes -= sum(item.size for item in lane)
        return [item.item for item in lane]

    def sift(self, goes: Callable[[T], bool]) -> list[tuple[K, T]]:
        """Return what *goes* with its reason, in the order of each, and let it wait no more."""
        out: list[tuple[K, T]] = []
        for key in self.keys():
            lane = self._lanes[key]
            stays: deque[_Item[T]] = deque()
            for item in lane:
                if goes(item.item):
                    out.append((key, item.item))
                    self._count -= 1
                    self._bytes -= item.size
                else:
                    stays.append(item)
            if stays:
                self._lanes[key] = stays
            else:
                del self._lanes[key]
        return out

    def next_timeout(self) -> float | None:
        """Return when the first item has waited for too long; None when nothing waits."""
        return min((lane[0].until for lane in self._lanes.values()), default=None)

    def expire(self, now: float) -> list[tuple[K, T]]:
        """Return what has waited for too long, and let it wait no more."""
        over: list[tuple[K, T]] = []
        for key, lane in list(self._lanes.items()):
            while lane and lane[0].until <= now:
                item = lane.popleft()
                self._count -= 1
                self._bytes -= item.size
                over.append((key, item.item))
            if not lane:
                del self._lanes[key]
        return over
