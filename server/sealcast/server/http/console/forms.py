"""What people write into forms: how long something lasts, moments, and boxes that are ticked. Pure."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from ..errors import ApiError

__all__ = ["UNITS", "moment_of", "seconds_of", "ticked"]

Name = TypeVar("Name", bound=str)

UNITS: Final[Mapping[str, float]] = {"minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
"""In which a form asks how long."""
_DIGITS: Final = 10


def seconds_of(amount: str, unit: str) -> float | None:
    """Return how long something shall last, in seconds; nothing is for ever. Raises ApiError."""
    if not amount:
        return None
    try:
        number = float(amount) if len(amount) <= _DIGITS else math.nan
    except ValueError:
        number = math.nan
    if unit not in UNITS or not math.isfinite(number) or number < 0:
        raise ApiError("invalid", problems=[f"for how long: a number of {', '.join(UNITS)}"])
    return number * UNITS[unit]


def moment_of(text: str, what: str) -> float | None:
    """Return a moment in UTC, as ``2026-11-28T09:30``, in Unix seconds; None for nothing. Raises ApiError."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            raise ValueError
        seconds = moment.replace(tzinfo=datetime.UTC).timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0:
        raise ApiError("invalid", problems=[f"{what}: a day and a time, as 2026-11-28T09:30"])
    return seconds


def ticked(form: Mapping[str, str], prefix: str, names: Iterable[Name]) -> list[Name]:
    """Return for which of some names the box is ticked."""
    return [name for name in names if form.get(f"{prefix}{name}") == "yes"]
