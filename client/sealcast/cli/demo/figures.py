"""Numbers for people: percentiles, milliseconds, sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["milliseconds", "percentile", "size"]


def percentile(values: Sequence[int], percent: float) -> int | None:
    """Return the smallest of *values* that *percent* of them do not exceed; None of no values.

    The nearest-rank method: always a value that was measured.
    """
    if not values:
        return None
    rank = max(math.ceil(len(values) * percent / 100), 1)
    return sorted(values)[rank - 1]


def milliseconds(micros: int | None) -> str:
    """Show microseconds in milliseconds, without the unit; a dash for None."""
    if micros is None:
        return "–"
    return f"{micros / 1000:.1f}" if micros < 100_000 else f"{micros / 1000:,.0f}"


def size(count: int) -> str:
    """Show a number of bytes with the unit that suits it."""
    for unit, step in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} B"
