"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from typing import Final

__all__ = ["DELAYS", "PATIENCE", "again"]

DELAYS: Final = (
    1.0,
    5.0,
    30.0,
    120.0,
    600.0,
    1800.0,
    3600.0,
    2 * 3600.0,
    4 * 3600.0,
    8 * 3600.0,
    12 * 3600.0,
)
"""Seconds after each failure; after the last one, a bit more than a day in all, it is given up."""

PATIENCE: Final = 1.5 * 86_400.0
"""Seconds after which what has waited so long is given up at its next failure.

When a receiver was away for days, what waited behind the first delivery must not have the same days again.
"""


def again(failures: int, chance: float, retry_after: float | None = None) -> float | None:
    """Return the seconds to wait after so many failures, or None to give up.

    *chance*, from 0 to 1, spreads it by a fifth either way; a receiver that names a time is waited for.
    """
    if failures > len(DELAYS):
        return None
    delay = DELAYS[failures - 1] * (0.8 + 0.4 * chance)
    return delay if retry_after is None else max(delay, min(retry_after, DELAYS[-1]))
