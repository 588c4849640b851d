"""How many requests a key may make, and how often an address may be wrong about one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..limits import Bucket

__all__ = ["Throttle"]

_MOST: Final = 10_000


class Throttle:
    """A bucket for each of many names; those that were not asked for for the longest time are forgotten.

    Args:
        per_minute: how many for a name, unless it is said otherwise.

    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[tuple[str, int], Bucket] = OrderedDict()

    def take(self, name: str, now: float, per_minute: int | None = None) -> float:
        """Take one; return 0.0, or the seconds to wait when there is none."""
        return self._bucket(name, now, per_minute).take(now)

    def wait(self, name: str, now: float) -> float:
        """Return the seconds until there is one, and take nothing."""
        return self._bucket(name, now, None).wait(now)

    def _bucket(self, name: str, now: float, per_minute: int | None) -> Bucket:
        rate = per_minute or self._per_minute
        bucket = self._buckets.pop((name, rate), None) or Bucket(rate / 60, rate, now)
        self._buckets[name, rate] = bucket
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return bucket
