"""A histogram of times with a bounded error and a bounded size, however many times it holds.

Log-linear: each power of two is cut into 32 equal steps, so a quantile is off by at most 1/32 of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

__all__ = ["Histogram"]

_STEP_BITS: Final = 5
_STEPS: Final = 1 << _STEP_BITS
_LARGEST: Final = 2**40
"""Microseconds that count as the longest time there is: twelve days."""


class Histogram:
    """Counts of microseconds; what is below zero counts as zero."""

    __slots__ = ("_counts", "count", "longest")

    def __init__(self, counts: Mapping[int, int] | None = None, longest: int = 0) -> None:
        self._counts = Counter(counts or {})
        self.count = sum(self._counts.values())
        self.longest = longest
        """The longest time, exactly."""

    def add(self, microseconds: int) -> None:
        """Count one time."""
        value = min(max(microseconds, 0), _LARGEST)
        self._counts[_slot(value)] += 1
        self.count += 1
        self.longest = max(self.longest, value)

    def merge(self, other: Histogram) -> None:
        """Count everything that *other* has counted."""
        self._counts.update(other._counts)
        self.count += other.count
        self.longest = max(self.longest, other.longest)

    def quantile(self, share: float) -> int:
        """Return the least time that *share* (0 to 1) of all times do not exceed, within 1/32; 0 if empty."""
        wanted = share * self.count
        seen = 0
        for slot in sorted(self._counts):
            seen += self._counts[slot]
            if seen >= wanted:
                return min(_top(slot), self.longest)
        return self.longest

    def to_json(self) -> dict[str, object]:
        """Return what ``of_json`` reads."""
        return {"counts": {str(slot): count for slot, count in self._counts.items()}, "longest": self.longest}

    @classmethod
    def of_json(cls, data: Mapping[str, object]) -> Histogram:
        """Return the histogram that ``to_json`` wrote."""
        counts, longest = data["counts"], data["longest"]
        assert isinstance(counts, dict)
        assert isinstance(longest, int)
        return cls({int(slot): count for slot, count in counts.items()}, longest)


def _slot(value: int) -> int:
    """Number the step of *value*: its power of two, then the bits that follow the highest one."""
    if value < _STEPS:
        return value
    shift = value.bit_length() - _STEP_BITS - 1
    return (shift + 1 << _STEP_BITS) + (value >> shift) - _STEPS


def _top(slot: int) -> int:
    """Return the largest value of a step."""
    if slot < _STEPS:
        return slot
    shift = (slot >> _STEP_BITS) - 1
    return ((slot & _STEPS - 1) + _STEPS + 1 << shift) - 1
